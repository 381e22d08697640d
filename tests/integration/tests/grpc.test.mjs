// The API as any client meets it: reflection, health, errors, back-pressure, deadlines, cancellation.
import assert from "node:assert/strict";
import fs from "node:fs";
import { before, after } from "node:test";
import { Client, duration, errorDetails, grpc, loader, noteLocal, protobuf, status } from "../lib/client.mjs";
import { freePort } from "../lib/rcptd.mjs";
import { sleep, until } from "../lib/process.mjs";
import { Scenario, assertOnlyTheEight, assertVerdict, scenarioTest, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";
import "protobufjs/ext/descriptor/index.js";

const d = new Description({ negative_ttl: 500 });
d.mail("plain.test", ["zq-known*"]);
d.mail("slow.test", ["zq-known*"], { latency_ms: 300, pipelining: false });
d.mail("mute.test", ["zq-known*"], { persona: "silent" });
d.mail("route.test", ["zq-known*"], {}, { ttl: 600 });
d.mail("sub.route.test", ["zq-known*"]);
d.mail("all.test", [], { persona: "accept-all" });
d.mail("shared.test", ["zq-known*"], { latency_ms: 200, pipelining: false });
let s;
before(async () => {
	s = await Scenario.start(d);
});
after(() => s.close());

async function fails(promise, code, field) {
	const error = await promise.then((got) => assert.fail(`it was taken: ${JSON.stringify(got)}`), (e) => e);
	assert.equal(error.code, code, `${error.code} ${error.message}`);
	const details = errorDetails(error);
	assert.ok(details, "google.rpc.Status in grpc-status-details-bin");
	assert.equal(details.code, code);
	assert.match(details.reason ?? "", /^[A-Z][A-Z0-9_]+$/, "ErrorInfo.reason");
	assert.ok(details.domain, "ErrorInfo.domain");
	if (field) {
		assert.deepEqual(details.fields.map((f) => f.field), [field]);
		assert.ok(details.fields[0].description);
	}
	return error;
}

// --- reflection ---

/** What an ordinary client does: ask for a symbol's file, then for what that file imports. */
function reflector(service) {
	const call = service.ServerReflectionInfo({ deadline: Date.now() + 10000 });
	const waiting = [];
	call.on("data", (answer) => waiting.shift()?.resolve(answer));
	call.on("error", (error) => waiting.splice(0).forEach((w) => w.reject(error)));
	const ask = (request) => new Promise((resolve, reject) => {
		waiting.push({ resolve, reject });
		call.write({ host: "", ...request });
	});
	return { ask, end: () => call.end() };
}
async function loadByReflection(ask, symbol) {
	const FileDescriptorProto = protobuf.FileDescriptorProto ?? (await import("protobufjs/ext/descriptor/index.js")).default.FileDescriptorProto;
	const files = new Map();
	const take = (answer) => {
		assert.ok(answer.file_descriptor_response, JSON.stringify(answer.error_response));
		for (const bytes of answer.file_descriptor_response.file_descriptor_proto) {
			const file = FileDescriptorProto.decode(bytes);
			files.set(file.name, { bytes, imports: file.dependency });
		}
	};
	take(await ask({ file_containing_symbol: symbol }));
	for (;;) {
		const missing = [...files.values()].flatMap((f) => f.imports).find((name) => !files.has(name));
		if (!missing) break;
		take(await ask({ file_by_filename: missing }));
	}
	const set = Buffer.concat([...files.values()].map(({ bytes }) => {
		const head = [0x0a];
		for (let n = bytes.length; ; n >>>= 7) {
			head.push(n > 127 ? (n & 127) | 128 : n);
			if (n <= 127) break;
		}
		return Buffer.concat([Buffer.from(head), bytes]);
	}));
	return grpc.loadPackageDefinition(loader.loadFileDescriptorSetFromBuffer(set, { keepCase: true, enums: String, defaults: true, longs: Number }));
}

for (const version of ["v1", "v1alpha"]) {
	test(`reflection ${version}: lists the services and serves to call one`, async () => {
		const { ask, end } = reflector(version === "v1" ? s.client.reflectionV1 : s.client.reflectionV1alpha);
		const listed = await ask({ list_services: "" });
		const names = listed.list_services_response.service.map((x) => x.name);
		for (const name of ["VerificationService", "DomainService", "ExemptionService", "StatsService"])
			assert.ok(names.includes(`rcptd.v1.${name}`), names.join());
		assert.ok(names.includes("grpc.health.v1.Health"));
		assert.ok(names.includes(`grpc.reflection.${version}.ServerReflection`));
		for (const name of names) await loadByReflection(ask, name);
		const found = await loadByReflection(ask, "rcptd.v1.VerificationService");
		await loadByReflection(ask, "rcptd.v1.Result");
		await loadByReflection(ask, "rcptd.v1.VerificationService.Verify");
		const unknown = await ask({ file_containing_symbol: "no.such.Symbol" });
		assert.equal(unknown.error_response.error_code, status.NOT_FOUND);
		assert.equal((await ask({ file_by_filename: "../../etc/passwd" })).error_response.error_code, status.NOT_FOUND);
		end();
		const service = new found.rcptd.v1.VerificationService(s.rcptd.config.listen.grpc, grpc.credentials.createInsecure());
		noteLocal("zq-known-reflected");
		const answer = await new Promise((resolve, reject) => service.Verify({ address: Buffer.from("zq-known-reflected@plain.test") },
			(error, got) => (error ? reject(error) : resolve(got))));
		service.close();
		assert.equal(answer.result.verdict, "VERDICT_DELIVERABLE");
	});
}

test("health", async () => {
	assert.equal(await s.client.health(), "SERVING");
	assert.equal(await s.client.health("rcptd.v1.VerificationService"), "SERVING");
	await s.client.health("no.such.Service").then(() => assert.fail("it exists"), (e) => assert.equal(e.code, status.NOT_FOUND));
	const watch = s.client.healthService.Watch({ service: "" }, { deadline: Date.now() + 10000 });
	const first = await new Promise((resolve, reject) => watch.once("data", resolve).once("error", reject));
	assert.equal(first.status, "SERVING");
	watch.on("error", () => {});
	watch.cancel();
});

// --- malformed requests ---

/** A call with bytes of our own instead of a message. */
function raw(path, bytes, ms = 5000) {
	return new Promise((resolve, reject) => s.client.verification.makeUnaryRequest(path, (b) => b, (b) => b, bytes, { deadline: Date.now() + ms },
		(error, got) => (error ? reject(error) : resolve(got))));
}

test("bytes that are no message, and methods that do not exist", async () => {
	for (const method of ["VerificationService/Verify", "DomainService/GetDomain", "DomainService/ForgetDomain", "ExemptionService/CreateExemption",
		"ExemptionService/CheckExemption", "ExemptionService/ListExemptions", "ExemptionService/RevokeExemption", "StatsService/GetStats"])
		await fails(raw(`/rcptd.v1.${method}`, Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1])), status.INVALID_ARGUMENT);
	for (const path of ["/rcptd.v1.VerificationService/Send", "/no.such.Service/Verify", "/rcptd.v1.VerificationService/", "/x"])
		await raw(path, Buffer.alloc(0)).then(() => assert.fail("it exists"), (e) => assert.equal(e.code, status.UNIMPLEMENTED, `${path} ${e.message}`));
	assert.equal(await s.client.health(), "SERVING");
});

