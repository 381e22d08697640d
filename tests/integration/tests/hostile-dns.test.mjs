// DNS that loops, lies and breaks off, and names that lead where nobody may go: verdicts, what the farm saw, and every address that the
// daemon handed to the system.
import assert from "node:assert/strict";
import net from "node:net";
import { NORMAL, BOTH, Rows, words } from "../lib/rows.mjs";
import { assertVerdict, scenarioTest, test } from "../lib/scenario.mjs";
import { assertOnlyContacted, mailContacts, watchSockets } from "../lib/sockets.mjs";
import { Description, loopback } from "../lib/world.mjs";

const hasIpv6 = await new Promise((resolve) => {
	const server = net.createServer().on("error", () => resolve(false));
	server.listen(0, "::1", () => server.close(() => resolve(true)));
});
watchSockets();

// Only a part of 127/8 is allowed here; in the rest of it servers listen that must never be met.
const base = loopback().split(".").slice(0, 2).join(".");
const ALLOWED = `${base}.0.0/20`;
const isAllowedIp = (ip) => ip.startsWith(`${base}.`) && Number(ip.split(".")[2]) < 16;
const FORBIDDEN = `${base}.240.1`;
const KNOWN = ["zq-known*"];
const TIMEOUTS = { connect: "3s", banner: "5s", reply: "5s", session: "60s" };
const rows = new Rows({ timeouts: TIMEOUTS, probe: { allow_networks: [ALLOWED, "2001:db8::/32"] } });

/** A mail host that serves whatever leads to it. */
const server = (d, name, options = {}) => d.host(name, { mailboxes: KNOWN, serves: ["*"], ...options });
const asked = (record, name, type, transport) =>
	record.dns().filter((e) => e.name === name && e.type === type && (!transport || e.transport === transport)).length;
/** A row of one verdict for everybody, without contact. */
function fails(name, domain, describe, expected, options) {
	rows.add(name, domain, describe, async (ask) => {
		const { results, record } = await ask(["zq-known1"]);
		assert.deepEqual(words(results), [expected]);
		assert.equal(results[0].evidence.phase, "DNS");
		assert.deepEqual(record.connects(), []);
	}, options);
}
/** A row that ends as if nothing had been wrong. */
function works(name, domain, describe, look) {
	rows.add(name, domain, describe, async (ask, _, s) => {
		const { results, record } = await ask(BOTH);
		assert.deepEqual(words(results), NORMAL);
		await look?.({ results, record, s });
	});
}

// --- CNAME ---

/** domain → c1 → … → cN, whose MX is mx.domain. */
const chain = (n, options = {}) => (domain, d) => {
	const name = (i) => (i ? `c${i}.${domain}` : domain);
	for (let i = 0; i < n; i++) d.name(name(i), { cname: name(i + 1), ...options });
	server(d, `mx.${domain}`);
	d.domain(name(n), { mx: `mx.${domain}` });
};
for (const [kind, options] of [["", {}], [", each answered alone", { no_chase: true }]]) {
	const suffix = kind ? "-alone" : "";
	works(`CNAME chain of 8${kind}`, `chain8${suffix}.test`, chain(8, options));
	fails(`CNAME chain of 9${kind}`, `chain9${suffix}.test`, chain(9, options), "UNKNOWN DNS_FAILURE");
	fails(`CNAME loop${kind}`, `loop${suffix}.test`, (domain, d) => {
		d.name(domain, { cname: `a.${domain}`, ...options });
		d.name(`a.${domain}`, { cname: `b.${domain}`, ...options });
		d.name(`b.${domain}`, { cname: domain, ...options });
	}, "UNKNOWN DNS_FAILURE");
	fails(`CNAME to itself${kind}`, `self${suffix}.test`, (domain, d) => d.name(domain, { cname: domain, ...options }), "UNKNOWN DNS_FAILURE");
	works(`MX to CNAME${kind}`, `mx-cname${suffix}.test`, (domain, d) => {
		d.domain(domain, { mx: `alias.${domain}` });
		d.name(`alias.${domain}`, { cname: `real.${domain}`, ...options });
		server(d, `real.${domain}`);
	}, ({ results, record }) => {
		assert.equal(results[0].evidence.mail_host, `alias.${results[0].domain}`);
		assert.deepEqual([...new Set(record.hosts())], [`real.${results[0].domain}`]);
	});
	fails(`MX to a CNAME loop${kind}`, `mx-loop${suffix}.test`, (domain, d) => {
		d.domain(domain, { mx: `a.${domain}` });
		d.name(`a.${domain}`, { cname: `b.${domain}`, ...options });
		d.name(`b.${domain}`, { cname: `a.${domain}`, ...options });
	}, "UNKNOWN DNS_FAILURE");
}
works("MX to a CNAME loop, and a good one", "mx-loop-good.test", (domain, d) => {
	d.domain(domain, { mx: [{ preference: 5, host: `a.${domain}` }, { preference: 10, host: `mx.${domain}` }] });
	d.name(`a.${domain}`, { cname: `a.${domain}` });
	server(d, `mx.${domain}`);
});

