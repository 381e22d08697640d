// Debian's Postfix as administrators set it up who defend themselves. What is asserted of the conversations is read from its own log.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { postfixMissing } from "../lib/postfix.mjs";
import { Greylist, PolicyService, PostfixServices, selfSigned } from "../lib/postfix-services.mjs";
import { Rcptd } from "../lib/rcptd.mjs";
import { Scenario, assertVerdict, test } from "../lib/scenario.mjs";
import { Description, isRandomControl, loopback } from "../lib/world.mjs";

const CERTIFIED = { smtpd_tls_key_file: "$maps/key.pem", smtpd_tls_cert_file: "$maps/cert.pem", smtpd_tls_loglevel: "2" };
const OFFERED = { ...CERTIFIED, smtpd_tls_security_level: "may" };
const DEMANDED = { ...CERTIFIED, smtpd_tls_security_level: "encrypt" };
const policy = (name) => ({ smtpd_recipient_restrictions: `check_policy_service $${name}` });
const VERIFIED = { smtpd_recipient_restrictions: "reject_unauth_destination, reject_unverified_recipient" };

// A listener of the one Postfix for each: its own address, mail host and domain WORD.test, and its own lines in the log.
const LISTENERS = {
	errors: {},
	hard: { smtpd_hard_error_limit: "3" },
	brusque: { smtpd_hard_error_limit: "2" },
	slow: { smtpd_soft_error_limit: "1" },
	anyone: { local_recipient_maps: "", luser_relay: "postmaster" },
	grey: policy("grey"),
	postgrey: policy("postgrey"),
	quota: policy("quota"),
	down: { smtpd_recipient_restrictions: "check_policy_service inet:127.0.0.1:1", smtpd_policy_service_try_limit: "1" },
	verified: { ...VERIFIED, unverified_recipient_reject_code: "550" },
	unproved: VERIFIED, // 450 for an undeliverable address too
	temperate: { soft_bounce: "yes" }, // every 5yz as 4yz
	denied: { smtpd_client_restrictions: "reject" },
	nameless: { smtpd_client_restrictions: "reject_unknown_client_hostname" },
	callout: { smtpd_sender_restrictions: "reject_unverified_sender", unverified_sender_reject_code: "550" },
	filtered: { smtpd_milters: "inet:127.0.0.1:1", milter_connect_timeout: "1s" },
	quoted: {},
	rate: { smtpd_client_recipient_rate_limit: "2" },
	crowded: { smtpd_client_connection_rate_limit: "1" },
	few: { smtpd_recipient_limit: "2" },
	may: OFFERED,
	encrypt: DEMANDED,
	older: { ...OFFERED, smtpd_tls_protocols: "TLSv1.2" },
	keyless: { smtpd_tls_security_level: "may", smtpd_tls_key_file: "/nonexistent", smtpd_tls_cert_file: "/nonexistent" },
	keylessmust: { smtpd_tls_security_level: "encrypt", smtpd_tls_key_file: "/nonexistent", smtpd_tls_cert_file: "/nonexistent" },
	odd: { ...OFFERED, smtpd_tls_protocols: "TLSv1.2", smtpd_tls_ciphers: "export", smtpd_tls_exclude_ciphers: "ECDHE, DHE, aNULL" },
	oddmust: { ...DEMANDED, smtpd_tls_mandatory_protocols: "TLSv1.2", smtpd_tls_mandatory_exclude_ciphers: "ECDHE, DHE, aNULL" },
};
// Domains that are relayed to BACKEND, which is asked whether it knows a recipient; all others are local.
const RELAYED = ["verified", "unproved"];
const OURS = "rcptd.test"; // the sender's, which a server may ask about too
// Behind postscreen, each with an smtpd of its own.
const DENYLISTED = { postscreen_access_list: "cidr:{{127.0.0.1/32 reject}}" };
const SCREENED = {
	screened: {},
	barred: { ...DENYLISTED, postscreen_blacklist_action: "enforce", postscreen_greet_wait: "1s" },
	shut: { ...DENYLISTED, postscreen_blacklist_action: "drop" },
	secret: { ...CERTIFIED, postscreen_tls_security_level: "encrypt", postscreen_pipelining_enable: "yes" },
	deep: { postscreen_pipelining_enable: "yes", postscreen_non_smtp_command_enable: "yes", postscreen_bare_newline_enable: "yes" },
};
const KNOWN = ["zq-ph-known", "zq-ph-second", "zq-ph-third", "zq-ph-fourth", "zq-ph-full", "zq-ph-brim", "zq-ph..dots"];

