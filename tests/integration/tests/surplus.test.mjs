// One reply too many behind the greeting, in a segment of its own: EHLO's answer then comes for MAIL, and MAIL's for a recipient.
import assert from "node:assert/strict";
import { listen, serve } from "../lib/peer.mjs";
import { sleep } from "../lib/process.mjs";
import { assertVerdict, scenarioTest } from "../lib/scenario.mjs";
import { Description, loopback } from "../lib/world.mjs";

const d = new Description();
const cases = [];
for (const keyword of ["PIPELINING", "SMTPUTF8", "STARTTLS"]) for (const behind_ms of [0, 3, 15]) {
	const domain = `surplus${cases.length}.test`;
	const address = loopback();
	d.name(`mx.${domain}`, { addresses: [address] });
	d.domain(domain, { mx: `mx.${domain}` });
	cases.push({ keyword, behind_ms, domain, address });
}
d.mail("other.test");

scenarioTest("one reply too many behind the greeting, in a segment of its own: nobody gets MAIL's answer for his own", d, async (s) => {
	const servers = await Promise.all(cases.map((c) => listen(c.address, s.world.smtpPort, (peer) => serve(peer, {
		ehlo: ["250-hand.test", `250 ${c.keyword}`],
		on: async (verb) => {
			if (verb !== "EHLO") return false;
			await peer.write("250 2.0.0 Hello\r\n");
			await sleep(c.behind_ms);
			return false;
		},
	}))));
	try {
		for (const c of cases) {
			const { list } = await s.client.verify([`zq-known1@${c.domain}`, `zq-nobody1@${c.domain}`]);
			for (const result of list) assertVerdict(result, "UNKNOWN", "PROTOCOL_ERROR");
		}
		for (const server of servers) {
			assert.ok(server.connections.length >= 1 && server.connections.length <= 3, `${server.connections.length} sessions`);
			for (const { lines } of server.connections) assert.match(lines[0], /^EHLO /);
		}
	} finally {
		await Promise.all(servers.map((server) => server.close()));
	}
}, { config: { probe: { tls: "never" } } });
