// What the system refuses: descriptors, memory, addresses, routes, room on the disk. Each address still gets its verdict, and rcptd goes on;
// or it does not start, and says why.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { status, errorDetails } from "../lib/client.mjs";
import { bin, root } from "../lib/paths.mjs";
import { sleep, until } from "../lib/process.mjs";
import { Scenario, assertOnlyTheEight, assertVerdict, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

const SCARCE = path.join(root, "bazel-bin/tests/bench/libscarce.so");
// The runner gives each run namespaces of its own where it can; only there may addresses, routes and mounts be changed.
const interfaces = fs.readFileSync("/proc/net/dev", "latin1").split("\n").slice(2).filter(Boolean).map((line) => line.split(":")[0].trim());
const own = process.getuid() === 0 && interfaces.join() === "lo";
const isolated = own ? {} : { skip: "needs root, for namespaces of its own" };

function many(hosts, options = {}) {
	const d = new Description();
	for (let i = 0; i < hosts; i++) d.mail(`m${i}.test`, ["zq-sf*"], options);
	return d;
}
const addressesOf = (hosts, each = 1) => Array.from({ length: hosts * each }, (_, n) => `zq-sf-user${Math.floor(n / hosts)}@m${n % hosts}.test`);
async function startUnder(d, config, under, env = {}) {
	const s = await Scenario.start(d, config, { startDaemon: false });
	s.rcptd.under = under;
	s.rcptd.env = env;
	await s.rcptd.start();
	return s;
}
const goesOn = async (s, address) => assertVerdict(await s.client.verifyOne(address, { maxAge: 0, ms: 20000 }), "DELIVERABLE", "ACCEPTED");

for (const limit of [128, 256])
	test(`an open-file limit of ${limit} and 400 mail hosts: fewer at once, all answered`, { timeout: 120000 }, async () => {
		const s = await startUnder(many(400, { latency_ms: 50 }), {}, ["prlimit", `--nofile=${limit}:${limit}`]);
		const results = await s.client.verify(addressesOf(400), { ms: 90000 });
		for (const result of results.list) assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		const { all } = await s.world.counts();
		assert.equal(all.connections, 400, "none was given up and begun again");
		assert.ok(all.peak <= limit / 2, `${all.peak} at once`);
		assert.ok(all.peak >= limit / 4, `${all.peak} at once`);
		await s.close();
	});

test("clients take the descriptors that conversations are counted on: they wait, all is answered, and new clients come in after", { timeout: 120000 }, async () => {
	const s = await startUnder(many(200, { latency_ms: 100 }), {}, ["prlimit", "--nofile=128:128"]);
	const clients = Array.from({ length: 52 }, () => s.rcptd.newClient());
	for (const client of clients) await client.health();
	const results = await s.client.verify(addressesOf(200), { ms: 60000 });
	for (const result of results.list) assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	assert.equal((await s.world.counts()).all.connections, 200);
	for (const client of clients) client.close();
	const late = s.rcptd.newClient();
	await until("a new client comes in", async () => (await late.health().catch(() => null)) === "SERVING");
	late.close();
	await s.close();
});

test("clients take every descriptor: those beyond are turned away, and whoever comes when there are some again is served", { timeout: 60000 }, async () => {
	const s = await startUnder(many(2), {}, ["prlimit", "--nofile=128:128"]);
	const taken = Array.from({ length: 140 }, () => net.connect(s.rcptd.config.listen.grpc.slice("unix:".length)));
	let turnedAway = 0;
	for (const socket of taken) socket.on("error", () => {}).on("close", () => turnedAway++).resume();
	await until("some are turned away", () => turnedAway > 0);
	assert.equal(await s.client.health(), "SERVING", "who was there before is served");
	for (const result of (await s.client.verify(addressesOf(2), { ms: 20000 })).list) assert.ok(["DELIVERABLE", "UNKNOWN"].includes(result.verdict));
	for (const socket of taken) socket.destroy();
	const late = s.rcptd.newClient();
	await until("a new client comes in", async () => (await late.health().catch(() => null)) === "SERVING");
	late.close();
	assert.match(s.rcptd.log(), /warn .*clients_turned_away error=EMFILE/);
	await goesOn(s, "zq-sf-after@m1.test");
	await s.close();
});

/** A daemon whose own allocations fail as scarce() says: every so many of those with at least so many bytes. */
async function startScarce(d, config = {}) {
	assert.ok(fs.existsSync(SCARCE), `${SCARCE} is missing; 'make integration' makes it`);
	const s = await Scenario.start(d, config, { startDaemon: false });
	const file = path.join(s.folder, "scarce");
	fs.writeFileSync(file, Buffer.alloc(16));
	s.rcptd.env = { LD_PRELOAD: SCARCE, SCARCE: file };
	await s.rcptd.start();
	const set = (at, ...values) => { // in place: the library has it mapped
		const fd = fs.openSync(file, "r+");
		fs.writeSync(fd, Buffer.from(new Uint32Array(values).buffer), 0, 4 * values.length, at);
		fs.closeSync(fd);
	};
	s.scarce = (every, least = 0) => set(0, every, least);
	s.refused = () => fs.readFileSync(file).readUInt32LE(8);
	s.noPorts = (connects) => set(12, connects);
	s.portsLeft = () => fs.readFileSync(file).readUInt32LE(12);
	return s;
}

// every, least: a few of all; many; only small ones; only what is the size of a session, a work or a buffer that grows.
for (const [every, least] of [[200, 0], [23, 0], [7, 0], [3, 256], [2, 1024], [2, 4096]])
	test(`memory runs out, 1 of ${every} of ${least} bytes and more: each item has one result, and rcptd goes on`, { timeout: 120000 }, async (t) => {
		const d = many(20);
		for (let i = 0; i < 10; i++) d.mail(`t${i}.test`, ["zq-sf*"], { persona: "tls" });
		const s = await startScarce(d);
		const addresses = [...addressesOf(20, 20), ...Array.from({ length: 100 }, (_, n) => `zq-sf-user${n}@t${n % 10}.test`)];
		await s.client.health();
		s.scarce(every, least);
		const outcomes = { answered: 0, refused: 0 };
		const reasons = {};
		for (let at = 0; at < addresses.length; at += 20) {
			const part = addresses.slice(at, at + 20);
			try {
				const results = await s.client.verify(part, { ms: 30000, batch: 5 }); // fails unless each has exactly one
				for (const result of results.list) {
					reasons[result.reason] = (reasons[result.reason] ?? 0) + 1;
					assert.notEqual(result.verdict, "UNDELIVERABLE", "these mailboxes are there");
					assert.notEqual(result.reason, "PROTOCOL_ERROR", "the server did nothing wrong");
				}
				outcomes.answered++;
			} catch (error) {
				assert.ok([status.RESOURCE_EXHAUSTED, status.UNAVAILABLE].includes(error.code), error.stack);
				outcomes.refused++;
			}
			assert.ok(s.rcptd.isRunning(), s.rcptd.log());
		}
		s.scarce(0);
		assert.ok(s.refused() > 0, "memory was refused");
		t.diagnostic(`${s.refused()} refused; ${JSON.stringify(outcomes)} ${JSON.stringify(reasons)}`);
		await goesOn(s, "zq-sf-after@m1.test");
		await goesOn(s, "zq-sf-after@t1.test");
		assertOnlyTheEight(await s.world.record());
		await until("no session is left", async () => (await s.client.getStats()).sessions_open === 0);
		assert.equal((await s.client.getStats()).addresses_waiting, 0);
		await s.close();
	});

test("a source address that is not on this machine: nobody is contacted, ours to fix, and the log names it", async () => {
	const d = many(3);
	d.mailHosts("two.test", ["zq-sf*"], { "mx1.two.test": {}, "mx2.two.test": {} });
	const s = await Scenario.start(d, { probe: { sources: [{ address: "192.0.2.7", name: "probe.rcptd.test" }] }, log: { level: "info" } });
	for (const address of [...addressesOf(3), "zq-sf-user@two.test"]) assertVerdict(await s.client.verifyOne(address), "UNKNOWN", "NO_EGRESS");
	assert.equal((await s.world.counts()).all.connections, 0);
	assert.match(s.rcptd.log(), /warn .*192\.0\.2\.7.*Cannot assign requested address/);
	await s.close();
});

test("a network without a route: no connection, and the others are asked", isolated, async () => {
	const d = many(2);
	d.host("mx.far.test", { addresses: ["198.51.100.9"] });
	d.domain("far.test", { mx: "mx.far.test" });
	d.host("mx1.both.test", { addresses: ["198.51.100.10"] });
	d.host("mx2.both.test");
	d.domain("both.test", { mx: [{ preference: 10, host: "mx1.both.test" }, { preference: 20, host: "mx2.both.test" }], mailboxes: ["zq-sf*"] });
	const s = await Scenario.start(d, { probe: { allow_networks: ["127.0.0.0/8", "198.51.100.0/24"] } });
	const results = await s.client.verify(["zq-sf-user@far.test", "zq-sf-user@both.test", ...addressesOf(2)]);
	assertVerdict(results.get("zq-sf-user@far.test"), "UNKNOWN", "NO_CONNECTION");
	assertVerdict(results.get("zq-sf-user@both.test"), "DELIVERABLE", "ACCEPTED");
	assert.equal(results.get("zq-sf-user@both.test").evidence.mail_host, "mx2.both.test");
	for (const address of addressesOf(2)) assertVerdict(results.get(address), "DELIVERABLE", "ACCEPTED");
	assert.match(s.rcptd.log(), /mx\.far\.test connect: (Network is unreachable|Invalid argument)/);
	await s.close();
});

const ip = (...args) => execFileSync("ip", args);
test("our source address vanishes in the middle of a run, and comes back", { ...isolated, timeout: 90000 }, async () => {
	const source = "192.0.2.33";
	ip("address", "add", `${source}/32`, "dev", "lo");
	const s = await Scenario.start(many(40, { latency_ms: 400 }), {
		probe: { sources: [{ address: source, name: "probe.rcptd.test" }] },
		courtesy: { defaults: { connections: 1 } },
		timeouts: { connect: "1s", reply: "2s", banner: "2s", session: "10s" },
	});
	const asked = s.client.verify(addressesOf(40, 2), { ms: 60000 });
	await until("conversations are under way", async () => ((await s.world.counts()).all.verbs.EHLO ?? 0) >= 10);
	ip("address", "del", `${source}/32`, "dev", "lo");
	for (const result of (await asked).list)
		if (result.verdict !== "DELIVERABLE") assert.equal(result.verdict, "UNKNOWN", JSON.stringify(result));
	const gone = await s.client.verifyOne("zq-sf-later@m0.test");
	assertVerdict(gone, "UNKNOWN", "NO_EGRESS");
	const record = await s.world.record();
	assert.ok(record.connects().every((c) => c.peer.startsWith(`${source}:`)), "never from another address instead");
	ip("address", "add", `${source}/32`, "dev", "lo");
	await goesOn(s, "zq-sf-again@m0.test");
	await s.close();
	ip("address", "del", `${source}/32`, "dev", "lo");
});

test("no port is left for a connection: it waits for one, all is answered", { timeout: 60000 }, async () => {
	const d = new Description();
	d.host("mx.one.test", { latency_ms: 50 });
	d.domain("*.one.test", { mx: "mx.one.test", mailboxes: ["zq-sf*"] });
	const s = await startScarce(d, { courtesy: { defaults: { connections: 20, unknown_per_session: 2 }, ip: { connections: 20 } } });
	s.noPorts(15);
	const addresses = Array.from({ length: 100 }, (_, n) => `zq-sf-user@d${n}.one.test`);
	const results = await s.client.verify(addresses, { ms: 40000 });
	for (const result of results.list) {
		assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		assert.equal(result.evidence.attempts ?? 1, 1);
	}
	assert.equal(s.portsLeft(), 0, "each of them was refused");
	assert.equal((await s.world.counts()).all.connections, 100);
	await s.close();
});

test("a full disk: verdicts go on, an exemption is refused and said so, and works again when there is room", { ...isolated, timeout: 90000 }, async () => {
	const s = await Scenario.start(many(30), {}, { startDaemon: false });
	fs.mkdirSync(s.rcptd.storePath, { mode: 0o700 });
	execFileSync("mount", ["-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", s.rcptd.storePath]);
	await s.rcptd.start();
	await s.client.createExemption("first.test");
	const ballast = path.join(s.rcptd.storePath, "ballast");
	const fd = fs.openSync(ballast, "w");
	assert.throws(() => {
		for (;;) fs.writeSync(fd, Buffer.alloc(4096));
	}, /ENOSPC/);
	fs.closeSync(fd);
	const results = await s.client.verify(addressesOf(30, 10)); // more than the pages that are free inside the file
	for (const result of results.list) assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	let refused = null;
	for (let i = 0; i < 2000 && !refused; i++) // freed pages are used first
		refused = await s.client.createExemption(`full${i}.test`, { note: "x".repeat(400) }).then(() => null, (error) => ({ error, domain: `full${i}.test` }));
	assert.ok(refused, "the disk is full");
	assert.equal(refused.error.code, status.RESOURCE_EXHAUSTED, refused.error.message);
	assert.match(refused.error.message, /store is full/);
	assert.equal(errorDetails(refused.error).reason, "STORE_FULL");
	assert.equal((await s.client.checkExemption(refused.domain)).exempt, false, "what was refused is not in force");
	assertVerdict((await s.client.verify(["zq-sf-full@m1.test"], { maxAge: 0 })).list[0], "DELIVERABLE", "ACCEPTED");
	assert.equal(await s.client.health(), "SERVING");
	fs.unlinkSync(ballast);
	await s.client.createExemption(refused.domain);
	await s.rcptd.restart("SIGKILL");
	for (const domain of ["first.test", refused.domain]) assert.equal((await s.client.checkExemption(domain)).exempt, true, domain);
	await goesOn(s, "zq-sf-after@m2.test");
	await s.close();
	execFileSync("umount", [s.rcptd.storePath]);
});

test("a store that a newer rcptd wrote: not started, nothing changed, and it says what to do", async () => {
	for (const name of ["keep", "known"]) {
		const s = await Scenario.start(many(1));
		await s.client.createExemption("kept.test");
		await s.rcptd.stop();
		const file = fs.readdirSync(path.join(s.rcptd.storePath, name), { withFileTypes: true }).find((e) => /data/.test(e.name)).name;
		const full = path.join(s.rcptd.storePath, name, file);
		const content = fs.readFileSync(full);
		let patched = 0;
		for (let at = content.indexOf("schema1"); at >= 0; at = content.indexOf("schema1", at + 1)) patched += content.write("schema2", at);
		assert.ok(patched, `${full} says its schema`);
		fs.writeFileSync(full, content);
		const ended = spawnSync(bin.rcptd, ["--config", s.rcptd.configFile], { encoding: "utf8", timeout: 20000, killSignal: "SIGKILL" });
		assert.equal(ended.status, 1, ended.stderr);
		assert.match(ended.stderr, /written by a newer rcptd \(schema 2; this one reads up to 1\)/);
		assert.ok(ended.stderr.includes(path.join(s.rcptd.storePath, name)), ended.stderr);
		assert.match(ended.stderr, /start that version, or restore a backup/);
		assert.ok(fs.readFileSync(full).equals(content), "nothing was changed");
		await s.close();
	}
});
