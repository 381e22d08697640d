// Mail servers that stall, lie, drip, babble and break off: each gets exactly its verdict and reason by docs/VERDICTS.md.
import assert from "node:assert/strict";
import { BOTH, NORMAL, Rows, assertNeverWrong, words } from "../lib/rows.mjs";
import { assertVerdict } from "../lib/scenario.mjs";
import { isRandomControl } from "../lib/world.mjs";

// Enough for a busy machine; what is slow or silent here is so for longer. A session lasts longer than any test may take.
const TIMEOUTS = { connect: "3s", banner: "3s", reply: "3s", session: "10m" };
const KNOWN = ["zq-known*"];
const host = (options) => (domain, d) => d.mail(domain, KNOWN, options);
const rows = new Rows({ timeouts: TIMEOUTS });
const named = (text) => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");

/** A row whose results alone are told: [verdict reason of a known mailbox, of an unknown one]. */
function expects(name, options, expected, look) {
	rows.add(name, `${named(name).slice(0, 55)}.test`, host(options), async (ask, domain, s) => {
		const { results, record } = await ask(BOTH);
		assert.deepEqual(words(results), expected, JSON.stringify(results.map((r) => r.evidence)));
		await look?.({ results, record, domain, s });
	});
}
const both = (text) => [text, text];
/** As expects(), where the document leaves open which of these reasons it is. */
function expectsOneOf(name, options, reasons, look) {
	rows.add(name, `${named(name).slice(0, 55)}.test`, host(options), async (ask, domain, s) => {
		const { results, record } = await ask(BOTH);
		for (const r of results) {
			assert.equal(r.verdict, "UNKNOWN", JSON.stringify(r.evidence));
			assert.ok(reasons.includes(r.reason), `${r.reason}: ${JSON.stringify(r.evidence)}`);
		}
		await look?.({ results, record, domain, s });
	});
}

// --- slow ---

expects("tarpit within our patience", { persona: "tarpit", reply_delay_ms: 200, unknown_delay_ms: 900 }, NORMAL);
expects("tarpit beyond it", { persona: "tarpit", reply_delay_ms: 8000, unknown_delay_ms: 0 }, both("UNKNOWN TIMEOUT"));
// The known one is accepted, its control is not answered in the three sessions: nothing shows that this host refuses anybody.
expects("tarpit beyond it for unknown recipients alone", { persona: "tarpit", reply_delay_ms: 0, unknown_delay_ms: 15000 },
	["RISKY CATCH_ALL_UNKNOWN", "UNKNOWN TIMEOUT"], ({ record }) => assert.ok(record.connects().length <= 4, `${record.connects().length} connections`));
expects("drip within our patience", { persona: "drip", drip_ms: 4 }, NORMAL);
expects("drip beyond it: a byte renews nothing", { persona: "drip", drip_ms: 500 }, both("UNKNOWN TIMEOUT"), ({ results, record }) => {
	assert.equal(results[0].evidence.phase, "BANNER");
	assert.equal(record.lines().length, 0);
	for (const close of record.closes()) assert.ok(close.bytes_out < 40, `it was left long ago: ${JSON.stringify(close)}`);
});
for (const [kind, options] of [["late banner", {}], ["late banner behind a teaser", { banner_teaser: "220-$host please wait" }]]) {
	expects(kind, { persona: "late-banner", banner_delay_ms: 1200, ...options }, NORMAL, ({ record }) => {
		for (const { conn } of record.connects()) {
			const greeting = record.of("reply", { conn, verb: "" }).find((e) => /^220 /m.test(e.text));
			assert.ok(greeting, "it was greeted");
			assert.ok(record.lines({ conn })[0].seq > greeting.seq, "we did not talk first");
		}
		assert.ok(!record.of("reply").some((e) => e.text.startsWith("554")));
	});
}
expects("a banner too late", { persona: "late-banner", banner_delay_ms: 9000 }, both("UNKNOWN TIMEOUT"), ({ results, record }) => {
	assert.equal(results[0].evidence.phase, "BANNER");
	assert.deepEqual(record.lines(), []);
});

