// STARTTLS, on the farm's view: what was secured and how, and what comes of servers whose TLS is broken.
import assert from "node:assert/strict";
import { listen, serve } from "../lib/peer.mjs";
import { sleep } from "../lib/process.mjs";
import { BOTH, NORMAL, Rows, assertNeverWrong, words } from "../lib/rows.mjs";
import { assertOnlyTheEight, assertVerdict, scenarioTest } from "../lib/scenario.mjs";
import { Description, isRandomControl, loopback } from "../lib/world.mjs";

const TIMEOUTS = { connect: "3s", banner: "3s", reply: "3s", session: "60s" };
const KNOWN = ["zq-known*"];
const host = (options) => (domain, d) => d.mail(domain, KNOWN, options);
const rows = new Rows({ timeouts: TIMEOUTS });

/** Everything said behind a handshake went through it; nothing else came behind a STARTTLS. */
function assertSecured(record) {
	assert.deepEqual(record.of("plaintext"), []);
	for (const tls of record.of("tls"))
		for (const line of record.lines({ conn: tls.conn })) assert.equal(line.tls ?? 0, line.seq > tls.seq ? 1 : 0, JSON.stringify(line));
}
/** The evidence says what the farm saw of the handshake. */
function assertEvidence(result, tls) {
	const said = result.evidence.tls;
	assert.ok(said, `TLS in the evidence: ${JSON.stringify(result.evidence)}`);
	assert.equal(said.version, tls.version);
	assert.equal(said.cipher, tls.cipher);
	assert.equal(said.resumed, tls.resumed === 1);
	assert.equal(said.certificate_sha256.toLowerCase(), tls.certificate.toLowerCase().replaceAll(":", ""));
	assert.match(said.certificate_sha256, /^[0-9a-f]{64}$/);
}
const verbsOf = (record) => record.connects().map((c) => record.verbs({ conn: c.conn }));

// --- opportunistic, the default ---

rows.add("STARTTLS where it is offered, EHLO again behind it, and all that follows in TLS", "offered.test", host({ persona: "tls" }), async (ask) => {
	const { results, record } = await ask(BOTH);
	assert.deepEqual(words(results), NORMAL);
	const all = verbsOf(record);
	assert.equal(all.length, 1);
	assert.deepEqual(all[0].slice(0, 4), ["EHLO", "STARTTLS", "EHLO", "MAIL"]);
	assert.equal(all[0].at(-1), "QUIT");
	const [tls, ...more] = record.of("tls");
	assert.equal(more.length, 0);
	assert.equal(tls.version, "TLSv1.3");
	assert.equal(tls.sni, "mx.offered.test");
	assert.equal(tls.resumed, 0);
	for (const r of results) assertEvidence(r, tls);
	assert.match(results[0].evidence.tls.certificate_subject.toString(), /mx\.offered\.test/);
	assertSecured(record);
	assert.ok(record.rcpts().some((r) => isRandomControl(r.local)), "the control was asked in TLS too");
});

rows.add("in clear where it is not offered, and no TLS in the evidence", "plain.test", host({}), async (ask) => {
	const { results, record } = await ask(BOTH);
	assert.deepEqual(words(results), NORMAL);
	assert.ok(!record.verbs().includes("STARTTLS"));
	for (const r of results) assert.equal(r.evidence.tls, null);
});

for (const [version, options] of [["TLSv1.3", {}], ["TLSv1.2", { tls_versions: [1.2, 1.2] }]]) {
	const domain = `resumes-${version.toLowerCase().replace(".", "-")}.test`;
	rows.add(`${version}: the next connection to the host resumes`, domain, host({ persona: "tls", ...options }), async (ask, _, s) => {
		const first = await ask(["zq-known1"]);
		const second = await ask(["zq-known2"]);
		const third = await ask(["zq-known3"]);
		for (const [i, { results, record }] of [first, second, third].entries()) {
			assert.deepEqual(words(results), [NORMAL[0]]);
			const seen = record.of("tls");
			assert.equal(seen.length, 1);
			assert.equal(seen[0].version, version);
			assert.equal(seen[0].resumed, i ? 1 : 0, `connection ${i + 1}`);
			assertEvidence(results[0], seen[0]);
			assertSecured(record);
		}
		const counts = (await s.world.counts()).hosts[`mx.${domain}`];
		assert.equal(counts.tls, 3);
		assert.equal(counts.tls_resumed, 2);
		assert.equal(counts.plaintext, 0);
	});
}

