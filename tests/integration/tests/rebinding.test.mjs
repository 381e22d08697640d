// Names that change between two looks at them: whatever was checked is what is connected to. Counted at the socket, and by servers that
// listen where nobody may go.
import assert from "node:assert/strict";
import net from "node:net";
import { assertVerdict, scenarioTest } from "../lib/scenario.mjs";
import { assertOnlyContacted, contacts, watchSockets } from "../lib/sockets.mjs";
import { Description, loopback } from "../lib/world.mjs";

const hasIpv6 = await new Promise((resolve) => {
	const server = net.createServer().on("error", () => resolve(false));
	server.listen(0, "::1", () => server.close(() => resolve(true)));
});
watchSockets();
const base = loopback().split(".").slice(0, 2).join(".");
const isAllowed = (c) => (c.ip.startsWith(`${base}.`) && Number(c.ip.split(".")[2]) < 16) || c.ip === "127.0.0.1";
let inside = 0;
/** A server inside, at an address that is forbidden. */
function forbidden(d, ip = `${base}.240.${++inside}`) {
	d.host(`inside${++inside}.test`, { addresses: [ip], mailboxes: ["zq-known*"], serves: ["*"] });
	return ip;
}
const PROBE = { allow_networks: [`${base}.0.0/20`], sources: [{ address: "127.0.0.1", name: "probe.rcptd.test" }, ...(hasIpv6 ? [{ address: "::1", name: "probe6.rcptd.test" }] : [])] };
const CONFIG = { timeouts: { connect: "2s", banner: "5s", reply: "5s", session: "60s" }, probe: PROBE };

/** Nobody inside was met: not by their record, not at the socket. */
async function assertNobodyInside(s) {
	const record = await s.world.settled();
	assert.deepEqual(record.connects().filter((c) => c.host.startsWith("inside")), []);
	assertOnlyContacted(isAllowed);
	return record;
}
/** The daemon forgets what it knew of the name, in its store and in memory. */
async function lookAgain(s, domain) {
	await s.client.forgetDomain(domain);
	await s.client.committed();
	await s.rcptd.restart();
}
const lookups = (record, name) => record.dns().filter((e) => e.name === name && (e.type === "A" || e.type === "AAAA")).length;

for (const [kind, later, expected] of [
	["one of ours inside", (d) => [forbidden(d)], "UNDELIVERABLE UNROUTABLE_HOST"],
	["private", () => ["10.0.0.1"], "UNDELIVERABLE UNROUTABLE_HOST"],
	["link-local (cloud metadata)", () => ["169.254.169.254"], "UNDELIVERABLE UNROUTABLE_HOST"],
	["IPv6 loopback", (d) => [hasIpv6 ? forbidden(d, "::1") : "::1"], "UNDELIVERABLE UNROUTABLE_HOST"],
	["v4-mapped", () => [`::ffff:${base}.240.1`], "UNDELIVERABLE UNROUTABLE_HOST"],
	["several inside and one that is allowed", (d) => [forbidden(d), "10.0.0.1", "::1", loopback()], null],
]) {
	const d = new Description();
	const domain = "rebind.test";
	d.mail(domain, ["zq-known*"], { ttl: 0 }, { ttl: 0 });
	const addresses = later(d);
	d.name(`mx.${domain}`, { later: addresses, later_from: 2, ttl: 0 });
	scenarioTest(`a good address at the first look, then: ${kind}`, d, async (s) => {
		assertVerdict(await s.client.verifyOne(`zq-known1@${domain}`), "DELIVERABLE", "ACCEPTED");
		assertVerdict(await s.client.verifyOne(`zq-known2@${domain}`), "DELIVERABLE", "ACCEPTED");
		await lookAgain(s, domain);
		const result = await s.client.verifyOne(`zq-known3@${domain}`);
		const record = await assertNobodyInside(s);
		assert.ok(lookups(record, `mx.${domain}`) >= 4, "it was looked up twice");
		if (expected) {
			assertVerdict(result, ...expected.split(" "));
			assert.equal(result.attempts, 0);
		} else {
			// The allowed one has no server: the only one that was tried.
			assertVerdict(result, "UNKNOWN", "NO_CONNECTION");
			assert.ok(contacts().some((c) => c.ip === addresses[3]));
		}
	}, { config: CONFIG });
}