// --- without end ---

/** It was left once the limits of a reply were reached: 64 lines, 16 KiB. */
const leftSoon = ({ record }) => {
	assert.ok(record.connects().length <= 3);
	for (const close of record.closes()) assert.ok(close.bytes_out < 32768, JSON.stringify(close));
};
for (const phase of ["banner", "ehlo"]) {
	expects(`endless ${phase}`, { persona: phase === "banner" ? "endless-banner" : "endless-reply", every_ms: 5 }, both("UNKNOWN PROTOCOL_ERROR"), (seen) => {
		assert.equal(seen.results[0].evidence.phase, phase.toUpperCase());
		leftSoon(seen);
	});
	expects(`endless ${phase} line by line, slower than we wait`, { persona: phase === "banner" ? "endless-banner" : "endless-reply", every_ms: 400 },
		both("UNKNOWN TIMEOUT"));
}
// After MAIL the table says TEMPORARY_FAILURE for a session that is lost; that it is lost by a reply without end may as well be called PROTOCOL_ERROR.
for (const [phase, reply] of [["mail", "250-2.1.0 Ok"], ["rcpt", "250-2.1.5 Ok"], ["rcpt", "550-5.1.1 User unknown"]])
	expectsOneOf(`endless ${phase} ${reply.slice(0, 3)}`, { persona: "endless-reply", phase, reply, every_ms: 5 }, ["PROTOCOL_ERROR", "TEMPORARY_FAILURE"], leftSoon);

expects("lines of 8,000 characters", { persona: "long-lines" }, both("UNKNOWN PROTOCOL_ERROR"), leftSoon);
expects("lines of 1,900 characters", { persona: "long-lines", line_length: 1900 }, NORMAL);
const extensions = (n) => ["PIPELINING", ...Array.from({ length: n - 2 }, (_, i) => `X-EXTENSION-${i}`)];
expects("EHLO answered with 64 lines", { extensions: extensions(64) }, NORMAL);
expects("EHLO answered with 65 lines", { extensions: extensions(65) }, both("UNKNOWN PROTOCOL_ERROR"));

// --- 421 at any phase ---

const BYE = "421 4.3.2 $host Service shutting down, closing channel";
for (const phase of ["banner", "ehlo", "mail", "rcpt"]) {
	expects(`421 at ${phase}`, { persona: "hangup", phase }, both("UNKNOWN TEMPORARY_FAILURE"), ({ results, record }) => {
		assert.ok(record.connects().length <= 3);
		assert.equal(results[0].evidence.code, 421);
	});
}
expects("421 at quit", { persona: "hangup", phase: "quit" }, NORMAL);
// An answer to STARTTLS other than 220 is no handshake that failed: in clear, or the host's 421; but never a wrong one.
rows.add("421 at starttls", "bye-starttls.test", host({ persona: "tls", faults: [{ phase: "starttls", reply: BYE, then: "close" }] }), async (ask) => {
	const { results, record } = await ask(BOTH);
	assert.ok([NORMAL.join(), both("UNKNOWN TEMPORARY_FAILURE").join()].includes(words(results).join()), words(results).join());
	assert.ok(record.connects().length <= 3);
});

// --- lost at any state ---

for (const persona of ["resets", "closes"]) {
	// "By where it failed": before EHLO is answered there was a connection, and was none that served. The document names no one reason.
	for (const phase of ["banner", "ehlo"])
		expectsOneOf(`${persona} at ${phase}`, { persona, phase }, ["NO_CONNECTION", "TEMPORARY_FAILURE"], ({ record }) => assert.equal(record.rcpts().length, 0));
	for (const phase of ["mail", "rcpt"]) {
		expects(`${persona} at ${phase}, always`, { persona, phase }, both("UNKNOWN TEMPORARY_FAILURE"), ({ record }) => assert.equal(record.connects().length, 3));
		expects(`${persona} at ${phase}, once`, { persona, phase, connections: 1 }, NORMAL, ({ record }) => assert.equal(record.connects().length, 2));
	}
	expects(`${persona} at quit`, { persona, phase: "quit" }, NORMAL, ({ record }) => assert.equal(record.connects().length, 1));
}
for (const phase of ["banner", "ehlo"])
	expects(`silent at ${phase}`, { persona: "silent", phase }, both("UNKNOWN TIMEOUT"), ({ results }) => assert.equal(results[0].evidence.phase, phase.toUpperCase()));
