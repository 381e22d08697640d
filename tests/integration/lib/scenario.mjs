// A test's own world and daemon, and `test`, which shows their logs when it fails.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, test as nodeTest } from "node:test";
import { scenarioFolder } from "./paths.mjs";
import { Rcptd } from "./rcptd.mjs";
import { World } from "./world.mjs";

const open = new Set();

/** One world and one rcptd on it. */
export class Scenario {
	/** `config`: the daemon's keys beside those that Rcptd sets. startDaemon false: start it with scenario.rcptd.start(). */
	static async start(description, config = {}, { startDaemon = true } = {}) {
		// node:test starts the first test while the module is still being read: the description is complete only after.
		await new Promise(setImmediate);
		const s = new Scenario();
		s.folder = scenarioFolder();
		open.add(s);
		try {
			s.world = await World.start(description, s.folder);
			s.rcptd = new Rcptd(s.folder, s.world, config);
			if (startDaemon) await s.rcptd.start();
		} catch (error) {
			await s.close().catch(() => {});
			throw error;
		}
		return s;
	}
	get client() {
		return this.rcptd.client;
	}
	/** Ends both. The folder stays until the end of the run. */
	async close() {
		open.delete(this);
		const problems = [];
		const note = (error) => problems.push(error);
		if (this.rcptd?.isRunning()) {
			const ended = await this.rcptd.stop().catch(note);
			if (ended && (ended.code !== 0 || ended.signal)) problems.push(new Error(`rcptd ended with ${JSON.stringify(ended)}`));
		} else if (this.rcptd?.child) {
			const ended = await this.rcptd.child.ended;
			if (ended.signal && ended.signal !== "SIGKILL") problems.push(new Error(`rcptd had ended by ${ended.signal}`));
		}
		await this.world?.stop().catch(note);
		if (problems.length) throw problems[0];
	}
	/** What helps to understand a failure. */
	async tail() {
		const last = (text, n) => text.split("\n").slice(-n).join("\n");
		let text = `--- ${this.folder}\n`;
		for (const name of ["rcptd.log", "world.log", "world.jsonl"]) {
			const file = path.join(this.folder, name);
			if (fs.existsSync(file)) text += `--- ${name}\n${last(fs.readFileSync(file, "latin1"), name === "world.jsonl" ? 25 : 40)}\n`;
		}
		return text;
	}
}

after(async () => {
	for (const s of [...open]) await s.close().catch(() => {});
});

/** As node:test's, with a time limit that shows the logs of what is open. */
export function test(name, options, fn) {
	if (typeof options === "function") [options, fn] = [{}, options];
	const ms = options.timeout ?? 60000;
	return nodeTest(name, { ...options, timeout: undefined }, async (t) => {
		let timer;
		const late = new Promise((_, reject) => {
			timer = setTimeout(() => reject(new Error(`${name}: not done within ${ms} ms`)), ms);
		});
		try {
			await Promise.race([fn(t), late]);
		} catch (error) {
			for (const s of open) process.stderr.write(await s.tail());
			throw error;
		} finally {
			clearTimeout(timer);
		}
	});
}

/** A test with a world and a daemon of its own: fn(scenario, t). */
export function scenarioTest(name, describe, fn, { config, ...options } = {}) {
	test(name, options, async (t) => {
		const s = await Scenario.start(describe, config);
		try {
			await fn(s, t);
		} catch (error) {
			process.stderr.write(await s.tail());
			await s.close().catch(() => {});
			throw error;
		}
		await s.close();
	});
}

/** Is this the verdict and the reason? Shows all of the result if not. */
export function assertVerdict(result, verdict, reason) {
	assert.ok(result, "there is a result");
	const { address_bytes, ...shown } = result;
	assert.equal(`${result.verdict} ${result.reason}`, `${verdict} ${reason}`, JSON.stringify(shown));
}

const ALLOWED = new Set(["EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "RSET", "NOOP", "QUIT"]);
/** The farm saw no command that could send mail, nor one that is not among the eight. */
export function assertOnlyTheEight(record) {
	for (const line of record.lines()) {
		assert.ok(ALLOWED.has(line.verb), `the farm saw ${JSON.stringify(line)}`);
		assert.ok(!/^\s*(DATA|BDAT)\b/i.test(line.raw), `the farm saw ${JSON.stringify(line)}`);
		assert.ok(line.raw.endsWith("\r\n"), `a whole line: ${JSON.stringify(line)}`);
		assert.ok(!/[\r\n\0]/.test(line.raw.slice(0, -2)), `one line: ${JSON.stringify(line)}`);
	}
}

/** In which of the files does one of these texts occur? Rows of {text, file}. */
export function grepFiles(files, texts) {
	const found = [];
	for (const file of files) {
		const content = fs.readFileSync(file);
		for (const text of texts) if (content.includes(text)) found.push({ text, file });
	}
	return found;
}
/** All files below a folder; sockets and the like are left out. */
export function filesBelow(folder) {
	return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
		const full = path.join(folder, entry.name);
		return entry.isDirectory() ? filesBelow(full) : entry.isFile() ? [full] : [];
	});
}
