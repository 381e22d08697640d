// Failing over to a host of another operator moves the work to the shard that runs that operator. Names are chosen by the shard
// that owns them, so that every way through the shards is taken; nothing gets lost, twice or late when a call is cancelled, a
// domain exempted or the daemon stopped meanwhile.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { sleep, until } from "../lib/process.mjs";
import { Scenario, assertOnlyTheEight, assertVerdict, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";
import { status } from "../lib/client.mjs";

const SHARDS = 2;
/** text_hash() of server/base: FNV-1a. */
function textHash(text) {
	let h = 2166136261;
	for (const byte of Buffer.from(text)) h = Math.imul(h ^ byte, 16777619) >>> 0;
	return h;
}
const taken = new Set();
/** A registrable name (a domain, or the operator of its hosts) that is that shard's. */
function nameOn(shard, prefix) {
	for (let i = 0; ; i++) {
		const name = `${prefix}${i}.test`;
		if (textHash(name) % SHARDS !== shard || taken.has(name)) continue;
		taken.add(name);
		return name;
	}
}

const d = new Description();
const ONE = nameOn(0, "fo-one"); // an operator that gets one connection
let s;
before(async () => {
	s = await Scenario.start(d, {
		probe: { shards: SHARDS },
		timeouts: { connect: "2s", banner: "1s", reply: "2s", session: "20s" },
		courtesy: { defaults: { connections: 20, unknown_per_session: 50 }, operators: { [ONE]: { connections: 1 } }, ip: { connections: 20 } },
	});
});
after(() => s.close());

/** Nothing is held, open or waited for any more. */
async function allIsBack() {
	let now;
	await until(() => `all is given back: ${JSON.stringify(now)}`, async () => {
		now = await s.client.getStats();
		return [now.permits_held, now.sessions_open, now.addresses_waiting].every((n) => Number(n) === 0);
	});
}

test("the hash is FNV-1a, as in tests/unit/base", () => {
	assert.equal(textHash(""), 0x811c9dc5);
	assert.equal(textHash("a"), 0xe40c292c);
	assert.equal(textHash("foobar"), 0xbf9cf968);
});

// --- each way from shard to shard ---

const FAILS = {
	refuses: { dead: true }, puts: { faults: [{ phase: "banner", reply: "421 4.3.2 Service not available" }] },
	hangs: { persona: "silent", phase: "banner" }, resets: { persona: "resets", phase: "ehlo" },
	names: { faults: [{ phase: "banner", reply: "554 5.7.1 Client host [$client] blocked using bl.example" }] },
};
const ways = [];
for (const [how, options] of Object.entries(FAILS))
	for (let way = 0; way < 8; way++) {
		const [home, from, to] = [way & 1, (way >> 1) & 1, way >> 2];
		const domain = nameOn(home, `fo-${how}-`), first = `mx.${nameOn(from, "fo-first")}`, second = `mx.${nameOn(to, "fo-second")}`;
		d.mailHosts(domain, ["zq-fo-known*"], { [first]: options, [second]: { latency_ms: 5 } });
		ways.push({ domain, first, second, how, shards: `${home}: ${from} → ${to}` });
	}
test("every way between shards: the second host's answer, and every budget back", async () => {
	assert.equal(new Set(ways.map((way) => way.shards)).size, 8);
	const asked = ways.flatMap(({ domain }) => [`zq-fo-known1@${domain}`, `zq-fo-none@${domain}`]);
	const mark = await s.world.mark();
	const results = await s.client.verify(asked);
	const record = await s.world.settled(mark);
	for (const { domain, first, second, how, shards } of ways) {
		const known = results.get(`zq-fo-known1@${domain}`), none = results.get(`zq-fo-none@${domain}`);
		assertVerdict(known, "DELIVERABLE", "ACCEPTED");
		assertVerdict(none, "UNDELIVERABLE", "MAILBOX_UNKNOWN");
		for (const result of [known, none]) {
			assert.equal(result.evidence.mail_host, second, `${how}, ${shards}`);
			assert.equal(result.operator, second.slice(3), `${how}, ${shards}`);
		}
		const hosts = record.hosts().filter((host) => host === first || host === second);
		assert.deepEqual([...new Set(hosts)], how === "refuses" ? [second] : [first, second], `${how}, ${shards}`);
		for (const local of ["zq-fo-known1", "zq-fo-none"])
			assert.equal(record.rcpts({ host: second }).filter((r) => r.local === local && r.domain === domain).length, 1, `${how}, ${shards}`);
	}
	assertOnlyTheEight(record);
	await allIsBack();
});

// --- it is there that the work is, not only its answer ---

const comers = [0, 1].flatMap((from) => Array.from({ length: 6 }, (_, i) => {
	const domain = nameOn(i % SHARDS, "fo-comer");
	const backup = `mx${i}.${ONE}`; // each at an address of its own, and each for two domains
	if (!from) d.host(backup, { latency_ms: 20 });
	const first = `mx.${nameOn(from, "fo-gone")}`;
	d.host(first, { dead: true });
	d.domain(domain, { mx: [{ preference: 10, host: first }, { preference: 20, host: backup }], mailboxes: ["zq-fo-known*"] });
	return domain;
}));
test("an operator's one connection stays one, whichever shards the work came from", async () => {
	const mark = await s.world.mark();
	const results = await s.client.verify(comers.map((domain) => `zq-fo-known1@${domain}`));
	for (const result of results.list) assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	// From connect to QUIT: the farm may see the next connection before it has dealt with the end of the one before.
	let open = 0, peak = 0;
	for (const e of (await s.world.settled(mark)).events) {
		if (e.event === "connect") peak = Math.max(peak, ++open);
		if (e.event === "line" && e.verb === "QUIT") open--;
	}
	assert.equal(peak, 1);
	await allIsBack();
});

// --- ten hosts, each of another operator than the one before, the shards in turn: work is on the move all the time ---

const chain = Array.from({ length: 10 }, (_, i) => `mx.${nameOn(i % SHARDS, `fo-hop${i}-`)}`);
const HOPS = [{ faults: [{ phase: "banner", reply: "421 4.3.2 Not now" }] }, { persona: "closes", phase: "ehlo" }, { dead: true }];
chain.forEach((host, i) => d.host(host, i === 9 ? {} : { ...HOPS[i % HOPS.length], latency_ms: i % 4 }));
const AGAIN = 12;
const domains = Array.from({ length: 24 }, (_, i) => nameOn(i % SHARDS, `fo-chain${i}-`));
for (const domain of domains)
	d.domain(domain, { mx: chain.map((host, i) => ({ preference: 10 * (i + 1), host })), mailboxes: ["zq-fo-known*"] });
const wave = (n) => domains.flatMap((domain) => Array.from({ length: 8 }, (_, i) => `zq-fo-known${n}x${i}@${domain}`));
const onlyOnce = (results) => assert.equal(new Set(results.map((r) => r.id)).size, results.length, "no result twice");

test("ten operators after another, the shards in turn: the last one answers for all", async () => {
	const mark = await s.world.mark();
	const results = await s.client.verify(wave("a"));
	const record = await s.world.settled(mark);
	for (const result of results.list) {
		assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		assert.equal(result.evidence.mail_host, chain[9]);
	}
	assert.deepEqual([...new Set(record.hosts())], chain.filter((_, i) => i === 9 || i % HOPS.length !== 2));
	await allIsBack();
});

test("a call that is cancelled on the way: the other caller of the same addresses has all its results", async () => {
	for (let round = 0; round < AGAIN; round++) {
		const asked = wave(`b${round}`);
		const goes = s.client.openStream(), stays = s.client.openStream();
		goes.send(asked, 0);
		stays.send(asked, 0);
		stays.end();
		await sleep(round * 6);
		goes.call.cancel();
		const results = await stays.done;
		onlyOnce(results);
		assert.equal(results.length, asked.length);
		for (const result of results) assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		await allIsBack();
	}
});

test("all calls cancelled on the way: nothing stays behind", async () => {
	for (let round = 0; round < AGAIN; round++) {
		const call = s.client.openStream();
		call.send(wave(`c${round}`), 0);
		await sleep(round * 6);
		call.call.cancel();
		await allIsBack();
	}
});

test("a domain that is exempted on the way: one result for each, and no RCPT after the exemption is acknowledged", async () => {
	for (let round = 0; round < AGAIN; round++) {
		const exempt = domains.slice(round % 2, 2 * AGAIN).filter((_, i) => i % 2 === 0).slice(round % 6, (round % 6) + 3);
		const stream = s.client.openStream();
		stream.send(wave(`d${round}`), 0);
		stream.end();
		await sleep(round * 6);
		const granted = await Promise.all(exempt.map((domain) => s.client.createExemption(domain)));
		await s.world.mark(); // what was on the wire by then, the farm has read when it is asked once more
		const mark = await s.world.mark();
		const results = await stream.done;
		onlyOnce(results);
		assert.equal(results.length, stream.sent);
		for (const result of results) {
			const domain = result.address.split("@")[1];
			if (exempt.includes(domain) && result.reason === "EXEMPT") continue;
			assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		}
		const record = await s.world.settled(mark);
		for (const r of record.rcpts()) assert.ok(!exempt.includes(r.domain), `round ${round}: a RCPT for ${r.domain}, which is exempt`);
		await allIsBack();
		for (const { id } of granted) await s.client.revokeExemption(id);
	}
});

test("SIGTERM on the way: an orderly end, no result twice", { timeout: 120000 }, async () => {
	for (let round = 0; round < AGAIN; round++) {
		const mark = await s.world.mark();
		const stream = s.client.openStream();
		stream.send(wave(`e${round}`), 0);
		if (round % 2) stream.end();
		await until("it has begun", async () => (await s.world.record(mark)).connects().length);
		await sleep(round * 5);
		s.rcptd.child.kill("SIGTERM");
		const ended = await Promise.race([s.rcptd.child.ended, sleep(40000, "still running")]);
		assert.deepEqual(ended, { code: 0, signal: null }, `round ${round}`);
		const code = await stream.done.then(() => status.OK, (error) => error.code);
		onlyOnce(stream.results);
		if (code === status.OK) assert.equal(stream.results.length, stream.sent);
		else assert.equal(code, status.UNAVAILABLE);
		const record = await s.world.settled(mark);
		for (const { conn, by } of record.closes()) {
			const verbs = record.verbs({ conn });
			if (by === "client" && verbs.length) assert.equal(verbs.at(-1), "QUIT", `round ${round}: ${verbs}`);
		}
		await s.rcptd.start();
	}
});
