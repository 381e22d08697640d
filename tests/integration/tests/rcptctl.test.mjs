// rcptctl against a daemon and the world, as scripts and people use it.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { root } from "../lib/paths.mjs";
import { until } from "../lib/process.mjs";
import { freePort } from "../lib/rcptd.mjs";
import { inTerminal, parseCsv, rcptctl, startRcptctl } from "../lib/rcptctl.mjs";
import { Scenario, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

const KEYS = [
	"address", "verdict", "reason", "domain", "operator", "catch_all", "role", "disposable", "free", "suggestion", "phase", "code",
	"enhanced", "text", "rule", "mail_host", "mail_ip", "source", "from_cache", "age_s", "retry_after_s", "attempts",
];
const COMMANDS = [
	[], ["verify"], ["domain"], ["domain", "show"], ["domain", "forget"], ["exempt"], ["exempt", "add"], ["exempt", "check"],
	["exempt", "list"], ["exempt", "revoke"], ["stats"],
];

let s, server, folder;
before(async () => {
	const d = new Description();
	d.mail("ctl.test", ["zq-ctl-ada", "zq-ctl-ben", "zq-ctl-cy"], {}, { replies: { "zq-ctl-formula": ["550-=cmd|'/c calc'!A1", "550 5.1.1 User unknown"] } });
	d.mail("all.test", [], { persona: "accept-all" });
	d.mail("grey.test", ["zq-ctl-eve"], { persona: "greylist", greylist_reply: "450 4.2.0 Greylisted, try again in 300 seconds" });
	d.mail("slow.test", ["zq-ctl-dan"], { latency_ms: 400 });
	d.mail("mute.test", [], { persona: "silent" });
	d.domain("null.test", { null_mx: true });
	d.domain("gone.test", { nxdomain: true });
	for (const domain of ["example.org", "example.net"]) d.mail(domain, ["ann", "ben"]);
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
async function rows(args, options) {
	const ended = await run(["verify", "--format", "jsonl", ...args], options);
	assert.equal(ended.code, 0, `${ended.stdout}${ended.stderr}`);
	return ended.stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}
const words = (list) => list.map((row) => `${row.address} ${row.verdict} ${row.reason}`);

test("arguments, jsonl: the keys in their order, null where there is no value", async () => {
	const asked = ["zq-ctl-ada@ctl.test", "zq-ctl-nobody@ctl.test", "zq-ctl-x@null.test", "zq-ctl-x@gone.test", "zq-ctl-x@all.test", "zq-ctl-nonsense", "zq-ctl-eve@grey.test"];
	const list = await rows(asked);
	assert.deepEqual(words(list), [
		"zq-ctl-ada@ctl.test DELIVERABLE ACCEPTED", "zq-ctl-nobody@ctl.test UNDELIVERABLE MAILBOX_UNKNOWN",
		"zq-ctl-x@null.test UNDELIVERABLE NULL_MX", "zq-ctl-x@gone.test UNDELIVERABLE DOMAIN_NOT_FOUND",
		"zq-ctl-x@all.test RISKY ACCEPT_ALL", "zq-ctl-nonsense UNDELIVERABLE INVALID_SYNTAX", "zq-ctl-eve@grey.test UNKNOWN GREYLISTED"]);
	for (const row of list) assert.deepEqual(Object.keys(row), KEYS);
	const [ada, nobody, noMail, , all, nonsense, grey] = list;
	assert.equal(ada.domain, "ctl.test");
	assert.equal(ada.catch_all, "no");
	assert.equal(ada.phase, "rcpt");
	assert.equal(ada.code, 250);
	assert.equal(ada.mail_host, "mx.ctl.test");
	assert.match(ada.mail_ip, /^127\./);
	assert.equal(ada.source, "127.0.0.1");
	assert.equal(ada.from_cache, false);
	assert.equal(ada.role, false);
	assert.equal(ada.suggestion, null);
	assert.equal(ada.retry_after_s, null);
	assert.equal(ada.attempts, 1);
	assert.equal(nobody.code, 550);
	assert.equal(nobody.enhanced, "5.1.1");
	assert.ok(nobody.rule && nobody.text);
	assert.equal(noMail.phase, "dns");
	for (const key of ["code", "enhanced", "text", "mail_host", "mail_ip"]) assert.equal(noMail[key], null, key);
	assert.equal(noMail.catch_all, "unknown");
	assert.equal(all.catch_all, "yes");
	for (const key of ["domain", "phase", "code", "text", "mail_host", "mail_ip", "age_s"]) assert.equal(nonsense[key], null, key);
	assert.ok(grey.retry_after_s >= 300 && grey.retry_after_s <= 320, `${grey.retry_after_s}`);
});

test("a CSV by column, a list, standard input: the same rows, in the order they went in", async () => {
	const asked = ["zq-ctl-dan@slow.test", "zq-ctl-ada@ctl.test", "zq-ctl-nope@ctl.test", "zq-ctl-ben@ctl.test", "zq-ctl-ada@ctl.test"];
	const csv = `id;Name;Contact Mail\r\n${asked.map((address, i) => `${i};"Doe; ""J"" ${i}";${address}\r\n`).join("")}`;
	const byColumn = await rows(["--file", file("people.csv", csv), "--column", "Contact Mail"]);
	assert.deepEqual(byColumn.map((row) => row.address), asked);
	const lines = `${asked.join("\n")}`; // the last line without its end
	assert.deepEqual((await rows(["--file", file("people.txt", lines)])).map((row) => row.address), asked);
	assert.deepEqual((await rows(["--file", "-"], { stdin: lines })).map((row) => row.address), asked);
	assert.deepEqual((await rows(["-f", "-", "--column", "contact mail"], { stdin: csv })).map((row) => row.address), asked);
	assert.deepEqual(words(await rows(asked)), words(byColumn));
	// The column of its own accord, a byte order mark, empty cells.
	const own = await rows(["-f", file("own.csv", "\ufeffname,E-Mail,x\nAda,zq-ctl-ada@ctl.test,1\nNone,,2\n")]);
	assert.deepEqual(own.map((row) => `${row.address} ${row.reason}`), ["zq-ctl-ada@ctl.test ACCEPTED", " INVALID_SYNTAX"]);
});

test("csv and table", async () => {
	const asked = ["zq-ctl-ada@ctl.test", "zq-ctl-formula@ctl.test", "zq-ctl-x@null.test"];
	const csv = await run(["verify", "--format", "csv", ...asked]);
	assert.equal(csv.code, 0);
	const [head, ...body] = parseCsv(csv.stdout);
	assert.deepEqual(head, KEYS);
	assert.deepEqual(body.map((row) => row.length), [KEYS.length, KEYS.length, KEYS.length]);
	const json = await rows(asked);
	body.forEach((row, i) => KEYS.forEach((key, k) => {
		if (["from_cache", "age_s"].includes(key)) return; // asked one after the other
		const value = json[i][key] === null ? "" : String(json[i][key]);
		assert.equal(row[k], key === "text" && /^[=+@-]/.test(value) ? `'${value}` : value, `${key} of ${asked[i]}`);
	}));
	assert.equal(body[1][KEYS.indexOf("text")][0], "'", "no formula for a spreadsheet");
	const table = await run(["verify", ...asked]);
	assert.equal(table.code, 0);
	const [heading, ...said] = table.stdout.trimEnd().split("\n");
	assert.match(heading, /^ADDRESS +VERDICT +REASON +DETAIL$/);
	assert.deepEqual(said.map((line) => line.split(/ +/).slice(0, 3).join(" ")), words(json));
	assert.doesNotMatch(table.stdout + table.stderr, /\x1b/);
});

test("--output, and what was there before when it fails", async () => {
	const out = path.join(folder, "out.jsonl");
	const done = await run(["verify", "--format", "jsonl", "--output", out, "zq-ctl-ada@ctl.test", "zq-ctl-ben@ctl.test"]);
	assert.equal(done.code, 0);
	assert.equal(done.stdout, "");
	assert.deepEqual(fs.readFileSync(out, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line).address), ["zq-ctl-ada@ctl.test", "zq-ctl-ben@ctl.test"]);
	const kept = fs.readFileSync(out, "utf8");
	const unreachable = await rcptctl(["verify", "--server", `127.0.0.1:${await freePort()}`, "-o", out, "zq-ctl-ada@ctl.test"]);
	assert.equal(unreachable.code, 3);
	assert.equal(fs.readFileSync(out, "utf8"), kept);
	const nowhere = await run(["verify", "-o", path.join(folder, "no/such/folder"), "zq-ctl-ada@ctl.test"]);
	assert.ok(nowhere.code === 1 || nowhere.code === 2, `${nowhere.code}`);
	assert.match(nowhere.stderr, /no\/such\/folder: No such file/);
	const list = file("self.txt", "zq-ctl-ada@ctl.test\n");
	const self = await run(["verify", "-f", list, "-o", list]);
	assert.notEqual(self.code, 0);
	assert.equal(fs.readFileSync(list, "utf8"), "zq-ctl-ada@ctl.test\n", "the input is not overwritten");
});

test("exit status 2: usage and bad input, each saying what would be right", async () => {
	const table = [
		[[], /say what to do/],
		[["verfy"], /did you mean 'verify'/],
		[["verify"], /give addresses, or --file/],
		[["verify", "--fromat", "csv", "a@ctl.test"], /did you mean --format/],
		[["verify", "--format", "xml", "a@ctl.test"], /table, csv or jsonl/],
		[["verify", "--max-age", "3 parsecs", "a@ctl.test"], /30s, 5m/],
		[["verify", "--file"], /needs a value/],
		[["verify", "--file", path.join(folder, "missing.csv")], /missing\.csv: No such file/],
		[["verify", "--file", folder], /directory/i],
		[["verify", "--column", "email", "a@ctl.test"], /--column is about a --file/],
		[["verify", "-f", file("columns.csv", "id,name,phone\n1,Ada,2\n"), "--column", "email"], /no column 'email'.*id, name, phone/],
		[["verify", "-f", file("nameless.csv", "id,name,phone\n1,Ada,2\n")], /id, name, phone/],
		[["domain"], /say what to do/],
		[["domain", "show"], /give a domain/],
		[["domain", "show", "not a domain"], /domain/],
		[["exempt", "add", "ctl.test"], /--by/],
		[["exempt", "revoke", "--by", "ann"], /./],
		[["stats", "more"], /./],
	];
	for (const [args, says] of table) {
		const ended = await run(args);
		assert.equal(ended.code, 2, `${args.join(" ")}: ${ended.code} ${ended.stderr}`);
		assert.match(ended.stderr, says, args.join(" "));
		assert.equal(ended.stdout, "", args.join(" "));
	}
});

test("exit status 3: no server, at a port, a socket and a name", async () => {
	for (const where of [`127.0.0.1:${await freePort()}`, `unix:${folder}/nobody.sock`]) {
		for (const args of [["verify", "zq-ctl-ada@ctl.test"], ["stats"], ["domain", "show", "ctl.test"], ["exempt", "list"]]) {
			const ended = await rcptctl([...args, "--server", where]);
			assert.equal(ended.code, 3, `${args.join(" ")} --server ${where}: ${ended.code} ${ended.stderr}`);
			assert.ok(ended.stderr.includes(where), ended.stderr);
		}
	}
});

test("exit status 130: interrupted in the middle, the rows answered by then are written", async () => {
	await rows(["zq-ctl-ada@ctl.test", "zq-ctl-ben@ctl.test"]);
	await s.client.committed();
	for (const output of [null, path.join(folder, "interrupted.jsonl")]) {
		const args = ["verify", "--format", "jsonl", ...(output ? ["-o", output] : []), "zq-ctl-ada@ctl.test", "zq-ctl-m@mute.test", "zq-ctl-ben@ctl.test"];
		const mark = await s.world.mark();
		const { child, done, said } = startRcptctl(["--server", server, ...args]);
		const text = () => (output ? fs.existsSync(output) && fs.readFileSync(output, "utf8") : said.stdout) || "";
		await until("the silent server is being asked", async () => (await s.world.record(mark)).connects("mx.mute.test").length > 0);
		if (!output) await until("the first row is there", () => text().includes("zq-ctl-ada"));
		assert.ok(!text().includes("zq-ctl-ben"), "in input order");
		await new Promise((resolve) => setTimeout(resolve, 300)); // the answers that are known have arrived too
		child.kill("SIGINT");
		const ended = await done;
		assert.equal(ended.code, 130, ended.stderr);
		const written = text().split("\n").filter(Boolean).map((line) => JSON.parse(line));
		assert.deepEqual(written.map((row) => row.address), ["zq-ctl-ada@ctl.test", "zq-ctl-ben@ctl.test"]);
		assert.match(ended.stderr, /Interrupted/);
		await s.world.settled(mark); // the conversation of a call that is gone ends too
	}
	const waiting = startRcptctl(["--server", server, "verify", "--file", "-"], { stdin: "open" });
	waiting.child.stdin.write("zq-ctl-ada@ctl.test\n");
	await until("the row is there", () => waiting.said.stdout.includes("zq-ctl-ada"));
	waiting.child.kill("SIGINT");
	assert.equal((await waiting.done).code, 130, "while it waits for input");
});

test("--max-age: remembered, and asked anew", async () => {
	const ask = async (...args) => {
		const mark = await s.world.mark();
		const [row] = await rows([...args, "zq-ctl-cy@ctl.test"]);
		await s.world.settled(mark);
		await s.client.committed();
		return { row, asked: (await s.world.record(mark)).locals().filter((local) => local === "zq-ctl-cy").length };
	};
	assert.equal((await ask("--max-age", "0")).asked, 1);
	const known = await ask();
	assert.deepEqual([known.asked, known.row.from_cache, known.row.reason], [0, true, "ACCEPTED"]);
	assert.ok(known.row.age_s >= 0 && known.row.age_s < 60);
	assert.equal((await ask("--max-age", "7d")).asked, 0);
	const anew = await ask("--max-age", "0");
	assert.deepEqual([anew.asked, anew.row.from_cache, anew.row.age_s], [1, false, null]);
});

test("domain show and forget", async () => {
	await rows(["zq-ctl-ada@ctl.test", "zq-ctl-x@all.test"]);
	await s.client.committed();
	const shown = await run(["domain", "show", "ctl.test"]);
	assert.equal(shown.code, 0, shown.stderr);
	assert.match(shown.stdout, /mx\.ctl\.test/);
	assert.match(shown.stdout, /127\./);
	const json = JSON.parse((await run(["domain", "show", "all.test", "--format", "json"])).stdout);
	assert.match(JSON.stringify(json), /mx\.all\.test/);
	const forgot = await run(["domain", "forget", "ctl.test"]);
	assert.equal(forgot.code, 0, forgot.stderr);
	const unknown = await run(["domain", "show", "ctl.test"]);
	assert.equal(unknown.code, 1, unknown.stdout);
	assert.match(unknown.stderr, /nothing is known of/);
	const [row] = await rows(["zq-ctl-ada@ctl.test"]);
	assert.equal(row.from_cache, false);
	assert.equal((await run(["domain", "show", "never-asked.test"])).code, 1);
});

test("exempt add, check, list and revoke", async () => {
	const added = await run(["exempt", "add", "quiet.test", "--by", "zq desk", "--note", "mail of 12 May", "--format", "json"]);
	assert.equal(added.code, 0, added.stderr);
	const { id } = JSON.parse(added.stdout);
	assert.ok(id);
	for (const subject of ["quiet.test", "deep.quiet.test", "zq-ctl-anyone@quiet.test", "QUIET.test"]) {
		const checked = await run(["exempt", "check", subject]);
		assert.equal(checked.code, 0);
		assert.match(checked.stdout, /^yes\b/, subject);
	}
	assert.match((await run(["exempt", "check", "ctl.test"])).stdout, /^no\b/);
	const [row] = await rows(["zq-ctl-anyone@deep.quiet.test"]);
	assert.equal(`${row.verdict} ${row.reason}`, "UNKNOWN EXEMPT");
	const listed = await run(["exempt", "list"]);
	assert.equal(listed.code, 0);
	for (const part of [id, "quiet.test", "zq desk"]) assert.ok(listed.stdout.includes(part), `${part} in ${listed.stdout}`);
	const text = await run(["exempt", "revoke", id, "--by", "ann", "--note", "asked us to come back"]);
	assert.equal(text.code, 0, text.stderr);
	assert.match((await run(["exempt", "check", "quiet.test"])).stdout, /^no\b/);
	assert.ok(!(await run(["exempt", "list", "--domain", "quiet.test"])).stdout.includes(id));
	const all = (await run(["exempt", "list", "--all", "--format", "json"])).stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
	const revoked = all.find((exemption) => exemption.id === id);
	assert.ok(revoked);
	for (const part of ["mail of 12 May", "asked us to come back"]) assert.ok(JSON.stringify(revoked).includes(part), JSON.stringify(revoked));
	const again = await run(["exempt", "revoke", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--by", "ann"]);
	assert.equal(again.code, 1, `an id that does not exist: ${again.stderr}`);
});

test("stats", async () => {
	const text = await run(["stats"]);
	assert.equal(text.code, 0);
	assert.match(text.stdout, /DELIVERABLE/);
	const json = JSON.parse((await run(["stats", "--format", "json"])).stdout);
	assert.equal(typeof json.sessions_open, "number");
});

test("colour and progress only on a terminal, and not with NO_COLOR", { skip: fs.existsSync("/usr/bin/script") ? false : "script(1) is not installed" }, async () => {
	const args = ["--server", server, "verify", "zq-ctl-ada@ctl.test", "zq-ctl-nobody@ctl.test", "zq-ctl-dan@slow.test", "--max-age", "0"];
	const coloured = await inTerminal(args, { env: { TERM: "xterm" } });
	assert.equal(coloured.code, 0, coloured.stdout);
	assert.match(coloured.stdout, /\x1b\[\d*(;\d+)*m/);
	assert.match(coloured.stdout, /\r/);
	const plain = await inTerminal(args, { env: { TERM: "xterm", NO_COLOR: "1" } });
	assert.equal(plain.code, 0);
	assert.doesNotMatch(plain.stdout, /\x1b\[[\d;]*m/);
	const quiet = await run(["verify", "-q", "zq-ctl-ada@ctl.test", "zq-ctl-nobody@ctl.test"]);
	assert.equal(quiet.stderr, "");
});

test("--help everywhere: exits 0, shows an example", async () => {
	for (const command of COMMANDS) {
		for (const option of ["--help", "-h"]) {
			const ended = await rcptctl([...command, option]);
			assert.equal(ended.code, 0, `${command.join(" ")} ${option}: ${ended.stderr}`);
			assert.match(ended.stdout, /^Usage: rcptctl/);
			assert.match(ended.stdout, /^Examples?:/m);
			assert.equal(ended.stderr, "");
			for (const line of ended.stdout.split("\n")) assert.ok(line.length <= 100, line);
		}
	}
	assert.match((await rcptctl(["--version"])).stdout, /^rcptctl \d+\.\d+/);
});

/** Commands of `rcptctl … --help` under Example, and of ```sh blocks in README.md. */
async function examples() {
	const found = [];
	for (const command of COMMANDS) {
		const { stdout } = await rcptctl([...command, "--help"]);
		const [, shown] = /^Examples?:\n((?: {2}.*\n?)+)/m.exec(stdout);
		found.push(...shown.split("\n").map((line) => line.trim()).filter(Boolean));
	}
	const readme = path.join(root, "README.md");
	if (fs.existsSync(readme)) {
		for (const [, block] of fs.readFileSync(readme, "utf8").matchAll(/^```(?:sh|console)\n([\s\S]*?)^```/gm)) {
			const joined = block.replace(/\\\n\s*/g, " ").split("\n").map((line) => line.replace(/^\$ /, "").trim());
			found.push(...joined.filter((line) => /^(bazel-bin\/cli\/)?rcptctl /.test(line)));
		}
	}
	return [...new Set(found)];
}

test("every command that is shown as an example runs", { timeout: 120000 }, async () => {
	const place = path.join(folder, "examples");
	fs.mkdirSync(place);
	fs.writeFileSync(path.join(place, "contacts.csv"), "name,email\nAnn,ann@example.org\n");
	fs.writeFileSync(path.join(place, "people.tsv"), "Ann\tann@example.org\n");
	fs.cpSync(path.join(root, "examples"), path.join(place, "examples"), { recursive: true });
	fs.mkdirSync(path.join(place, "bin"));
	const { bin } = await import("../lib/paths.mjs");
	fs.writeFileSync(path.join(place, "bin/rcptctl"), `#!/bin/sh\nexec '${bin.rcptctl}' --server '${server}' "$@"\n`, { mode: 0o755 });
	fs.writeFileSync(path.join(place, "bin/jq"), "#!/bin/sh\nexec cat\n", { mode: 0o755 });
	const list = await examples();
	assert.ok(list.length >= 9, list.join("\n"));
	await rows(["ann@example.org"]);
	await s.client.committed(); // what is remembered of it can be shown
	for (const shown of list) {
		let command = shown.replace("bazel-bin/cli/rcptctl", "rcptctl").replace(/ --server \S+/, "");
		if (/exempt revoke/.test(command)) {
			const { id } = await s.client.createExemption("revoked-example.test");
			command = command.replace(/revoke \S+/, `revoke ${id}`);
		}
		// README.md's are said of the demonstration's world.
		if (/show acme\.example/.test(command)) await rows(["alice@acme.example"]);
		if (/domain show/.test(command)) await rows(["ann@example.org", "--max-age", "0"]);
		await s.client.committed();
		const ended = await rcptctl(["-o", "pipefail", "-c", command], {
			file: "/bin/bash", cwd: place, env: { try: place, PATH: `${path.join(place, "bin")}:${process.env.PATH}` } });
		assert.equal(ended.code, 0, `${shown}: ${ended.code}\n${ended.stdout}${ended.stderr}`);
		for (const { id } of (await s.client.listExemptions()).exemptions) await s.client.revokeExemption(id);
	}
});
