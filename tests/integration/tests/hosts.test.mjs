// Which host answers: each row of the table that needs no stop, no TLS and no later retry, on the farm's view.
import assert from "node:assert/strict";
import net from "node:net";
import { before, after } from "node:test";
import { Scenario, assertOnlyTheEight, assertVerdict, scenarioTest, test } from "../lib/scenario.mjs";
import { Description, isRandomControl, loopback } from "../lib/world.mjs";

// Before any test is declared: they start at the first pause of the module.
const hasIpv6 = await new Promise((resolve) => {
	const server = net.createServer().on("error", () => resolve(false));
	server.listen(0, "::1", () => server.close(() => resolve(true)));
});
const TIMEOUTS = { connect: "1s", banner: "1s", reply: "1s", session: "20s" };
const d = new Description();
let s;
before(async () => {
	s = await Scenario.start(d, { timeouts: TIMEOUTS, probe: { allow_networks: ["127.0.0.0/8", "2001:db8::/32"] } });
});
after(() => s.close());

/** Adds a world's part now, and a test that runs on it: fn(ask) with ask(locals) → {results, record}. */
function row(name, domain, describe, fn, options) {
	describe(domain);
	test(name, options ?? {}, async () => {
		const ask = async (locals, askOptions) => {
			const mark = await s.world.mark();
			const results = await s.client.verify(locals.map((l) => `${l}@${domain}`), askOptions);
			const all = await s.world.settled(mark);
			return { results: results.list, record: all };
		};
		await fn(ask, domain);
	});
}
/** mx1 as given, then mx2 that is normal and knows zq-known*. */
const twoHosts = (first, second = {}) => (domain) =>
	d.mailHosts(domain, ["zq-known*"], { [`mx1.${domain}`]: first, [`mx2.${domain}`]: second });
const words = (results) => results.map((r) => `${r.verdict} ${r.reason}`);

// --- before MAIL: next address, next host ---

row("connection refused: the next address of the host", "refused-address.test", (domain) => {
	const dead = d.host(`dead.${domain}`, { dead: true });
	const live = d.host(`live.${domain}`);
	d.name(`mx.${domain}`, { addresses: [dead, live] });
	d.domain(domain, { mx: `mx.${domain}`, mailboxes: ["zq-known*"] });
}, async (ask, domain) => {
	const { results: [result], record } = await ask(["zq-known1"]);
	assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	assert.equal(result.evidence.mail_host, `mx.${domain}`);
	assert.deepEqual(record.hosts(), [`live.${domain}`]);
});

row("connection refused: the next host", "refused-host.test", twoHosts({ dead: true }), async (ask, domain) => {
	const { results: [result], record } = await ask(["zq-known1"]);
	assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	assert.equal(result.evidence.mail_host, `mx2.${domain}`);
	assert.deepEqual(record.hosts(), [`mx2.${domain}`]);
});

const GREETINGS = { 421: "421 4.3.2 Service not available", "4yz": "450 4.3.0 Try again later", "bare 5yz": "550 Sorry" };
for (const [kind, reply] of Object.entries(GREETINGS)) {
	row(`${kind} greeting: the next host`, `greeting-${kind.replace(" ", "")}.test`.toLowerCase(), twoHosts({ faults: [{ phase: "banner", reply }] }),
		async (ask, domain) => {
			const { results: [result], record } = await ask(["zq-known1"]);
			assertVerdict(result, "DELIVERABLE", "ACCEPTED");
			assert.deepEqual(record.hosts().slice(0, 2), [`mx1.${domain}`, `mx2.${domain}`]);
			assert.equal(record.lines({ host: `mx1.${domain}`, verb: "MAIL" }).length, 0);
		});
}

row("every host greets with 421: a temporary failure", "greeting-all421.test",
	(domain) => twoHosts({ faults: [{ phase: "banner", reply: GREETINGS[421] }] }, { faults: [{ phase: "banner", reply: GREETINGS[421] }] })(domain),
	async (ask, domain) => {
		const { results: [result], record } = await ask(["zq-known1"]);
		assertVerdict(result, "UNKNOWN", "TEMPORARY_FAILURE");
		assert.deepEqual([...new Set(record.hosts())], [`mx1.${domain}`, `mx2.${domain}`]);
	});

