// A session's time holds against servers that are alive, barely: a byte each 10 s on many connections. Others go on as ever meanwhile.
// SLOW_CONNECTIONS=2000 makes it that many.
import assert from "node:assert/strict";
import { until } from "../lib/process.mjs";
import { assertVerdict, scenarioTest } from "../lib/scenario.mjs";
import { Description, loopback } from "../lib/world.mjs";

const SLOW = Number(process.env.SLOW_CONNECTIONS ?? 500);
const LIST = 600;
const [net127, second] = loopback().split(".");

const d = new Description();
// Two by two: a byte each 10 s of the greeting; and a greeting, then a byte each 10 s of EHLO's reply. An operator each.
const half = SLOW / 2;
for (const [kind, options] of [
	["greets", { persona: "drip", drip_ms: 10000 }], ["ehlo", { faults: [{ phase: "ehlo", reply: "250-mx", then: "endless", every_ms: 10000 }] }],
]) {
	d.content.hosts[`mx.${kind}{1-${half}}.test`] = { addresses: [`${net127}.${second}.${kind === "greets" ? 100 : 110}.0`], ...options };
	d.content.domains[`${kind}{1-${half}}.test`] = { mx: `mx.${kind}{}.test`, mailboxes: ["zq-known*"] };
}
d.mail("busy.test", ["zq-known*"], { latency_ms: 5 });
d.mail("busy-alone.test", ["zq-known*"], { latency_ms: 5 });
const isSlow = (host) => /\.(greets|ehlo)\d+\.test$/.test(host);

scenarioTest(`timeouts.session against a byte each 10 s on ${SLOW} connections, while another operator's list goes on`, d, async (s) => {
	const list = (domain) => Array.from({ length: LIST }, (_, i) => `zq-known${i}@${domain}`);
	/** How a list went: what the farm counted of its host. */
	const counts = async (domain) => {
		const { connections, peak, round_trips, verbs } = (await s.world.counts()).hosts[`mx.${domain}`];
		return { connections, peak, round_trips, RCPT: verbs.RCPT, MAIL: verbs.MAIL };
	};
	const ask = async (domain) => {
		for (const r of (await s.client.verify(list(domain), { ms: 120000 })).list) assertVerdict(r, "DELIVERABLE", "ACCEPTED");
		return counts(domain);
	};
	const alone = await ask("busy-alone.test");

	const stream = s.client.openStream({ ms: 240000 });
	const slow = ["greets", "ehlo"].flatMap((kind) => Array.from({ length: half }, (_, i) => `zq-known1@${kind}${i + 1}.test`));
	for (let i = 0; i < SLOW; i += 500) stream.send(slow.slice(i, i + 500));
	stream.end();
	const open = async () => (await s.world.openConnections()).filter((c) => isSlow(c.host)).length;
	await until(`${SLOW} slow connections are open`, async () => (await open()) === SLOW, 60000);

	const beside = await ask("busy.test");
	// All of the list was asked and answered while not one of the slow ones had ended: it waited for none of them.
	assert.equal(await open(), SLOW);
	assert.equal(stream.results.length, 0);
	// And with as many conversations and round trips as alone.
	assert.deepEqual(beside, alone);

	const results = await stream.done;
	assert.equal(results.length, SLOW);
	for (const r of results) {
		assertVerdict(r, "UNKNOWN", "TIMEOUT");
		assert.equal(r.evidence.phase, r.domain.startsWith("greets") ? "BANNER" : "EHLO");
		assert.equal(r.attempts, 1);
	}
	// Banner and reply may take ten minutes here: what ended them is the session's time, and we ended them.
	const record = await s.world.settled(0, 30000);
	const closes = record.closes().filter((e) => isSlow(e.host));
	assert.equal(closes.length, SLOW);
	for (const close of closes) {
		assert.match(close.by, /client|reset/);
		if (/greets/.test(close.host)) assert.ok(close.bytes_out <= 12, `${close.bytes_out} bytes, one each 10 s`);
	}
	assert.equal(record.lines().filter((l) => isSlow(l.host) && /MAIL|RCPT/.test(l.verb)).length, 0);
	await until("the gauges are back at zero", async () => {
		const stats = await s.client.getStats();
		return stats.sessions_open === 0 && stats.addresses_waiting === 0;
	});
}, {
	// Long enough for the list on a busy machine.
	config: { timeouts: { connect: "30s", banner: "10m", reply: "10m", session: SLOW > 500 ? "60s" : "20s" }, probe: { tls: "never" } }, timeout: 240000,
});