const tests = (word) => `${word}.test`;
const SETTINGS = {
	myhostname: "mx.postfix.test",
	mydestination: Object.keys({ ...LISTENERS, ...SCREENED }).filter((word) => !RELAYED.includes(word)).map(tests).join(", "),
	local_recipient_maps: "texthash:$maps/local",
	relay_domains: [...RELAYED.map(tests), OURS].join(", "),
	transport_maps: `inline:{ ${[...RELAYED.map(tests), OURS].map((domain) => `${domain}=smtp:[$backend]:$port`).join(", ")} }`,
	address_verify_poll_count: "1", // it does not wait for its own question to the backend
	disable_dns_lookups: "yes",
	notify_classes: "",
	postscreen_greet_wait: "2s",
	postscreen_cache_map: "",
};
const SERVICES = `
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
verify unix - - n - 1 verify
tlsmgr unix - - n 1000? 1 tlsmgr
tlsproxy unix - - n - 0 tlsproxy${Object.entries({ ...CERTIFIED, tlsproxy_tls_security_level: "encrypt" }).map(([key, value]) => `\n  -o { ${key} = ${value} }`).join("")}
`;

/** master.cf lines of a postscreen and of the smtpd that it hands its clients to. */
function screening([word, { address, options }]) {
	const own = { syslog_name: `postfix/${word}`, smtpd_service_name: `smtpd-${word}`, postscreen_cache_map: `btree:$data_directory/screen-${word}`, ...options };
	const lines = Object.entries(own).map(([key, value]) => `\n  -o { ${key} = ${value} }`).join("");
	return `${address}:$port inet n - n - 1 postscreen${lines}\nsmtpd-${word} pass - - n - - smtpd\n  -o syslog_name=postfix/${word}\n`;
}

function internet() {
	const d = new Description();
	const published = (words) => Object.fromEntries(Object.entries(words).map(([word, options]) => {
		const address = loopback();
		d.host(`mx.${word}.test`, { addresses: [address], dead: true }); // published, not listened on: that is Postfix's part
		d.domain(`${word}.test`, { mx: `mx.${word}.test` });
		return [word, { address, options }];
	}));
	const backend = { address: loopback(), options: { myhostname: "backend.postfix.test", relay_recipient_maps: "texthash:$maps/relayed" } };
	d.mail("world.test", []); // without a host of its own the world has no port, which Postfix is to share
	return { d, listeners: { ...published(LISTENERS), backend }, screened: published(SCREENED) };
}

/** An enterprise with a policy: quotas by name. */
const QUOTAS = {
	"zq-ph-full@quota.test": "552 5.2.2 Mailbox is over its quota",
	"zq-ph-brim@quota.test": "452 4.2.2 The mailbox is over its storage limit",
};

const at = (word, ...names) => names.map((name) => `${name}@${word}.test`);
const answers = ({ list }) => list.map((result) => `${result.verdict} ${result.reason}`);
const KNOWN_ONE = "DELIVERABLE ACCEPTED";
const UNKNOWN_ONE = "UNDELIVERABLE MAILBOX_UNKNOWN";
/** Recipients asked in a conversation and refused in it, by Postfix's count: "2/5" is two of five accepted. */
const asked = ({ rcpt = "0" }) => Number(rcpt.split("/").at(-1));
const refused = ({ rcpt = "0" }) => asked({ rcpt }) - Number(rcpt.split("/")[0]);

