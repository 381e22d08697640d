// What rcptd takes: heap of a session, CPU of a session and of an address beside a bare client, and how long one Verify waits beside a
// long stream. Run by `make bench`, one line a number. Ends by itself within some minutes.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { cpuMicros, median, percentile, rssAnonKb } from "../integration/lib/measure.mjs";
import { bin, root, runFolder, scenarioFolder } from "../integration/lib/paths.mjs";
import { until } from "../integration/lib/process.mjs";
import { Rcptd } from "../integration/lib/rcptd.mjs";
import { Description, World } from "../integration/lib/world.mjs";

const run = promisify(execFile);
const BARE = path.join(root, "bazel-bin/tests/bench/bare");
const OPERATORS = 50;
const DOMAINS = 100; // of an operator
const RUNS = Number(process.env.BENCH_RUNS ?? 5);
const rows = [];

function report(what, value, unit, aim, holds) {
	rows.push({ what, value, unit, aim, holds });
	const verdict = aim === undefined ? "" : `   aim: ${aim}${holds ? "" : "   MISSED"}`;
	console.log(`${what.padEnd(66)} ${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0).padStart(7)} ${unit.padEnd(3)}${verdict}`);
}

/** Operators with a mail host each; every name below an operator's is a domain whose mail it takes. */
function description(host = {}) {
	const d = new Description();
	d.content.record = undefined; // no file: the servers' own work is not what is measured
	for (let op = 0; op < OPERATORS; op++) {
		d.host(`mx.op${op}.test`, host);
		d.domain(`*.op${op}.test`, { mx: `mx.op${op}.test`, mailboxes: ["zq-user*"] });
	}
	return d;
}
const domain = (op, i) => `d${i}.op${op}.test`;

async function withWorld(d, fn) {
	const folder = scenarioFolder();
	const world = await World.start(d, folder);
	try {
		return await fn(world, folder);
	} finally {
		await world.stop();
	}
}
async function withDaemon(world, config, fn) {
	const rcptd = new Rcptd(scenarioFolder(), world, { log: { level: "warn" }, ...config, probe: { shards: 1, ...config.probe } });
	await rcptd.start();
	try {
		return await fn(rcptd);
	} finally {
		await rcptd.kill();
	}
}

/* ---- heap ---- */

/** KiB that each of a second 2,000 addresses takes, of a domain of its own each, with that many sessions open in all. */
async function kbEach(host, connections, sessions) {
	return withWorld(description(host), (world) =>
		withDaemon(world, { courtesy: { defaults: { connections }, ip: { connections } }, timeouts: { banner: "10m", reply: "10m", session: "1h" } }, async (rcptd) => {
			const half = (DOMAINS * OPERATORS) / 2;
			const stream = rcptd.client.openStream({ ms: 300000 });
			const ask = async (from) => {
				const addresses = [];
				for (let n = from; n < from + half; n++) addresses.push(`zq-user@${domain(n % OPERATORS, Math.floor(n / OPERATORS))}`);
				for (let at = 0; at < half; at += 1000) stream.send(addresses.slice(at, at + 1000));
				const told = sessions(from + half);
				await until(`${told} servers were told a sender`, async () => ((await world.counts()).all.verbs.MAIL ?? 0) >= told, 60000, 100);
				await until("all domains are looked up", async () => Object.keys((await world.counts()).dns.queries).length >= from + half, 60000, 100);
				await new Promise((resolve) => setTimeout(resolve, 500));
				return rssAnonKb(rcptd.pid);
			};
			const before = await ask(0);
			const after = await ask(half);
			stream.call.cancel();
			return (after - before) / half;
		}));
}

async function heap() {
	const silent = { faults: [{ phase: "mail", then: "silent" }] };
	const waiting = [], plain = [], tls = [];
	for (let i = 0; i < 3; i++) {
		waiting.push(await kbEach({ persona: "normal", ...silent }, 1, () => OPERATORS));
		plain.push(await kbEach({ persona: "normal", ...silent }, 100, (n) => n));
		tls.push(await kbEach({ persona: "tls", ...silent }, 100, (n) => n));
	}
	const address = median(waiting);
	report("heap: an address that waits, alone of its domain", address, "KiB");
	report("heap: an idle session in clear", median(plain) - address, "KiB", "under 4 KiB", median(plain) - address < 4);
	report("heap: an idle session with TLS", median(tls) - address, "KiB", "under 24 KiB", median(tls) - address < 24);
}

/* ---- CPU ---- */

