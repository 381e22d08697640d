// The daemon's life: configuration, starting where something is in the way, draining, being killed, starting again.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { Client, status } from "../lib/client.mjs";
import { bin, scenarioFolder } from "../lib/paths.mjs";
import { sleep, until } from "../lib/process.mjs";
import { Rcptd, freePort } from "../lib/rcptd.mjs";
import { Scenario, assertVerdict, scenarioTest, test } from "../lib/scenario.mjs";
import { Description, isRandomControl } from "../lib/world.mjs";

/** Runs it to its end. For configurations that must not start. */
function runRcptd(args) {
	const ended = spawnSync(bin.rcptd, args, { encoding: "utf8", timeout: 20000, killSignal: "SIGKILL" });
	return { code: ended.status, signal: ended.signal, stdout: ended.stdout, stderr: ended.stderr };
}

const BASE = (folder) => [
	`listen: {grpc: "unix:${folder}/rcptd.sock"}`,
	`store: {path: ${folder}/store}`,
	"dns: {servers: [\"127.0.0.1:53535\"]}",
	"probe:",
	"  mail_from: postal@rcptd.test",
	"  sources:",
	"  - {address: 127.0.0.1, name: probe.rcptd.test}",
];
/** A configuration with some lines replaced ({2: "…"}, counted from 1) and others added at its end. */
function configFile(folder, replaced = {}, added = []) {
	const lines = BASE(folder).map((line, i) => replaced[i + 1] ?? line).concat(added);
	const file = path.join(folder, "rcptd.yaml");
	fs.writeFileSync(file, `${lines.join("\n")}\n`);
	return file;
}
function assertNothingStarted(folder) {
	assert.deepEqual(fs.readdirSync(folder).sort(), ["rcptd.yaml"], "no store, no socket");
}

test("a configuration error: FILE:LINE, what is allowed, exit status 2, nothing started", () => {
	const table = [
		// replaced, added, the line, what it says
		[{}, ["colour: green"], 8, /colour.*(listen|store|dns|probe|courtesy|timeouts|facts)/],
		[{ 2: "store: {path: store, hmac: x}" }, [], 2, /hmac.*path.*hmac_key/],
		[{}, ["  shards: many"], 8, /probe\.shards.*whole number from 1/],
		[{}, ["  shards: 0"], 8, /probe\.shards.*whole number from 1/],
		[{}, ["  port: 65536"], 8, /probe\.port.*1 to 65535/],
		[{}, ["  allow_networks: [127.0.0.1/8]"], 8, /probe\.allow_networks.*network/],
		[{}, ["timeouts:", "  connect: 30s", "  reply: 10"], 10, /timeouts\.reply.*unit is missing.*ms, s, m, h or d/],
		[{}, ["timeouts: {banner: 3 weeks}"], 8, /timeouts\.banner/],
		[{}, ["facts: {mailbox: -1s}"], 8, /facts\.mailbox/],
		[{}, ["courtesy: {defaults: {connections: 1000}}"], 8, /courtesy\.defaults\.connections.*1 to 100/],
		[{}, ["courtesy:", "  operators:", "    google:", "      connection: 3"], 11, /connection.*connections.*recipients.*unknown_per_session/],
		[{ 5: "  mail_from: postal" }, [], 5, /probe\.mail_from.*email address/],
		[{ 7: "  - {address: 127.0.0.1, name: probe}" }, [], 7, /name.*domain name/],
		[{ 7: "  - {address: 127.0.0.300, name: probe.rcptd.test}" }, [], 7, /address.*IP address/],
		[{ 7: "  - {address: 127.0.0.1}" }, [], 7, /name/],
		[{ 3: "dns: {servers: [resolver.test]}" }, [], 3, /dns\.servers.*IP/],
		[{ 3: "dns: {servers: 127.0.0.1}" }, [], 3, /dns\.servers.*list/],
		[{ 2: "store: {path: \"\"}" }, [], 2, /store\.path/],
		[{ 2: "store: store" }, [], 2, /store/],
		[{ 4: "probe: {" }, [], null, /./],
		[{}, ["listen: {grpc: \"127.0.0.1:50051\"}"], 8, /listen.*(twice|again|already|line 1)/],
		[{}, ["\tprobe: x"], 8, /./],
		[{ 1: "listen: {grpc: *nothing}" }, [], 1, /./],
	];
	for (const [replaced, added, line, says] of table) {
		const folder = scenarioFolder();
		const file = configFile(folder, replaced, added);
		const shown = fs.readFileSync(file, "utf8");
		for (const more of [[], ["--check-config"]]) {
			const { code, stdout, stderr } = runRcptd(["--config", file, ...more]);
			assert.equal(code, 2, `${shown}${stderr}`);
			assert.equal(stdout, "");
			const at = /^(.*?):(\d+): (.+)$/m.exec(stderr);
			assert.ok(at, `FILE:LINE in ${stderr}`);
			assert.equal(at[1], file);
			if (line) assert.equal(Number(at[2]), line, `${shown}${stderr}`);
			assert.match(at[3], says, shown);
			assertNothingStarted(folder);
		}
	}
});