row("every host greets with a bare 5yz: about us", "greeting-all5yz.test",
	(domain) => twoHosts({ faults: [{ phase: "banner", reply: "550 Sorry" }] }, { faults: [{ phase: "banner", reply: "550 Sorry" }] })(domain),
	async (ask) => {
		const { results: [result] } = await ask(["zq-known1"]);
		assertVerdict(result, "UNKNOWN", "SOURCE_REFUSED");
		assert.equal(result.evidence.phase, "BANNER");
	});

row("every host greets with 521: nobody takes mail", "greeting-521.test",
	(domain) => twoHosts({ faults: [{ phase: "banner", reply: "521 5.3.2 $host does not accept mail" }] }, { faults: [{ phase: "banner", reply: "521 5.3.2 $host does not accept mail" }] })(domain),
	async (ask, domain) => {
		const { results: [result], record } = await ask(["zq-known1"]);
		assertVerdict(result, "UNDELIVERABLE", "NO_MAIL_HOST");
		assert.deepEqual(new Set(record.hosts()), new Set([`mx1.${domain}`, `mx2.${domain}`]));
	});

row("521 from one host, the other's addresses unknown: not every host said so", "greeting-521-servfail.test", (domain) => {
	d.host(`mx1.${domain}`, { faults: [{ phase: "banner", reply: "521 5.3.2 $host does not accept mail" }] });
	d.name(`mx2.${domain}`, { servfail: ["A", "AAAA"] });
	d.domain(domain, { mx: [{ preference: 10, host: `mx1.${domain}` }, { preference: 20, host: `mx2.${domain}` }] });
}, async (ask) => {
	assertVerdict((await ask(["zq-known1"])).results[0], "UNKNOWN", "TEMPORARY_FAILURE");
});

row("EHLO and HELO both refused: the next host", "nohelo.test", twoHosts({ persona: "no-helo" }), async (ask, domain) => {
	const { results: [result], record } = await ask(["zq-known1"]);
	assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	assert.deepEqual(record.hosts().slice(0, 2), [`mx1.${domain}`, `mx2.${domain}`]);
	assert.deepEqual(record.verbs({ host: `mx1.${domain}` }).slice(0, 2), ["EHLO", "HELO"]);
	assert.equal(record.lines({ host: `mx1.${domain}`, verb: "MAIL" }).length, 0);
});

for (const [kind, fault] of [
	["closed at the greeting", { phase: "banner", then: "close" }], ["closed at EHLO", { phase: "ehlo", then: "close" }],
	["reset at EHLO", { phase: "ehlo", then: "reset" }], ["silent at EHLO", { phase: "ehlo", then: "silent" }],
]) {
	row(`lost before MAIL (${kind}): the next host`, `${kind.replaceAll(" ", "-").toLowerCase()}.test`, twoHosts({ faults: [fault] }), async (ask, domain) => {
		const { results: [result], record } = await ask(["zq-known1"]);
		assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		assert.deepEqual(record.hosts().slice(0, 2), [`mx1.${domain}`, `mx2.${domain}`]);
	});
}

// Were a reply too many taken for an answer, each recipient would get its neighbour's.
for (const [kind, fault] of Object.entries({
	"greets twice": { phase: "banner", reply: ["220 one", "220 two"] },
	"greets where EHLO's answer is owed": { phase: "ehlo", reply: "220 $host" },
})) {
	row(`a host that ${kind}: its replies answer nothing`, `${kind.replaceAll(/\W/g, "-").toLowerCase()}.test`, twoHosts({ faults: [fault] }), async (ask, domain) => {
		const { results, record } = await ask(["zq-known1", "zq-nobody"]);
		assertVerdict(results[0], "DELIVERABLE", "ACCEPTED");
		assertVerdict(results[1], "UNDELIVERABLE", "MAILBOX_UNKNOWN");
		for (const result of results) assert.equal(result.evidence.mail_host, `mx2.${domain}`);
		assert.equal(record.rcpts({ host: `mx1.${domain}` }).length, 0);
	});
}
row("a host that answers EHLO twice: as when it is lost after MAIL", "answers-twice.test", twoHosts({ faults: [{ phase: "ehlo", reply: ["250 $host", "250 $host"] }] }),
	async (ask, domain) => {
		const { results, record } = await ask(["zq-known1", "zq-nobody"]);
		assert.deepEqual(words(results), Array(2).fill("UNKNOWN PROTOCOL_ERROR"));
		assert.deepEqual(record.hosts(), Array(3).fill(`mx1.${domain}`));
		assert.equal(record.rcpts().length, 0);
	});

