// Exempt means never contacted.
import assert from "node:assert/strict";
import { before, after } from "node:test";
import { errorDetails, status } from "../lib/client.mjs";
import { until } from "../lib/process.mjs";
import { Scenario, assertOnlyTheEight, assertVerdict, scenarioTest, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

const d = new Description();
for (const domain of ["left-alone.test", "sub.left-alone.test", "notleft-alone.test", "xn--bcher-kva.test", "cached.test", "later.test"])
	d.mail(domain, ["zq-known*"]);
let s;
before(async () => {
	s = await Scenario.start(d);
});
after(() => s.close());

async function fails(promise, code, field) {
	const error = await promise.then(() => assert.fail("it was taken"), (e) => e);
	assert.equal(error.code, code, `${error.code} ${error.message}`);
	const details = errorDetails(error);
	assert.ok(details?.reason, "an ErrorInfo with a reason");
	if (field) assert.deepEqual(details.fields.map((f) => f.field), [field]);
	return error;
}

test("create, check, list and revoke; subdomains are covered, names that merely end alike are not", async () => {
	const granted = await s.client.createExemption("Left-Alone.test", { by: "zq-desk-person", note: "mail of today" });
	assert.ok(granted.id);
	assert.equal(granted.domain, "left-alone.test");
	assert.equal(granted.by, "zq-desk-person");
	assert.equal(granted.note, "mail of today");
	assert.ok(Math.abs(granted.create_time.seconds - Date.now() / 1000) < 60);
	assert.equal(granted.revoke_time, null);

	for (const subject of ["left-alone.test", "LEFT-ALONE.TEST", "sub.left-alone.test", "a.b.left-alone.test", "zq-anyone@left-alone.test", "zq-anyone@sub.left-alone.test"]) {
		const answer = await s.client.checkExemption(subject);
		assert.equal(answer.exempt, true, subject);
		assert.equal(answer.exemption.id, granted.id);
	}
	for (const subject of ["notleft-alone.test", "alone.test", "test.test", "zq-anyone@notleft-alone.test"]) {
		const answer = await s.client.checkExemption(subject);
		assert.equal(answer.exempt, false, subject);
		assert.equal(answer.exemption, null);
	}
	const mark = await s.world.mark();
	for (const address of ["zq-known1@left-alone.test", "zq-known1@sub.left-alone.test", "zq-known1@x.y.left-alone.test"]) {
		const result = await s.client.verifyOne(address);
		assertVerdict(result, "UNKNOWN", "EXEMPT");
		assert.equal(result.attempts, 0);
		assert.ok(!result.evidence?.contact_begun);
		assertVerdict(await s.client.verifyOne(address, { maxAge: 0 }), "UNKNOWN", "EXEMPT");
	}
	const record = await s.world.record(mark);
	assert.deepEqual(record.connects(), []);
	assert.deepEqual(record.dns(), []);
	assertVerdict(await s.client.verifyOne("zq-known1@notleft-alone.test"), "DELIVERABLE", "ACCEPTED");

	const listed = await s.client.listExemptions();
	assert.deepEqual(listed.exemptions.map((e) => e.id), [granted.id]);
	const revoked = await s.client.revokeExemption(granted.id, { by: "zq-other-person", note: "they changed their mind" });
	assert.equal(revoked.revoked_by, "zq-other-person");
	assert.equal(revoked.revoke_note, "they changed their mind");
	assert.ok(revoked.revoke_time);
	assert.equal((await s.client.checkExemption("left-alone.test")).exempt, false);
	assert.deepEqual((await s.client.listExemptions()).exemptions, []);
	const withRevoked = await s.client.listExemptions({ include_revoked: true });
	assert.deepEqual(withRevoked.exemptions.map((e) => e.id), [granted.id]);
	assertVerdict(await s.client.verifyOne("zq-known1@left-alone.test"), "DELIVERABLE", "ACCEPTED");
});

test("bad requests name the field", async () => {
	await fails(s.client.createExemption("left-alone.test", { by: "" }), status.INVALID_ARGUMENT, "by");
	await fails(s.client.createExemption("left-alone.test", { by: "x".repeat(201) }), status.INVALID_ARGUMENT, "by");
	await fails(s.client.createExemption("left-alone.test", { note: "x".repeat(1001) }), status.INVALID_ARGUMENT, "note");
	for (const domain of ["", "nodot", "a..test", "-a.test", "a@b.test", "a\0b.test", "x".repeat(300)])
		await fails(s.client.createExemption(domain), status.INVALID_ARGUMENT, "domain");
	await fails(s.client.revokeExemption("no-such-id"), status.NOT_FOUND);
	await fails(s.client.listExemptions({ page_token: "nonsense" }), status.INVALID_ARGUMENT, "page_token");
	const granted = await s.client.createExemption("once.test");
	await fails(s.client.createExemption("ONCE.test"), status.ALREADY_EXISTS);
	await s.client.createExemption("below.once.test"); // of its own, whatever happens to the one above
	await fails(s.client.revokeExemption(granted.id, { by: "" }), status.INVALID_ARGUMENT, "by");
	await s.client.revokeExemption(granted.id);
	await fails(s.client.revokeExemption(granted.id), status.FAILED_PRECONDITION);
	assert.equal((await s.client.checkExemption("below.once.test")).exempt, true);
	await s.client.createExemption("once.test"); // again
});

test("a list in pages, and of one domain", async () => {
	const domains = Array.from({ length: 25 }, (_, i) => `p${String(i).padStart(2, "0")}.pages.test`);
	for (const domain of domains) await s.client.createExemption(domain);
	const got = [];
	let page_token = "";
	let pages = 0;
	do {
		const page = await s.client.listExemptions({ page_size: 10, page_token, domain: "pages.test" });
		got.push(...page.exemptions.map((e) => e.domain));
		page_token = page.next_page_token;
		assert.ok(++pages < 10);
	} while (page_token);
	assert.equal(pages, 3);
	assert.deepEqual(got.slice().sort(), domains);
});

test("an internationalized domain, given either way", async () => {
	const granted = await s.client.createExemption("Bücher.test");
	assert.equal(granted.domain, "xn--bcher-kva.test");
	for (const address of ["zq-known1@bücher.test", "zq-known1@xn--bcher-kva.test", "zq-known1@laden.bücher.test"])
		assertVerdict(await s.client.verifyOne(address), "UNKNOWN", "EXEMPT");
});

test("a verdict that is known already is not given any more", async () => {
	assertVerdict(await s.client.verifyOne("zq-known1@cached.test"), "DELIVERABLE", "ACCEPTED");
	await s.client.committed();
	await s.client.createExemption("cached.test");
	assertVerdict(await s.client.verifyOne("zq-known1@cached.test"), "UNKNOWN", "EXEMPT");
	assert.equal((await s.client.getDomain("cached.test")).exempt, true);
});

test("exemptions survive kill -9 that follows the answer at once", async () => {
	await s.client.createExemption("later.test");
	await s.rcptd.restart("SIGKILL");
	const mark = await s.world.mark();
	for (const domain of ["later.test", "cached.test", "deep.once.test"])
		assertVerdict(await s.client.verifyOne(`zq-known2@${domain}`, { maxAge: 0 }), "UNKNOWN", "EXEMPT");
	assert.deepEqual((await s.world.record(mark)).connects(), []);
});

// --- while conversations are open ---

const SESSIONS = 100;
const big = new Description();
const slow = { latency_ms: 250, pipelining: false };
for (let i = 0; i < SESSIONS; i++) {
	const host = `mx.operator${i}.test`; // of an operator of its own, and on it a domain that nobody exempts
	big.host(host, slow);
	big.domain(`d${i}.exempt-now.test`, { mx: host, mailboxes: ["zq-*"] });
	if (i < 20) big.domain(`stays${i}.test`, { mx: host, mailboxes: ["zq-*"] });
}
scenarioTest("an exemption granted while 100 sessions are open", big, async (sc) => {
	const stream = sc.client.openStream({ ms: 100000 });
	const addresses = Array.from({ length: SESSIONS }, (_, i) => Array.from({ length: 20 }, (_x, k) => `zq-busy${k}@d${i}.exempt-now.test`)).flat();
	const others = Array.from({ length: 20 }, (_, i) => `zq-calm@stays${i}.test`);
	for (let i = 0; i < addresses.length; i += 500) stream.send(addresses.slice(i, i + 500));
	stream.send(others);
	stream.end();
	await until("100 sessions are open, each with answers", async () => {
		const open = await sc.world.openConnections();
		return new Set(open.filter((c) => c.rcpts >= 2).map((c) => c.host)).size >= SESSIONS;
	}, 20000, 50);
	await sc.client.createExemption("exempt-now.test", { by: "zq-desk-person" });
	const granted = Date.now();
	const results = await stream.done;
	const record = await sc.world.settled(0, 30000);

	const isExempt = (domain) => domain === "exempt-now.test" || domain.endsWith(".exempt-now.test");
	const late = record.rcpts().filter((r) => isExempt(r.domain) && r.t > granted + 1000);
	assert.deepEqual(late, []);
	// New connections later on are for the other domains alone.
	for (const { conn, t } of record.connects()) {
		if (t > granted + 1000)
			assert.ok(record.rcpts({ conn }).length && record.rcpts({ conn }).every((r) => !isExempt(r.domain)), `connection ${conn}`);
	}
	assert.equal(results.length, addresses.length + others.length);
	const ofExempt = results.filter((r) => isExempt(r.domain));
	const exempt = ofExempt.filter((r) => r.reason === "EXEMPT");
	assert.equal(ofExempt.length, addresses.length);
	assert.ok(exempt.length > addresses.length / 2, `${exempt.length} are EXEMPT`);
	assert.ok(exempt.filter((r) => r.evidence?.contact_begun).length >= SESSIONS, "those in flight say that contact had begun");
	for (const r of ofExempt) assertVerdict(r, ...(r.reason === "EXEMPT" ? ["UNKNOWN", "EXEMPT"] : ["DELIVERABLE", "ACCEPTED"]));
	for (const r of results.filter((x) => !isExempt(x.domain))) assertVerdict(r, "DELIVERABLE", "ACCEPTED");
	// Broken off politely: nothing after the last RCPT but QUIT.
	for (const { conn } of record.connects()) assert.equal(record.verbs({ conn }).at(-1), "QUIT", `connection ${conn}`);
	assertOnlyTheEight(record);

	await sc.rcptd.restart("SIGKILL");
	const mark = await sc.world.mark();
	const again = await sc.client.verify(addresses, { maxAge: 0 });
	again.list.forEach((r) => assertVerdict(r, "UNKNOWN", "EXEMPT"));
	const after = await sc.world.record(mark);
	assert.deepEqual(after.connects(), []);
	assert.deepEqual(after.dns(), []);
}, { timeout: 120000 });