test("what is missing is named", () => {
	for (const [line, key] of [[2, "store.path"], [5, "probe.mail_from"]]) {
		const folder = scenarioFolder();
		const { code, stderr } = runRcptd(["--config", configFile(folder, { [line]: "" })]);
		assert.equal(code, 2, stderr);
		assert.ok(stderr.includes(key), stderr);
		assert.match(stderr, /rcptd\.yaml:\d+: /);
		assertNothingStarted(folder);
	}
	const missing = runRcptd(["--config", path.join(scenarioFolder(), "none.yaml")]);
	assert.equal(missing.code, 2);
	assert.match(missing.stderr, /none\.yaml: .*No such file/);
});

test("listening where other machines could come in is refused with the reason", () => {
	for (const where of ["0.0.0.0:50051", "192.0.2.1:50051", "10.0.0.1:50051", "[::]:50051", "[2001:db8::1]:50051", "[::ffff:127.0.0.1]:50051", "mail.example.org:50051", ":50051", "unix:relative.sock"]) {
		const folder = scenarioFolder();
		const { code, stderr } = runRcptd(["--config", configFile(folder, { 1: `listen: {grpc: "${where}"}` })]);
		assert.equal(code, 2, `${where}: ${stderr}`);
		assert.match(stderr, /rcptd\.yaml:1: listen\.grpc: .*loopback/, where);
		if (/^(0\.0\.0\.0|192|10|\[::\]|\[2001)/.test(where)) assert.match(stderr, /open to other machines.*no authentication/, where);
		assertNothingStarted(folder);
	}
});

test("--check-config, --version, --help and wrong usage start nothing", () => {
	const folder = scenarioFolder();
	const file = configFile(folder);
	const fine = runRcptd(["--config", file, "--check-config"]);
	assert.equal(fine.code, 0, fine.stderr);
	assert.ok(fine.stdout.includes(file));
	assertNothingStarted(folder);
	const version = runRcptd(["--version"]);
	assert.equal(version.code, 0);
	assert.match(version.stdout, /^rcptd \d+\.\d+\S*\n$/);
	const help = runRcptd(["--help"]);
	assert.equal(help.code, 0);
	assert.match(help.stdout, /--config FILE[\s\S]*--check-config[\s\S]*Example/);
	for (const args of [[], ["--config"], ["--config", file, "more"], ["--what"]]) {
		const wrong = runRcptd(args);
		assert.equal(wrong.code, 2, args.join(" "));
		assert.match(wrong.stderr, /--help/);
	}
	assertNothingStarted(folder);
});

function empty() {
	const d = new Description();
	d.mail("empty.test"); // without a host the world has no port
	return d;
}
/** A further configuration of a scenario's daemon, with changes: {code, stderr} of a start that must fail. */
function startSecond(s, name, changes) {
	const file = path.join(s.folder, `${name}.yaml`);
	fs.writeFileSync(file, JSON.stringify({ ...s.rcptd.config, ...changes }));
	return runRcptd(["--config", file]);
}

scenarioTest("a store that another rcptd uses: who holds it", empty(), async (s) => {
	const second = startSecond(s, "second", { listen: { grpc: `unix:${s.folder}/second.sock` } });
	assert.equal(second.code, 1, second.stderr);
	assert.match(second.stderr, new RegExp(`\\b${s.rcptd.pid}\\b`), "its process id");
	assert.ok(second.stderr.includes(s.rcptd.storePath), second.stderr);
	assert.ok(!fs.existsSync(`${s.folder}/second.sock`));
	assert.equal(await s.client.health(), "SERVING", "the first goes on");
	await s.rcptd.kill();
	await s.rcptd.start(); // the lock went with its process
});

test("a port or a socket in use: which", async () => {
	const s = await Scenario.start(empty(), { listen: { grpc: `127.0.0.1:${await freePort()}` } });
	const stores = (name) => ({ store: { path: path.join(s.folder, name) } });
	const taken = startSecond(s, "tcp", stores("tcp"));
	assert.equal(taken.code, 1, taken.stderr);
	assert.ok(taken.stderr.includes(s.rcptd.config.listen.grpc), taken.stderr);
	assert.match(taken.stderr, /in use/);
	const other = net.createServer().listen(`${s.folder}/other.sock`);
	await until("it listens", () => other.listening);
	const socket = startSecond(s, "unix", { ...stores("unix"), listen: { grpc: `unix:${s.folder}/other.sock` } });
	assert.equal(socket.code, 1, socket.stderr);
	assert.match(socket.stderr, /other\.sock is in use/);
	assert.ok(fs.existsSync(`${s.folder}/other.sock`), "another's socket stays");
	fs.writeFileSync(`${s.folder}/no.sock`, "a file");
	const file = startSecond(s, "file", { ...stores("file"), listen: { grpc: `unix:${s.folder}/no.sock` } });
	assert.equal(file.code, 1, file.stderr);
	assert.match(file.stderr, /no\.sock.*not a socket/);
	assert.equal(fs.readFileSync(`${s.folder}/no.sock`, "utf8"), "a file");
	const nowhere = startSecond(s, "nowhere", { ...stores("nowhere"), listen: { grpc: `unix:${s.folder}/missing/x.sock` } });
	assert.equal(nowhere.code, 1, nowhere.stderr);
	assert.match(nowhere.stderr, /missing\/x\.sock/);
	other.close();
	await s.close();
});

test("two daemons with stores of their own, on 127.0.0.1, ::1 and a socket", async () => {
	const d = new Description();
	d.mail("pair.test", ["zq-dm-ada"]);
	const s = await Scenario.start(d);
	const more = [];
	for (const host of ["127.0.0.1", "[::1]", "localhost"]) {
		const folder = scenarioFolder();
		const port = await freePort(host === "[::1]" ? "::1" : "127.0.0.1");
		const rcptd = new Rcptd(folder, s.world, { listen: { grpc: `${host}:${port}` } });
		more.push(await rcptd.start());
	}
	for (const rcptd of [s.rcptd, ...more]) {
		const result = await rcptd.client.verifyOne("zq-dm-ada@pair.test");
		assertVerdict(result, "DELIVERABLE", "ACCEPTED");
		assert.equal(result.from_cache, false, "each has a memory of its own");
	}
	for (const rcptd of more) assert.deepEqual(await rcptd.stop(), { code: 0, signal: null });
	await s.close();
	assert.ok(!fs.existsSync(path.join(s.folder, "rcptd.sock")), "its socket is gone after an orderly end");
});

/** Watches health; gives the list that grows with each status. */
function watchHealth(client) {
	const seen = [];
	const call = client.healthService.Watch({ service: "" });
	call.on("data", (message) => seen.push(message.status));
	call.on("error", (error) => seen.push(`error ${error.code}`));
	return seen;
}
const codeOf = (promise) => promise.then(() => status.OK, (error) => error.code);

test("SIGTERM drains", { timeout: 90000 }, async () => {
	const d = new Description();
	d.mail("slow.test", ["zq-dm-*"], { latency_ms: 700, pipelining: false });
	d.mail("mute.test", [], { persona: "silent", phase: "rcpt" });
	d.mail("queue.test", ["zq-dm-*"], { latency_ms: 700 });
	const s = await Scenario.start(d, { courtesy: { defaults: { connections: 1, recipients: 10 } }, probe: { shards: 2 } });
	const watched = watchHealth(s.client);
	await until("health is watched", () => watched[0] === "SERVING");
	const further = s.rcptd.newClient();
	await further.health();
	const stream = s.client.openStream();
	stream.send(["zq-dm-one@slow.test", "zq-dm-two@slow.test", "zq-dm-x@mute.test"]);
	const halfClosed = further.openStream();
	halfClosed.send(["zq-dm-q@queue.test"]);
	halfClosed.end();
	await until("each server has been asked about somebody", async () => {
		const record = await s.world.record();
		return ["slow", "mute", "queue"].every((name) => record.rcpts({ host: `mx.${name}.test` }).length);
	});
	const started = Date.now();
	s.rcptd.child.kill("SIGTERM");
	await until("health is NOT_SERVING", () => watched[1] === "NOT_SERVING");
	const mark = await s.world.mark();
	const late = await codeOf(further.verifyOne("zq-dm-late@slow.test", { ms: 5000 }));
	assert.equal(late, status.UNAVAILABLE, "no new work");
	const ended = await Promise.race([s.rcptd.child.ended, sleep(40000, "still running")]);
	assert.deepEqual(ended, { code: 0, signal: null }, `after ${Date.now() - started} ms`);
	const record = await s.world.settled();

	// In every conversation QUIT is the last word.
	for (const { conn, host } of record.connects()) assert.equal(record.verbs({ conn }).at(-1), "QUIT", `${host}: ${record.verbs({ conn })}`);
	assert.equal(record.connects().length, 3, "no new conversation");
	// What is asked once the drain has begun is at most the targets that were accepted to be asked there, and controls.
	const after = record.rcpts().filter((r) => r.seq > mark);
	for (const { local } of after) assert.ok(isRandomControl(local) || local === "postmaster" || local === "zq-dm-two", `asked after the drain began: ${local}`);
	assert.ok(!record.locals().includes("zq-dm-late"));
	// Each client has its results, or is told that it has not.
	for (const [name, call, asked] of [["open", stream, 3], ["half-closed", halfClosed, 1]]) {
		const code = await codeOf(call.done);
		for (const result of call.results) assert.ok(["DELIVERABLE", "UNKNOWN", "RISKY"].includes(result.verdict), JSON.stringify(result));
		if (code === status.OK) assert.equal(call.results.length, asked, `${name}: all results`);
		else assert.equal(code, status.UNAVAILABLE, `${name}: ${call.results.length} results, then ${code}`);
	}
	assertVerdict(stream.results.find((result) => result.address === "zq-dm-one@slow.test"), "DELIVERABLE", "ACCEPTED");
	assertVerdict(halfClosed.results[0], "DELIVERABLE", "ACCEPTED");
	assert.equal(watched.at(-1).startsWith?.("error") ? watched.at(-2) : watched.at(-1), "NOT_SERVING");
	further.close();
	await s.close();
});

for (const [name, host] of [
	["has not greeted", { persona: "silent" }],
	["holds its greeting back, a tarpit", { latency_ms: 60000 }],
	["left EHLO unanswered", { persona: "silent", phase: "ehlo" }],
]) {
	test(`SIGTERM does not wait for a server that ${name}`, async () => {
		const d = new Description();
		d.mail("tarpit.test", [], host);
		const s = await Scenario.start(d);
		const stream = s.client.openStream();
		stream.send(["zq-dm-x@tarpit.test"]);
		await until("the conversation is open", async () => (await s.world.record()).connects().length);
		s.rcptd.child.kill("SIGTERM");
		const ended = await Promise.race([s.rcptd.child.ended, sleep(30000, "still running")]);
		assert.deepEqual(ended, { code: 0, signal: null });
		const code = await codeOf(stream.done);
		assert.ok(code === status.UNAVAILABLE || (code === status.OK && stream.results.length === 1), `${code}`);
		await s.close();
	});
}

for (const phase of ["mail", "rcpt"]) {
	test(`a second SIGTERM stops at once, a server that left ${phase.toUpperCase()} unanswered notwithstanding`, async () => {
		const d = new Description();
		d.mail("tarpit.test", [], { persona: "silent", phase });
		const s = await Scenario.start(d);
		const stream = s.client.openStream();
		stream.send(["zq-dm-x@tarpit.test"]);
		await until("it has been asked", async () => (await s.world.record()).rcpts().length);
		s.rcptd.child.kill("SIGTERM");
		await until("it drains", () => /draining/.test(s.rcptd.log()));
		const waiting = await Promise.race([s.rcptd.child.ended, sleep(1000, "waits")]);
		assert.equal(waiting, "waits", "one SIGTERM waits for an answer");
		s.rcptd.child.kill("SIGTERM");
		const ended = await Promise.race([s.rcptd.child.ended, sleep(3000, "still running")]);
		assert.deepEqual(ended, { code: 0, signal: null });
		assert.notEqual(await codeOf(stream.done), status.OK);
		assert.equal(stream.results.length, 0);
		await s.rcptd.start(); // over the socket that was left behind
		await s.close();
	});
}

test("other signals neither end it nor hurry its end", async () => {
	const d = new Description();
	d.mail("slow.test", ["zq-dm-*"], { latency_ms: 600, pipelining: false });
	const s = await Scenario.start(d);
	s.rcptd.child.kill("SIGUSR2");
	s.rcptd.child.kill("SIGPIPE");
	const stream = s.client.openStream();
	stream.send(["zq-dm-one@slow.test"]);
	stream.end();
	await until("it has been asked", async () => (await s.world.record()).rcpts().length);
	s.rcptd.child.kill("SIGTERM");
	await until("it drains", () => /draining/.test(s.rcptd.log()));
	for (let i = 0; i < 5; i++) {
		s.rcptd.child.kill("SIGUSR2");
		await sleep(20);
	}
	assert.deepEqual(await Promise.race([s.rcptd.child.ended, sleep(30000, "still running")]), { code: 0, signal: null });
	assertVerdict((await stream.done)[0], "DELIVERABLE", "ACCEPTED");
	for (const { conn } of (await s.world.record()).connects()) assert.equal((await s.world.record()).verbs({ conn }).at(-1), "QUIT");
	await s.close();
});

test("clients that hold their calls open do not stop the drain for ever", { timeout: 90000 }, async () => {
	const d = new Description();
	d.mail("drain.test", ["zq-dm-*"]);
	const s = await Scenario.start(d, { listen: { grpc: `127.0.0.1:${await freePort()}` } });
	const holder = s.rcptd.newClient();
	const streams = Array.from({ length: 300 }, () => holder.openStream({ ms: 600000 }));
	streams.slice(0, 10).forEach((stream) => stream.send(["zq-dm-ada@drain.test"]));
	const unread = holder.verification.VerifyStream({ deadline: Date.now() + 600000 }); // never read from
	unread.on("error", () => {});
	unread.write({ items: Array.from({ length: 1000 }, (_, id) => ({ id, address: Buffer.from(`zq-dm-n${id}@nowhere.invalid`) })) });
	const [host, port] = s.rcptd.config.listen.grpc.split(":");
	const sockets = Array.from({ length: 20 }, () => net.connect(Number(port), host).on("error", () => {})); // never says a word
	const half = net.connect(Number(port), host).on("error", () => {});
	half.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
	const watched = watchHealth(holder);
	await until("the daemon has them", async () => watched[0] === "SERVING" && streams.slice(0, 10).every((stream) => stream.results.length === 1));
	s.rcptd.child.kill("SIGTERM");
	const ended = await Promise.race([s.rcptd.child.ended, sleep(40000, "still running")]);
	assert.deepEqual(ended, { code: 0, signal: null });
	for (const stream of streams) assert.ok([status.UNAVAILABLE, status.OK].includes(await codeOf(stream.done)));
	[...sockets, half].forEach((socket) => socket.destroy());
	holder.close();
	await s.close();
});

test("kill -9 and start again: exemptions and facts are there", async () => {
	const d = new Description();
	d.mail("keep.test", ["zq-dm-ada"]);
	d.mail("all.test", [], { persona: "accept-all" });
	d.mail("left.test", ["zq-dm-ada"]);
	const s = await Scenario.start(d);
	const asked = ["zq-dm-ada@keep.test", "zq-dm-nobody@keep.test", "zq-dm-any@all.test"];
	for (let round = 0; round < 3; round++) {
		const before = await s.client.verify(asked);
		await s.client.committed(); // what was learned is written behind the answer
		const granted = await s.client.createExemption(`r${round}.left.test`); // durable once it is answered
		await s.rcptd.restart("SIGKILL");
		const mark = await s.world.mark();
		const again = await s.client.verify(asked);
		for (const address of asked) {
			assert.equal(again.get(address).from_cache, true, address);
			assert.equal(again.get(address).reason, before.get(address).reason);
			assert.equal(again.get(address).catch_all, before.get(address).catch_all);
		}
		const { exemptions } = await s.client.listExemptions();
		assert.equal(exemptions.length, round + 1);
		assert.ok(exemptions.some((exemption) => exemption.id === granted.id));
		assertVerdict(await s.client.verifyOne(`zq-dm-ada@deep.r${round}.left.test`), "UNKNOWN", "EXEMPT");
		const domain = await s.client.getDomain("keep.test");
		assert.match(JSON.stringify(domain), /mx\.keep\.test/);
		assert.equal((await s.world.record(mark)).connects().length, 0);
	}
	// Killed while it is being asked: it starts again and answers.
	const stream = s.client.openStream();
	stream.send(Array.from({ length: 500 }, (_, i) => `zq-dm-a${i}@left.test`));
	await until("it asks", async () => (await s.world.record()).rcpts({ host: "mx.left.test" }).length);
	await s.rcptd.restart("SIGKILL");
	assertVerdict(await s.client.verifyOne("zq-dm-ada@left.test"), "DELIVERABLE", "ACCEPTED");
	await s.close();
});

test("the store's files: modes, a missing key, damage, and messages that name the file", async () => {
	const s = await Scenario.start(empty());
	await s.client.createExemption("kept.test");
	const mode = (file) => (fs.statSync(path.join(s.rcptd.storePath, file)).mode & 0o777).toString(8);
	assert.equal(mode("hmac.key"), "600");
	for (const name of fs.readdirSync(s.rcptd.storePath, { recursive: true })) assert.match(mode(name), /^[67]00$/, name);
	await s.rcptd.stop();
	const key = path.join(s.rcptd.storePath, "hmac.key");
	const start = () => runRcptd(["--config", s.rcptd.configFile]);
	const refuses = (says) => {
		const ended = start();
		assert.equal(ended.code, 1, `${ended.code} ${ended.signal} ${ended.stderr}`);
		assert.match(ended.stderr, says);
		assert.ok(!fs.existsSync(path.join(s.folder, "rcptd.sock")));
	};

	fs.renameSync(key, `${key}.away`);
	refuses(/hmac\.key/);
	assert.ok(!fs.existsSync(key), "no new key beside old data");
	fs.writeFileSync(key, "short", { mode: 0o600 });
	refuses(/hmac\.key.*size/);
	fs.rmSync(key);
	fs.renameSync(`${key}.away`, key);
	fs.chmodSync(key, 0o644);
	refuses(/hmac\.key.*0644.*chmod 600/);
	fs.chmodSync(key, 0o600);

	for (const name of ["keep", "known"]) {
		const data = path.join(s.rcptd.storePath, name, "data.mdb");
		const whole = fs.readFileSync(data);
		for (const [what, damaged] of [
			["nonsense", Buffer.alloc(whole.length, "nonsense")],
			["cut short", whole.subarray(0, 4096 + 100)],
			["a page of zeros", Buffer.concat([Buffer.alloc(8192), whole.subarray(8192)])],
		]) {
			fs.writeFileSync(data, damaged);
			const ended = start();
			assert.equal(ended.signal, null, `${name} ${what}: ${JSON.stringify(ended)}`);
			assert.equal(ended.code, 1, `${name} ${what}: ${ended.stderr}`);
			assert.ok(ended.stderr.includes(path.join(s.rcptd.storePath, name)), `${name} ${what}: ${ended.stderr}`);
			assert.ok(fs.readFileSync(data).equals(damaged), "nothing was changed");
		}
		fs.writeFileSync(data, whole);
	}
	fs.renameSync(s.rcptd.storePath, `${s.rcptd.storePath}.away`);
	fs.writeFileSync(s.rcptd.storePath, "a file");
	refuses(/store/);
	fs.rmSync(s.rcptd.storePath);
	fs.renameSync(`${s.rcptd.storePath}.away`, s.rcptd.storePath);

	await s.rcptd.start(); // all is as it was
	assert.equal((await s.client.listExemptions()).exemptions.length, 1);
	await s.close();
});

test("a store below a folder that does not exist: made, or named", async () => {
	const s = await Scenario.start(empty());
	const second = path.join(s.folder, "no", "such", "folder");
	const ended = startSecond(s, "deep", { store: { path: second }, listen: { grpc: `unix:${s.folder}/deep.sock` } });
	assert.equal(ended.code, 1, ended.stderr);
	assert.ok(ended.stderr.includes(second), ended.stderr);
	await s.close();
});

/** A mail internet of every temper, fast enough to be in the middle of something at any time. */
function busy() {
	const d = new Description();
	const tempers = [
		{ latency_ms: 15 }, { latency_ms: 40, pipelining: false }, { persona: "accept-all", latency_ms: 25 }, { persona: "tempfail", latency_ms: 10 },
		{ persona: "hangup", nth: 2, latency_ms: 10 }, { persona: "closes", phase: "ehlo" }, { persona: "resets", phase: "mail" }, { persona: "refuses", phase: "banner" },
		{ persona: "no-ehlo", latency_ms: 20 }, { dead: true }, { persona: "silent", phase: "ehlo" }, { persona: "greylist", latency_ms: 30 },
	];
	const domains = Array.from({ length: 48 }, (_, i) => `busy${i}.test`);
	domains.forEach((domain, i) => d.mail(domain, ["zq-dm-k*"], tempers[i % tempers.length]));
	return { d, addresses: domains.flatMap((domain) => Array.from({ length: 12 }, (_, i) => `zq-dm-${i % 3 ? "k" : "u"}${i}@${domain}`)) };
}

test("SIGTERM at any time: an orderly end, no result twice, conversations left with QUIT", { timeout: 170000 }, async () => {
	const { d, addresses } = busy();
	const s = await Scenario.start(d, { timeouts: { banner: "2s", reply: "2s", session: "10s" } });
	for (const ms of [0, 3, 10, 30, 80, 200, 500]) {
		const mark = await s.world.mark();
		const streams = Array.from({ length: 4 }, () => s.client.openStream());
		streams.forEach((stream, i) => {
			stream.send(addresses.filter((_, k) => k % 4 === i), 0);
			if (i % 2) stream.end();
		});
		const goes = s.rcptd.newClient(); // a client that goes away at about the same time
		const gone = goes.openStream();
		gone.send(addresses.slice(0, 100), 0);
		await until("it has begun", async () => (await s.world.record(mark)).connects().length);
		await sleep(ms);
		gone.call.cancel();
		s.rcptd.child.kill("SIGTERM");
		goes.close();
		const ended = await Promise.race([s.rcptd.child.ended, sleep(40000, "still running")]);
		assert.deepEqual(ended, { code: 0, signal: null }, `SIGTERM after ${ms} ms: ${s.rcptd.log()}`);
		for (const stream of streams) {
			const code = await codeOf(stream.done);
			assert.equal(new Set(stream.results.map((result) => result.id)).size, stream.results.length, "no result twice");
			if (code === status.OK) assert.equal(stream.results.length, stream.sent);
			else assert.equal(code, status.UNAVAILABLE);
		}
		const record = await s.world.settled(mark);
		for (const { conn, by } of record.closes()) {
			const verbs = record.verbs({ conn });
			if (by === "client" && verbs.length) assert.equal(verbs.at(-1), "QUIT", `after ${ms} ms: ${verbs}`);
		}
		await s.rcptd.start();
	}
	await s.close();
});

test("kill -9 at any time: it starts again, what was acknowledged is there", { timeout: 120000 }, async () => {
	const { d, addresses } = busy();
	const s = await Scenario.start(d, { timeouts: { banner: "2s", reply: "2s", session: "10s" } });
	const granted = [];
	for (const ms of [0, 5, 20, 60, 150, 400]) {
		const stream = s.client.openStream();
		stream.send(addresses, 0);
		const until9 = Date.now() + ms;
		do granted.push((await s.client.createExemption(`g${granted.length}.exempt.test`)).id);
		while (Date.now() < until9);
		await s.rcptd.restart("SIGKILL");
		let page = "", ids = [];
		do {
			const answer = await s.client.listExemptions({ page_token: page });
			ids.push(...answer.exemptions.map((exemption) => exemption.id));
			page = answer.next_page_token;
		} while (page);
		for (const id of granted) assert.ok(ids.includes(id), `${id}, killed after ${ms} ms`);
	}
	await s.close();
});
