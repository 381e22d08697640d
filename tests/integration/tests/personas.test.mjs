// Each kind of mail server gets exactly its verdict and reason, through gRPC.
import assert from "node:assert/strict";
import { before, after } from "node:test";
import { sleep } from "../lib/process.mjs";
import { Scenario, assertOnlyTheEight, assertVerdict, test } from "../lib/scenario.mjs";
import { Description, isRandomControl } from "../lib/world.mjs";

const GREY_MS = 1200;
const BLOCKED = "554 5.7.1 Service unavailable; Client host [$client] blocked using bl.example";
const d = new Description();
const ip = {
	normal: d.mail("normal.test", ["zq-known*", '"zq quoted"', "zq quoted", "zq+tag", "zq-jörg"], { latency_ms: 10, smtputf8: true }),
	all: d.mail("acceptall.test", [], { persona: "accept-all" }),
	quota: d.mail("quota.test", ["zq-fine"], {}, {
		replies: {
			"zq-full": "452 4.2.2 <$rcpt>: Mailbox is over quota",
			"zq-fuller": "552 5.2.2 <$rcpt>: Mailbox full",
			"zq-closed": "550 5.2.1 <$rcpt>: The mailbox is disabled",
			"zq-hurried": "450 4.2.1 <$rcpt>: The user is receiving mail too quickly, try again later",
		},
	}),
	grey: d.mail("grey.test", ["zq-grey"], { persona: "greylist", after_ms: GREY_MS }),
};
d.mail("refbanner.test", ["zq-known"], { persona: "refuses", phase: "banner", reply: BLOCKED });
d.mail("refmail.test", ["zq-known"], { persona: "refuses", phase: "mail", reply: BLOCKED });
d.mail("refrcpt.test", ["zq-known"], { persona: "refuses" });
d.mail("lockstep.test", ["zq-known"], { persona: "no-pipelining" });
d.mail("oldserver.test", ["zq-known"], { persona: "no-ehlo" });
d.mail("silent.test", ["zq-known"], { persona: "silent" });
d.mail("silentmail.test", ["zq-known"], { persona: "silent", phase: "mail" });
d.mail("busy.test", ["zq-known"], { persona: "tempfail" });
d.mail("hangup.test", ["zq-one", "zq-two", "zq-three"], { persona: "hangup", nth: 2, connections: 1 });
d.domain("nullmx.test", { null_mx: true });
d.host("implicit.test", { mailboxes: ["zq-known"] });
d.domain("nothing.test", { no_mx: true });
d.domain("gone.test", { nxdomain: true });
d.domain("servfail.test", { servfail: true });
d.mailHosts("backup.test", [], { "mx1.backup.test": { dead: true }, "mx2.backup.test": { persona: "accept-all" } });
d.host("mx.private.test", { addresses: ["10.1.2.3"] });
d.domain("private.test", { mx: "mx.private.test" });
d.mailHosts("alldown.test", [], { "mx1.alldown.test": { dead: true }, "mx2.alldown.test": { dead: true } });

let s;
before(async () => {
	s = await Scenario.start(d, { timeouts: { connect: "1s", banner: "1s", reply: "1s", session: "20s" } });
});
after(() => s.close());

/** Asks one address and looks at what every answer must have. */
async function ask(address, verdict, reason, expected = {}, options = {}) {
	const result = await s.client.verifyOne(address, options);
	assertVerdict(result, verdict, reason);
	assert.equal(result.address, address);
	const local = address.slice(0, address.lastIndexOf("@"));
	assert.ok(!result.evidence?.text.includes(local), `the text shows the local part: ${result.evidence?.text}`);
	for (const [key, value] of Object.entries(expected)) {
		const actual = key in result ? result[key] : result.evidence?.[key];
		assert.deepEqual(actual, value, `${key} of ${JSON.stringify(result)}`);
	}
	return result;
}

test("normal: a known mailbox", async () => {
	const mark = await s.world.mark();
	const result = await ask("zq-known@normal.test", "DELIVERABLE", "ACCEPTED", {
		domain: "normal.test", operator: "normal.test", catch_all: "NO", from_cache: false, attempts: 1, phase: "RCPT", mail_host: "mx.normal.test",
		mail_ip: ip.normal, source_ip: "127.0.0.1", code: 250, enhanced: "2.1.5", random_control: "REFUSED", attempt: 1, retry_after_s: null, age_s: null,
	});
	assert.ok(Math.abs(result.evidence.time.seconds - Date.now() / 1000) < 60, "the evidence has the time of now");
	const locals = (await s.world.settled(mark)).locals({ host: "mx.normal.test" });
	assert.equal(locals.length, 2);
	assert.equal(locals[0], "zq-known");
	assert.ok(isRandomControl(locals[1]), `the control comes last: ${locals}`);
});