// --- many ---

/** 1,000 mail hosts in no order, of which that one alone lives. Address of the i-th best: base.8+(i>>8).i&255. */
const manyAddress = (block, i) => `${base}.${block + (i >> 8)}.${i & 255}`;
const thousand = (block, alive) => (domain, d) => {
	const mx = [];
	for (let n = 0; n < 1000; n++) {
		const i = 1 + ((n * 387) % 1000); // 1 to 1000, each once
		const host = `m${i}.${domain}`;
		mx.push({ preference: i, host });
		if (i === alive) server(d, host, { addresses: [manyAddress(block, i)] });
		else d.name(host, { addresses: [manyAddress(block, i)] });
	}
	d.domain(domain, { mx });
};
for (const [kind, block, alive, expected] of [["all dead", 1, 0, "UNKNOWN NO_CONNECTION"], ["the tenth best lives", 5, 10, NORMAL[0]], ["the eleventh best lives", 9, 11, "UNKNOWN NO_CONNECTION"]]) {
	rows.add(`1,000 MX, ${kind}: the 10 best are used`, `thousand${alive}.test`, thousand(block, alive), async (ask, domain, s) => {
		const { results, record } = await ask(["zq-known1"]);
		assert.deepEqual(words(results), [expected]);
		const met = Object.keys(mailContacts(s.world.smtpPort)).filter((ip) => ip.startsWith(`${base}.${block}.`) || ip.startsWith(`${base}.${block + 1}.`));
		assert.deepEqual(new Set(met), new Set(Array.from({ length: 10 }, (_, i) => manyAddress(block, i + 1))));
		assert.equal(new Set(record.dns().filter((e) => e.type === "A").map((e) => e.name)).size, 10, "no other name was looked up");
		assert.ok(asked(record, domain, "MX", "tcp") >= 1, "such an answer needs TCP");
		if (alive === 10) assert.deepEqual(record.hosts(), [`m10.${domain}`]);
	});
}
rows.add("a host with 200 addresses: 5 are used", "wide.test", (domain, d) => {
	d.domain(domain, { mx: `mx.${domain}` });
	d.name(`mx.${domain}`, { addresses: Array.from({ length: 200 }, (_, i) => `${base}.13.${i + 1}`) });
}, async (ask, _, s) => {
	const { results } = await ask(["zq-known1"]);
	assert.deepEqual(words(results), ["UNKNOWN NO_CONNECTION"]);
	assert.equal(Object.keys(mailContacts(s.world.smtpPort)).filter((ip) => ip.startsWith(`${base}.13.`)).length, 5);
});

// --- answers that are wrong ---