for (const phase of ["mail", "rcpt"]) {
	expects(`silent at ${phase}, always`, { persona: "silent", phase }, both("UNKNOWN TIMEOUT"), ({ record }) => assert.equal(record.connects().length, 3));
	expects(`silent at ${phase}, once`, { persona: "silent", phase, connections: 1 }, NORMAL);
}

// RSET comes between two transactions; whatever happens to it is no refusal of us.
const twelve = Array.from({ length: 12 }, (_, i) => `zq-known${i}`);
for (const [kind, fault] of Object.entries({
	"reset": { then: "reset" }, "closed": { then: "close" }, "silent": { then: "silent" }, "421": { reply: BYE, then: "close" },
	"550 too many nonmail commands": { reply: "550 5.5.1 Error: too many nonmail commands" }, "500": { reply: "500 5.5.2 Syntax error" },
	"3yz": { reply: "354 Go ahead" }, "junk": { raw: "\\xff\\x00<>\\r\\n" },
})) {
	for (const once of [true, false]) {
		rows.add(`RSET: ${kind}, ${once ? "once" : "always"}`, `rset-${named(kind)}-${once ? "once" : "always"}.test`,
			host({ faults: [{ phase: "rset", ...fault, ...(once && { connections: 1 }) }] }), async (ask) => {
				const { results, record } = await ask(twelve);
				assert.deepEqual(words(results), twelve.map(() => NORMAL[0]));
				assert.ok(record.verbs().includes("RSET"));
				assert.ok(record.connects().length <= 3, `${record.connects().length} connections`);
				for (const local of twelve) assert.ok(record.locals().filter((l) => l === local).length <= 3);
			});
	}
}

// --- after QUIT ---

for (const [kind, fault] of Object.entries({
	"answered, and the connection stays": null, "silent": { then: "silent" }, "500": { reply: "500 5.5.2 What" }, "junk": { raw: "\\xff\\x00\\r\\n" },
	"endless": { reply: "221-2.0.0 Bye", then: "endless", every_ms: 5 },
})) {
	expects(`QUIT: ${kind}`, fault ? { faults: [{ phase: "quit", ...fault }] } : { persona: "hangs-after-quit" }, NORMAL, ({ record }) => {
		// settled() has seen the end of it, long before a session's; here: who ended it.
		const [close, ...more] = record.closes();
		assert.equal(more.length, 0);
		if (kind !== "500" && kind !== "junk") assert.match(close.by, /client|reset/);
	});
}

// --- replies that nothing asked for ---