test("malformed requests name the field", async () => {
	const verify = (request) => s.client.call(s.client.verification, "Verify", { address: Buffer.from("zq-known1@plain.test"), ...request });
	await fails(verify({ max_age: { seconds: -1, nanos: 0 } }), status.INVALID_ARGUMENT, "max_age");
	await fails(verify({ max_age: { seconds: 0, nanos: 1000000000 } }), status.INVALID_ARGUMENT, "max_age");
	await fails(verify({ max_age: { seconds: 1, nanos: -1 } }), status.INVALID_ARGUMENT, "max_age");
	for (const domain of ["", "nodot", "a..test", "zq@plain.test", "pl\0ain.test", Buffer.from([0xff, 0xfe, 0x2e, 0x61])]) {
		await fails(s.client.getDomain(domain), status.INVALID_ARGUMENT, "domain");
		await fails(s.client.forgetDomain(domain), status.INVALID_ARGUMENT, "domain");
	}
	await fails(s.client.checkExemption(""), status.INVALID_ARGUMENT, "subject");
	await fails(s.client.revokeExemption(""), status.INVALID_ARGUMENT, "id");
	await fails(s.client.listExemptions({ page_size: 1001 }), status.INVALID_ARGUMENT, "page_size");
});

test("a batch over 1,000 items: refused, after the results already owed", async () => {
	const stream = s.client.openStream();
	stream.send(["zq-known10@slow.test", "zq-known11@plain.test", "zq-plain"]);
	stream.send(Array.from({ length: 1001 }, (_, i) => `zq-many${i}@plain.test`));
	const mark = await s.world.mark();
	await fails(stream.done, status.INVALID_ARGUMENT, "items");
	const got = Object.fromEntries(stream.results.map((r) => [r.address, r.reason]));
	assert.deepEqual(got, { "zq-known10@slow.test": "ACCEPTED", "zq-known11@plain.test": "ACCEPTED", "zq-plain": "INVALID_SYNTAX" });
	assert.deepEqual((await s.world.settled(mark)).locals().filter((l) => l.startsWith("zq-many")), []);
});