/** The MX answer is wrong; or the mail host's addresses are. */
const wrongMx = (options) => (domain, d) => {
	server(d, `mx.${domain}`);
	d.domain(domain, { mx: `mx.${domain}`, ...options });
};
const wrongAddress = (options) => (domain, d) => {
	server(d, `mx.${domain}`);
	d.name(`mx.${domain}`, options);
	d.domain(domain, { mx: `mx.${domain}` });
};
for (const [where, wrong] of [["mx", wrongMx], ["address", wrongAddress]]) {
	const name = (domain) => (where === "mx" ? domain : `mx.${domain}`);
	const type = where === "mx" ? "MX" : "A";
	works(`${where}: truncated over UDP`, `truncated-${where}.test`, wrong({ wrong: ["truncated"] }), ({ results, record }) =>
		assert.ok(asked(record, name(results[0].domain), type, "tcp") >= 1, "it was asked by TCP"));
	// An answer to what was not asked is no answer; that it is not "no such name" either is what matters.
	for (const kind of ["owner", "loop", "data_loop", "refused", "cut"]) {
		if (where === "address" && kind === "data_loop") continue; // an address has no name in it
		fails(`${where}: ${kind}`, `${kind.replace("_", "-")}-${where}.test`, wrong({ wrong: [kind] }), "UNKNOWN DNS_FAILURE");
	}
	for (const kind of ["id", "question", "port"]) {
		fails(`${where}: wrong ${kind}, and nothing else comes`, `${kind}-${where}.test`, wrong({ wrong: [kind] }), "UNKNOWN DNS_FAILURE");
		works(`${where}: wrong ${kind}, then the right answer`, `${kind}-right-${where}.test`, wrong({ wrong: [kind], then_right: true }));
	}
	works(`${where}: FORMERR to EDNS`, `formerr-${where}.test`, wrong({ wrong: ["formerr_edns"] }));
	works(`${where}: the first query is dropped`, `drop1-${where}.test`, wrong({ drop_first: 1 }));
	works(`${where}: the first two queries are dropped`, `drop2-${where}.test`, wrong({ drop_first: 2 }));
	fails(`${where}: every query is dropped`, `drop-${where}.test`, wrong({ drop: true }), "UNKNOWN DNS_FAILURE");
	fails(`${where}: SERVFAIL`, `servfail-${where}.test`, wrong({ servfail: true }), "UNKNOWN DNS_FAILURE");
}
// The A/AAAA fallback is only for domains with no MX at all.
for (const [kind, options] of [["SERVFAIL", { servfail: ["MX"] }], ["silence", { drop: ["MX"] }]]) {
	fails(`MX ${kind} at a name that has addresses: no fallback to them`, `fallback-${kind.toLowerCase()}.test`, (domain, d) => {
		server(d, domain);
		d.name(domain, options);
	}, "UNKNOWN DNS_FAILURE");
}

// --- TTLs ---

const DAY = 86400;
const YEARS = 3 * 365 * DAY;
/** Both families, so that no "there is no such address" counts. */
const lasts = (domainTtl, hostTtl) => (domain, d) => {
	server(d, `mx.${domain}`, { addresses: [loopback(), "2001:db8::25"], ttl: hostTtl });
	d.domain(domain, { mx: `mx.${domain}`, ttl: domainTtl });
};
for (const [kind, describe, expected] of [
	["of 0", lasts(0, 0), 60], ["of years", lasts(YEARS, YEARS), DAY], ["of the host's addresses, when it is less", lasts(4000, 90), 90],
	["beyond 31 bits is 0", lasts(4000000000, 4000000000), 60],
	["of no such name, 0", (domain, d) => d.domain(domain, { nxdomain: true, negative_ttl: 0 }), 60],
	["of no such name, years", (domain, d) => d.domain(domain, { nxdomain: true, negative_ttl: YEARS }), 3600],
]) {
	rows.add(`TTL ${kind}`, `ttl-${kind.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.test`, describe, async (ask, domain, s) => {
		await ask(["zq-known1"]);
		const { route } = await s.client.getDomain(domain);
		const seconds = (d) => d.seconds + d.nanos / 1e9;
		assert.equal(Math.round(seconds(route.ttl) + seconds(route.age)), expected, JSON.stringify(route));
		const { record } = await ask(["zq-known2"]);
		assert.deepEqual(record.dns({ type: "MX" }), [], "remembered, be it for a minute");
	});
}

// --- IPv6, IDN ---

