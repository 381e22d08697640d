// Debian's Postfix, a real mail server. What is asserted of the conversations is read from Postfix's own log.
import assert from "node:assert/strict";
import { Postfix, postfixMissing } from "../lib/postfix.mjs";
import { Scenario, assertVerdict, test } from "../lib/scenario.mjs";
import { Description, isRandomControl, loopback } from "../lib/world.mjs";

// A listener of the one Postfix for each: its own address, mail host and domain WORD.test, and its own lines in the log.
const LISTENERS = {
	local: {}, many: {}, spared: {}, eai: {}, virtual: {}, access: {}, foreign: {},
	ascii: { smtputf8_enable: "no" },
	plain: { smtpd_discard_ehlo_keywords: "pipelining" },
	blocked: { smtpd_delay_reject: "no", smtpd_client_restrictions: "check_client_access static:{REJECT Blocked using bl.example}" },
	strict: { smtpd_sender_restrictions: "check_sender_access static:{REJECT Sender address blocked}", smtpd_delay_reject: "no" },
};
const KNOWN = ["zq-pf-known", "zq-pf-second", "zq-pf-third", "zq-pf-jörg", "zq-pf-full", "zq-pf-gone", "zq-pf-grey", "zq-pf-later"];
const SETTINGS = {
	myhostname: "mx.postfix.test",
	mydestination: "local.test, many.test, spared.test, eai.test, ascii.test, plain.test, blocked.test, strict.test, access.test",
	local_recipient_maps: "texthash:$maps/local",
	virtual_mailbox_domains: "virtual.test, catch.test",
	virtual_mailbox_base: "/nonexistent",
	virtual_mailbox_maps: "texthash:$maps/virtual",
	smtpd_recipient_restrictions: "check_recipient_access texthash:$maps/access",
};
const MAPS = {
	local: Object.fromEntries(KNOWN.map((name) => [name, "x"])),
	virtual: { "zq-pf-known@virtual.test": "x", "@catch.test": "x" },
	access: {
		"zq-pf-full@access.test": "452 4.2.2 The mailbox is over quota",
		"zq-pf-gone@access.test": "550 5.2.1 The mailbox is disabled",
		"zq-pf-grey@access.test": "450 4.2.0 Greylisted, see you in 300 seconds",
		"zq-pf-later@access.test": "451 4.3.0 Something is out of order",
	},
};

function internet() {
	const d = new Description();
	const listeners = {};
	for (const [word, options] of Object.entries(LISTENERS)) {
		const address = loopback();
		listeners[word] = { address, options };
		d.host(`mx.${word}.test`, { addresses: [address], dead: true }); // published, not listened on: that is Postfix's part
		d.domain(`${word}.test`, { mx: `mx.${word}.test` });
	}
	d.domain("catch.test", { mx: "mx.virtual.test" });
	d.mail("world.test", []); // without a host of its own the world has no port, which Postfix is to share
	return { d, listeners };
}