test("a stream's bad max_age is refused after the results already owed; a batch of 1,000 and an empty one are taken", async () => {
	const stream = s.client.openStream();
	stream.send([]);
	stream.send(Array.from({ length: 1000 }, (_, i) => `zq-plain${i}`));
	stream.send(["zq-known12@plain.test"], -5);
	await fails(stream.done, status.INVALID_ARGUMENT, "max_age");
	assert.equal(stream.results.length, 1000);
	const empty = s.client.openStream();
	empty.end();
	assert.deepEqual(await empty.done, []);
});

// --- back-pressure ---

test("a client that reads nothing stops being read from; others are served meanwhile, and it loses nothing", async (t) => {
	const greedy = s.rcptd.newClient();
	const call = greedy.verification.VerifyStream({ deadline: Date.now() + 50000 });
	call.read(0); // wakes grpc-js's flow control: until then it takes in everything by itself; then no further than 16 messages
	const batch = { items: Array.from({ length: 1000 }, (_, i) => ({ id: i, address: Buffer.from(`zq-never-a-domain-${i}`) })) };
	const rss = () => Number(/RssAnon:\s+(\d+)/.exec(fs.readFileSync(`/proc/${s.rcptd.pid}/status`, "utf8"))[1]);
	const before = rss();
	const LIMIT = 2000;
	const takenIn = async () => (await s.client.getStats()).addresses;
	const atFirst = await takenIn();
	let taken = 0;
	let stalled = false;
	while (taken < LIMIT && !stalled) {
		const written = new Promise((resolve) => call.write(batch, resolve));
		if ((await Promise.race([written, sleep(1500, "stalled")])) === "stalled") stalled = true;
		else taken++;
	}
	assert.ok(stalled, `${taken} batches of 1,000 were taken and not one result was read`);
	const read = (await takenIn()) - atFirst;
	t.diagnostic(`${taken} batches of 1,000 written, ${read} items read before it stopped; memory ${before} kB, then ${rss()} kB`);
	assert.ok(taken <= 200, `${taken} batches`);
	await sleep(300);
	assert.equal((await takenIn()) - atFirst, read, "it is not read from any more");
	const limit = /[at]san/.test(process.env.RCPTD_BIN ?? "") ? 256 : 100;
	assert.ok(rss() - before < limit * 1024, `memory grew from ${before} kB to ${rss()} kB`);
	const started = Date.now();
	assertVerdict(await s.client.verifyOne("zq-known-meanwhile@plain.test", { ms: 5000 }), "DELIVERABLE", "ACCEPTED");
	assert.ok(Date.now() - started < 5000);
	// Now it reads: every item has its result.
	let results = 0;
	const done = new Promise((resolve, reject) => call.on("data", (m) => (results += m.results.length)).on("error", reject).on("end", resolve));
	call.end();
	await done;
	assert.equal(results, (taken + 1) * 1000); // the batch that stalled was written in the end
	greedy.close();
});