rows.add("a session is resumed at its own host only", "own-sessions.test", (domain, d) => {
	for (const n of [1, 2]) d.mail(`d${n}.${domain}`, KNOWN, { persona: "tls" });
}, async (ask) => {
	for (const n of [1, 2]) {
		const { results: [result], record } = await ask([`zq-known1@d${n}.own-sessions.test`]);
		assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		const [tls] = record.of("tls");
		assert.equal(tls.resumed, 0);
		assert.equal(tls.sni, `mx.d${n}.own-sessions.test`);
	}
});

rows.add("nothing to resume: a handshake each", "no-tickets.test", host({ persona: "tls", tls_tickets: false }), async (ask) => {
	for (const local of ["zq-known1", "zq-known2"]) {
		const { results: [result], record } = await ask([local]);
		assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		assert.deepEqual(record.of("tls").map((e) => e.resumed), [0]);
		assert.equal(record.of("tls_failed").length, 0);
	}
});

rows.add("STARTTLS answered 454: on in clear", "unavailable.test", host({ persona: "tls", faults: [{ phase: "starttls", reply: "454 4.7.0 TLS not available due to temporary reason" }] }),
	async (ask) => {
		const { results, record } = await ask(BOTH);
		assert.deepEqual(words(results), NORMAL);
		assert.ok(record.connects().length <= 2);
		assert.deepEqual(record.of("plaintext"), []);
	});

rows.add("what was offered in clear does not count: PIPELINING", "unoffered.test", host({ persona: "tls", pipelining: false, faults: [{ phase: "ehlo", over: "clear", reply: ["250-$host", "250-PIPELINING", "250 STARTTLS"] }] }),
	async (ask) => {
		const { results, record } = await ask(["zq-known1", "zq-known2", "zq-nobody1"]);
		assert.deepEqual(words(results), [NORMAL[0], ...NORMAL]);
		const secured = record.lines().filter((l) => l.tls);
		assert.ok(secured.length > 4);
		assert.equal(new Set(secured.map((l) => `${l.conn}/${l.round_trip}`)).size, secured.length, "one command a round trip");
	});
rows.add("what is offered only in TLS counts: SMTPUTF8", "tls-utf8.test", (domain, d) => d.mail(domain, ["zq-known-jörg"], {
	persona: "tls", smtputf8: true, faults: [{ phase: "ehlo", over: "clear", reply: ["250-$host", "250 STARTTLS"] }],
}), async (ask) => {
	const { results: [result], record } = await ask(["zq-known-jörg"]);
	assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	assert.match(record.lines({ verb: "MAIL" })[0].arg, /SMTPUTF8/);
});

// --- certificates are recorded, not verified ---

for (const [persona, subject] of [["tls-other", /mail\.somebody-else\.example/], ["tls-expired", /mx\.tls-expired\.test/]]) {
	rows.add(`${persona}: accepted, and recorded`, `${persona}.test`, host({ persona }), async (ask) => {
		const { results, record } = await ask(BOTH);
		assert.deepEqual(words(results), NORMAL);
		assert.equal(record.connects().length, 1);
		const [tls] = record.of("tls");
		for (const r of results) assertEvidence(r, tls);
		assert.match(results[0].evidence.tls.certificate_subject.toString(), subject);
		assertSecured(record);
	});
}

// --- broken ---