rows.add("only IPv6 hosts and no IPv6 source", "only-v6.test", (domain, d) => {
	d.domain(domain, { mx: [`mx1.${domain}`, `mx2.${domain}`] });
	for (const n of [1, 2]) d.name(`mx${n}.${domain}`, { addresses: [`2001:db8::${n}`] });
}, async (ask) => {
	const { results } = await ask(["zq-known1"]);
	assert.deepEqual(words(results), ["UNKNOWN NO_EGRESS"]);
});
for (const [text, ascii] of [["bücher.test", "xn--bcher-kva.test"], ["faß.test", "xn--fa-hia.test"], ["пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f"]]) {
	rows.add(`IDN: ${text}`, ascii, (_, d) => d.mail(text, KNOWN), async (ask) => {
		const { results, record } = await ask([`zq-known1@${text}`, `zq-known2@${text.toUpperCase().replace("FASS", "faß")}`, `zq-known3@${ascii}`, `zq-nobody@${text}`]);
		assert.deepEqual(words(results), [NORMAL[0], NORMAL[0], ...NORMAL]);
		for (const r of results) assert.equal(r.domain, ascii);
		assert.equal(asked(record, ascii, "MX"), 1);
		for (const r of record.rcpts()) assert.equal(r.domain, ascii);
	});
}

rows.theEnd();

{
	// On a world of its own: all queries over TCP share a connection, and who closes it for one name closes it for others.
	const d = new Description();
	wrongMx({ wrong: ["truncated", "tcp_closed"] })("closed-mx.test", d);
	wrongAddress({ wrong: ["truncated", "tcp_closed"] })("closed-address.test", d);
	d.mail("plain.test", KNOWN);
	scenarioTest("truncated over UDP, closed over TCP", d, async (s) => {
		const results = (await s.client.verify(["closed-mx.test", "closed-address.test", "plain.test"].map((domain) => `zq-known1@${domain}`))).list;
		assert.deepEqual(words(results), ["UNKNOWN DNS_FAILURE", "UNKNOWN DNS_FAILURE", NORMAL[0]]);
		const record = await s.world.settled();
		assert.deepEqual(record.hosts(), ["mx.plain.test"]);
		assert.ok(record.dns({ transport: "tcp" }).length > 0);
	}, { config: { timeouts: TIMEOUTS, probe: { allow_networks: [ALLOWED] } } });
}

// --- where nobody may go ---