// --- refusals of us ---

const BLOCKED5 = "554 5.7.1 Service unavailable; Client host [$client] blocked using bl.example";
const BLOCKED4 = "450 4.7.1 Service unavailable; Client host [$client] blocked using bl.example, try again later";
const otherOperator = (phase, reply) => (domain) => d.mailHosts(domain, ["zq-known*"], {
	[`mx1.${domain}`]: { faults: [{ phase, reply }] }, [`mx2.${domain}`]: {}, [`mx.other-of-${domain}`]: {},
});

for (const phase of ["banner", "ehlo", "mail", "rcpt"]) {
	row(`5yz that names our address at ${phase}: no further host of that operator`, `named5-${phase}.test`, twoHosts({ faults: [{ phase, reply: BLOCKED5 }] }),
		async (ask, domain) => {
			const { results, record } = await ask(["zq-known1", "zq-known2", "zq-known3"]);
			assert.deepEqual(words(results), Array(3).fill("UNKNOWN SOURCE_REFUSED"));
			assert.deepEqual(record.hosts(), [`mx1.${domain}`]);
		});
}

row("5yz that names our address at the banner: another operator's host may be asked", "named5-other.test", otherOperator("banner", BLOCKED5),
	async (ask, domain) => {
		const { results: [result], record } = await ask(["zq-known1"]);
		assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		assert.deepEqual(record.hosts(), [`mx1.${domain}`, `mx.other-of-${domain}`]);
	});

for (const phase of ["banner", "ehlo", "mail", "rcpt"]) {
	row(`4yz that names our address at ${phase}: no further host now`, `named4-${phase}.test`, otherOperator(phase, BLOCKED4), async (ask, domain) => {
		const { results: [result], record } = await ask(["zq-known1"]);
		assertVerdict(result, "UNKNOWN", "SOURCE_REFUSED");
		assert.deepEqual(record.hosts(), [`mx1.${domain}`]);
	});
}

for (const [kind, reply] of [
	["550 about the sender", "550 5.7.1 <$sender>: Sender address rejected: Access denied"], ["bare 550", "550 Requested action not taken"],
	["bare 451", "451 Requested action aborted"],
]) {
	row(`MAIL refused (${kind}): about us, for all targets, no other host`, `mail-${kind.replaceAll(" ", "-")}.test`, otherOperator("mail", reply),
		async (ask, domain) => {
			const { results, record } = await ask(["zq-known1", "zq-known2", "zq-nobody"]);
			for (const result of results) {
				assert.equal(result.verdict, "UNKNOWN", JSON.stringify(result));
				assert.equal(result.evidence.phase, "MAIL");
				const expected = reply.startsWith("4") ? ["TEMPORARY_FAILURE"] : ["SOURCE_REFUSED", "IDENTITY_REFUSED"];
				assert.ok(expected.includes(result.reason), result.reason);
			}
			assert.equal(new Set(words(results)).size, 1);
			assert.deepEqual([...new Set(record.hosts())], [`mx1.${domain}`]);
		});
}

// --- pipelining that breaks ---