test("normal: an unknown mailbox, in words of the server whose address is masked", async () => {
	const result = await ask("zq-nobody@normal.test", "UNDELIVERABLE", "MAILBOX_UNKNOWN", {
		domain: "normal.test", phase: "RCPT", mail_host: "mx.normal.test", mail_ip: ip.normal, code: 550, enhanced: "5.1.1", from_cache: false,
	});
	assert.match(result.evidence.text, /User unknown/);
	assert.ok(result.evidence.rule, "a rule decided");
});

test("normal: quoted, tagged and UTF-8 local parts are asked as what they are", async () => {
	const mark = await s.world.mark();
	await ask('"zq quoted"@normal.test', "DELIVERABLE", "ACCEPTED");
	await ask("zq+tag@normal.test", "DELIVERABLE", "ACCEPTED");
	await ask("zq-jörg@normal.test", "DELIVERABLE", "ACCEPTED");
	const record = await s.world.settled(mark);
	assert.deepEqual(record.locals().filter((l) => !isRandomControl(l)), ['"zq quoted"', "zq+tag", "zq-jörg"]);
	const utf8 = record.rcpts().find((r) => r.local === "zq-jörg");
	const mail = record.lines({ verb: "MAIL", conn: utf8.conn });
	assert.match(mail[mail.length - 1].arg, /SMTPUTF8/);
});

test("accept-all", () =>
	ask("zq-anyone@acceptall.test", "RISKY", "ACCEPT_ALL", { catch_all: "YES", phase: "RCPT", mail_host: "mx.acceptall.test", mail_ip: ip.all, code: 250, random_control: "ACCEPTED" }));

test("mailbox full, by 4yz and by 5yz", async () => {
	await ask("zq-full@quota.test", "RISKY", "MAILBOX_FULL", { phase: "RCPT", code: 452, enhanced: "4.2.2", mail_ip: ip.quota });
	await ask("zq-fuller@quota.test", "RISKY", "MAILBOX_FULL", { phase: "RCPT", code: 552, enhanced: "5.2.2" });
});

test("mailbox disabled", () => ask("zq-closed@quota.test", "UNDELIVERABLE", "MAILBOX_DISABLED", { phase: "RCPT", code: 550, enhanced: "5.2.1" }));

test("mailbox busy", () => ask("zq-hurried@quota.test", "UNKNOWN", "MAILBOX_BUSY", { phase: "RCPT", code: 450, enhanced: "4.2.1" }));

test("greylisting: first put off with the stated delay, accepted once the tuple is old enough", async () => {
	const first = await ask("zq-grey@grey.test", "UNKNOWN", "GREYLISTED", { phase: "RCPT", code: 451, enhanced: "4.7.1", mail_ip: ip.grey, from_cache: false });
	assert.ok(first.retry_after_s >= 2 && first.retry_after_s <= 60, `retry_after ${first.retry_after_s}`);
	await sleep(GREY_MS + 50); // the greylist's own time, which began before the answer
	await ask("zq-grey@grey.test", "DELIVERABLE", "ACCEPTED", { code: 250, random_control: "REFUSED" }, { maxAge: 0 });
});

test("refuses us at the banner", () => ask("zq-known@refbanner.test", "UNKNOWN", "SOURCE_REFUSED", { phase: "BANNER", code: 554, enhanced: "5.7.1" }));
test("refuses us at MAIL", () => ask("zq-known@refmail.test", "UNKNOWN", "SOURCE_REFUSED", { phase: "MAIL", code: 554, enhanced: "5.7.1" }));
test("refuses us at RCPT", () => ask("zq-known@refrcpt.test", "UNKNOWN", "SOURCE_REFUSED", { phase: "RCPT", code: 550, enhanced: "5.7.1" }));

test("no PIPELINING: one command a round trip", async () => {
	const mark = await s.world.mark();
	await ask("zq-known@lockstep.test", "DELIVERABLE", "ACCEPTED", { phase: "RCPT", code: 250 });
	await ask("zq-stranger@lockstep.test", "UNDELIVERABLE", "MAILBOX_UNKNOWN");
	const lines = (await s.world.settled(mark)).lines({ host: "mx.lockstep.test" });
	const trips = lines.map((l) => `${l.conn}/${l.round_trip}`);
	assert.equal(new Set(trips).size, lines.length, `commands written together: ${JSON.stringify(lines)}`);
});

test("no EHLO: HELO", async () => {
	const mark = await s.world.mark();
	await ask("zq-known@oldserver.test", "DELIVERABLE", "ACCEPTED", { phase: "RCPT", code: 250 });
	const verbs = (await s.world.settled(mark)).verbs({ host: "mx.oldserver.test" });
	assert.deepEqual(verbs.slice(0, 3), ["EHLO", "HELO", "MAIL"]);
});

test("silent from the beginning, and silent at MAIL", async () => {
	await ask("zq-known@silent.test", "UNKNOWN", "TIMEOUT", { phase: "BANNER", code: 0, mail_host: "mx.silent.test" });
	await ask("zq-known@silentmail.test", "UNKNOWN", "TIMEOUT", { code: 0 });
});

test("temporary failure", () => ask("zq-known@busy.test", "UNKNOWN", "TEMPORARY_FAILURE", { phase: "RCPT", code: 451, enhanced: "4.3.0" }));

