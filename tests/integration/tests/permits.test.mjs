// Courtesy to machines: a destination address gets its connections and no more, whoever the operators are, and every connection that was granted comes back.
import assert from "node:assert/strict";
import { before, after } from "node:test";
import { Scenario, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";
import { until } from "../lib/process.mjs";

const d = new Description();
let s;
before(async () => {
	s = await Scenario.start(d, {
		probe: { shards: 2 },
		timeouts: { connect: "2s", banner: "1s", reply: "1s", session: "10s" },
		courtesy: { defaults: { connections: 5 }, ip: { connections: 2 } },
	});
});
after(() => s.close());

const VANITY = Array.from({ length: 30 }, (_, i) => `vanity${i}.test`);
d.host("mx.machine.test", { latency_ms: 20 });
for (const domain of VANITY) {
	d.name(`mail.${domain}`, { cname: "mx.machine.test" });
	d.domain(domain, { mx: `mail.${domain}`, mailboxes: ["zq-pm-*"] });
}
test("thirty operators at one address share its two connections", async () => {
	const mark = await s.world.mark();
	const results = await s.client.verify(VANITY.map((domain) => `zq-pm-known@${domain}`));
	for (const r of results.list) assert.equal(r.reason, "ACCEPTED", r.address);
	assert.deepEqual(new Set(results.list.map((r) => r.operator)).size, VANITY.length);
	// From connect to QUIT: the farm may see the next connection before it has dealt with the end of the one before.
	let open = 0, peak = 0, connections = 0;
	for (const e of (await s.world.settled(mark)).events) {
		if (e.event === "connect") connections++, (peak = Math.max(peak, ++open));
		if (e.event === "line" && e.verb === "QUIT") open--;
	}
	assert.equal(peak, 2);
	assert.ok(connections >= 2);
});

const PHASES = ["banner", "ehlo", "mail", "rcpt"];
const WAYS = ["closes", "resets", "silent", "tempfail", "hangup", "refuses"];
const hurt = [];
for (const phase of PHASES)
	for (const persona of WAYS)
		for (const k of [0, 1]) {
			const domain = `${persona}-${phase}${k}.test`;
			d.mail(domain, ["zq-pm-*"], { persona, phase });
			hurt.push(domain);
		}
d.mail("refused.test", ["zq-pm-*"], { dead: true });
hurt.push("refused.test");
test("sessions that end at every state, in every way, give back every permit and budget", async () => {
	const asked = hurt.flatMap((domain) => [0, 1, 2].map((i) => `zq-pm-u${i}@${domain}`));
	const results = await s.client.verify(asked);
	assert.equal(results.list.length, asked.length);
	const stats = await until("all is given back", async () => {
		const now = await s.client.getStats();
		return Number(now.permits_held) === 0 && Number(now.sessions_open) === 0 ? now : null;
	});
	assert.equal(Number(stats.addresses_waiting), 0);
	// And nothing is used up: the same hosts are asked once more.
	const mark = await s.world.mark();
	await s.client.verify(asked.map((a) => a.replace("-u", "-v")));
	const record = await s.world.settled(mark);
	const reached = new Set(record.connects().map((e) => e.host));
	assert.equal(reached.size, hurt.length - 1); // the dead one cannot be seen
});

d.mail("gone.test", ["zq-pm-*"], { persona: "silent", phase: "rcpt" });
test("a cancelled call and an exemption give them back too", async () => {
	const call = s.client.openStream();
	call.send(["zq-pm-1@gone.test", "zq-pm-2@gone.test"]);
	await until("a session is open", async () => Number((await s.client.getStats()).permits_held) > 0);
	await new Promise(setImmediate); // node's http2 aborts in some cancels from within its own callbacks
	call.call.cancel();
	await until("the permit is back", async () => Number((await s.client.getStats()).permits_held) === 0);
	const second = s.client.verify(["zq-pm-3@gone.test"]);
	await until("a session is open", async () => Number((await s.client.getStats()).permits_held) > 0);
	await s.client.createExemption("gone.test");
	assert.equal((await second).list[0].reason, "EXEMPT");
	await until("the permit is back", async () => Number((await s.client.getStats()).permits_held) === 0);
});