/** CPU microseconds of a session with so many recipients and a control: {first, later, bare}. */
async function cpuEach(recipients) {
	const d = description();
	return withWorld(d, async (world, folder) => {
		const list = path.join(folder, "list");
		const sessions = OPERATORS * DOMAINS;
		const lines = [];
		for (let i = 0; i < DOMAINS; i++)
			for (let op = 0; op < OPERATORS; op++) for (let r = 0; r < recipients; r++) lines.push(`zq-user${r}@${domain(op, i)}`);
		fs.writeFileSync(list, `${lines.join("\n")}\n`);
		const hosts = Object.values(d.content.hosts).map((h) => h.addresses[0]);
		const later = [], bare = [];
		let first;
		// One unknown recipient a session, the control, makes each domain a session of its own, as the bare client's.
		const courtesy = { defaults: { connections: 2, recipients, unknown_per_session: 2 } };
		await withDaemon(world, { courtesy }, async (rcptd) => {
			for (let i = 0; i <= RUNS; i++) {
				await world.reset();
				const before = cpuMicros(rcptd.pid);
				await run(bin.rcptctl, ["verify", "--server", rcptd.config.listen.grpc, "--file", list, "--max-age", "0", "-q", "-o", "/dev/null", "--format", "jsonl"]);
				const used = cpuMicros(rcptd.pid) - before;
				const { connections, verbs } = (await world.counts()).all;
				assert.equal(connections, sessions, "a session a domain");
				assert.equal(verbs.RCPT, sessions * (recipients + 1), "each address once, and the control");
				if (i) later.push(used / sessions);
				else first = used / sessions;
				const { stdout } = await run(BARE, [String(world.smtpPort), String(sessions), String(2 * OPERATORS), String(recipients), ...hosts]);
				const b = JSON.parse(stdout);
				bare.push((b.user_us + b.sys_us) / b.sessions);
			}
		});
		return { first, later: median(later), bare: median(bare) };
	});
}

async function cpu() {
	const three = await cpuEach(3);
	report("CPU: a session of the bare client, 3 recipients and a control", three.bare, "us");
	report("CPU: rcptd, the same session, its addresses in and answers out", three.later, "us");
	report("CPU: rcptd, domains never asked before, with their DNS", three.first, "us");
	report("CPU: rcptd beside the bare client, 3 recipients", three.later / three.bare, "x");
	const thirty = await cpuEach(30);
	report("CPU: an address of the bare client, 30 a session", thirty.bare / 30, "us");
	report("CPU: an address of rcptd, 30 a session", thirty.later / 30, "us");
}

/* ---- latency ---- */

const LATENCY = 20; // of the servers' replies
const IDLE = 4; // operators that nobody else asks

/** Milliseconds of each Verify, IDLE of them at a time, until `over` says so. */
async function verifyUntil(rcptd, over) {
	const times = [];
	const client = rcptd.newClient();
	await client.health();
	await Promise.all(Array.from({ length: IDLE }, async (_, i) => {
		while (!over(times.length)) {
			const from = performance.now();
			const result = await client.verifyOne(`zq-user@one.idle${i}.test`, { maxAge: 0 });
			times.push(performance.now() - from);
			assert.equal(`${result.verdict}`, "DELIVERABLE");
		}
	}));
	client.close();
	return times;
}

async function latency() {
	const d = description({ latency_ms: LATENCY });
	for (let i = 0; i < IDLE; i++) {
		d.host(`mx.idle${i}.test`, { latency_ms: LATENCY });
		d.domain(`*.idle${i}.test`, { mx: `mx.idle${i}.test`, mailboxes: ["zq-user*"] });
	}
	await withWorld(d, async (world, folder) => {
		const list = path.join(folder, "list");
		const lines = [];
		for (let n = 0; n < 100000; n++) lines.push(`zq-user${Math.floor(n / 1000)}@${domain(n % OPERATORS, Math.floor(n / OPERATORS) % 20)}`);
		fs.writeFileSync(list, `${lines.join("\n")}\n`);
		const alone = [], beside = [], ratio = [], rates = [];
		for (let i = 0; i < Math.min(RUNS, 3); i++) {
			await withDaemon(world, {}, async (rcptd) => {
				await verifyUntil(rcptd, (n) => n >= 20); // what the first ones learn
				const quiet = percentile(await verifyUntil(rcptd, (n) => n >= 100), 95);
				let done = false;
				const from = performance.now();
				const stream = run(bin.rcptctl, ["verify", "--server", rcptd.config.listen.grpc, "--file", list, "-q", "-o", "/dev/null", "--format", "jsonl"]);
				stream.finally(() => {
					rates.push(lines.length / ((performance.now() - from) / 1000));
					done = true;
				}).catch(() => {});
				const times = await verifyUntil(rcptd, () => done);
				await stream;
				assert.ok(times.length >= 20, `the stream was long enough to measure beside it: ${times.length}`);
				const busy = percentile(times, 95);
				alone.push(quiet);
				beside.push(busy);
				ratio.push(busy / quiet);
			});
		}
		report(`Verify to an idle operator that answers in ${LATENCY} ms, p95`, median(alone), "ms");
		report("Verify beside a stream of 100,000 addresses, p95", median(beside), "ms");
		report("Verify beside the stream, times unloaded", median(ratio), "x", "at most 2", median(ratio) <= 2);
		report("the stream beside it, addresses a second", median(rates), "/s");
	});
}

const PARTS = { heap, cpu, latency };
const wanted = process.argv.slice(2).filter((arg) => arg in PARTS);
console.log(`median of ${RUNS} runs (heap, latency: 3), ${new Date().toISOString().slice(0, 10)}, load ${fs.readFileSync("/proc/loadavg", "latin1").split(" ")[0]} before`);
try {
	for (const part of wanted.length ? wanted : Object.keys(PARTS)) await PARTS[part]();
} finally {
	if (!process.env.RCPTD_KEEP) fs.rmSync(runFolder(), { recursive: true, force: true });
}
process.exit(rows.some((row) => row.holds === false) ? 1 : 0);