for (const phase of ["banner", "ehlo", "mail", "rcpt"]) {
	for (const reply of ["250 2.1.5 Ok", "550 5.1.1 User unknown", "421 4.3.2 Bye"]) {
		for (const pipelining of [true, false]) {
			for (const nth of phase === "rcpt" ? [null, 1, 2] : [null]) {
				const name = `speaks ahead at ${phase}${nth ? ` ${nth}` : ""} ${reply.slice(0, 3)}${pipelining ? "" : " lockstep"}`;
				rows.add(name, `${named(name)}.test`, host({ persona: "speaks-ahead", phase, reply, pipelining, ...(nth && { nth }) }), async (ask) => {
					const { results, record } = await ask(["zq-known1", "zq-nobody1", "zq-known2", "zq-nobody2", "zq-known3"]);
					assertNeverWrong(results);
					assert.ok(record.connects().length <= 4, `${record.connects().length} connections`);
				});
			}
		}
	}
}
// The table has a row for a session that is lost after MAIL (TEMPORARY_FAILURE) and PROTOCOL_ERROR for "where it failed"; either is true of junk.
for (const phase of ["banner", "ehlo", "mail", "rcpt"]) {
	for (const pipelining of [true, false]) {
		rows.add(`junk behind the answer at ${phase}${pipelining ? "" : ", lockstep"}`, `junk-${phase}-${pipelining}.test`, host({ persona: "junk", phase, pipelining }), async (ask) => {
			const { results } = await ask(["zq-known1", "zq-nobody1", "zq-known2"]);
			assertNeverWrong(results);
			if (phase === "banner" || phase === "ehlo")
				for (const r of results) assert.ok(["PROTOCOL_ERROR", "TEMPORARY_FAILURE"].includes(r.reason), `${r.verdict} ${r.reason}`);
		});
	}
}
for (const [kind, raw] of Object.entries({
	"HTTP": "HTTP/1.1 400 Bad Request\\r\\nServer: x\\r\\n\\r\\n", "SSH": "SSH-2.0-OpenSSH_9.2p1\\r\\n", "POP3": "+OK ready\\r\\n", "TLS alert": "\\x15\\x03\\x01\\x00\\x02\\x02\\x28\\r\\n",
	"an empty line": "\\r\\n", "zeroes": "\\x00\\x00\\x00\\x00\\r\\n", "22": "22\\r\\n", "a code and a letter": "220x\\r\\n", "a bare CR": "220 one\\r220 two\\r\\n\\r\\n",
})) {
	// A bare CR is text to some and a line's end to others.
	if (kind === "a bare CR") rows.add(`a greeting in another protocol: ${kind}`, `not-smtp-${named(kind)}.test`, host({ faults: [{ phase: "banner", raw }] }), async (ask) => assertNeverWrong((await ask(BOTH)).results));
	else expects(`a greeting in another protocol: ${kind}`, { faults: [{ phase: "banner", raw }] }, both("UNKNOWN PROTOCOL_ERROR"), ({ results }) => assert.equal(results[0].evidence.phase, "BANNER"));
}

// --- codes ---

const CODES = { 354: "354 End data with <CR><LF>.<CR><LF>", 999: "999 Request denied", 600: "600 5.1.1 User unknown", 199: "199 Hm", "000": "000 5.1.1 User unknown" };
for (const [code, reply] of Object.entries(CODES)) {
	for (const phase of ["banner", "ehlo", "mail", "rcpt"]) {
		expects(`${code} at ${phase}`, { persona: "code-3yz", phase, reply }, both("UNKNOWN PROTOCOL_ERROR"), ({ results }) => {
			assert.equal(results[0].evidence.phase, phase.toUpperCase());
			assert.equal(results[0].evidence.code, Number(code));
		});
	}
}
for (const reply of ["252 2.1.5 Cannot VRFY user", "299 2.1.5 Ok", "220 2.1.5 Ok"]) {
	rows.add(`accepted without a check: ${reply.slice(0, 3)}`, `accepted-${reply.slice(0, 3)}.test`, host({ faults: [{ phase: "rcpt", only: KNOWN, reply }] }), async (ask) => {
		assert.deepEqual(words((await ask(["zq-known1"])).results), ["RISKY CATCH_ALL_UNKNOWN"]);
	});
}
const targetsOnly = (reply) => ({ faults: [{ phase: "rcpt", only: ["zq-*"], reply }] });
for (const [last, reply, expected] of [
	["550", ["250-2.1.5 Ok", "450-4.2.1 or later", "550 5.1.1 <$rcpt>: User unknown"], "UNDELIVERABLE MAILBOX_UNKNOWN"],
	["250", ["550-5.1.1 <$rcpt>: User unknown", "450-4.2.1 or later", "250 2.1.5 Ok"], "DELIVERABLE ACCEPTED"],
	["451", ["550-5.1.1 <$rcpt>: User unknown", "250-2.1.5 Ok", "451 4.3.0 Temporary lookup failure"], null],
]) {
	rows.add(`mixed codes, the last is ${last}`, `mixed-${last}.test`, host(targetsOnly(reply)), async (ask) => {
		const { results: [result] } = await ask(["zq-known1"]);
		assert.equal(result.evidence.code, Number(last));
		// A 4yz never makes an address undeliverable; which words of the three lines tell the reason is left open.
		if (expected) assert.deepEqual(words([result]), [expected]);
		else assert.equal(result.verdict, "UNKNOWN");
	});
}
expects("mixed codes, to everybody", { persona: "mixed-codes" }, both("UNDELIVERABLE MAILBOX_UNKNOWN"), ({ results }) => assert.equal(results[0].evidence.enhanced, "5.1.1"));

