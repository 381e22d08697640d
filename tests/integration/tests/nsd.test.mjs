// NSD as the authority and Unbound as the resolver. What was asked is read from Unbound's log and from the statistics of both.
import assert from "node:assert/strict";
import { Nsd, Unbound, dnsServersMissing } from "../lib/dns-servers.mjs";
import { Scenario, assertVerdict, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

const KNOWN = ["zq-ns-known", "zq-ns-second"];
const WAITERS = 1000, LARGE = 1000;
// Domains with one mail host of their own at the farm.
const PLAIN = ["one", "many", "short", "long", "large", "xn--bcher-kva"];

/** The farm's hosts and domains, and the zone that leads to them. */
function internet() {
	const d = new Description();
	const lines = [], rows = (...more) => lines.push(...more);
	for (const word of PLAIN) {
		const mailboxes = word === "many" ? ["zq-nw-*"] : KNOWN;
		const address = d.mail(`${word}.zone.test`, mailboxes);
		rows(`mx.${word} ${word === "long" ? 1209600 : ""} A ${address}`);
	}
	rows("one MX 10 mx.one", "many MX 10 mx.many", "xn--bcher-kva MX 10 mx.xn--bcher-kva", "short 5 MX 10 mx.short", "long 1209600 MX 10 mx.long");
	rows("mx.long 1209600 AAAA ::1"); // without it the route would live as long as the knowledge that there is none

	d.mailHosts("order.zone.test", KNOWN, { "mx1.order.zone.test": { dead: true }, "mx2.order.zone.test": {}, "mx3.order.zone.test": {} });
	const { hosts } = d.content;
	for (const [i, preference] of [[3, 30], [1, 10], [2, 20]]) {
		rows(`order MX ${preference} mx${i}.order`, `mx${i}.order A ${hosts[`mx${i}.order.zone.test`].addresses[0]}`);
	}
	rows(`implicit A ${d.host("implicit.zone.test")}`);
	d.domain("implicit.zone.test", { mx: "implicit.zone.test", mailboxes: KNOWN });
	rows("alias CNAME one", "canonical MX 10 mx.canonical", "mx.canonical CNAME mx.one");
	d.domain("alias.zone.test", { mx: "mx.one.zone.test", mailboxes: KNOWN });
	d.domain("canonical.zone.test", { mx: "mx.one.zone.test", mailboxes: KNOWN });
	rows("null MX 0 .", "nil MX 0 .", 'empty TXT "here"', "hostless MX 10 nowhere", "round CNAME about", "about CNAME round", "lame MX 10 mx.broken.test.");
	rows("large MX 1 mx.large", ...Array.from({ length: LARGE - 1 }, (_, i) => `large MX 50 mx${i}.spare`), "*.spare A 127.0.0.1");
	const soa = (minimum) => `$TTL 300\n@ 20000 SOA ns.zone.test. hostmaster.zone.test. 1 3600 600 86400 ${minimum}\n@ NS ns.zone.test.\n`;
	return {
		d,
		zones: {
			"zone.test": `$ORIGIN zone.test.\n${soa(7200)}ns A 127.0.0.1\n${lines.join("\n")}\n`,
			"bogus.test": `$ORIGIN bogus.test.\n${soa(60)}@ MX 10 mx.one.zone.test.\n`,
			"brief.test": `$ORIGIN brief.test.\n${soa(900)}`,
		},
	};
}

const KNOWN_ONE = ["DELIVERABLE", "ACCEPTED"];
/** A GetDomain route's remaining life in seconds. */
const life = ({ route }) => route.ttl.seconds + route.ttl.nanos / 1e9;
const within = (value, low, high) => assert.ok(value > low && value <= high, `${value} is within ${low} and ${high}`);

const skip = dnsServersMissing() ?? false;
test("NSD and Unbound", { skip, timeout: 120000 }, async (t) => {
	const { d, zones } = internet();
	const s = await Scenario.start(d, {}, { startDaemon: false });
	const nsd = new Nsd(s.folder, zones);
	t.after(() => nsd.stop());
	await nsd.start();
	const served = { "zone.test": nsd.endpoint, "bogus.test": nsd.endpoint, "brief.test": nsd.endpoint };
	// NSD does not serve broken.test and refuses; bogus.test has a trust anchor, and no signature.
	const unbound = new Unbound(s.folder, { ...served, "broken.test": nsd.endpoint }, [
		`trust-anchor: "bogus.test. DS 31589 13 2 ${"5a".repeat(32)}"`,
		"extended-statistics: yes",
		"cache-max-ttl: 2000000",
		"cache-max-negative-ttl: 20000",
	]);
	t.after(() => unbound.stop());
	await unbound.start();
	s.rcptd.config.dns.servers = [unbound.endpoint];
	await s.rcptd.start();
	const known = (domain, options) => s.client.verifyOne(`zq-ns-known@${domain}`, options);
	const domain = async (name) => {
		await s.client.committed();
		return s.client.getDomain(name);
	};
	let failed = false, restarted = 0;
	const part = (name, fn) => t.test(name, () => fn().catch((error) => {
		failed = true;
		throw error;
	}));

	await part("a route: one query a type, remembered for its TTL, over a restart too", async () => {
		const result = await known("one.zone.test");
		assertVerdict(result, ...KNOWN_ONE);
		const { route } = await domain("one.zone.test");
		assert.equal(route.status, "ROUTE_STATUS_FOUND");
		assert.deepEqual(route.hosts.map(({ name, preference, addresses }) => [name, preference, addresses]),
			[["mx.one.zone.test", 10, [result.evidence.mail_ip]]]);
		within(life({ route }), 290, 300);
		assert.equal(unbound.asked().join(", "), "MX one.zone.test, AAAA mx.one.zone.test, A mx.one.zone.test");
		await s.rcptd.restart();
		const again = await known("one.zone.test", { maxAge: 0 });
		assertVerdict(again, ...KNOWN_ONE);
		assert.equal(again.from_cache, false);
		restarted = unbound.asked().length;
		assert.equal(restarted, 3, "the route is in the store");
	});

	await part("mail hosts in the order of preference", async () => {
		const mark = await s.world.mark();
		const result = await known("order.zone.test");
		assertVerdict(result, ...KNOWN_ONE);
		assert.equal(result.evidence.mail_host, "mx2.order.zone.test");
		assert.deepEqual((await s.world.settled(mark)).hosts(), ["mx2.order.zone.test"]);
		assert.deepEqual((await domain("order.zone.test")).route.hosts.map(({ name, preference }) => `${preference} ${name}`),
			["10 mx1.order.zone.test", "20 mx2.order.zone.test", "30 mx3.order.zone.test"]);
	});

	await part("no MX: the domain's own address", async () => {
		const result = await known("implicit.zone.test");
		assertVerdict(result, ...KNOWN_ONE);
		assert.equal(result.evidence.mail_host, "implicit.zone.test");
		assert.equal((await domain("implicit.zone.test")).route.implicit, true);
	});

	await part("CNAMEs of a domain and of a mail host", async () => {
		assertVerdict(await known("alias.zone.test"), ...KNOWN_ONE);
		assertVerdict(await known("canonical.zone.test"), ...KNOWN_ONE);
		assert.equal((await domain("alias.zone.test")).route.hosts[0].name, "mx.one.zone.test");
	});

	await part("a domain beyond ASCII", async () => {
		const result = await known("b\u00fccher.zone.test");
		assertVerdict(result, ...KNOWN_ONE);
		assert.equal(result.domain, "xn--bcher-kva.zone.test");
	});

	await part("domains without mail", async () => {
		const mark = await s.world.mark();
		for (const [name, reason, status] of [["null", "NULL_MX", "NULL_MX"], ["missing", "DOMAIN_NOT_FOUND", "DOMAIN_NOT_FOUND"],
			["empty", "NO_MAIL_HOST", "NO_MAIL_HOST"], ["hostless", "NO_MAIL_HOST", "NO_MAIL_HOST"]]) {
			const result = await known(`${name}.zone.test`);
			assertVerdict(result, "UNDELIVERABLE", reason);
			assert.equal(result.evidence.phase, "DNS");
			assert.equal((await domain(`${name}.zone.test`)).route.status, `ROUTE_STATUS_${status}`);
		}
		assert.deepEqual((await s.world.settled(mark)).hosts(), []);
	});

	await part("SERVFAIL, whatever it comes from, says nothing about a domain", async () => {
		const mark = await s.world.mark();
		const failures = () => unbound.stats()["num.answer.rcode.SERVFAIL"];
		for (const name of ["broken.test", "bogus.test", "round.zone.test", "lame.zone.test"]) {
			const before = failures();
			assertVerdict(await known(name), "UNKNOWN", "DNS_FAILURE");
			assert.ok(failures() > before, `Unbound said SERVFAIL of ${name}`);
		}
		assert.match(unbound.log(), /info: validation failure <?bogus\.test/);
		assertVerdict(await known("refused.example"), "UNKNOWN", "DNS_FAILURE");
		assert.ok(unbound.stats()["num.answer.rcode.REFUSED"] > 0);
		assert.ok(!unbound.asked().some((query) => /^A(AAA)? (broken|bogus)\.test$/.test(query)), "no addresses where MX failed");
		assert.deepEqual((await s.world.settled(mark)).hosts(), []);
	});

	await part("TTLs between a minute and a day, negative ones up to an hour", async () => {
		for (const [name, seconds] of [["short.zone.test", 60], ["long.zone.test", 86400], ["missing.zone.test", 3600], ["absent.brief.test", 900]]) {
			await known(name);
			within(life(await domain(name)), seconds - 15, seconds);
		}
	});

	await part("a thousand MX records come by TCP", async () => {
		const before = unbound.stats()["num.query.tcp"];
		const result = await known("large.zone.test");
		assertVerdict(result, ...KNOWN_ONE);
		assert.equal(result.evidence.mail_host, "mx.large.zone.test");
		assert.equal((await domain("large.zone.test")).route.hosts.length, 10, "no more than ten mail hosts");
		assert.equal(unbound.stats()["num.query.tcp"] - before, 1);
		assert.ok(nsd.stats()["num.tcp"] >= 1, "and so they came to Unbound");
		assert.ok(unbound.asked().filter((query) => / mx\d+\.spare\./.test(query)).length <= 20);
	});

	await part("a thousand waiters cost one query a type", async () => {
		const mark = unbound.asked().length, before = nsd.stats();
		const waiters = Array.from({ length: WAITERS }, (_, i) => `zq-nw-${i}@many.zone.test`);
		const nobody = Array.from({ length: WAITERS }, (_, i) => `zq-nx-${i}@nil.zone.test`);
		const [{ list }, { list: refused }] = await Promise.all([s.client.verify(waiters), s.client.verify(nobody)]);
		for (const result of list) assertVerdict(result, ...KNOWN_ONE);
		for (const result of refused) assertVerdict(result, "UNDELIVERABLE", "NULL_MX");
		assert.deepEqual(unbound.asked().slice(mark).sort(), ["A mx.many.zone.test", "AAAA mx.many.zone.test", "MX many.zone.test", "MX nil.zone.test"]);
		const now = nsd.stats();
		assert.deepEqual(["MX", "A", "AAAA"].map((type) => now[`num.type.${type}`] - before[`num.type.${type}`]), [2, 1, 1]);
	});

	await part("nothing was asked twice that had an answer", async () => {
		const times = new Map();
		for (const query of unbound.asked().slice(restarted)) times.set(query, (times.get(query) ?? 0) + 1);
		const answered = [...times].filter(([query]) => !/broken\.test|bogus\.test|round\.zone\.test|refused\.example/.test(query));
		assert.deepEqual(answered.filter(([query, count]) => count > (query === "MX large.zone.test" ? 2 : 1)), [], "but for the truncated one, by TCP");
	});

	if (failed) process.stderr.write(`--- NSD\n${nsd.log()}\n--- Unbound\n${unbound.log()}\n${await s.tail()}\n`);
	await s.close();
});
