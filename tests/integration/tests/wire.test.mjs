// Wire economy, counted by the farm.
import assert from "node:assert/strict";
import { before, after } from "node:test";
import { Scenario, assertOnlyTheEight, assertVerdict, scenarioTest, test } from "../lib/scenario.mjs";
import { Description, isRandomControl } from "../lib/world.mjs";

const d = new Description();
let s;
before(async () => {
	s = await Scenario.start(d, {
		courtesy: {
			defaults: { connections: 2, recipients: 10, unknown_per_session: 12 },
			operators: {
				"cap-connections.test": { connections: 3 }, "cap-one.test": { connections: 1 }, "cap-recipients.test": { recipients: 4 },
				"cap-shared.test": { connections: 1 },
				"cap-unknown.test": { unknown_per_session: 3, connections: 1 }, "many.test": { connections: 2 },
			},
		},
	});
});
after(() => s.close());

async function ask(addresses, options) {
	const mark = await s.world.mark();
	const results = await s.client.verify(addresses, options);
	await s.client.committed();
	return { results, list: results.list, record: await s.world.settled(mark) };
}
const known = (n, domain, from = 0) => Array.from({ length: n }, (_, i) => `zq-known${from + i}@${domain}`);
const all = (list, verdict, reason) => list.forEach((r) => assertVerdict(r, verdict, reason));

for (const latency of [0, 15]) {
	test(`with a fresh fact the round trips to the last answer do not depend on the number of accepted targets (latency ${latency} ms)`, async () => {
		const trips = {};
		for (let n = 1; n <= 10; n++) {
			const domain = `trips${n}-${latency}.test`;
			all((await ask([`zq-known-first@${domain}`])).list, "DELIVERABLE", "ACCEPTED");
			const { list, record } = await ask(known(n, domain));
			all(list, "DELIVERABLE", "ACCEPTED");
			assert.equal(record.connects().length, 1);
			assert.deepEqual(record.locals(), list.map((r) => r.address.split("@")[0]), "each target once, and no control");
			trips[n] = record.closes()[0].round_trips_rcpt;
		}
		assert.deepEqual([...new Set(Object.values(trips))], [2], `EHLO, then MAIL with all RCPTs: ${JSON.stringify(trips)}`);
	});
	for (let n = 1; n <= 10; n++) d.mail(`trips${n}-${latency}.test`, ["zq-known*"], { latency_ms: latency });
}

d.mail("ten.test", ["zq-known*"], { latency_ms: 5 });
test("10 accepted addresses of one domain make one connection; the control is asked last", async () => {
	const { list, record } = await ask(known(10, "ten.test"));
	all(list, "DELIVERABLE", "ACCEPTED");
	assert.equal(record.connects().length, 1);
	const locals = record.locals();
	assert.deepEqual(locals.slice(0, 10).sort(), list.map((r) => r.address.split("@")[0]).sort());
	assert.equal(locals.length, 11);
	assert.ok(isRandomControl(locals[10]), locals[10]);
});

d.mail("spared.test", ["zq-known*"]);
test("where every target was clearly refused the control is spared", async () => {
	const { list, record } = await ask(["zq-nobody1@spared.test", "zq-nobody2@spared.test"]);
	all(list, "UNDELIVERABLE", "MAILBOX_UNKNOWN");
	assert.deepEqual(record.locals().sort(), ["zq-nobody1", "zq-nobody2"]);
});

d.mail("three.test", ["zq-known*"]);
test("three unknown targets: the control is asked, and last", async () => {
	const { record } = await ask(["zq-nobody1@three.test", "zq-nobody2@three.test", "zq-nobody3@three.test"]);
	const locals = record.locals();
	assert.equal(locals.length, 4);
	assert.ok(isRandomControl(locals[3]), locals[3]);
});

d.mail("thousand.test", ["zq-known*"], { latency_ms: 20 });
d.name("mx.slow.test", { addresses: [d.host("slow-real.test", { mailboxes: ["zq-known*"], serves: ["*"] })], delay_ms: 200 });
d.domain("slow.test", { mx: "mx.slow.test", delay_ms: 300 });
test("1,000 waiters for one name make one DNS query per type", async () => {
	const clients = Array.from({ length: 4 }, () => s.rcptd.newClient());
	const mark = await s.world.mark();
	const lists = await Promise.all(clients.map((c, k) => c.verify(known(250, "slow.test", 250 * k), { ms: 50000 })));
	clients.forEach((c) => c.close());
	for (const list of lists) all(list.list, "DELIVERABLE", "ACCEPTED");
	const record = await s.world.settled(mark);
	const asked = {};
	for (const e of record.dns()) asked[`${e.name} ${e.type}`] = (asked[`${e.name} ${e.type}`] ?? 0) + 1;
	assert.equal(asked["slow.test MX"], 1, JSON.stringify(asked));
	assert.equal(asked["mx.slow.test A"], 1, JSON.stringify(asked));
	for (const [question, n] of Object.entries(asked)) assert.equal(n, 1, question);
});

// --- caps of an operator ---