const isLockstep = (record, conn) => {
	const lines = record.lines({ conn });
	return new Set(lines.map((l) => l.round_trip)).size === lines.length;
};
async function lockstepIsRemembered(scenario, domain, restart) {
	const host = `mx.${domain}`;
	const ask = async (local) => {
		const mark = await scenario.world.mark();
		const result = await scenario.client.verifyOne(`${local}@${domain}`);
		return { result, record: await scenario.world.settled(mark) };
	};
	const first = await ask("zq-known1");
	assertVerdict(first.result, "DELIVERABLE", "ACCEPTED");
	assert.ok(first.record.of("reply", { host }).some((e) => e.text.startsWith("503")), "it was pipelined at first");
	if (restart) await scenario.rcptd.restart();
	const second = await ask("zq-known2");
	assertVerdict(second.result, "DELIVERABLE", "ACCEPTED");
	const conns = second.record.connects(host).map((e) => e.conn);
	assert.equal(conns.length, 1);
	assert.ok(isLockstep(second.record, conns[0]), JSON.stringify(second.record.lines({ host })));
	assert.ok(!second.record.of("reply", { host }).some((e) => e.text.startsWith("503")));
	const unknown = await ask("zq-nobody");
	assertVerdict(unknown.result, "UNDELIVERABLE", "MAILBOX_UNKNOWN");
}
d.mail("breaks.test", ["zq-known*"], { persona: "breaks-pipelining" });
test("503 to a pipelined command: once more in lockstep, which is remembered for the host", () => lockstepIsRemembered(s, "breaks.test", false));
{
	const own = new Description();
	own.mail("breaks-restart.test", ["zq-known*"], { persona: "breaks-pipelining" });
	scenarioTest("503 to a pipelined command: lockstep is remembered over a restart", own, (sc) => lockstepIsRemembered(sc, "breaks-restart.test", true));
}
for (const code of [500, 501, 502, 504]) {
	row(`${code} to a pipelined command whose words match no rule: once more in lockstep`, `breaks-${code}.test`,
		(domain) => d.mail(domain, ["zq-known*"], { persona: "breaks-pipelining", early_reply: `${code} 5.5.1 Hm` }),
		async (ask) => {
			const { results } = await ask(["zq-known1", "zq-nobody"]);
			assert.deepEqual(words(results), ["DELIVERABLE ACCEPTED", "UNDELIVERABLE MAILBOX_UNKNOWN"]);
		});
}

// --- RCPT ---

row("RCPT 5yz stands: no other host is asked", "rcpt5.test", twoHosts({}, { persona: "accept-all" }), async (ask, domain) => {
	const { results: [result], record } = await ask(["zq-nobody"]);
	assertVerdict(result, "UNDELIVERABLE", "MAILBOX_UNKNOWN");
	assert.deepEqual(record.hosts(), [`mx1.${domain}`]);
});

row("RCPT 4yz is not taken to the next host", "rcpt4.test", twoHosts({ persona: "tempfail" }, { persona: "accept-all" }), async (ask, domain) => {
	const { results, record } = await ask(["zq-known1", "zq-nobody"]);
	assert.deepEqual(words(results), Array(2).fill("UNKNOWN TEMPORARY_FAILURE"));
	assert.deepEqual([...new Set(record.hosts())], [`mx1.${domain}`]);
});

row("greylisting is not taken to the next host", "rcptgrey.test", twoHosts({ persona: "greylist" }, { persona: "accept-all" }), async (ask, domain) => {
	const { results: [result], record } = await ask(["zq-known1"]);
	assertVerdict(result, "UNKNOWN", "GREYLISTED");
	assert.deepEqual([...new Set(record.hosts())], [`mx1.${domain}`]);
});

// --- lost after MAIL ---

const tenUnknown = Array.from({ length: 10 }, (_, i) => `zq-nobody${i}`);
for (const [kind, fault, reason] of [
	["421", { reply: "421 4.3.2 $host closing", then: "close" }, "TEMPORARY_FAILURE"], ["closed", { then: "close" }, "TEMPORARY_FAILURE"],
	["reset", { then: "reset" }, "TEMPORARY_FAILURE"], ["silent", { then: "silent" }, "TIMEOUT"],
]) {
	row(`${kind} at the third RCPT of each connection: answers stand, at most two more sessions`, `after-mail-${kind}.test`,
		(domain) => otherOperatorWith(domain, { faults: [{ phase: "rcpt", nth: 3, ...fault }] }),
		async (ask, domain) => {
			const { results, record } = await ask(tenUnknown);
			const answered = results.filter((r) => r.reason === "MAILBOX_UNKNOWN");
			const rest = results.filter((r) => r.reason !== "MAILBOX_UNKNOWN");
			assert.equal(record.connects().length, 3, "one session and two more");
			assert.deepEqual([...new Set(record.hosts())], [`mx1.${domain}`]);
			// A reset may overtake the answers that were written before it.
			if (kind !== "reset") assert.equal(answered.length, 6, JSON.stringify(words(results)));
			for (const r of rest) assertVerdict(r, "UNKNOWN", reason);
			// What was answered was not asked again.
			for (const r of answered) assert.equal(record.rcpts().filter((line) => `${line.local}@${domain}` === r.address && wasAnswered(record, line)).length, 1);
		});
	row(`${kind} at the third RCPT of the first connection: the rest in the next`, `after-mail-once-${kind}.test`,
		(domain) => d.mail(domain, ["zq-known*"], { faults: [{ phase: "rcpt", nth: 3, connections: 1, ...fault }] }),
		async (ask) => {
			const { results, record } = await ask(["zq-known1", "zq-known2", "zq-known3", "zq-known4", "zq-known5", "zq-nobody"]);
			const temporary = results.filter((r) => r.verdict === "UNKNOWN");
			// A 421 is its own recipient's answer; whoever got none is asked again.
			assert.equal(temporary.length, kind === "421" ? 1 : 0, JSON.stringify(words(results)));
			for (const r of results) if (r.verdict !== "UNKNOWN") assertVerdict(r, ...(r.address.startsWith("zq-known") ? ["DELIVERABLE", "ACCEPTED"] : ["UNDELIVERABLE", "MAILBOX_UNKNOWN"]));
			assert.equal(record.connects().length, 2);
		});
}
function otherOperatorWith(domain, first) {
	d.mailHosts(domain, ["zq-known*"], { [`mx1.${domain}`]: first, [`mx.other-of-${domain}`]: { persona: "accept-all" } });
}
/** Was this RCPT's line answered with 550? Replies come in the order of the commands. */
function wasAnswered(record, line) {
	const lines = record.lines({ conn: line.conn }).filter((l) => l.verb === "RCPT");
	const replies = record.of("reply", { conn: line.conn, verb: "RCPT" });
	return replies[lines.findIndex((l) => l.seq === line.seq)]?.text.startsWith("550") ?? false;
}