// --- deadlines and cancellation ---

test("a deadline: answered before it, with the reason", async () => {
	const result = await s.client.verifyOne("zq-known1@mute.test", { ms: 1500 });
	assertVerdict(result, "UNKNOWN", "DEADLINE");
	const stream = s.client.openStream({ ms: 1500 });
	stream.send(["zq-known2@mute.test", "zq-known3@mute.test", "zq-known20@plain.test"]);
	stream.end();
	const results = Object.fromEntries((await stream.done).map((r) => [r.address, r.reason]));
	assert.deepEqual(results, { "zq-known2@mute.test": "DEADLINE", "zq-known3@mute.test": "DEADLINE", "zq-known20@plain.test": "ACCEPTED" });
	// A stream whose sending side is still open ends in time too, with its results.
	const open = s.client.openStream({ ms: 1500 });
	open.send(["zq-known4@mute.test"]);
	await open.done.catch(() => {});
	assert.deepEqual(open.results.map((r) => r.reason), ["DEADLINE"]);
});

test("after a cancelled call the farm sees no further RCPT of it; conversations end politely", async () => {
	const mark = await s.world.mark();
	const client = s.rcptd.newClient();
	const stream = client.openStream();
	stream.send(Array.from({ length: 60 }, (_, i) => `zq-known-cancel${i}@slow.test`));
	const ours = async () => (await s.world.record(mark)).rcpts().filter((r) => r.local.startsWith("zq-known-cancel"));
	await until("some were asked", async () => (await ours()).length >= 2);
	stream.call.cancel();
	const cancelled = Date.now();
	await stream.done.then(() => assert.fail("it was cancelled"), (e) => assert.equal(e.code, status.CANCELLED));
	const record = await s.world.settled(mark);
	const asked = record.rcpts().filter((r) => r.local.startsWith("zq-known-cancel"));
	assert.ok(asked.length < 20, `${asked.length} were asked`);
	assert.deepEqual(asked.filter((r) => r.t > cancelled + 500), []);
	for (const { conn } of record.connects("mx.slow.test")) assert.equal(record.verbs({ conn }).at(-1), "QUIT");
	await until("nobody waits", async () => {
		const stats = await s.client.getStats();
		return stats.addresses_waiting === 0 && stats.sessions_open === 0 && stats.calls_open <= 1;
	});
	client.close();
});

test("a cancelled call takes nothing from others that wait for the same address", async () => {
	const hasty = s.rcptd.newClient();
	const stream = hasty.openStream();
	stream.send(["zq-known1@shared.test"]);
	const patient = s.client.verifyOne("zq-known1@shared.test");
	await until("a conversation is open", async () => (await s.world.openConnections()).some((c) => c.host === "mx.shared.test"));
	hasty.close();
	stream.call.cancel();
	assertVerdict(await patient, "DELIVERABLE", "ACCEPTED");
});

// --- domains ---