// --- form ---

expects("lines that end with LF alone", { persona: "bare-lf" }, NORMAL);
rows.add("NUL and 8-bit bytes in a reply", "binary.test", host({ persona: "binary", only: KNOWN }), async (ask) => {
	const { results, record } = await ask(BOTH);
	assert.deepEqual(words(results), NORMAL);
	assert.ok(results[0].evidence.text.includes("\ufffd"), JSON.stringify(results[0].evidence.text));
	assert.deepEqual(Buffer.from(results[0].evidence.text, "utf8"), results[0].evidence.text_bytes, "it is UTF-8");
	assert.ok(record.of("reply").some((e) => e.text.includes("\u00ff")));
});
rows.add("NUL and 8-bit bytes to everybody: it accepts all", "binary-all.test", host({ persona: "binary" }), async (ask) => {
	assert.deepEqual(words((await ask(BOTH)).results), both("RISKY ACCEPT_ALL"));
});
rows.add("NUL in a refusal hides nothing of it", "binary-refusal.test", host({ faults: [{ phase: "rcpt", except: KNOWN, raw: "550 5.1.1 \\x00\\xff User unknown\\r\\n" }] }), async (ask) => {
	assert.deepEqual(words((await ask(BOTH)).results), NORMAL);
});

// --- who speaks little ---

expects("HELO only", { persona: "no-ehlo" }, NORMAL, ({ record }) => assert.deepEqual(record.verbs().slice(0, 3), ["EHLO", "HELO", "MAIL"]));
rows.add("SMTPUTF8 where it is offered", "utf8-offered.test", (domain, d) => d.mail(domain, ["zq-known-jörg", "zq-known1"], { persona: "smtputf8" }), async (ask) => {
	const { results } = await ask(["zq-known-jörg", "zq-known1", "zq-nobodÿ"]);
	assert.deepEqual(words(results), [NORMAL[0], ...NORMAL]);
});
rows.add("SMTPUTF8 where it is not: that address alone", "utf8-missing.test", (domain, d) => d.mail(domain, ["zq-known-jörg", "zq-known1"], {}), async (ask) => {
	const { results, record } = await ask(["zq-known-jörg", "zq-known1", "zq-nobody1"]);
	assert.deepEqual(words(results), ["UNDELIVERABLE SMTPUTF8_UNSUPPORTED", ...NORMAL]);
	assert.ok(!record.locals().includes("zq-known-jörg"));
});
// Only hosts that answered EHLO can be said not to offer it.
rows.add("SMTPUTF8 where HELO alone is known", "utf8-helo.test", (domain, d) => d.mail(domain, ["zq-known-jörg", "zq-known1"], { persona: "no-ehlo" }), async (ask) => {
	const { results } = await ask(["zq-known-jörg", "zq-known1"]);
	assert.equal(results[0].verdict, "UNKNOWN");
	assertVerdict(results[1], "DELIVERABLE", "ACCEPTED");
});

// --- relay denied ---