test("421 in the middle: that recipient's own answer, the others are asked again", async () => {
	const results = await s.client.verify(["zq-one@hangup.test", "zq-two@hangup.test", "zq-three@hangup.test"]);
	const reasons = results.list.map((r) => `${r.verdict} ${r.reason}`).sort();
	assert.deepEqual(reasons, ["DELIVERABLE ACCEPTED", "DELIVERABLE ACCEPTED", "UNKNOWN TEMPORARY_FAILURE"]);
	assert.equal(results.list.find((r) => r.verdict === "UNKNOWN").evidence.code, 421);
});

test("null MX", () => ask("zq-known@nullmx.test", "UNDELIVERABLE", "NULL_MX", { phase: "DNS", domain: "nullmx.test", attempts: 0 }));
test("no MX: the domain's own address takes the mail", () => ask("zq-known@implicit.test", "DELIVERABLE", "ACCEPTED", { mail_host: "implicit.test" }));
test("no MX and no address", () => ask("zq-known@nothing.test", "UNDELIVERABLE", "NO_MAIL_HOST", { phase: "DNS", attempts: 0 }));
test("NXDOMAIN", () => ask("zq-known@gone.test", "UNDELIVERABLE", "DOMAIN_NOT_FOUND", { phase: "DNS", attempts: 0 }));
test("SERVFAIL", () => ask("zq-known@servfail.test", "UNKNOWN", "DNS_FAILURE", { phase: "DNS", attempts: 0 }));

test("the better MX is dead and the backup accepts everybody: that proves nothing", () =>
	ask("zq-known@backup.test", "RISKY", "CATCH_ALL_UNKNOWN", { mail_host: "mx2.backup.test", code: 250 }));

test("an MX in a private range is not contacted", () => ask("zq-known@private.test", "UNDELIVERABLE", "UNROUTABLE_HOST", { attempts: 0 }));

test("all mail hosts are down", () => ask("zq-known@alldown.test", "UNKNOWN", "NO_CONNECTION", { phase: "CONNECT" }));

test("what is no mailbox is answered without any network", async () => {
	const mark = await s.world.mark();
	const bad = [
		"", "@", "zq-plain", "@normal.test", "zq-known@", "zq-known@nodot", "zq-known@[192.0.2.1]", "zq-known@[IPv6:2001:db8::1]", "zq..known@normal.test",
		".zq-known@normal.test", "zq-known.@normal.test", "zq known@normal.test", "zq-known@-normal.test", "zq-known@normal..test", "zq-known@.normal.test",
		"zq-known@nor_mal .test", `zq-${"l".repeat(62)}@normal.test`, `zq-known@${"d".repeat(64)}.test`, `zq-known@${"d.".repeat(130)}test`,
		`zq-${"x".repeat(330)}@normal.test`, "zq-nul\0x@normal.test", "zq-nul@norm\0al.test", "zq-cr\r\nDATA@normal.test", "zq-known@normal.test\r\nDATA",
		'"zq-open@normal.test', 'zq"mid"dle@normal.test', "zq-a@zq-b@normal.test", "<zq-known@normal.test>", Buffer.from([0x7a, 0x71, 0xff, 0xfe, 0x40, 0x61, 0x2e, 0x62]),
	];
	const results = await s.client.verify([...bad, "zq-known@normal.test"]);
	bad.forEach((address, i) => {
		const result = results.list[i];
		assert.equal(`${result.verdict} ${result.reason}`, "UNDELIVERABLE INVALID_SYNTAX", JSON.stringify(address.toString()));
		assert.ok(result.address_bytes.length <= 320);
		assert.deepEqual(result.address_bytes, Buffer.from(address).subarray(0, 320));
	});
	assertVerdict(results.list[bad.length], "DELIVERABLE", "ACCEPTED"); // the stream went on
	for (const address of ["zq-nul\0x@normal.test", `zq-${"x".repeat(330)}@normal.test`])
		assertVerdict(await s.client.verifyOne(address), "UNDELIVERABLE", "INVALID_SYNTAX");
	const record = await s.world.record(mark);
	assert.deepEqual(record.connects(), []);
	assert.deepEqual(record.dns(), []);
});

test("the farm saw nothing but the eight commands, and no DATA", async () => {
	const record = await s.world.settled();
	assert.ok(record.lines().length > 100, `${record.lines().length} lines`);
	assertOnlyTheEight(record);
	for (const line of record.lines()) assert.ok(!/^data/i.test(line.raw.trim()), line.raw);
	const { all } = await s.world.counts();
	for (const [verb, n] of Object.entries(all.verbs))
		if (!["EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "RSET", "NOOP", "QUIT"].includes(verb)) assert.equal(n, 0, verb);
	// Every conversation that was greeted and not cut off ends with QUIT.
	for (const line of record.lines({ host: "mx.normal.test", verb: "EHLO" }))
		assert.equal(record.verbs({ conn: line.conn }).at(-1), "QUIT");
});