const skip = postfixMissing() ?? false;
test("Postfix", { skip, timeout: 180000 }, async (t) => {
	const { d, listeners } = internet();
	const s = await Scenario.start(d, {}, { startDaemon: false });
	const postfix = new Postfix({ port: s.world.smtpPort, listeners, settings: SETTINGS, maps: MAPS });
	t.after(() => postfix.stop());
	await postfix.start();
	await s.rcptd.start();
	let failed = false;
	const part = (name, fn) => t.test(name, () => fn().catch((error) => {
		failed = true;
		throw error;
	}));
	const at = (word, ...names) => names.map((name) => `${name}@${word}.test`);

	await part("a known and an unknown recipient", async () => {
		const asked = at("local", "zq-pf-known", "zq-pf-nobody");
		const [known, unknown] = (await s.client.verify(asked)).list;
		assertVerdict(known, "DELIVERABLE", "ACCEPTED");
		assert.equal(known.evidence.code, 250);
		assert.equal(known.evidence.enhanced, "2.1.5");
		assert.equal(known.evidence.mail_host, "mx.local.test");
		assert.equal(known.evidence.mail_ip, listeners.local.address);
		assert.equal(known.catch_all, "NO");
		assertVerdict(unknown, "UNDELIVERABLE", "MAILBOX_UNKNOWN");
		assert.equal(unknown.evidence.code, 550);
		assert.equal(unknown.evidence.enhanced, "5.1.1");
		assert.match(unknown.evidence.text, /Recipient address rejected: User unknown in local recipient table/);
		assert.ok(!unknown.evidence.text.includes("zq-pf-nobody"), `masked: ${unknown.evidence.text}`);

		const seen = await postfix.settled("local", 1);
		assert.equal(seen.connects, 1);
		assert.deepEqual(seen.disconnects, [{ ehlo: "1", mail: "1", rcpt: "1/3", quit: "1", commands: "4/6" }]);
		const form = /^RCPT from unknown\[127\.0\.0\.1\]: 550 5\.1\.1 <(.*)@local\.test>: .*; from=<postal@rcptd\.test> to=<.*> proto=ESMTP helo=<probe\.rcptd\.test>$/;
		const refused = seen.rejects.map((said) => form.exec(said)?.[1]);
		assert.equal(refused.length, 2, seen.rejects.join("\n"));
		assert.equal(refused[0], "zq-pf-nobody", `targets first: ${seen.rejects.join("\n")}`);
		assert.ok(isRandomControl(refused[1]), `the random control last: ${refused[1]}`);

		await s.client.committed();
		const again = await s.client.verify(asked);
		assert.ok(again.list.every((result) => result.from_cache));
		assert.equal(postfix.seen("local").connects, 1, "what is known is not asked again");
	});

	await part("several recipients in one conversation", async () => {
		const asked = at("many", "zq-pf-known", "zq-pf-second", "zq-pf-nobody", "zq-pf-third", "zq-pf-no-one");
		const { list } = await s.client.verify(asked);
		assert.deepEqual(list.map((result) => result.reason), ["ACCEPTED", "ACCEPTED", "MAILBOX_UNKNOWN", "ACCEPTED", "MAILBOX_UNKNOWN"]);
		const seen = await postfix.settled("many", 1);
		assert.deepEqual(seen.disconnects, [{ ehlo: "1", mail: "1", rcpt: "3/6", quit: "1", commands: "6/9" }]);
		assert.equal(seen.connects, 1);
	});

	await part("the same in lockstep where no pipelining is offered", async () => {
		const { list } = await s.client.verify(at("plain", "zq-pf-known", "zq-pf-nobody", "zq-pf-second"));
		assert.deepEqual(list.map((result) => result.reason), ["ACCEPTED", "MAILBOX_UNKNOWN", "ACCEPTED"]);
		const seen = await postfix.settled("plain", 1);
		assert.deepEqual(seen.disconnects, [{ ehlo: "1", mail: "1", rcpt: "2/4", quit: "1", commands: "5/7" }]);
	});

	await part("where every target is unknown the control is spared", async () => {
		assertVerdict(await s.client.verifyOne("zq-pf-nobody@spared.test"), "UNDELIVERABLE", "MAILBOX_UNKNOWN");
		const seen = await postfix.settled("spared", 1);
		assert.deepEqual(seen.disconnects, [{ ehlo: "1", mail: "1", rcpt: "0/1", quit: "1", commands: "3/4" }]);
	});

	await part("an address beyond ASCII", async () => {
		assertVerdict(await s.client.verifyOne("zq-pf-jörg@eai.test"), "DELIVERABLE", "ACCEPTED");
		const seen = await postfix.settled("eai", 1);
		assert.equal(seen.disconnects[0].quit, "1");
		assert.match(seen.disconnects[0].rcpt, /^1\/2$/);
	});

	await part("an address beyond ASCII is not asked of a server without SMTPUTF8", async () => {
		assertVerdict(await s.client.verifyOne("zq-pf-jörg@ascii.test"), "UNDELIVERABLE", "SMTPUTF8_UNSUPPORTED");
		const [counted] = (await postfix.settled("ascii", 1)).disconnects;
		assert.equal(counted.rcpt, undefined);
		assert.equal(counted.quit, "1");
	});

	await part("virtual mailboxes and a catch-all", async () => {
		const [known, unknown, anyone] = (await s.client.verify(["zq-pf-known@virtual.test", "zq-pf-nobody@virtual.test", "zq-pf-anyone@catch.test"])).list;
		assertVerdict(known, "DELIVERABLE", "ACCEPTED");
		assertVerdict(unknown, "UNDELIVERABLE", "MAILBOX_UNKNOWN");
		assert.match(unknown.evidence.text, /User unknown in virtual mailbox table/);
		assertVerdict(anyone, "RISKY", "ACCEPT_ALL");
		assert.equal(anyone.catch_all, "YES");
	});

	await part("a domain that Postfix does not serve", async () => {
		const denied = await s.client.verifyOne("zq-pf-anyone@foreign.test");
		assertVerdict(denied, "UNDELIVERABLE", "NOT_SERVED_HERE"); // random and postmaster@ got it too, and there is no other host
		assert.equal(denied.evidence.code, 554);
		assert.match(denied.evidence.text, /Relay access denied/);
		const seen = await postfix.settled("foreign", 1);
		assert.equal(seen.rejects.length, 3, "postmaster and the random control were asked too");
		assert.ok(seen.rejects.every((said) => /Relay access denied/.test(said)), seen.rejects.join("\n"));
	});

	await part("what an administrator's access table says", async () => {
		const { list } = await s.client.verify(at("access", "zq-pf-full", "zq-pf-gone", "zq-pf-grey", "zq-pf-later", "zq-pf-known"));
		assert.deepEqual(list.map((result) => `${result.verdict} ${result.reason}`), [
			"RISKY MAILBOX_FULL", "UNDELIVERABLE MAILBOX_DISABLED", "UNKNOWN GREYLISTED", "UNKNOWN TEMPORARY_FAILURE", "DELIVERABLE ACCEPTED"]);
		assert.ok(list[2].retry_after_s >= 300 && list[2].retry_after_s <= 320, `retry after ${list[2].retry_after_s} s`);
		assert.equal((await postfix.settled("access", 1)).connects, 1);
	});

	await part("our address is refused at once", async () => {
		for (const result of (await s.client.verify(at("blocked", "zq-pf-known", "zq-pf-nobody"))).list) assertVerdict(result, "UNKNOWN", "SOURCE_REFUSED");
		for (const counted of (await postfix.settled("blocked", 1)).disconnects) {
			assert.equal(counted.mail, undefined, "nothing is asked after the refusal");
			assert.equal(counted.rcpt, undefined);
		}
	});

	await part("our sender is refused", async () => {
		for (const result of (await s.client.verify(at("strict", "zq-pf-known", "zq-pf-nobody"))).list) {
			assert.equal(result.verdict, "UNKNOWN");
			assert.match(result.reason, /^(SOURCE|IDENTITY)_REFUSED$/);
			assert.equal(result.evidence.phase, "MAIL");
		}
		assert.equal((await postfix.settled("strict", 1)).connects, 1, "about us, for all targets");
	});

	await part("no message, no other command, no complaint", async () => {
		const allowed = ["ehlo", "mail", "rcpt", "rset", "quit", "commands"];
		for (const word of Object.keys(listeners)) {
			const { disconnects, other } = postfix.seen(word);
			for (const counted of disconnects) {
				assert.deepEqual(Object.keys(counted).filter((key) => !allowed.includes(key)), [], word);
				assert.equal(counted.quit, "1", `${word} was left with QUIT`);
			}
			assert.deepEqual(other, [], word);
		}
		assert.doesNotMatch(postfix.log(), /warning:|lost connection|improper command pipelining|data=/);
		assert.deepEqual(postfix.queued(), []);
	});

	if (failed) process.stderr.write(`--- Postfix\n${postfix.output()}\n${await s.tail()}\n`);
	await s.close();
});