for (let i = 0; i < 6; i++) {
	d.host(`mx${i}.cap-connections.test`, { latency_ms: 40 });
	d.domain(`dom${i}.test`, { mx: `mx${i}.cap-connections.test`, mailboxes: ["zq-known*"] });
}
test("no more connections at once to an operator than its cap, over all its hosts", async () => {
	await s.world.reset();
	const addresses = Array.from({ length: 6 }, (_, i) => known(3, `dom${i}.test`)).flat();
	const { list, record } = await ask(addresses);
	all(list, "DELIVERABLE", "ACCEPTED");
	let open = 0, peak = 0;
	for (const e of record.events) {
		if (!e.host?.endsWith(".cap-connections.test")) continue;
		if (e.event === "connect") peak = Math.max(peak, ++open);
		if (e.event === "close") open--;
	}
	assert.equal(peak, 3);
});

d.mail("cap-one.test", ["zq-known*"], { latency_ms: 10 });
test("a cap of one connection: one after the other", async () => {
	await s.world.reset();
	const { list } = await ask(known(30, "cap-one.test"));
	all(list, "DELIVERABLE", "ACCEPTED");
	assert.equal((await s.world.counts()).hosts["mx.cap-one.test"].peak, 1);
});

/** RCPTs of each transaction of a record, in order. */
function transactions(record, conn) {
	const out = [];
	for (const line of record.lines({ conn })) {
		if (line.verb === "MAIL") out.push(0);
		if (line.verb === "RCPT") out[out.length - 1]++;
	}
	return out;
}
d.mail("cap-recipients.test", ["zq-known*"]);
test("recipients of a transaction, controls included: then RSET", async () => {
	const { list, record } = await ask(known(10, "cap-recipients.test"));
	all(list, "DELIVERABLE", "ACCEPTED");
	assert.equal(record.locals().length, 11);
	for (const { conn } of record.connects()) {
		const each = transactions(record, conn);
		assert.ok(each.every((n) => n > 0 && n <= 4), JSON.stringify(each));
		assert.equal(record.lines({ conn, verb: "RSET" }).length, each.length - 1);
	}
});

const SHARED = Array.from({ length: 6 }, (_, i) => `shared${i}.test`);
d.host("mx.cap-shared.test", { latency_ms: 10 });
for (const domain of SHARED) d.domain(domain, { mx: "mx.cap-shared.test", mailboxes: ["zq-known*"] });
test("several domains at one host share a connection, never a transaction: RSET between them", async () => {
	const { list, record } = await ask(SHARED.flatMap((domain) => known(2, domain)));
	all(list, "DELIVERABLE", "ACCEPTED");
	assert.equal(record.connects().length, 1);
	const domains = [];
	for (const line of record.lines()) {
		if (line.verb === "MAIL") domains.push(new Set());
		if (line.verb === "RCPT") domains.at(-1).add(/@([^>]*)>/.exec(line.arg)[1]);
	}
	assert.deepEqual(domains.map((of) => of.size), SHARED.map(() => 1));
	assert.equal(record.lines({ verb: "RSET" }).length, SHARED.length - 1);
});

d.mail("cap-unknown.test", ["zq-known*"]);
test("unknown recipients of a session, the control included: then a new session", async () => {
	const { list, record } = await ask(Array.from({ length: 9 }, (_, i) => `zq-nobody${i}@cap-unknown.test`));
	all(list, "UNDELIVERABLE", "MAILBOX_UNKNOWN");
	for (const { conn } of record.connects()) {
		const refused = record.of("reply", { conn, verb: "RCPT" }).filter((e) => e.text.startsWith("550")).length;
		assert.ok(refused <= 3, `${refused} unknown in one session`);
		assert.ok(record.rcpts({ conn }).length <= 3, "no more in flight than the budget");
	}
	assert.ok(record.connects().length >= 3);
});

test("the caps hold when many lists ask at once", async () => {
	await s.world.reset();
	const mark = await s.world.mark();
	const lists = await Promise.all(Array.from({ length: 5 }, (_, k) =>
		s.client.verify([...known(8, "many.test", 8 * k), `zq-nobody${k}@many.test`])));
	for (const list of lists) {
		all(list.list.slice(0, 8), "DELIVERABLE", "ACCEPTED");
		assertVerdict(list.list[8], "UNDELIVERABLE", "MAILBOX_UNKNOWN");
	}
	const record = await s.world.settled(mark);
	assert.ok((await s.world.counts()).hosts["mx.many.test"].peak <= 2);
	for (const { conn } of record.connects()) assert.ok(transactions(record, conn).every((n) => n <= 10));
});
d.mail("many.test", ["zq-known*"], { latency_ms: 10 });

// --- what is known is not asked again ---