test("GetDomain and ForgetDomain", async () => {
	await fails(s.client.getDomain("never-asked.test"), status.NOT_FOUND);
	assertVerdict(await s.client.verifyOne("zq-known1@route.test"), "DELIVERABLE", "ACCEPTED");
	assertVerdict(await s.client.verifyOne("zq-known1@sub.route.test"), "DELIVERABLE", "ACCEPTED");
	await s.client.committed();
	const domain = await s.client.getDomain("ROUTE.test");
	assert.equal(domain.domain, "route.test");
	assert.equal(domain.catch_all, "CATCH_ALL_NO");
	assert.equal(domain.catch_all_host, "mx.route.test");
	assert.equal(domain.exempt, false);
	assert.equal(domain.route.status, "ROUTE_STATUS_FOUND");
	assert.equal(domain.route.implicit, false);
	assert.deepEqual(domain.route.hosts, [{ name: "mx.route.test", preference: 10, addresses: d.content.hosts["mx.route.test"].addresses, operator: "route.test" }]);
	assert.ok(domain.route.ttl.seconds > 60 && domain.route.ttl.seconds <= 300, "the shortest TTL of the way, the mail host's");
	assert.ok(domain.catch_all_age.seconds < 60);
	const weeks = domain.catch_all_expires.seconds - Date.now() / 1000;
	assert.ok(Math.abs(weeks - 7 * 86400) < 120, `expires in ${weeks} s`);
	assertVerdict(await s.client.verifyOne("zq-any@all.test"), "RISKY", "ACCEPT_ALL");
	await s.client.committed();
	assert.equal((await s.client.getDomain("all.test")).catch_all, "CATCH_ALL_YES");

	assert.ok((await s.client.forgetDomain("route.test")).removed >= 2);
	await fails(s.client.getDomain("route.test"), status.NOT_FOUND);
	assert.equal((await s.client.getDomain("sub.route.test")).catch_all, "CATCH_ALL_NO", "subdomains stay unless asked for");
	const again = await s.client.verifyOne("zq-known1@route.test");
	assert.equal(again.from_cache, false);
	await s.client.forgetDomain("route.test", true);
	await fails(s.client.getDomain("sub.route.test"), status.NOT_FOUND);
	assert.equal((await s.client.verifyOne("zq-known1@sub.route.test")).from_cache, false);
	assert.equal((await s.client.forgetDomain("never-asked.test")).removed, 0);
});

// --- numbers ---

{
	const own = new Description();
	own.mail("counted.test", ["zq-known*"]);
	own.domain("counted-gone.test", { nxdomain: true });
	scenarioTest("GetStats agrees with what the farm saw", own, async (sc) => {
		const fresh = await sc.client.getStats();
		assert.equal(fresh.addresses, 0);
		assert.deepEqual([fresh.verdicts, fresh.reasons, fresh.phases], [{}, {}, {}]);
		const list = ["zq-known1@counted.test", "zq-known2@counted.test", "zq-nobody@counted.test", "zq-x@counted-gone.test", "zq-plain"];
		await sc.client.verify(list);
		await sc.client.committed();
		await sc.client.verify(list);
		const record = await sc.world.settled();
		const stats = await until("all is counted", async () => {
			const now = await sc.client.getStats();
			return now.sessions_open === 0 && now.addresses_waiting === 0 ? now : null;
		});
		assert.equal(stats.addresses, 10);
		assert.deepEqual(stats.verdicts, { DELIVERABLE: 4, UNDELIVERABLE: 6 });
		assert.deepEqual(stats.reasons, { ACCEPTED: 4, MAILBOX_UNKNOWN: 2, DOMAIN_NOT_FOUND: 2, INVALID_SYNTAX: 2 });
		assert.equal(Object.values(stats.phases).reduce((a, b) => a + b, 0), 10);
		assert.equal(stats.cache_hits, 4);
		assert.equal(stats.cache_misses, 4);
		assert.equal(stats.connections, record.connects().length);
		assert.equal(stats.recipients_asked, record.rcpts().length);
		assert.equal(stats.dns_queries, record.dns().length);
		assert.equal(stats.unclassified_replies, 0);
		assert.ok(stats.uptime.seconds < 60);
	});
}

test("on a TCP port of loopback", async () => {
	const own = new Description();
	own.mail("tcp.test", ["zq-known*"]);
	const sc = await Scenario.start(own, { listen: { grpc: `127.0.0.1:${await freePort()}` } });
	const clients = Array.from({ length: 8 }, () => new Client(sc.rcptd.config.listen.grpc));
	const results = await Promise.all(clients.map((c, i) => c.verifyOne(`zq-known${i}@tcp.test`)));
	results.forEach((r) => assertVerdict(r, "DELIVERABLE", "ACCEPTED"));
	clients.forEach((c) => c.close());
	await sc.close();
});

test("the farm saw nothing but the eight commands", async () => {
	assertOnlyTheEight(await s.world.settled(0, 20000));
	assert.deepEqual(duration(1.5), { seconds: 1, nanos: 500000000 });
});
