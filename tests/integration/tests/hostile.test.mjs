// Any bytes from a mail server or a DNS server: one verdict for each address, never a crash, never a heap that grows.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import { TYPE, dnsServer, encodeName, message, mxData, rawServer, record, seeded, wrongAt } from "../lib/hostile.mjs";
import { Scenario, assertOnlyTheEight, assertVerdict, test } from "../lib/scenario.mjs";
import { Description, loopback } from "../lib/world.mjs";

const CONFIG = {
	timeouts: { connect: "2s", banner: "2s", reply: "2s", session: "10s" },
	courtesy: { defaults: { connections: 20 } },
};
const UNKNOWN = ["PROTOCOL_ERROR", "TIMEOUT", "NO_CONNECTION", "TEMPORARY_FAILURE", "SOURCE_REFUSED", "REFUSED_UNCLEAR"];

/** Anonymous memory of the daemon in MB; an address sanitizer's own is not its fault. */
function memory(s) {
	return Number(/^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${s.rcptd.pid}/status`, "utf8"))[1]) / 1024;
}
async function assertAlive(s) {
	assert.ok(s.rcptd.isRunning());
	assert.doesNotMatch(s.rcptd.log(), /Sanitizer|runtime error|Assertion|[Aa]ssert|broken/);
	assert.equal(await s.client.health(), "SERVING");
	assertVerdict(await s.client.verifyOne("zq-ho-ada@sound.test", { maxAge: 0 }), "DELIVERABLE", "ACCEPTED");
	const stats = await s.client.getStats();
	assert.equal(stats.queue_length ?? 0, 0);
}

/** Hosts of these behaviours, {name: behave}, each with the domain NAME.test; fn(scenario, servers). */
async function withServers(behaviours, fn, { asan = 256 } = {}) {
	const d = new Description();
	d.mail("sound.test", ["zq-ho-ada"]);
	const addresses = {};
	for (const name of Object.keys(behaviours)) {
		addresses[name] = d.mail(`${name}.test`, [], { dead: true }); // published; the test itself listens there
	}
	const s = await Scenario.start(d, CONFIG);
	const servers = {};
	try {
		for (const [name, behave] of Object.entries(behaviours)) servers[name] = await rawServer(addresses[name], s.world.smtpPort, behave);
		const before = memory(s);
		await fn(s, servers);
		const limit = /[at]san/.test(process.env.RCPTD_BIN ?? "") ? asan : 48;
		assert.ok(memory(s) < before + limit, `${before} MB before, ${memory(s)} MB after`);
		await assertAlive(s);
		assertOnlyTheEight(await s.world.record());
	} finally {
		for (const server of Object.values(servers)) await server.close();
	}
	await s.close();
}

test("random bytes as greeting, as the answer to EHLO, MAIL and RCPT", { timeout: 120000 }, async () => {
	const behaviours = {};
	const phases = ["banner", "ehlo", "mail", "rcpt"];
	for (let i = 0; i < 200; i++) {
		const random = seeded(1000 + i);
		const bytes = random.bytes(1 + random([3, 40, 600, 9000][i >> 2 & 3]));
		// Every other has a code at its head, so that it is not refused at its first byte, and an end.
		if (i & 16) bytes.write(["250 ", "250-", "550 ", "450-", "421 ", "220 "][random(6)]);
		const last = random(3);
		behaviours[`r${i}`] = wrongAt(phases[i & 3], (socket) => {
			socket.write(bytes);
			if (last === 0) socket.end("\r\n");
			else if (last === 1) socket.write("\r\n");
		});
	}
	await withServers(behaviours, async (s) => {
		const asked = Object.keys(behaviours).flatMap((name) => [`zq-ho-one@${name}.test`, `zq-ho-two@${name}.test`]);
		const results = await s.client.verify(asked, { ms: 100000 }); // exactly one each, or it fails
		for (const [address, result] of results) {
			if (Number(address.match(/@r(\d+)/)[1]) & 16) assert.notEqual(result.reason, "MAILBOX_UNKNOWN", `${address} ${JSON.stringify(result.evidence)}`);
			else assert.ok(result.verdict === "UNKNOWN" && UNKNOWN.includes(result.reason), `${address} ${result.verdict} ${result.reason}`);
		}
	});
});

const flood = (piece) => (socket) => {
	const more = () => {
		while (!socket.destroyed && socket.write(piece));
	};
	socket.on("drain", more);
	more();
};
const drip = (piece) => (socket) => {
	let i = 0;
	const timer = setInterval(() => socket.write(Buffer.from([piece.charCodeAt(i++ % piece.length)])), 50);
	socket.on("close", () => clearInterval(timer));
};
const say = (text) => (socket) => socket.write(Buffer.from(text, "latin1"));
const lines = (n, code) => `${`${code}-line\r\n`.repeat(n - 1)}${code} last\r\n`;
// What may come of it where the conversation cannot go on.
const LOST = ["PROTOCOL_ERROR", "NO_CONNECTION", "TEMPORARY_FAILURE"];
const CASES = {
	"endless-line": [flood(Buffer.alloc(65536, "x")), ["PROTOCOL_ERROR"]],
	"endless-coded-line": [flood(Buffer.from(`250 ${"y".repeat(65532)}`)), ["PROTOCOL_ERROR"]],
	"endless-lines": [flood(Buffer.from("250-and more\r\n".repeat(1000))), ["PROTOCOL_ERROR"]],
	"endless-nul": [flood(Buffer.alloc(65536)), ["PROTOCOL_ERROR"]],
	"many-lines": [say(lines(65, 250)), ["PROTOCOL_ERROR"]],
	"long-lines": [say(`${`250-${"z".repeat(1900)}\r\n`.repeat(12)}250 end\r\n`), ["PROTOCOL_ERROR"]],
	"line-too-long": [say(`250 ${"z".repeat(2100)}\r\n`), ["PROTOCOL_ERROR"]],
	"no-code": [say("Hello there\r\n"), ["PROTOCOL_ERROR"]],
	"short-code": [say("25\r\n"), ["PROTOCOL_ERROR"]],
	"code-zero": [say("000 none\r\n"), ["PROTOCOL_ERROR"]],
	"code-999": [say("999 too much\r\n"), ["PROTOCOL_ERROR"]],
	"code-354": [say("354 go ahead\r\n"), ["PROTOCOL_ERROR"]],
	"code-negative": [say("-250 what\r\n"), ["PROTOCOL_ERROR"]],
	"code-mixed": [say("250-first\r\nnothing\r\n250 last\r\n"), ["PROTOCOL_ERROR"]],
	"drip": [drip("250-drip"), ["TIMEOUT", "PROTOCOL_ERROR"]],
	"silent": [() => {}, ["TIMEOUT"]],
	"never-ends": [say("250-to be continued\r\n"), ["TIMEOUT"]],
	"reset": [(socket) => socket.resetAndDestroy(), LOST],
	"closed": [(socket) => socket.destroy(), LOST],
	"half-closed": [(socket) => socket.end(), LOST],
	"half-a-line": [(socket) => socket.end("250 not fini"), LOST],
	"said-and-reset": [(socket) => socket.write("250-one\r\n", () => socket.resetAndDestroy()), LOST],
};
for (const phase of ["banner", "ehlo", "mail", "rcpt"]) {
	test(`${phase}: endless, overlong, malformed, dripping, cut off`, { timeout: 120000 }, async () => {
		const behaviours = Object.fromEntries(Object.entries(CASES).map(([name, [wrong]]) => [name, wrongAt(phase, wrong)]));
		await withServers(behaviours, async (s, servers) => {
			const asked = Object.keys(CASES).flatMap((name) => [`zq-ho-one@${name}.test`, `zq-ho-two@${name}.test`]);
			const results = await s.client.verify(asked, { ms: 100000 });
			const wrong = [];
			for (const [address, result] of results) {
				const [, allowed] = CASES[address.match(/@(.*)\.test/)[1]];
				if (result.verdict !== "UNKNOWN" || !allowed.includes(result.reason)) wrong.push(`${address}: ${result.verdict} ${result.reason}, not ${allowed}: ${JSON.stringify(result.evidence)}`);
				else if (result.evidence.text_bytes.length > 2100) wrong.push(`${address}: ${result.evidence.text_bytes.length} bytes of text`);
			}
			assert.deepEqual(wrong, []);
			for (const [name, server] of Object.entries(servers)) assert.ok(server.connections <= 4, `${name}: ${server.connections} connections`);
		});
	});
}

test("replies that are odd, but replies", async () => {
	const ok = (text) => wrongAt("rcpt", (socket) => socket.write(Buffer.from(text, "latin1")));
	const refuse = (text) => wrongAt("rcpt", (socket) => socket.write(Buffer.from(text, "latin1")));
	const behaviours = {
		nul: refuse("550 5.1.1 User \0unknown\0\r\n"),
		latin: refuse("550 5.1.1 Benutzer \xfc\xff\xfe unbekannt, user unknown\r\n"),
		escape: refuse("550 5.1.1 \x1b[2J\x07 user unknown\r\n"),
		echo: refuse("550 5.1.1 <zq-ho-one@echo.test> zq-ho-one@echo.test: user unknown\r\n"),
		"bare-lf": ok("250 2.1.5 Ok\n"),
		bare: ok("250\r\n"),
		lines64: ok(lines(64, 250)),
		bytewise: wrongAt("rcpt", async (socket) => {
			for (const byte of "250 2.1.5 Ok\r\n") {
				socket.write(byte);
				await new Promise((resolve) => setTimeout(resolve, 2));
			}
		}),
		unasked: (socket) => socket.resume().end("220 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n550 f\r\n221 g\r\n"),
		"ehlo-nonsense": wrongAt("none", () => {}, { ehlo: ["\xff\xfe\0", "SIZE 99999999999999999999", "PIPELINING=", "AUTH=LOGIN", "X".repeat(400), "8BITMIME"] }),
		"quit-silent": wrongAt("quit", () => {}),
		"quit-flood": wrongAt("quit", flood(Buffer.alloc(65536, "q"))),
	};
	await withServers(behaviours, async (s) => {
		const results = await s.client.verify(Object.keys(behaviours).map((name) => `zq-ho-one@${name}.test`), { ms: 50000 });
		for (const name of ["nul", "latin", "escape", "echo"]) assertVerdict(results.get(`zq-ho-one@${name}.test`), "UNDELIVERABLE", "MAILBOX_UNKNOWN");
		for (const { evidence, address } of results.list) {
			assert.ok(!evidence.text.includes("zq-ho-one"), `${address}: masked: ${evidence.text}`);
			assert.ok(evidence.text_bytes.equals(Buffer.from(evidence.text, "utf8")), `${address}: UTF-8`);
		}
		assert.match(results.get("zq-ho-one@latin.test").evidence.text, /\ufffd/);
		for (const name of ["bare-lf", "bare", "lines64", "bytewise", "ehlo-nonsense", "quit-silent", "quit-flood"]) {
			assertVerdict(results.get(`zq-ho-one@${name}.test`), "RISKY", "ACCEPT_ALL");
		}
		assert.ok(results.get("zq-ho-one@unasked.test").verdict, "answers that came before their questions: a verdict, whichever");
	});
});

// ---- DNS

const loop = Buffer.from([0xc0, 0x0c]);
/** What each server makes of the MX question for NAME.test, and what may come of it. */
const DNS_CASES = (random) => ({
	garbage: [() => random.bytes(1 + random(500)), ["DNS_FAILURE"]],
	"garbage-with-id": [(q) => Buffer.concat([q.bytes.subarray(0, 2), random.bytes(60)]), ["DNS_FAILURE"]],
	empty: [(q, by) => (by === "udp" ? Buffer.alloc(0) : null), ["DNS_FAILURE"]],
	short: [(q) => q.bytes.subarray(0, 11), ["DNS_FAILURE"]],
	"header-alone": [(q) => message(q, { question: Buffer.alloc(0), questions: 0 }), ["DNS_FAILURE"]],
	"wrong-id": [(q) => message(q, { id: q.id ^ 1, answers: [record(TYPE.MX, mxData("mx.sound.test"))] }), ["DNS_FAILURE"]],
	"other-question": [(q) => message(q, { question: Buffer.concat([encodeName("other.test"), Buffer.from([0, 15, 0, 1])]), answers: [record(TYPE.MX, mxData("mx.sound.test"))] }), ["DNS_FAILURE"]],
	"query-echoed": [(q) => q.bytes, ["DNS_FAILURE"]],
	silence: [() => null, ["DNS_FAILURE"]],
	"pointer-to-itself": [(q) => {
		const at = 12 + q.question.length;
		return message(q, { answers: [record(TYPE.MX, mxData("mx.sound.test"), { owner: Buffer.from([0xc0 | (at >> 8), at & 255]) })] });
	}, ["DNS_FAILURE"]],
	"pointer-in-host": [(q) => {
		const at = 12 + q.question.length + 2 + 10 + 2;
		return message(q, { answers: [record(TYPE.MX, mxData(Buffer.from([0xc0 | (at >> 8), at & 255])))] });
	}, ["DNS_FAILURE"]],
	"pointer-forward": [(q) => message(q, { answers: [record(TYPE.MX, mxData(Buffer.from([0xff, 0xff])))] }), ["DNS_FAILURE"]],
	"host-too-long": [(q) => message(q, { answers: [record(TYPE.MX, mxData([..."abcde"].map((c) => c.repeat(63)).join(".")))] }), ["DNS_FAILURE"]],
	"data-past-the-end": [(q) => message(q, { answers: [record(TYPE.MX, mxData("mx.sound.test"), { length: 4000 })] }), ["DNS_FAILURE"]],
	"data-too-short": [(q) => message(q, { answers: [record(TYPE.MX, Buffer.from([0]))] }), ["DNS_FAILURE"]],
	"more-counted-than-there": [(q) => message(q, { answerCount: 65535, answers: [record(TYPE.MX, mxData("mx.sound.test"))] }), ["DNS_FAILURE"]],
	"cname-to-itself": [(q) => message(q, { answers: [record(TYPE.CNAME, loop)] }), ["DNS_FAILURE"]],
	"foreign-owner": [(q) => message(q, { answers: [record(TYPE.MX, mxData("mx.sound.test"), { owner: encodeName("foreign.test") })] }), ["DNS_FAILURE", "NO_MAIL_HOST"]],
	"truncated-for-ever": [(q) => message(q, { flags: 0x8780 }), ["DNS_FAILURE"]],
	"tcp-garbage": [(q, by) => (by === "udp" ? message(q, { flags: 0x8780 }) : random.bytes(2000)), ["DNS_FAILURE"]],
	"tcp-closed": [(q, by, socket) => (by === "udp" ? message(q, { flags: 0x8780 }) : socket.destroy() && null), ["DNS_FAILURE"]],
	"tcp-half": [(q, by, socket) => (by === "udp" ? message(q, { flags: 0x8780 }) : socket.end(Buffer.from([0xff, 0xff, 1, 2, 3])) && null), ["DNS_FAILURE"]],
	formerr: [(q) => message(q, { flags: 0x8581 }), ["DNS_FAILURE"]],
	refused: [(q) => message(q, { flags: 0x8585 }), ["DNS_FAILURE"]],
	"rcode-15": [(q) => message(q, { flags: 0x858f }), ["DNS_FAILURE"]],
	"host-with-odd-bytes": [(q) => message(q, { answers: [record(TYPE.MX, mxData("m\0x\r\n.sound.test"))] }), ["DNS_FAILURE", "NO_MAIL_HOST"]],
	"host-is-an-address": [(q) => message(q, { answers: [record(TYPE.MX, mxData("127.0.0.1"))] }), ["DNS_FAILURE", "NO_MAIL_HOST"]],
	"many-hosts": [(q, by) => (by === "udp" ? message(q, { flags: 0x8780 })
		: message(q, { answers: Array.from({ length: 1500 }, (_, i) => record(TYPE.MX, mxData(`h${i}.nowhere.test`, i))) })), ["DNS_FAILURE", "NO_MAIL_HOST"]],
});

test("a DNS server that answers with anything", { timeout: 120000 }, async () => {
	const d = new Description();
	d.mail("sound.test", ["zq-ho-ada"]);
	const random = seeded(4711);
	const cases = DNS_CASES(random);
	let s, ip;
	const dns = await dnsServer((query, by, socket) => {
		const name = query.name.replace(/\.test$/, "");
		if (cases[name]) return cases[name][0](query, by, socket);
		if (query.name === "sound.test" && query.type === TYPE.MX) return message(query, { answers: [record(TYPE.MX, mxData("mx.sound.test"))] });
		if (query.name === "mx.sound.test" && query.type === TYPE.A) return message(query, { answers: [record(TYPE.A, Buffer.from(ip.split(".").map(Number)))] });
		if (/\.nowhere\.test$/.test(query.name)) return message(query, { flags: 0x8583 });
		return message(query);
	});
	ip = loopback();
	d.host("mx.sound.test", { addresses: [ip] });
	s = await Scenario.start(d, { ...CONFIG, dns: { servers: [dns.endpoint] } });
	try {
		const before = memory(s);
		const asked = Object.keys(cases).flatMap((name) => [`zq-ho-one@${name}.test`, `zq-ho-two@${name}.test`]);
		const results = await s.client.verify(asked, { ms: 60000 });
		const wrong = [];
		for (const [address, result] of results) {
			const [, allowed] = cases[address.match(/@(.*)\.test/)[1]];
			if (!allowed.includes(result.reason)) wrong.push(`${address}: ${result.verdict} ${result.reason}, not ${allowed}`);
			if (result.reason === "DNS_FAILURE") assert.equal(result.verdict, "UNKNOWN");
		}
		assert.deepEqual(wrong, []);
		assert.ok(memory(s) < before + (/[at]san/.test(process.env.RCPTD_BIN ?? "") ? 256 : 48), `${before} MB before, ${memory(s)} MB after`);
		await assertAlive(s);
		assert.equal((await s.world.record()).connects().every((connect) => connect.host === "mx.sound.test"), true);
	} finally {
		dns.close();
	}
	await s.close();
});

test("a DNS server of random changes to a true answer", { timeout: 120000 }, async () => {
	const d = new Description();
	const ip = d.mail("sound.test", ["zq-ho-ada"]);
	const random = seeded(31337);
	const dns = await dnsServer((query) => {
		let answer = message(query);
		if (query.type === TYPE.MX) answer = message(query, { answers: [record(TYPE.MX, mxData("mx.sound.test")), record(TYPE.MX, mxData(Buffer.from([2, 109, 120, 0xc0, 0x0c]), 20))] });
		if (query.type === TYPE.A) answer = message(query, { answers: [record(TYPE.A, Buffer.from(ip.split(".").map(Number)))] });
		if (/sound\.test$/.test(query.name)) return answer;
		const changed = Buffer.from(answer);
		for (let n = 1 + random(4); n; n--) changed[2 + random(changed.length - 2)] = random(256);
		return random(8) ? changed : changed.subarray(0, random(changed.length));
	});
	const s = await Scenario.start(d, { ...CONFIG, dns: { servers: [dns.endpoint] } });
	try {
		const asked = Array.from({ length: 300 }, (_, i) => `zq-ho-any@f${i}.fuzz.test`);
		const results = await s.client.verify(asked, { ms: 100000 });
		assert.equal(results.list.length, 300);
		await assertAlive(s);
	} finally {
		dns.close();
	}
	await s.close();
});

test("TCP connections that the DNS server closes are no failure of other names", { timeout: 60000 }, async () => {
	const d = new Description();
	const names = Array.from({ length: 20 }, (_, i) => `sound${i}.test`);
	d.host("mx.sound.test", { serves: names });
	names.forEach((name) => d.domain(name, { mx: "mx.sound.test", mailboxes: ["zq-ho-ada"] }));
	const [ip] = d.content.hosts["mx.sound.test"].addresses;
	const answers = { [TYPE.MX]: record(TYPE.MX, mxData("mx.sound.test")), [TYPE.A]: record(TYPE.A, Buffer.from(ip.split(".").map(Number))) };
	const dns = await dnsServer((query, by, socket) => {
		if (/^bad/.test(query.name)) return by === "udp" ? message(query, { flags: 0x8780 }) : socket.destroy() && null;
		const answer = message(query, { answers: answers[query.type] ? [answers[query.type]] : [] });
		return new Promise((resolve) => setTimeout(resolve, 300, answer)); // in flight while the others go wrong
	});
	const s = await Scenario.start(d, { ...CONFIG, dns: { servers: [dns.endpoint] } });
	try {
		const results = await s.client.verify(names.flatMap((name, i) => [`zq-ho-ada@${name}`, `zq-ho-ada@bad${i}.test`]), { ms: 50000 });
		for (const [address, result] of results) {
			if (/@bad/.test(address)) assertVerdict(result, "UNKNOWN", "DNS_FAILURE");
			else assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		}
	} finally {
		dns.close();
	}
	await s.close();
});

// ---- gRPC

test("any bytes from a client", { timeout: 60000 }, async () => {
	const d = new Description();
	d.mail("sound.test", ["zq-ho-ada"]);
	const s = await Scenario.start(d, CONFIG);
	const before = memory(s);
	const random = seeded(99);
	const socket = s.rcptd.config.listen.grpc.slice("unix:".length);
	const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
	for (let i = 0; i < 150; i++) {
		await new Promise((resolve) => {
			const peer = net.connect(socket).on("error", () => {}).on("close", resolve);
			if (i % 3) peer.write(preface);
			peer.write(random.bytes(1 + random(3000)));
			if (i % 5) peer.end();
			setTimeout(() => peer.destroy(), 30);
		});
	}
	const { verification, domains, exemptions, stats, healthService } = s.client;
	const raw = (bytes) => bytes;
	for (const service of [verification, domains, exemptions, stats, healthService]) {
		for (const { path: method } of Object.values(Object.getPrototypeOf(service).constructor.service)) {
			for (let i = 0; i < 30; i++) {
				const bytes = random.bytes([0, 1, 8, 60, 4000][i % 5]);
				await new Promise((resolve) => {
					const call = service.makeBidiStreamRequest(method, raw, raw, { deadline: Date.now() + 1000 });
					call.on("data", () => i % 2 && call.cancel()).on("error", () => {}).on("status", resolve);
					call.write(bytes);
					if (i % 3) call.end();
					else setTimeout(() => call.cancel(), 20);
				});
			}
		}
	}
	assert.ok(memory(s) < before + (/[at]san/.test(process.env.RCPTD_BIN ?? "") ? 256 : 48), `${before} MB before, ${memory(s)} MB after`);
	await assertAlive(s);
	await s.close();
});