const BROKEN = ["tls-fails", "tls-garbage", "tls-closes", "tls-silent", "tls-resets"];
for (const persona of BROKEN) {
	rows.add(`${persona}: one reconnect in clear, and the verdict of an ordinary server`, `${persona}.test`, host({ persona }), async (ask) => {
		const { results, record } = await ask(BOTH);
		assert.deepEqual(words(results), NORMAL);
		const all = verbsOf(record);
		assert.equal(all.length, 2, JSON.stringify(all));
		assert.equal(record.of("tls_failed").length, 1);
		assert.deepEqual(all[0].slice(0, 2), ["EHLO", "STARTTLS"]);
		assert.ok(!all[0].includes("MAIL") && !all[0].includes("RCPT"), `nothing was asked where TLS had failed: ${all[0]}`);
		assert.ok(!all[1].includes("STARTTLS"), `in clear: ${all[1]}`);
		for (const r of results) assert.equal(r.evidence.tls, null);
	});
	rows.add(`${persona}, and TLS required`, `${persona}-required.test`, host({ persona, tls: "required" }), async (ask) => {
		const { results, record } = await ask(BOTH);
		assert.deepEqual(words(results), Array(2).fill("UNKNOWN TLS_FAILED"));
		assert.ok(record.connects().length <= 2, `one reconnect: ${JSON.stringify(verbsOf(record))}`);
		assert.equal(record.verbs().filter((verb) => verb === "STARTTLS").length, 1);
		assert.equal(record.of("reply", { verb: "RCPT" }).filter((e) => /^[25]50/.test(e.text)).length, 0);
	});
}

// Whether TLS 1.0 is still spoken is left to the library and its configuration; what was spoken must agree with the verdict.
for (const required of [false, true]) {
	rows.add(`TLS 1.0 only${required ? ", and required" : ""}`, `old${required ? "-required" : ""}.test`, host({ persona: "tls-old", ...(required && { tls: "required" }) }), async (ask) => {
		const { results, record } = await ask(BOTH);
		const spoken = record.of("tls").length > 0;
		assert.deepEqual(words(results), required && !spoken ? Array(2).fill("UNKNOWN TLS_FAILED") : NORMAL);
		assert.ok(record.connects().length <= 2);
		if (spoken) assert.equal(results[0].evidence.tls.version, "TLSv1");
		else assert.equal(record.of("tls_failed").length, 1);
	});
}

rows.add("TLS broken at one host: its verdict, in clear; the next host is not asked for that", "broken-first.test", (domain, d) =>
	d.mailHosts(domain, KNOWN, { [`mx1.${domain}`]: { persona: "tls-fails" }, [`mx2.${domain}`]: { persona: "accept-all" } }), async (ask, domain) => {
	const { results, record } = await ask(BOTH);
	assert.deepEqual(words(results), NORMAL);
	assert.deepEqual(record.hosts(), [`mx1.${domain}`, `mx1.${domain}`]);
});

rows.add("lost in the middle of TLS: the rest in the next connection, in TLS again", "lost-in-tls.test", host({ persona: "tls", faults: [{ phase: "rcpt", nth: 2, then: "close", connections: 1 }] }),
	async (ask) => {
		const { results, record } = await ask(["zq-known1", "zq-known2", "zq-nobody1"]);
		assert.deepEqual(words(results), [NORMAL[0], ...NORMAL]);
		assert.equal(record.of("tls").length, 2);
		assertSecured(record);
	});

rows.add("a handshake that drips is given no longer than a reply", "tls-drips.test", host({ persona: "tls", drip_ms: 10 }), async (ask) => {
	const { results, record } = await ask(BOTH);
	assert.deepEqual(words(results), NORMAL);
	assert.equal(record.of("tls").length, 0);
	assert.deepEqual(verbsOf(record).map((verbs) => verbs.includes("STARTTLS")), [true, false]);
});
rows.add("broken TLS at a host with much to ask: found out once a connection, and remembered", "tls-fails-many.test", host({ persona: "tls-fails" }), async (ask) => {
	const { results, record } = await ask(Array.from({ length: 60 }, (_, i) => `zq-known${i}`));
	for (const r of results) assertVerdict(r, "DELIVERABLE", "ACCEPTED");
	const starts = verbsOf(record).filter((verbs) => verbs.includes("STARTTLS")).length;
	assert.ok(starts >= 1 && starts <= 2, `${starts} handshakes; two connections at once are allowed`);
});