/** Talks to a server as nobody should: at once. Gives all it said. */
function talkEarly(host, port) {
	return new Promise((resolve, reject) => {
		let said = "";
		const socket = net.connect({ host, port, localAddress: loopback() }, () => socket.write("EHLO early.test\r\nQUIT\r\n"));
		socket.setEncoding("latin1").on("data", (text) => (said += text)).on("error", reject).on("close", () => resolve(said));
	});
}

const skip = postfixMissing() ?? (fs.existsSync("/usr/bin/openssl") ? false : "Debian's package openssl is not installed");
test("Postfix that defends itself", { skip, timeout: 180000 }, async (t) => {
	const { d, listeners, screened } = internet();
	const s = await Scenario.start(d, {}, { startDaemon: false });
	const services = {
		grey: new Greylist("450 4.2.0 Greylisted, come back in 2 minutes"),
		postgrey: new Greylist("DEFER_IF_PERMIT Greylisted, see http://postgrey.schweikert.ch/help/postgrey.test.html"),
		quota: new PolicyService(({ recipient }) => QUOTAS[recipient] ?? "DUNNO"),
	};
	const words = { backend: listeners.backend.address };
	for (const [name, service] of Object.entries(services)) {
		t.after(() => service.stop());
		words[name] = (await service.start()).endpoint;
	}
	const certificate = selfSigned("mx.postfix.test", s.folder);
	const postfix = new PostfixServices({
		port: s.world.smtpPort,
		listeners,
		settings: SETTINGS,
		maps: {
			local: Object.fromEntries(KNOWN.map((name) => [name, "x"])),
			relayed: Object.fromEntries(RELAYED.map((word) => [`zq-ph-known@${word}.test`, "x"])),
		},
		services: SERVICES + Object.entries(screened).map(screening).join(""),
		words,
		files: certificate.files,
	});
	t.after(() => postfix.stop());
	await postfix.start();
	await s.rcptd.start();
	const { client } = s;
	let failed = false;
	const part = (name, fn) => t.test(name, () => fn().catch((error) => {
		failed = true;
		throw error;
	}));

	await part("smtpd's limits of errors are never met", async () => {
		const nobodies = at("errors", ...Array.from({ length: 12 }, (_, i) => `zq-ph-nobody-${i}`));
		assert.deepEqual(answers(await client.verify(nobodies)), nobodies.map(() => UNKNOWN_ONE));
		const { disconnects, other } = await postfix.settled("errors", 3);
		assert.ok(disconnects.length <= 4, JSON.stringify(disconnects));
		for (const counted of disconnects) {
			assert.ok(refused(counted) <= 5, `the budget of one session: ${JSON.stringify(counted)}`);
			assert.equal(counted.quit, "1");
		}
		assert.deepEqual(other, []);
	});

	await part("a stricter limit: 421 in the place of an answer", async () => {
		const { list } = await client.verify(at("hard", "zq-ph-nobody-1", "zq-ph-nobody-2", "zq-ph-nobody-3", "zq-ph-known", "zq-ph-second"));
		assert.deepEqual(answers({ list: list.slice(0, 3) }), [UNKNOWN_ONE, UNKNOWN_ONE, UNKNOWN_ONE]);
		for (const result of list.slice(3)) {
			assertVerdict(result, "UNKNOWN", "SOURCE_REFUSED"); // it is we who err: for all that are not answered
			assert.equal(result.evidence.code, 421);
		}
		await postfix.heard("hard/smtpd", /^too many errors after RCPT/);
		const { connects, disconnects } = await postfix.settled("hard", 1);
		assert.equal(connects, 1, "told so, we do not come again");
		assert.deepEqual(disconnects, [{ ehlo: "1", mail: "1", rcpt: "0/3", commands: "2/5" }]);
	});

	await part("a 421 that comes unasked behind the last answer changes no answer", async () => {
		const result = await client.verify(at("brusque", "zq-ph-nobody-1", "zq-ph-nobody-2"));
		assert.deepEqual(answers(result), [UNKNOWN_ONE, UNKNOWN_ONE]);
		await postfix.heard("brusque/smtpd", /^too many errors after RCPT/);
		assert.equal((await postfix.settled("brusque", 1)).connects, 1);
	});

	await part("who errs is served slowly", async () => {
		const result = await client.verify(at("slow", "zq-ph-nobody-1", "zq-ph-known", "zq-ph-nobody-2"));
		assert.deepEqual(answers(result), [UNKNOWN_ONE, KNOWN_ONE, UNKNOWN_ONE]);
		assert.deepEqual((await postfix.settled("slow", 1)).disconnects, [{ ehlo: "1", mail: "1", rcpt: "1/4", quit: "1", commands: "4/7" }]);
	});

	await part("luser_relay takes everybody", async () => {
		const result = await client.verify(at("anyone", "zq-ph-known", "zq-ph-nobody-1", "zq-ph-nobody-2"));
		assert.deepEqual(answers(result), result.list.map(() => "RISKY ACCEPT_ALL"));
		const { disconnects } = await postfix.settled("anyone", 1);
		assert.deepEqual(disconnects, [{ ehlo: "1", mail: "1", rcpt: "4", quit: "1", commands: "7" }]);
		await client.committed();
		const again = await client.verifyOne("zq-ph-nobody-3@anyone.test");
		assertVerdict(again, "RISKY", "ACCEPT_ALL");
		assert.equal(postfix.seen("anyone").connects, 1, "with a fresh fact nobody is asked");
	});

	for (const [word, code, delay] of [["grey", "4.2.0", 120], ["postgrey", "4.7.1", 300]]) await part(`a policy service that greylists: ${word}`, async () => {
		const targets = at(word, "zq-ph-known", "zq-ph-nobody-1");
		const first = await client.verify(targets);
		for (const result of first.list) {
			assertVerdict(result, "UNKNOWN", "GREYLISTED");
			assert.equal(result.evidence.code, 450);
			assert.equal(result.evidence.enhanced, code);
			assert.ok(result.retry_after_s >= delay && result.retry_after_s <= delay + 20, `${result.retry_after_s}`);
		}
		await postfix.settled(word, 1);
		services[word].mature();
		assert.deepEqual(answers(await client.verify(targets)), [KNOWN_ONE, UNKNOWN_ONE]);
		const { disconnects } = await postfix.settled(word, 2);
		assert.ok(disconnects.every((counted) => counted.quit === "1"), JSON.stringify(disconnects));
		const requests = services[word].requests.filter(({ protocol_state }) => protocol_state === "RCPT");
		assert.equal(requests.length, 6);
		for (const request of requests) {
			assert.equal(request.sender, "postal@rcptd.test");
			assert.equal(request.helo_name, "probe.rcptd.test");
			assert.equal(request.client_address, "127.0.0.1");
		}
		const recipients = requests.map((request) => request.recipient);
		assert.deepEqual(recipients.slice(0, 2), targets);
		assert.ok(isRandomControl(recipients[2].replace(/@.*/, "")), "the control's tuple ripens too");
		assert.deepEqual(recipients.slice(3), recipients.slice(0, 3), "the same tuples again");
	});

	await part("over quota, for now and for good", async () => {
		const result = await client.verify(at("quota", "zq-ph-full", "zq-ph-brim", "zq-ph-known", "zq-ph-nobody-1"));
		assert.deepEqual(answers(result), ["RISKY MAILBOX_FULL", "RISKY MAILBOX_FULL", KNOWN_ONE, UNKNOWN_ONE]);
		assert.deepEqual(result.list.map(({ evidence }) => [evidence.code, evidence.enhanced]), [[552, "5.2.2"], [452, "4.2.2"], [250, "2.1.5"], [550, "5.1.1"]]);
	});

	await part("a policy service that is down says nothing about a mailbox", async () => {
		const result = await client.verify(at("down", "zq-ph-known", "zq-ph-nobody-1"));
		assert.deepEqual(answers(result), result.list.map(() => "UNKNOWN TEMPORARY_FAILURE"));
		assert.equal(result.list[0].evidence.code, 451);
	});

	for (const word of RELAYED) await part(`reject_unverified_recipient: ${word}`, async () => {
		const targets = at(word, "zq-ph-known", "zq-ph-nobody-1");
		const first = await client.verify(targets);
		for (const result of first.list) {
			assertVerdict(result, "UNKNOWN", "GREYLISTED");
			assert.equal(result.evidence.code, 450);
			assert.match(result.evidence.text, /unverified address: Address verification in progress/);
			assert.ok(result.retry_after_s > 0);
		}
		await postfix.settled(word, 1);
		await postfix.heard("smtp", new RegExp(`@${word}\\.test>, .*status=(un)?deliverable`), 3); // two targets and the control
		const second = await client.verify(targets);
		const unknown = word === "verified" ? UNKNOWN_ONE : "UNKNOWN TEMPORARY_FAILURE"; // by 550; a 450 is never UNDELIVERABLE
		assert.equal(answers(second)[1], unknown);
		assert.match(second.list[1].evidence.text, /(undeliverable|unverified) address: host .* said: 550 5\.1\.1/);
		assert.equal(answers(second)[0], word === "verified" ? KNOWN_ONE : "RISKY CATCH_ALL_UNKNOWN");
	});

	await part("soft_bounce: who is unknown for now is not unknown", async () => {
		const result = await client.verify(at("temperate", "zq-ph-known", "zq-ph-nobody-1"));
		assert.deepEqual(answers(result), ["RISKY CATCH_ALL_UNKNOWN", "UNKNOWN TEMPORARY_FAILURE"]);
		assert.equal(result.list[1].evidence.code, 450);
		assert.match(result.list[1].evidence.text, /User unknown in local recipient table/);
	});

	for (const [word, reason, code, text] of [["denied", "SOURCE_REFUSED", 554, /Client host rejected: Access denied/],
		["nameless", "IDENTITY_REFUSED", 450, /cannot find your hostname/]]) await part(`refused at RCPT, and not for the recipient's sake: ${word}`, async () => {
		const result = await client.verify(at(word, "zq-ph-known", "zq-ph-nobody-1"));
		for (const each of result.list) {
			assertVerdict(each, "UNKNOWN", reason);
			assert.equal(each.evidence.phase, "RCPT");
			assert.equal(each.evidence.code, code);
			assert.match(each.evidence.text, text);
		}
		assert.deepEqual((await postfix.settled(word, 1)).disconnects, [{ ehlo: "1", mail: "1", rcpt: "0/2", quit: "1", commands: "3/5" }], "no control, no other try");
	});

	await part("reject_unverified_sender: what is said of our sender is not said of the recipient", async () => {
		const targets = at("callout", "zq-ph-known", "zq-ph-nobody-1");
		for (const result of (await client.verify(targets)).list) {
			assert.equal(result.verdict, "UNKNOWN");
			assert.equal(result.evidence.code, 450);
			assert.match(result.evidence.text, /Sender address rejected: unverified address: Address verification in progress/);
		}
		await postfix.heard("smtp", new RegExp(`@${OURS}>, .*status=undeliverable`));
		for (const result of (await client.verify(targets)).list) {
			assertVerdict(result, "UNKNOWN", "IDENTITY_REFUSED");
			assert.equal(result.evidence.code, 550);
			assert.match(result.evidence.text, /Sender address rejected: .* said: 550 5\.1\.1 .*User unknown/);
			assert.ok(!result.evidence.text.includes("postal@"), "our own mailbox is masked too");
		}
	});

	await part("a milter that is down says nothing about a mailbox", async () => {
		const result = await client.verify(at("filtered", "zq-ph-known", "zq-ph-nobody-1"));
		assert.deepEqual(answers(result), result.list.map(() => "UNKNOWN TEMPORARY_FAILURE"));
		assert.equal(result.list[0].evidence.phase, "MAIL");
		assert.equal((await postfix.settled("filtered", 1)).connects, 1);
	});

	await part("a local part that must be quoted", async () => {
		assert.deepEqual(answers(await client.verify(at("quoted", '"zq-ph..dots"', '"zq-ph..nobody"'))), [KNOWN_ONE, UNKNOWN_ONE]);
		await postfix.heard("quoted/smtpd", /550 5\.1\.1 <"?zq-ph\.\.nobody"?@quoted\.test>/);
	});

	await part("a rate of recipients is about us", async () => {
		const result = await client.verify(at("rate", "zq-ph-known", "zq-ph-nobody-1", "zq-ph-second"));
		const [counted] = (await postfix.settled("rate", 1)).disconnects;
		assert.equal(counted.rset, undefined, `nothing is asked again: ${JSON.stringify(counted)}`);
		assert.equal(answers(result)[1], UNKNOWN_ONE);
		assertVerdict(result.list[2], "UNKNOWN", "SOURCE_REFUSED");
		assert.equal(result.list[2].evidence.code, 450);
	});

	await part("a rate of connections is about us", async () => {
		assert.equal(answers(await client.verify(at("crowded", "zq-ph-known")))[0], KNOWN_ONE);
		const result = await client.verify(at("crowded", "zq-ph-second"));
		assertVerdict(result.list[0], "UNKNOWN", "SOURCE_REFUSED");
		assert.equal(result.list[0].evidence.phase, "BANNER");
		assert.equal(result.list[0].evidence.code, 421);
		assert.equal((await postfix.settled("crowded", 2)).connects, 2, "the refused connection is not tried again at once");
	});

	await part("few recipients a transaction", async () => {
		const result = await client.verify(at("few", "zq-ph-known", "zq-ph-second", "zq-ph-third", "zq-ph-fourth"));
		assert.deepEqual(answers(result), result.list.map(() => KNOWN_ONE));
	});

	const established = /^Anonymous TLS connection established from unknown\[127\.0\.0\.1\]: (\S+) with cipher (\S+) /;
	for (const [word, version] of [["may", "TLSv1.3"], ["encrypt", "TLSv1.3"], ["older", "TLSv1.2"]]) await part(`STARTTLS: ${word}`, async () => {
		const result = await client.verify(at(word, "zq-ph-known", "zq-ph-nobody-1"));
		assert.deepEqual(answers(result), [KNOWN_ONE, UNKNOWN_ONE]);
		const { disconnects } = await postfix.settled(word, 1);
		assert.deepEqual(disconnects, [{ ehlo: "2", starttls: "1", mail: "1", rcpt: "1/3", quit: "1", commands: "6/8" }], "no command but EHLO in clear");
		const [[, spoken, cipher]] = (await postfix.heard(`${word}/smtpd`, established)).map((text) => established.exec(text));
		for (const { evidence: { tls } } of result.list) {
			assert.equal(tls.version, version);
			assert.deepEqual([tls.version, tls.cipher], [spoken, cipher]);
			assert.equal(tls.certificate_sha256, certificate.sha256);
			assert.match(tls.certificate_subject.toString(), /CN ?= ?mx\.postfix\.test/);
			assert.equal(tls.resumed, false);
		}
		const again = await client.verifyOne(`zq-ph-second@${word}.test`);
		assertVerdict(again, "DELIVERABLE", "ACCEPTED");
		assert.equal(again.evidence.tls.resumed, true);
		assert.equal(again.evidence.tls.certificate_sha256, certificate.sha256);
		await postfix.heard(`${word}/smtpd`, /Reusing old session/);
	});

	await part("STARTTLS is offered and then refused: in clear", async () => {
		const result = await client.verify(at("keyless", "zq-ph-known", "zq-ph-nobody-1"));
		assert.deepEqual(answers(result), [KNOWN_ONE, UNKNOWN_ONE]);
		assert.equal(result.list[0].evidence.tls, null);
		assert.deepEqual((await postfix.settled("keyless", 1)).disconnects, [{ ehlo: "1", starttls: "0/1", mail: "1", rcpt: "1/3", quit: "1", commands: "4/7" }]);
	});

	await part("STARTTLS is demanded and then refused", async () => {
		const result = await client.verify(at("keylessmust", "zq-ph-known", "zq-ph-nobody-1"));
		for (const each of result.list) {
			assertVerdict(each, "UNKNOWN", "TLS_FAILED");
			assert.equal(each.evidence.code, 530);
		}
		const { disconnects } = await postfix.settled("keylessmust", 1);
		assert.deepEqual(disconnects, [{ ehlo: "1", starttls: "0/1", mail: "0/1", rcpt: "0/2", quit: "1", commands: "2/6" }], "once is enough");
	});

	await part("a handshake that fails: once more in clear", async () => {
		const result = await client.verify(at("odd", "zq-ph-known", "zq-ph-nobody-1"));
		assert.deepEqual(answers(result), [KNOWN_ONE, UNKNOWN_ONE]);
		assert.equal(result.list[0].evidence.tls, null);
		const { disconnects } = await postfix.settled("odd", 2);
		assert.deepEqual(disconnects, [{ ehlo: "1", starttls: "0/1", commands: "1/2" }, { ehlo: "1", mail: "1", rcpt: "1/3", quit: "1", commands: "4/6" }]);
	});

	await part("a handshake that fails where TLS is demanded", async () => {
		const result = await client.verify(at("oddmust", "zq-ph-known", "zq-ph-nobody-1"));
		for (const each of result.list) assertVerdict(each, "UNKNOWN", "TLS_FAILED");
		const { disconnects } = await postfix.settled("oddmust", 2);
		assert.equal(disconnects.length, 2, "one reconnect");
		assert.equal(disconnects[1].mail, "0/1");
	});

	await part("probe.tls never and when-required", async () => {
		for (const [mode, demanded, reached] of [["never", "UNKNOWN TLS_FAILED", 0], ["when-required", KNOWN_ONE, 1]]) {
			const folder = path.join(s.folder, mode);
			fs.mkdirSync(folder);
			const other = new Rcptd(folder, s.world, { probe: { tls: mode } });
			t.after(() => other.kill());
			await other.start();
			const before = postfix.seen("may").disconnects.length, hushed = postfix.seen("encrypt").disconnects.length;
			const { list: [free, must] } = await other.client.verify(["zq-ph-known@may.test", "zq-ph-known@encrypt.test"]);
			assertVerdict(free, "DELIVERABLE", "ACCEPTED");
			assert.equal(free.evidence.tls, null);
			const [clear] = (await postfix.settled("may", before + 1)).disconnects.slice(before);
			assert.deepEqual(clear, { ehlo: "1", mail: "1", rcpt: "1/2", quit: "1", commands: "4/5" });
			assert.equal(`${must.verdict} ${must.reason}`, demanded);
			const seen = (await postfix.settled("encrypt", hushed + 1 + reached)).disconnects.slice(hushed);
			assert.equal(seen.filter((counted) => counted.starttls === "1").length, reached, JSON.stringify(seen));
			assert.equal(Boolean(must.evidence.tls), reached === 1);
			await other.stop();
		}
	});

	await part("postscreen waits to see who talks early: not we", async () => {
		const result = await client.verify(at("screened", "zq-ph-known", "zq-ph-nobody-1"));
		assert.deepEqual(answers(result), [KNOWN_ONE, UNKNOWN_ONE]);
		await postfix.heard("screened/postscreen", /^PASS NEW \[127\.0\.0\.1\]/);
		assert.deepEqual((await postfix.settled("screened", 1)).disconnects, [{ ehlo: "1", mail: "1", rcpt: "1/3", quit: "1", commands: "4/6" }]);
		const said = postfix.said("screened/postscreen").filter((text) => !/^cache /.test(text));
		assert.equal(said.length, 2, said.join("\n"));
		await talkEarly(screened.screened.address, s.world.smtpPort); // the trap is set: whoever does talk early is seen
		await postfix.heard("screened/postscreen", /^PREGREET /);
	});

	await part("postscreen's deep tests put everybody off who is new", async () => {
		const targets = at("deep", "zq-ph-known", "zq-ph-nobody-1");
		const first = await client.verify(targets);
		for (const result of first.list) {
			assertVerdict(result, "UNKNOWN", "TEMPORARY_FAILURE"); // its words do not say greylisting
			assert.equal(result.evidence.code, 450);
			assert.match(result.evidence.text, /Service currently unavailable/);
		}
		await postfix.heard("deep/postscreen", /^PASS NEW /);
		assert.deepEqual(postfix.seen("deep").connects, 0, "smtpd has seen nothing yet");
		assert.deepEqual(answers(await client.verify(targets)), [KNOWN_ONE, UNKNOWN_ONE]);
		await postfix.heard("deep/postscreen", /^PASS OLD /);
		await postfix.settled("deep", 1);
		assert.doesNotMatch(postfix.said("deep/postscreen").join("\n"), /PREGREET|PIPELINING|NON-SMTP|BARE NEWLINE|HANGUP|COMMAND/);
	});

	await part("postscreen's tests behind STARTTLS", async () => {
		const targets = at("secret", "zq-ph-known", "zq-ph-nobody-1");
		for (const result of (await client.verify(targets)).list) {
			assertVerdict(result, "UNKNOWN", "TEMPORARY_FAILURE");
			assert.equal(result.evidence.code, 450);
			assert.equal(result.evidence.tls.certificate_sha256, certificate.sha256);
		}
		await postfix.heard("secret/postscreen", /^PASS NEW /);
		await postfix.heard("tlsproxy", /^Anonymous TLS connection established from \[127\.0\.0\.1\]/);
		assert.deepEqual(answers(await client.verify(targets)), [KNOWN_ONE, UNKNOWN_ONE]);
	});

	await part("postscreen's denylist: what it says to us is not said of a domain or a mailbox", async () => {
		for (const [word, reason, phase, code] of [["shut", "SOURCE_REFUSED", "BANNER", 521], ["barred", "REFUSED_UNCLEAR", "RCPT", 550]]) {
			const result = await client.verify(at(word, "zq-ph-known", "zq-ph-nobody-1"));
			for (const each of result.list) {
				assert.equal(each.verdict, "UNKNOWN");
				assert.ok([reason, "CONTROL_REFUSED"].includes(each.reason), each.reason); // the latter when postmaster@ is asked too
				assert.equal(each.evidence.phase, phase);
				assert.equal(each.evidence.code, code);
				assert.match(each.evidence.text, /Service currently unavailable/);
			}
			assert.equal((await postfix.heard(`${word}/postscreen`, /^DENYLISTED /)).length, 1);
		}
	});

	await part("no message, no other command", async () => {
		const allowed = ["ehlo", "starttls", "mail", "rcpt", "rset", "quit", "commands"];
		for (const word of Object.keys({ ...LISTENERS, ...SCREENED })) {
			const { connects, disconnects } = postfix.seen(word);
			assert.ok(connects <= 6, `${word}: ${connects} connections`);
			assert.ok(disconnects.length || ["barred", "shut"].includes(word), word);
			for (const counted of disconnects) assert.deepEqual(Object.keys(counted).filter((key) => !allowed.includes(key)), [], word);
		}
		const complaints = postfix.log().split("\n").filter((line) => / (improper|lost connection|fatal:|panic:|timeout) /.test(line));
		assert.deepEqual(complaints.filter((line) => !/postfix\/(backend\/|(odd|oddmust)\/smtpd.*: lost connection after STARTTLS from)|improper .* from unknown\[127\.[^0]/.test(line)), []);
	});

	if (failed) process.stderr.write(`--- Postfix\n${postfix.output()}\n${await s.tail()}\n`);
	await s.close();
});