const DENIES = { relay_reply: "554 5.7.1 <$rcpt>: Relay access denied" };
const hosts = (...all) => (domain, d) =>
	d.mailHosts(domain, KNOWN, Object.fromEntries(all.map((options, i) => [`mx${i + 1}.${domain}`, { ...options, ...(options.relay_reply && { denies: [domain] }) }])));
// "R and P got it too": where postmaster was not asked, a denial is no proof, and the answer is REFUSED_UNCLEAR (docs/VERDICTS.md: not yet).
const askedPostmaster = (record, name) => record.locals({ host: name }).includes("postmaster");
rows.add("relay denied by one host: the other's answer", "relay-one.test", hosts(DENIES, {}), async (ask, domain) => {
	const { results, record } = await ask(BOTH);
	assert.ok(record.locals({ host: `mx1.${domain}` }).some(isRandomControl), "the control was asked where it was denied");
	if (!askedPostmaster(record, `mx1.${domain}`)) {
		assert.deepEqual(words(results), both("UNKNOWN REFUSED_UNCLEAR"));
		return;
	}
	assert.deepEqual(words(results), NORMAL);
	for (const r of results) assert.equal(r.evidence.mail_host, `mx2.${domain}`);
});
rows.add("relay denied by every host", "relay-all.test", hosts(DENIES, DENIES), async (ask, domain) => {
	const { results, record } = await ask(BOTH);
	assert.deepEqual(words(results), both(askedPostmaster(record, `mx1.${domain}`) ? "UNDELIVERABLE NOT_SERVED_HERE" : "UNKNOWN REFUSED_UNCLEAR"));
});
rows.add("relay denied by one host, and the other says 421", "relay-down.test", hosts(DENIES, { faults: [{ phase: "banner", reply: BYE }] }), async (ask) => {
	assert.deepEqual(words((await ask(BOTH)).results), both("UNKNOWN REFUSED_UNCLEAR"));
});
rows.add("relay denied for one recipient, but not for the controls", "relay-odd.test", hosts({ replies: { "zq-known-relay": DENIES.relay_reply } }, {}), async (ask) => {
	const { results } = await ask(["zq-known-relay", "zq-known1"]);
	assert.deepEqual(words(results), ["UNKNOWN REFUSED_UNCLEAR", NORMAL[0]]);
});
rows.add("relay denied by 454, as Postfix says it", "relay-454.test", hosts({ relay_reply: "454 4.7.1 <$rcpt>: Relay access denied" }, {}), async (ask) => {
	assert.deepEqual(words((await ask(BOTH)).results), both("UNKNOWN TEMPORARY_FAILURE"));
});

// --- our address is on a list ---

for (const phase of ["banner", "mail", "rcpt"])
	expects(`lists our address, at ${phase}`, { persona: "lists-us", phase }, both("UNKNOWN SOURCE_REFUSED"), ({ record }) => assert.equal(record.connects().length, 1));

// --- who lies, turns and counts: not judged here; each address has one verdict, and the daemon goes on ---

const many = ["zq-known1", ...Array.from({ length: 9 }, (_, i) => `zq-nobody${i}`), "zq-known2", "zq-known3"];
for (const [persona, options] of [
	["one-recipient", {}], ["turns-550", {}], ["turns-accepting", {}], ["counts-unknown", {}], ["counts-unknown", { blocks_by: "accept" }], ["counts-unknown", { blocks_by: "close" }],
	["breaks-pipelining", {}], ["no-helo", {}], ["greylist", {}], ["refuses", {}],
]) {
	const name = [persona, ...Object.values(options)].join(" ");
	rows.add(`${name}: each address has one verdict`, `${named(name)}.test`, host({ persona, ...options }), async (ask) => {
		const { results, record } = await ask(many); // fails unless each item has exactly one
		for (const r of results) assert.ok(r.verdict !== "UNSPECIFIED" && r.reason !== "UNSPECIFIED", JSON.stringify(r));
		assert.ok(record.connects().length <= 20, `${record.connects().length} connections`);
	});
}

rows.theEnd();