// --- "too many recipients" ---

for (const pipelining of [true, false]) {
	row(`too many recipients at the first RCPT of one session and of the next (pipelining ${pipelining}): nobody is asked on and on`, `crowded-${pipelining}.test`,
		(domain) => d.mail(domain, ["zq-known*"], { pipelining, faults: [{ phase: "rcpt", reply: "452 4.5.3 Too many recipients" }] }),
		async (ask) => {
			const { results, record } = await ask(Array.from({ length: 30 }, (_, i) => `zq-known${i}`));
			assert.deepEqual(words(results), Array(30).fill("UNKNOWN TEMPORARY_FAILURE"));
			assert.equal(record.connects().length, 2);
		});
}
row("too many recipients at the second RCPT: the rest in further transactions of as many as were taken", "crowded-two.test",
	(domain) => d.mail(domain, ["zq-known*"], { pipelining: false, faults: [{ phase: "rcpt", nth: 2, reply: "452 4.5.3 Too many recipients" }] }),
	async (ask) => {
		const { results, record } = await ask(Array.from({ length: 6 }, (_, i) => `zq-known${i}`));
		assert.deepEqual(words(results), Array(6).fill("DELIVERABLE ACCEPTED"));
		assert.equal(record.connects().length, 1);
		assert.equal(record.lines({ verb: "MAIL" }).length, 7, "one for each target and the control");
	});

// --- SMTPUTF8 ---

row("SMTPUTF8 needed and not offered: the next host, for that address only", "utf8-next.test", twoHosts({ mailboxes: ["zq-jörg"] }, { smtputf8: true, mailboxes: ["zq-jörg"] }),
	async (ask, domain) => {
		const { results, record } = await ask(["zq-jörg", "zq-known1"]);
		assert.deepEqual(words(results), Array(2).fill("DELIVERABLE ACCEPTED"));
		assert.equal(results[0].evidence.mail_host, `mx2.${domain}`);
		assert.equal(results[1].evidence.mail_host, `mx1.${domain}`);
		assert.ok(!record.locals({ host: `mx1.${domain}` }).includes("zq-jörg"), "it is not even asked where it cannot be");
		assert.ok(record.locals({ host: `mx2.${domain}` }).includes("zq-jörg"));
		assert.ok(!record.locals({ host: `mx2.${domain}` }).includes("zq-known1"));
	});

row("SMTPUTF8 needed and offered by none", "utf8-none.test", twoHosts({}, {}), async (ask, domain) => {
	const { results: [result], record } = await ask(["zq-jörg"]);
	assertVerdict(result, "UNDELIVERABLE", "SMTPUTF8_UNSUPPORTED");
	assert.deepEqual([...new Set(record.hosts())].sort(), [`mx1.${domain}`, `mx2.${domain}`]);
	assert.deepEqual(record.rcpts(), []);
});