// Once TLS stands it stays: who breaks off then is asked again in TLS, never in clear.
for (const phase of ["mail", "rcpt"]) {
	for (const then of ["close", "reset", "silent"]) {
		rows.add(`${then} at ${phase} in TLS: no other connection is in clear`, `tls-${then}-${phase}.test`, host({ persona: "tls", faults: [{ phase, then, over: "tls" }] }), async (ask) => {
			const { results, record } = await ask(BOTH);
			assert.deepEqual(words(results), Array(2).fill(`UNKNOWN ${then === "silent" ? "TIMEOUT" : "TEMPORARY_FAILURE"}`));
			assert.equal(record.connects().length, 3);
			assert.equal(record.of("tls").length, 3);
			assertSecured(record);
		});
	}
}

// What servers do in clear they do in TLS, and it comes to the same.
for (const [persona, options] of [
	["tarpit", { reply_delay_ms: 50, unknown_delay_ms: 200 }], ["late-banner", { banner_delay_ms: 300 }], ["bare-lf", {}],
	["hangs-after-quit", {}], ["no-pipelining", {}], ["breaks-pipelining", {}], ["closes", { phase: "quit" }], ["resets", { phase: "quit" }], ["binary", { only: ["zq-known*"] }],
]) {
	rows.add(`in TLS as in clear: ${persona} ${options.phase ?? ""}`, `secured-${persona}.test`, host({ persona, tls: "offered", ...options }), async (ask) => {
		const { results, record } = await ask(BOTH);
		assert.deepEqual(words(results), NORMAL);
		assert.equal(record.of("tls").length, record.connects().length);
		assertSecured(record);
	});
}
for (const [persona, options, expected] of [
	["long-lines", {}, null], ["endless-reply", { phase: "rcpt", reply: "250-2.1.5 Ok", every_ms: 5 }, null], ["code-999", {}, "UNKNOWN PROTOCOL_ERROR"], ["code-3yz", {}, "UNKNOWN PROTOCOL_ERROR"],
	["hangup", {}, "UNKNOWN TEMPORARY_FAILURE"], ["speaks-ahead", { phase: "ehlo" }, null], ["speaks-ahead", { phase: "mail" }, null], ["junk", {}, null], ["tempfail", {}, "UNKNOWN TEMPORARY_FAILURE"],
	["lists-us", { phase: "rcpt" }, "UNKNOWN SOURCE_REFUSED"], ["mixed-codes", {}, null],
]) {
	rows.add(`in TLS as in clear: ${persona} ${options.phase ?? ""}`, `secured2-${persona}-${options.phase ?? "x"}.test`, host({ persona, tls: "offered", ...options }), async (ask) => {
		const { results, record } = await ask(BOTH);
		if (expected) assert.deepEqual(words(results), [expected, expected]);
		else if (persona === "mixed-codes") assert.deepEqual(words(results), [NORMAL[1], NORMAL[1]]);
		else assertNeverWrong(results);
		assertSecured(record);
	});
}

// --- plaintext behind the 220 ---

const INJECTED = {
	"the default": undefined,
	"a recipient's answer": "550 5.1.1 <$rcpt>: User unknown INJECTED",
	"EHLO's answer and more": ["250-injected.example INJECTED", "250 PIPELINING", "250 2.1.0 INJECTED", "250 2.1.5 INJECTED", "550 5.1.1 INJECTED"],
};
Object.entries(INJECTED).forEach(([kind, text], i) => {
	for (const required of [false, true]) {
		const options = { persona: "tls-injects", ...(text && { tls_inject: text }), ...(required && { tls: "required" }) };
		rows.add(`plaintext injected with the 220 (${kind}${required ? ", TLS required" : ""}): TLS_FAILED and no further connection`, `injects${i}${required ? "-required" : ""}.test`,
			host(options), async (ask) => {
				const { results, record } = await ask(["zq-known1", "zq-known2", "zq-nobody1"]);
				assert.deepEqual(words(results), Array(3).fill("UNKNOWN TLS_FAILED"));
				const all = verbsOf(record);
				assert.deepEqual(all.map((verbs) => verbs.slice(0, 2)), [["EHLO", "STARTTLS"]], "one connection");
				assert.equal(record.rcpts().length, 0);
				for (const r of results) {
					assert.equal(r.evidence.phase, "TLS");
					assert.equal(r.evidence.code, 0, "no reply is the reason");
					assert.ok(!r.evidence.text.includes("INJECTED"));
					assert.equal(r.evidence.tls, null);
				}
			});
	}
});