{
	// Time passes between check and connect: one connection at once, slow replies, and failures that make it try again. One shard, and so
	// one resolver, which looks the host up once for all of them.
	const d = new Description();
	const domains = Array.from({ length: 12 }, (_, i) => `waits${i}.rebind-all.test`);
	d.host("mx.rebind-all.test", { ttl: 0, latency_ms: 30, mailboxes: ["zq-known*"], serves: ["*"], faults: [{ phase: "rcpt", nth: 1, then: "close", connections: 3 }] });
	d.name("mx.rebind-all.test", { later: [forbidden(d), "10.0.0.1"], later_from: 2, ttl: 0 });
	for (const domain of domains) d.domain(domain, { mx: "mx.rebind-all.test", ttl: 0 });
	scenarioTest("work that waits while the name changes goes where it was checked, or nowhere", d, async (s) => {
		const run = async (local) => (await s.client.verify(domains.map((domain) => `${local}@${domain}`))).list;
		for (const r of await run("zq-known1")) assertVerdict(r, "DELIVERABLE", "ACCEPTED");
		for (const domain of domains) await s.client.forgetDomain(domain);
		await s.client.committed();
		// Addresses of the host may still be remembered, whose time is not over; new looks give only what is forbidden.
		for (const r of await run("zq-known2")) assert.ok(["DELIVERABLE ACCEPTED", "UNDELIVERABLE UNROUTABLE_HOST"].includes(`${r.verdict} ${r.reason}`), `${r.verdict} ${r.reason}`);
		await s.rcptd.restart();
		for (const domain of domains) await s.client.forgetDomain(domain);
		await s.client.committed();
		for (const r of await run("zq-known3")) assertVerdict(r, "UNDELIVERABLE", "UNROUTABLE_HOST");
		const record = await assertNobodyInside(s);
		assert.ok(lookups(record, "mx.rebind-all.test") >= 4);
	}, { config: { ...CONFIG, probe: { ...PROBE, shards: 1 }, courtesy: { defaults: { connections: 1 } } } });
}
{
	const d = new Description();
	const dead = d.host("mx.rebind-dead.test", { dead: true, ttl: 0 });
	d.name("mx.rebind-dead.test", { later: [forbidden(d)], later_from: 2, ttl: 0 });
	d.domain("rebind-dead.test", { mx: "mx.rebind-dead.test", ttl: 0 });
	scenarioTest("the first address refuses the connection, and the next look gives one inside", d, async (s) => {
		for (const local of ["zq-known1", "zq-known2"]) assertVerdict(await s.client.verifyOne(`${local}@rebind-dead.test`), "UNKNOWN", "NO_CONNECTION");
		await lookAgain(s, "rebind-dead.test");
		assertVerdict(await s.client.verifyOne("zq-known3@rebind-dead.test"), "UNDELIVERABLE", "UNROUTABLE_HOST");
		await assertNobodyInside(s);
		assert.ok(contacts().some((c) => c.ip === dead));
	}, { config: CONFIG });
}
{
	const d = new Description();
	d.host("mx.rebind-soon.test", { ttl: 0 });
	d.name("mx.rebind-soon.test", { later: [forbidden(d)], later_from: 1, ttl: 0 });
	d.domain("rebind-soon.test", { mx: "mx.rebind-soon.test", mailboxes: ["zq-known*"] });
	scenarioTest("inside at the very first look", d, async (s) => {
		assertVerdict(await s.client.verifyOne("zq-known1@rebind-soon.test"), "UNDELIVERABLE", "UNROUTABLE_HOST");
		const record = await s.world.settled();
		assert.deepEqual(record.connects(), []);
		assertOnlyContacted(isAllowed);
	}, { config: CONFIG });
}