row("SMTPUTF8 needed, one host without it and one that cannot be reached: it is not told", "utf8-down.test", twoHosts({}, { dead: true }), async (ask) => {
	const { results: [result] } = await ask(["zq-jörg"]);
	assert.equal(result.verdict, "UNKNOWN", JSON.stringify(result));
});

// --- quarrels that are about the protocol ---

for (const [kind, reply] of [["RSET answered 550 too many nonmail commands", "550 5.5.0 Error: too many nonmail commands"],
	["RSET answered 421 too many nonmail commands", "421 4.7.0 Error: too many nonmail commands"]]) {
	row(`${kind}: no refusal of us, the rest in a new session`, `rset-${reply.slice(0, 3)}.test`,
		(domain) => d.mail(domain, ["zq-known*"], { faults: [{ phase: "rset", reply }] }),
		async (ask) => {
			const { results, record } = await ask(Array.from({ length: 13 }, (_, i) => `zq-known${i}`));
			assert.deepEqual(words(results), Array(13).fill("DELIVERABLE ACCEPTED"));
			const rset = record.lines({ verb: "RSET" });
			assert.ok(rset.length >= 1, "a transaction holds ten recipients, then comes RSET");
			assert.ok(record.connects().length >= 2);
			// What was written together with it is refused unheard; then comes nothing but QUIT.
			for (const line of rset)
				assert.equal(record.rcpts({ conn: line.conn }).filter((r) => r.round_trip > line.round_trip).length, 0, "nobody is asked after it");
		});
}

row("synchronization error: no refusal of us, the rest in a new session at the same host", "sync.test",
	twoHosts({ faults: [{ phase: "mail", reply: "554 SMTP synchronization error", then: "close", connections: 1 }] }, {}),
	async (ask, domain) => {
		const { results, record } = await ask(["zq-known1", "zq-nobody"]);
		assert.deepEqual(words(results), ["DELIVERABLE ACCEPTED", "UNDELIVERABLE MAILBOX_UNKNOWN"]);
		assert.deepEqual(record.hosts(), [`mx1.${domain}`, `mx1.${domain}`]);
	});

// --- DNS ---

const website = (domain) => d.host(`www.${domain}`, { serves: ["*"], persona: "accept-all" });
const noMx = (domain, trouble) => d.domain(domain, { ...trouble, addresses: [website(domain)] });
const noAddress = (domain, trouble) => {
	d.name(`mx.${domain}`, trouble);
	d.domain(domain, { mx: `mx.${domain}`, addresses: [website(domain)] });
};
async function dnsFailure(domain) {
	const mark = await s.world.mark();
	assertVerdict(await s.client.verifyOne(`zq-known1@${domain}`, { ms: 50000 }), "UNKNOWN", "DNS_FAILURE");
	const hosts = (await s.world.settled(mark)).hosts();
	assert.ok(!hosts.includes(`www.${domain}`), "the domain's own address is not asked");
}
noMx("mx-servfail.test", { servfail: ["MX"] });
test("SERVFAIL to the MX query: never the domain's own address", () => dnsFailure("mx-servfail.test"));
noAddress("a-servfail.test", { servfail: ["A", "AAAA"] });
test("SERVFAIL to the mail host's address queries", () => dnsFailure("a-servfail.test"));
noMx("mx-silent.test", { drop: ["MX"] });
noAddress("a-silent.test", { drop: ["A", "AAAA"] });
test("no answer to the MX query, or to the mail host's address queries", () =>
	Promise.all(["mx-silent.test", "a-silent.test"].map(dnsFailure)));

row("mail hosts without addresses", "mx-empty.test", (domain) => {
	d.name(`mx.${domain}`, { txt: ["nothing here"] });
	d.domain(domain, { mx: `mx.${domain}` });
}, async (ask) => {
	assertVerdict((await ask(["zq-known1"])).results[0], "UNDELIVERABLE", "NO_MAIL_HOST");
});

row("a CNAME as mail host is followed", "cname-host.test", (domain) => {
	d.host(`real.${domain}`);
	d.name(`two.${domain}`, { cname: `real.${domain}` });
	d.name(`mx.${domain}`, { cname: `two.${domain}` });
	d.domain(domain, { mx: `mx.${domain}`, mailboxes: ["zq-known*"] });
}, async (ask, domain) => {
	const { results: [result], record } = await ask(["zq-known1"]);
	assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	assert.deepEqual(record.hosts(), [`real.${domain}`]);
});

