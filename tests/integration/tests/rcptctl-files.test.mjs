// rcptctl with whole files: what becomes of a CSV's columns and of the output; the counters, watched.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { duration, errorDetails, status } from "../lib/client.mjs";
import { bin } from "../lib/paths.mjs";
import { until } from "../lib/process.mjs";
import { parseCsv, rcptctl, startRcptctl } from "../lib/rcptctl.mjs";
import { Scenario, scenarioTest, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

const OURS = [
	"address", "verdict", "reason", "domain", "operator", "catch_all", "role", "disposable", "free", "suggestion", "phase", "code",
	"enhanced", "text", "rule", "mail_host", "mail_ip", "source", "from_cache", "age_s", "retry_after_s", "attempts",
];

let s, server, folder;
before(async () => {
	const d = new Description();
	d.mail("files.test", ["zq-file-ada", "zq-file-ben", "zq-file-cy"]);
	d.mail("mute.test", [], { persona: "silent" });
	d.domain("gone.test", { nxdomain: true });
	s = await Scenario.start(d, { timeouts: { banner: "60s" } });
	server = s.rcptd.config.listen.grpc;
	folder = s.folder;
});
after(() => s?.close());

const run = (args, options) => rcptctl(["--server", server, ...args], options);
const file = (name, content) => {
	const full = path.join(folder, name);
	fs.writeFileSync(full, content);
	return full;
};
const traces = (name) => fs.readdirSync(folder).filter((found) => found.includes(name) && found !== name);
async function csv(content, ...args) {
	const ended = await run(["verify", "-f", file("in.csv", content), "--format", "csv", ...args]);
	assert.equal(ended.code, 0, ended.stderr);
	return ended.stdout;
}

/* ---- columns ---- */

test("csv to csv keeps every column in front of ours, in the order of the rows", async () => {
	const input = [["id", "name", "E-Mail", "note"], ["1", "Ada", "zq-file-ada@files.test", "a, b"], ["2", "Ben \"B\"", "zq-file-nobody@files.test", "two\nlines"],
		["3", "", "zq-file-x@gone.test", " blanks "], ["4", "caf\u00e9", "zq-file-ben@files.test", "=1+1"]];
	const quote = (cell) => (/[",\n]|^ | $/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
	const text = await csv(input.map((row) => `${row.map(quote).join(",")}\n`).join(""));
	const [head, ...rows] = parseCsv(text);
	assert.deepEqual(head, [...input[0], ...OURS]);
	assert.deepEqual(rows.map((row) => row.slice(0, 4)), input.slice(1));
	assert.deepEqual(rows.map((row) => row.length), rows.map(() => 4 + OURS.length));
	assert.deepEqual(rows.map((row) => row[6]), ["ACCEPTED", "MAILBOX_UNKNOWN", "DOMAIN_NOT_FOUND", "ACCEPTED"]);
	assert.deepEqual(rows.map((row) => row[4]), input.slice(1).map((row) => row[2]));
});

test("byte order mark, CRLF, semicolons: commas, LF and no mark come out", async () => {
	const text = await csv("\ufeffid;E-Mail;\"no;te\"\r\n1;zq-file-ada@files.test;\"x \"\"y\"\"\r\nz\"\r\n2;zq-file-ben@files.test;a,b\r\n");
	assert.ok(text.startsWith('id,E-Mail,"no;te",address,'), text.slice(0, 60));
	assert.ok(text.includes('\n1,zq-file-ada@files.test,"x ""y""\r\nz",zq-file-ada@files.test,DELIVERABLE,'));
	assert.ok(text.includes('\n2,zq-file-ben@files.test,"a,b",zq-file-ben@files.test,DELIVERABLE,'));
	assert.equal(text.split("\r").length, 2, "only the one in the cell");
	assert.ok(text.endsWith("\n"));
});

test("short rows are filled up, long ones keep what they have behind our columns", async () => {
	const [head, ...rows] = parseCsv(await csv("email,a,b\nzq-file-ada@files.test\nzq-file-ben@files.test,1,2,3,\"4,5\"\n"));
	assert.deepEqual(rows[0].slice(0, 3), ["zq-file-ada@files.test", "", ""]);
	assert.equal(rows[0].length, head.length);
	assert.deepEqual(rows[1].slice(0, 3), ["zq-file-ben@files.test", "1", "2"]);
	assert.deepEqual(rows[1].slice(head.length), ["3", "4,5"]);
	assert.deepEqual(rows.map((row) => row[head.indexOf("verdict")]), ["DELIVERABLE", "DELIVERABLE"]);
});

test("names that clash: the input's stay, ours are told apart; a second run over the first one's output", async () => {
	const first = await csv("Address,verdict\nzq-file-ada@files.test,mine\n");
	const [head, row] = parseCsv(first);
	assert.deepEqual(head.slice(0, 4), ["Address", "verdict", "rcptd_address", "rcptd_verdict"]);
	assert.deepEqual(head.slice(4), OURS.slice(2));
	assert.deepEqual(row.slice(0, 4), ["zq-file-ada@files.test", "mine", "zq-file-ada@files.test", "DELIVERABLE"]);
	const [again] = parseCsv(await csv(first, "--column", "Address"));
	assert.deepEqual(again.slice(0, head.length), head);
	assert.deepEqual(again.slice(head.length, head.length + 3), ["rcptd_rcptd_address", "rcptd_rcptd_verdict", "rcptd_reason"]);
	assert.equal(new Set(again.map((name) => name.toLowerCase())).size, again.length);
});

test("a wide file; jsonl and table have nothing of it", async () => {
	const names = Array.from({ length: 500 }, (_, i) => `c${i}`);
	const content = `${names.join(",")},email\n${names.map((name) => `v${name}`).join(",")},zq-file-ada@files.test\n`;
	const [head, row] = parseCsv(await csv(content));
	assert.equal(head.length, 501 + OURS.length);
	assert.equal(row[499], "vc499");
	assert.equal(row[head.indexOf("verdict")], "DELIVERABLE");
	const json = await run(["verify", "-f", path.join(folder, "in.csv"), "--format", "jsonl"]);
	assert.deepEqual(Object.keys(JSON.parse(json.stdout)), OURS);
	assert.doesNotMatch((await run(["verify", "-f", path.join(folder, "in.csv")])).stdout, /vc1/);
});

/* ---- the output ---- */

test("the output gets its name at the end", async () => {
	const out = file("late.csv", "an earlier run\n");
	const waiting = startRcptctl(["--server", server, "verify", "-f", "-", "--format", "csv", "-o", out], { stdin: "open" });
	waiting.child.stdin.write("n,email\n1,zq-file-ada@files.test\n2,zq-file-ben@files.test\n");
	const [temporary] = await until("rows are written", () => {
		const found = traces("late.csv");
		return found.length && fs.readFileSync(path.join(folder, found[0]), "utf8").includes("zq-file-ben@files.test,DELIVERABLE") ? found : null;
	});
	assert.equal(fs.readFileSync(out, "utf8"), "an earlier run\n");
	assert.equal(path.dirname(path.join(folder, temporary)), path.dirname(out));
	waiting.child.stdin.end();
	assert.equal((await waiting.done).code, 0);
	assert.equal(parseCsv(fs.readFileSync(out, "utf8")).length, 3);
	assert.deepEqual(traces("late.csv"), []);
});

test("interrupted: the rows answered are in the output, and it says how many", async () => {
	const list = file("part-in.csv", "n,email\n1,zq-file-ada@files.test\n2,zq-file-m@mute.test\n3,zq-file-ben@files.test\n");
	await run(["verify", "zq-file-ada@files.test", "zq-file-ben@files.test"]);
	const out = file("part.csv", "an earlier run\n");
	const mark = await s.world.mark();
	const { child, done } = startRcptctl(["--server", server, "verify", "-f", list, "--format", "csv", "-o", out]);
	await until("the silent server is being asked", async () => (await s.world.record(mark)).connects("mx.mute.test").length > 0);
	await until("the first row is written", () => traces("part.csv").some((name) => fs.readFileSync(path.join(folder, name), "utf8").includes("zq-file-ada@files.test,DELIVERABLE")));
	await new Promise((resolve) => setTimeout(resolve, 300)); // the third row's answer, which is known too, has come with it
	assert.equal(fs.readFileSync(out, "utf8"), "an earlier run\n");
	child.kill("SIGINT");
	const ended = await done;
	assert.equal(ended.code, 130, ended.stderr);
	assert.match(ended.stderr, /Interrupted\. 2 rows answered by then are in .*part\.csv/);
	assert.deepEqual(parseCsv(fs.readFileSync(out, "utf8")).map((row) => row.slice(0, 2)),
		[["n", "email"], ["1", "zq-file-ada@files.test"], ["3", "zq-file-ben@files.test"]]);
	assert.deepEqual(traces("part.csv"), []);
	await s.world.settled(mark);
});

test("a disk that is full: exit 1, what stood there is untouched, nothing is left behind", async () => {
	const out = file("full.csv", "an earlier run\n");
	const list = file("full-in.txt", "zq-file-ada@files.test\n".repeat(200));
	const command = `ulimit -f 4; exec '${bin.rcptctl}' --server '${server}' verify -f '${list}' --format csv -o '${out}'`;
	const ended = await rcptctl(["-c", command], { file: "/bin/bash" });
	assert.equal(ended.code, 1, ended.stderr);
	assert.match(ended.stderr, /full\.csv: File too large/);
	assert.equal(fs.readFileSync(out, "utf8"), "an earlier run\n");
	assert.deepEqual(traces("full.csv"), []);
});

test("progress on a terminal: rows of all, a rate, the time left", { skip: fs.existsSync("/usr/bin/script") ? false : "script(1) is not installed" }, async () => {
	const list = file("slow-in.txt", `${"zq-file-ada@files.test\n".repeat(3)}zq-file-m@mute.test\n`);
	const command = [bin.rcptctl, "--server", server, "verify", "-f", list, "--format", "csv", "-o", path.join(folder, "slow.csv")].map((word) => `'${word}'`).join(" ");
	const { child, done, said } = startRcptctl(["-qec", command, "/dev/null"], { file: "/usr/bin/script", env: { TERM: "xterm", NO_COLOR: "1" } });
	await until("the line is there", () => /\r\x1b\[K3 of 4 \(75 %\), \d+(\.\d)?\/s/.test(said.stdout));
	await until("the time left", () => / left/.test(said.stdout));
	child.kill("SIGTERM");
	await done;
});

/* ---- watching ---- */

/** Messages of a WatchStats call, as they come; .next() waits. */
function watch(client, request) {
	const call = client.stats.WatchStats(request);
	const state = { call, messages: [], error: null, ended: false };
	call.on("data", (message) => state.messages.push(message)).on("error", (error) => (state.error = error)).on("end", () => (state.ended = true));
	return state;
}
const elapsed = (message) => message.elapsed.seconds + message.elapsed.nanos / 1e9;

test("WatchStats: at once and then each interval, rates over the time between", async () => {
	const atFirst = (await s.client.getStats()).addresses;
	const w = watch(s.client, { interval: duration(0.1) });
	await until("the first message", () => w.messages.length > 0);
	assert.equal(w.messages[0].rates, null);
	assert.equal(w.messages[0].elapsed, null);
	assert.equal(w.messages[0].stats.addresses, atFirst);
	await s.client.verify(Array.from({ length: 40 }, (_, i) => `zq-file-w${i}@gone.test`));
	await until("they are counted", () => w.messages.at(-1).stats.addresses === atFirst + 40);
	const later = w.messages.slice(1);
	const grown = later.reduce((sum, message) => sum + message.rates.addresses * elapsed(message), 0);
	assert.ok(Math.abs(grown - 40) < 0.001, `${grown}`);
	const answered = w.messages.at(-1).stats.verdicts.reduce((sum, row) => sum + row.count, 0) - w.messages[0].stats.verdicts.reduce((sum, row) => sum + row.count, 0);
	const answers = later.reduce((sum, message) => sum + message.rates.answers * elapsed(message), 0);
	assert.ok(Math.abs(answers - answered) < 0.001, `${answers} ${answered}`);
	for (const message of later) assert.ok(elapsed(message) >= 0.09, `${elapsed(message)}`);
	w.call.cancel();
	await until("it ended", () => w.error);
	assert.equal(w.error.code, status.CANCELLED);
});

test("WatchStats: an interval out of bounds is an error that names the field", async () => {
	for (const interval of [duration(0), duration(0.099), duration(3600.001), duration(-1), { seconds: 1, nanos: -1 }, { seconds: 0, nanos: 2000000000 }, { seconds: 1e15, nanos: 0 }]) {
		const w = watch(s.client, { interval });
		await until("it ended", () => w.error);
		assert.equal(w.error.code, status.INVALID_ARGUMENT, JSON.stringify(interval));
		assert.deepEqual(errorDetails(w.error).fields.map((field) => field.field), ["interval"]);
		assert.equal(w.messages.length, 0);
	}
	const malformed = s.client.stats.makeServerStreamRequest("/rcptd.v1.StatsService/WatchStats", (x) => x, (x) => x, Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]));
	const error = await new Promise((resolve) => malformed.on("error", resolve).on("data", () => {}));
	assert.equal(error.code, status.INVALID_ARGUMENT);
	for (const interval of [null, duration(0.1), duration(3600)]) {
		const w = watch(s.client, { interval });
		await until("the first message", () => w.messages.length > 0);
		w.call.cancel();
		await until("it ended", () => w.error);
	}
});

test("stats --watch: a line a time, JSON, and Ctrl-C", async () => {
	for (const [args, looks] of [[[], /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: addresses [\d,]+ \([\d.,]+\/s\), answers /], [["--format", "json"], /"rates":\{"addresses":\d/]]) {
		const { child, done, said } = startRcptctl(["--server", server, "stats", "--watch", "--interval", "100ms", ...args]);
		await until("three lines", () => said.stdout.split("\n").length > 3);
		child.kill("SIGINT");
		const ended = await done;
		assert.equal(ended.code, 130);
		assert.equal(ended.stderr, "");
		assert.match(ended.stdout.split("\n")[1], looks);
	}
});

scenarioTest("a daemon that ends: watches get UNAVAILABLE, those that do not read do not hold it up", (() => {
	const d = new Description();
	d.mail("ends.test", ["zq-file-ada"]);
	return d;
})(), async (sc) => {
	const w = watch(sc.client, { interval: duration(0.1) });
	const long = watch(sc.client, { interval: duration(3600) });
	const args = ["--server", sc.rcptd.config.listen.grpc, "stats", "--watch", "--interval", "100ms"];
	const ctl = startRcptctl(args);
	const deaf = startRcptctl(args);
	await until("all are watching", () => w.messages.length > 3 && long.messages.length === 1 && ctl.said.stdout.includes("\n") && deaf.said.stdout.includes("\n"));
	deaf.child.kill("SIGSTOP");
	process.kill(sc.rcptd.pid, "SIGTERM");
	assert.deepEqual(await sc.rcptd.child.ended, { code: 0, signal: null });
	await until("both were told", () => w.error && long.error);
	for (const { error } of [w, long]) {
		assert.equal(error.code, status.UNAVAILABLE);
		assert.equal(errorDetails(error).reason, "SHUTTING_DOWN");
	}
	deaf.child.kill("SIGCONT");
	for (const { done } of [ctl, deaf]) assert.equal((await done).code, 3);
	assert.match((await ctl.done).stderr, /shutting down/);
});