{
	// In a segment of its own the plaintext races with our first handshake message. What came before that is an injection; behind
	// it, it is a handshake that fails, and like every other: one reconnect in clear. It is never an answer.
	const d = new Description();
	const domains = Array.from({ length: 24 }, (_, i) => `hand${i}.test`);
	const at = domains.map((domain) => {
		const address = loopback();
		d.name(`mx.${domain}`, { addresses: [address] });
		d.domain(domain, { mx: `mx.${domain}` });
		return address;
	});
	// Something for the world to listen on.
	d.mail("other.test");
	scenarioTest("plaintext injected in segments of its own just after the 220, sooner or later: never an answer", d, async (s) => {
		const servers = await Promise.all(at.map((address, i) => listen(address, s.world.smtpPort, (peer, n) => serve(peer, {
			ehlo: ["250-hand.test", "250-PIPELINING", "250 STARTTLS"],
			on: async (verb) => {
				if (verb !== "STARTTLS") return false;
				await peer.write("220 2.0.0 Ready\r\n");
				if (i % 4 === 1) await new Promise(setImmediate);
				if (i % 4 === 2) await sleep(i % 3);
				if (i % 4 === 3) await peer.bytes(); // the handshake's first message
				for (const line of ["250-INJECTED", "250 PIPELINING", "250 INJECTED", "250 INJECTED", "550 5.1.1 INJECTED"]) {
					await peer.write(`${line}\r\n`);
					await new Promise(setImmediate);
				}
				// A proxy that injects knows no key: nothing that is sent now is understood. Read until the other side goes.
				while (await peer.bytes());
				return true;
			},
		}))));
		try {
			const results = (await s.client.verify(domains.map((domain) => `zq-known1@${domain}`))).list;
			results.forEach((result, i) => {
				const seen = servers[i].connections;
				assert.ok(!result.evidence.text.includes("INJECTED"), JSON.stringify(result.evidence));
				assert.equal(result.evidence.tls, null);
				assert.ok(!seen[0].lines.some((line) => /^(MAIL|RCPT)/.test(line)), `${seen[0].lines}`);
				if (seen.length === 1) {
					assertVerdict(result, "UNKNOWN", "TLS_FAILED");
				} else {
					assert.equal(seen.length, 2);
					assert.ok(!seen[1].lines.includes("STARTTLS"));
					assertVerdict(result, "DELIVERABLE", "ACCEPTED");
				}
				// It had begun its handshake: what came then cannot be known from any other garbage.
				if (i % 4 === 3) assert.equal(seen.length, 2);
			});
		} finally {
			await Promise.all(servers.map((server) => server.close()));
		}
	}, { config: { timeouts: TIMEOUTS } });
}

rows.add("plaintext injected at a host with much to ask: TLS_FAILED for all, on the connections that were under way", "injects-many.test", host({ persona: "tls-injects" }), async (ask) => {
	const { results, record } = await ask(Array.from({ length: 60 }, (_, i) => `zq-known${i}`));
	for (const r of results) assertVerdict(r, "UNKNOWN", "TLS_FAILED");
	assert.ok(record.connects().length <= 2, `${record.connects().length} connections`);
	assert.equal(record.rcpts().length, 0);
});
rows.add("after an injection the next question begins anew", "injects-again.test", host({ persona: "tls-injects" }), async (ask) => {
	for (const local of ["zq-known1", "zq-known2"]) {
		const { results: [result], record } = await ask([local]);
		assertVerdict(result, "UNKNOWN", "TLS_FAILED");
		assert.equal(record.connects().length, 1, "not in clear, then or later");
		assert.ok(record.verbs().includes("STARTTLS"));
	}
});

// --- probe.tls ---

function policy(tls, fn, hosts) {
	const d = new Description();
	for (const [domain, options] of Object.entries(hosts)) d.mail(domain, KNOWN, options);
	scenarioTest(`probe.tls: ${tls}`, d, async (s) => {
		const ask = async (domain) => {
			const mark = await s.world.mark();
			const results = (await s.client.verify(BOTH.map((local) => `${local}@${domain}`))).list;
			return { results, record: await s.world.settled(mark) };
		};
		await fn(ask, s);
		assertOnlyTheEight(await s.world.record());
	}, { config: { timeouts: TIMEOUTS, probe: { tls } }, timeout: 120000 });
}