d.mail("again.test", ["zq-known*"], {}, { replies: { "zq-full": "452 4.2.2 <$rcpt>: Mailbox is over quota", "zq-busy": "451 4.3.0 Later" } });
d.mail("again-all.test", [], { persona: "accept-all" });
d.domain("again-gone.test", { nxdomain: true });
d.domain("again-null.test", { null_mx: true });
const LIST = [
	...known(3, "again.test"), "zq-nobody1@again.test", "zq-nobody2@again.test", "zq-full@again.test", "zq-busy@again.test",
	"zq-any1@again-all.test", "zq-any2@again-all.test", "zq-known@again-gone.test", "zq-known@again-null.test", "zq-known@@again.test",
];
const NOT_CACHED = ["zq-busy", "zq-full"]; // MAILBOX_FULL and TEMPORARY_FAILURE are asked again

test("a second run over the same list asks only what was not cacheable", async () => {
	const first = await ask(LIST);
	all(first.list.slice(0, 3), "DELIVERABLE", "ACCEPTED");
	assert.ok(first.list.every((r) => !r.from_cache), "nothing was known");
	const second = await ask(LIST);
	assert.deepEqual(second.list.map((r) => r.verdict + r.reason), first.list.map((r) => r.verdict + r.reason));
	assert.deepEqual(second.record.locals().filter((l) => !isRandomControl(l)).sort(), NOT_CACHED);
	assert.ok(second.record.connects().every((e) => e.host === "mx.again.test"));
	for (const r of second.list) {
		const local = r.address.split("@")[0];
		const fresh = NOT_CACHED.includes(local) || r.reason === "INVALID_SYNTAX";
		assert.equal(r.from_cache, !fresh, JSON.stringify(r));
		if (r.from_cache) assert.ok(r.age_s !== null && r.age_s >= 0 && r.age_s < 60, `age ${r.age_s}`);
	}
});

test("facts and verdicts are there after a restart, and after kill -9", async () => {
	for (const signal of ["SIGTERM", "SIGKILL"]) {
		await s.rcptd.restart(signal);
		const { list, record } = await ask(LIST.slice(0, 5));
		assert.ok(list.every((r) => r.from_cache), JSON.stringify(list.map((r) => [r.address, r.from_cache])));
		assert.deepEqual(record.connects(), []);
		const more = await ask([`zq-known-${signal}@again.test`, `zq-any-${signal}@again-all.test`]);
		assertVerdict(more.list[0], "DELIVERABLE", "ACCEPTED");
		assertVerdict(more.list[1], "RISKY", "ACCEPT_ALL");
		assert.deepEqual(more.record.locals(), [`zq-known-${signal}`], "by the facts, no control is asked, and of accept-all nobody");
	}
});

test("max_age 0 asks anew", async () => {
	const { list, record } = await ask(LIST.slice(0, 5), { maxAge: 0 });
	all(list.slice(0, 3), "DELIVERABLE", "ACCEPTED");
	all(list.slice(3), "UNDELIVERABLE", "MAILBOX_UNKNOWN");
	assert.ok(list.every((r) => !r.from_cache));
	const locals = record.locals();
	assert.deepEqual(locals.filter((l) => !isRandomControl(l)).sort(), LIST.slice(0, 5).map((a) => a.split("@")[0]).sort());
	assert.equal(locals.filter(isRandomControl).length, 1, "the fact too is asked anew");
	assert.ok((await ask(LIST.slice(0, 5))).list.every((r) => r.from_cache), "and it is remembered again");
});

test("duplicates in one list are one RCPT", async () => {
	const addresses = Array.from({ length: 40 }, (_, i) => (i % 2 ? "zq-known77@twice.test" : "zq-known77@TWICE.test"));
	const { list, record } = await ask([...addresses, "zq-known78@twice.test"]);
	all(list, "DELIVERABLE", "ACCEPTED");
	assert.deepEqual(record.locals().filter((l) => !isRandomControl(l)).sort(), ["zq-known77", "zq-known78"]);
});
d.mail("twice.test", ["zq-known*"], { latency_ms: 10 });

{
	const own = new Description();
	own.mail("shared-a.test", ["zq-known*"], { latency_ms: 30 });
	scenarioTest("two clients that ask for the same address at once share one RCPT", own, async (sc) => {
		const clients = [sc.client, sc.rcptd.newClient(), sc.rcptd.newClient()];
		const results = await Promise.all(clients.map((c) => c.verifyOne("zq-known1@shared-a.test")));
		results.forEach((r) => assertVerdict(r, "DELIVERABLE", "ACCEPTED"));
		assert.equal((await sc.world.settled()).locals().filter((l) => l === "zq-known1").length, 1);
		clients.slice(1).forEach((c) => c.close());
	});
}

test("the control's local part: 20 to 32 letters and digits, the same for a domain, another for each", async () => {
	const record = await s.world.settled();
	const byDomain = {};
	for (const r of record.rcpts()) if (!/^zq[-+]/.test(r.local)) (byDomain[r.domain] ??= new Set()).add(r.local);
	assert.ok(Object.keys(byDomain).length >= 10);
	const every = Object.values(byDomain).flatMap((set) => [...set]);
	for (const local of every) assert.match(local, /^[a-z0-9]{20,32}$/i);
	assert.equal(new Set(every).size, every.length);
	assert.ok(byDomain["ten.test"].size === 1);
	assertOnlyTheEight(record);
});