row("a CNAME as domain is followed", "cname-domain.test", (domain) => {
	d.mail(`real-of-${domain}`, [], { mailboxes: ["zq-known*"], serves: ["*"] });
	d.domain(domain, { cname: `real-of-${domain}` });
}, async (ask) => {
	assertVerdict((await ask(["zq-known1"])).results[0], "DELIVERABLE", "ACCEPTED");
});

row("a CNAME that leads to itself", "cname-loop.test", (domain) => {
	d.name(`mx.${domain}`, { cname: `my.${domain}` });
	d.name(`my.${domain}`, { cname: `mx.${domain}` });
	d.domain(domain, { mx: `mx.${domain}` });
}, async (ask) => {
	assertVerdict((await ask(["zq-known1"])).results[0], "UNKNOWN", "DNS_FAILURE");
});

row("a null MX beside others is ignored", "null-beside.test", (domain) => {
	d.host(`mx.${domain}`);
	d.domain(domain, { mx: [{ preference: 0, host: "." }, { preference: 10, host: `mx.${domain}` }], mailboxes: ["zq-known*"] });
}, async (ask) => {
	assertVerdict((await ask(["zq-known1"])).results[0], "DELIVERABLE", "ACCEPTED");
});

row("only IPv6 hosts and no IPv6 source", "only-v6.test", (domain) => {
	d.host(`mx.${domain}`, { addresses: ["2001:db8::25"] });
	d.domain(domain, { mx: `mx.${domain}` });
}, async (ask) => {
	assertVerdict((await ask(["zq-known1"])).results[0], "UNKNOWN", "NO_EGRESS");
});

row("an IPv6 address beside an IPv4 one and no IPv6 source: the IPv4 one", "both-v6.test", (domain) => {
	d.host(`mx.${domain}`, { addresses: ["2001:db8::26", loopback()] });
	d.domain(domain, { mx: `mx.${domain}`, mailboxes: ["zq-known*"] });
}, async (ask) => {
	assertVerdict((await ask(["zq-known1"])).results[0], "DELIVERABLE", "ACCEPTED");
});

{
	const own = new Description();
	own.host("mx.v6.test", { addresses: [loopback(), "::1"] });
	own.domain("v6.test", { mx: "mx.v6.test", mailboxes: ["zq-known*"] });
	scenarioTest("IPv6 first when there is an IPv6 source", own, async (sc) => {
		const result = await sc.client.verifyOne("zq-known1@v6.test");
		assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		assert.equal(result.evidence.mail_ip, "::1");
		assert.equal(result.evidence.source_ip, "::1");
	}, {
		skip: hasIpv6 ? false : "this machine has no ::1",
		config: { probe: {
			allow_networks: ["127.0.0.0/8", "::1/128"],
			sources: [{ address: "127.0.0.1", name: "probe.rcptd.test" }, { address: "::1", name: "probe6.rcptd.test" }],
		} },
	});
}

// --- order ---

{
	const domains = Array.from({ length: 16 }, (_, i) => `equal${i}.test`);
	for (const domain of domains) {
		for (const host of ["mxa", "mxb"]) d.host(`${host}.${domain}`);
		d.domain(domain, { mx: ["mxa", "mxb"].map((h) => ({ preference: 5, host: `${h}.${domain}` })), mailboxes: ["zq-known*"] });
	}
	test("equal preferences are shuffled; a host with a fresh fact NO comes first", async () => {
		const run = async (local) => {
			const mark = await s.world.mark();
			const results = await s.client.verify(domains.map((domain) => `${local}@${domain}`));
			assert.deepEqual(words(results.list), domains.map(() => "DELIVERABLE ACCEPTED"));
			await s.client.committed();
			const record = await s.world.settled(mark);
			return Object.fromEntries(record.hosts().map((host) => [host.replace(/^[^.]*\./, ""), host.slice(0, 3)]));
		};
		const first = await run("zq-known1");
		assert.equal(new Set(Object.values(first)).size, 2, JSON.stringify(first)); // by chance alone once in 32,768 runs
		assert.deepEqual(await run("zq-known2"), first);
	});
}

test("the farm saw nothing but the eight commands", async () => {
	const record = await s.world.settled();
	assertOnlyTheEight(record);
	assert.ok(record.rcpts().some((r) => isRandomControl(r.local)));
});