policy("when-required", async (ask) => {
	const offered = await ask("offered2.test");
	assert.deepEqual(words(offered.results), NORMAL);
	assert.ok(!offered.record.verbs().includes("STARTTLS"), "not where it is only offered");
	assert.equal(offered.results[0].evidence.tls, null);

	const { results, record } = await ask("required2.test");
	assert.deepEqual(words(results), NORMAL);
	const demanded = record.of("reply").find((e) => e.text.startsWith("530"));
	const secured = record.lines({ verb: "STARTTLS" });
	assert.ok(demanded, "it was demanded");
	assert.equal(secured.length, 1);
	assert.ok(secured[0].seq > demanded.seq, "and only then done");
	assert.ok(record.connects().length <= 2);
	assertSecured(record);
	for (const r of results) assertEvidence(r, record.of("tls")[0]);

	for (const persona of BROKEN) {
		const broken = await ask(`${persona}2.test`);
		assert.deepEqual(words(broken.results), NORMAL, persona);
		assert.ok(!broken.record.verbs().includes("STARTTLS"));
		const both = await ask(`${persona}3.test`);
		assert.deepEqual(words(both.results), Array(2).fill("UNKNOWN TLS_FAILED"), persona);
	}
	const injected = await ask("injects3.test");
	assert.deepEqual(words(injected.results), Array(2).fill("UNKNOWN TLS_FAILED"));
	assert.equal(injected.record.lines({ verb: "STARTTLS" }).length, 1);
	assert.ok(!injected.record.rcpts().some((r) => r.seq > injected.record.lines({ verb: "STARTTLS" })[0].seq), "nobody was asked behind it");
}, {
	"offered2.test": { persona: "tls" }, "required2.test": { persona: "tls-required" }, "injects3.test": { persona: "tls-injects", tls: "required" },
	...Object.fromEntries(BROKEN.flatMap((persona) => [[`${persona}2.test`, { persona }], [`${persona}3.test`, { persona, tls: "required" }]])),
});

policy("never", async (ask) => {
	const offered = await ask("offered4.test");
	assert.deepEqual(words(offered.results), NORMAL);
	const { results, record } = await ask("required4.test");
	assert.deepEqual(words(results), Array(2).fill("UNKNOWN TLS_FAILED"));
	assert.ok(record.of("reply").some((e) => e.text.startsWith("530")));
	for (const seen of [offered.record, record]) assert.ok(!seen.verbs().includes("STARTTLS"));
}, { "offered4.test": { persona: "tls" }, "required4.test": { persona: "tls-required" } });

rows.add("opportunistic, and TLS required: no 530 is ever seen", "required.test", host({ persona: "tls-required" }), async (ask) => {
	const { results, record } = await ask(BOTH);
	assert.deepEqual(words(results), NORMAL);
	assert.equal(record.connects().length, 1);
	assert.ok(!record.of("reply").some((e) => e.text.startsWith("530")));
	assertSecured(record);
});

rows.add("STARTTLS is demanded and not offered: TLS_FAILED", "demanded.test", host({ faults: [{ phase: "mail", reply: "530 5.7.0 Must issue a STARTTLS command first" }] }), async (ask) => {
	const { results, record } = await ask(BOTH);
	assert.deepEqual(words(results), Array(2).fill("UNKNOWN TLS_FAILED"));
	assert.ok(!record.verbs().includes("STARTTLS"));
});
rows.add("STARTTLS is demanded in TLS: that cannot be had", "demanded-again.test", host({ persona: "tls", faults: [{ phase: "mail", reply: "530 5.7.0 Must issue a STARTTLS command first" }] }), async (ask) => {
	const { results, record } = await ask(BOTH);
	assertNeverWrong(results);
	assert.deepEqual(words(results), Array(2).fill("UNKNOWN TLS_FAILED"));
	assert.ok(record.connects().length <= 2);
});

rows.theEnd();