const RANGES = {
	"this network": ["0.0.0.0", "0.0.0.1", "0.255.255.255"],
	"private": ["10.0.0.0", "10.1.2.3", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
	"carrier-grade NAT": ["100.64.0.0", "100.127.255.255"],
	"loopback": ["127.0.0.1", FORBIDDEN, "127.255.255.255"],
	"link-local": ["169.254.0.0", "169.254.169.254", "169.254.255.255"],
	"protocol assignments": ["192.0.0.0", "192.0.0.8", "192.0.0.255"],
	"documentation": ["192.0.2.0", "192.0.2.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255"],
	"6to4 relay": ["192.88.99.0", "192.88.99.255"],
	"benchmarking": ["198.18.0.0", "198.19.255.255"],
	"multicast": ["224.0.0.0", "239.255.255.255"],
	"reserved, broadcast": ["240.0.0.0", "255.255.255.254", "255.255.255.255"],
	"IPv6 unspecified and loopback": ["::", "::1"],
	"v4-mapped": ["::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:192.168.0.1", "::ffff:169.254.169.254", `::ffff:${base}.0.1`],
	"v4-compatible": ["::127.0.0.1", "::10.1.2.3"],
	"NAT64": ["64:ff9b::7f00:1", "64:ff9b::10.1.2.3", "64:ff9b::192.168.0.1", "64:ff9b:1::1", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"],
	"discard": ["100::", "100::ffff:ffff:ffff:ffff"],
	"IPv6 protocol assignments, Teredo, benchmarking, ORCHID": ["2001::", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"],
	"IPv6 documentation": ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::1"],
	"6to4": ["2002:7f00:1::", "2002:a01:203::1", "2002:c0a8:1::1"],
	"unique local": ["fc00::", "fd00::1", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
	"IPv6 link-local": ["fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
	"site-local": ["fec0::1", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
	"IPv6 multicast": ["ff02::1", "ff0e::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
};
{
	const d = new Description();
	const domains = [];
	const add = (domain, describe) => {
		describe(domain);
		domains.push(domain);
	};
	// Servers that would answer, were they asked.
	server(d, "inside.forbidden.test", { addresses: [FORBIDDEN] });
	if (hasIpv6) server(d, "inside6.forbidden.test", { addresses: ["::1"] });
	const all = Object.entries(RANGES).flatMap(([kind, ips]) => ips.map((ip) => ({ kind, ip })));
	all.forEach(({ ip }, i) => {
		add(`mx${i}.test`, (domain) => {
			d.domain(domain, { mx: `mx.${domain}` });
			d.name(`mx.${domain}`, { addresses: [ip] });
		});
		add(`implicit${i}.test`, (domain) => d.domain(domain, { no_mx: true, addresses: [ip] }));
	});
	add("several.test", (domain) => {
		d.domain(domain, { mx: Object.keys(RANGES).map((_, i) => ({ preference: i, host: `h${i}.${domain}` })) });
		Object.values(RANGES).forEach((ips, i) => d.name(`h${i}.${domain}`, { addresses: ips }));
	});
	add("alias.test", (domain) => {
		d.domain(domain, { mx: `a.${domain}` });
		d.name(`a.${domain}`, { cname: "inside.forbidden.test" });
	});
	d.name("mx.beside.test", { addresses: ["10.0.0.9", "fd00::9", loopback()] });
	d.domain("beside.test", { mx: "mx.beside.test" });
	const beside = d.content.names["mx.beside.test"].addresses[2];
	server(d, "serves.beside.test", { addresses: [beside] });
	d.mailHosts("behind.test", KNOWN, { "mx2.behind.test": {} });
	d.content.domains["behind.test"].mx = [{ preference: 1, host: "mx1.behind.test" }, { preference: 2, host: "mx2.behind.test" }];
	d.name("mx1.behind.test", { addresses: ["192.168.1.1", "::ffff:10.0.0.1"] });

	scenarioTest("every special range, by MX and without: UNROUTABLE_HOST, and no packet", d, async (s) => {
		const results = (await s.client.verify(domains.map((domain) => `zq-known1@${domain}`))).list;
		const wrong = results.filter((r) => `${r.verdict} ${r.reason}` !== "UNDELIVERABLE UNROUTABLE_HOST");
		const ipOf = (r) => all[Number(/\d+/.exec(r.domain)?.[0])]?.ip;
		assert.deepEqual(wrong.map((r) => `${r.domain} ${ipOf(r)}: ${r.verdict} ${r.reason}`), []);
		for (const r of results) assert.equal(r.attempts, 0);
		assert.deepEqual((await s.world.record()).connects(), [], "the farm saw nobody");
		const met = mailContacts(s.world.smtpPort);
		assert.deepEqual(met, {}, "nor was any address contacted");

		// Beside them what may be contacted is, and is counted.
		for (const domain of ["beside.test", "behind.test"]) assertVerdict(await s.client.verifyOne(`zq-known1@${domain}`), "DELIVERABLE", "ACCEPTED");
		const record = await s.world.settled();
		assert.deepEqual(mailContacts(s.world.smtpPort), Object.fromEntries(record.connects().map((c) => [c.local.replace(/:\d+$/, ""), 1])));
		assert.equal(record.connects().length, 2);
		assertOnlyContacted((c) => isAllowedIp(c.ip) || (c.ip === "127.0.0.1" && c.port !== s.world.smtpPort));
	}, {
		config: { timeouts: TIMEOUTS, probe: {
			allow_networks: [ALLOWED],
			// With an IPv6 source nothing but the guard is in the way.
			sources: [{ address: "127.0.0.1", name: "probe.rcptd.test" }, ...(hasIpv6 ? [{ address: "::1", name: "probe6.rcptd.test" }] : [])],
		} },
	});
}

test("in all of this file: no address was contacted but the resolver's and those allowed", () => {
	assertOnlyContacted((c) => isAllowedIp(c.ip) || c.ip === "127.0.0.1");
});
