// The command-line client under test, as a person or a script runs it.
import { spawn } from "node:child_process";
import { noteLocal } from "./client.mjs";
import { bin } from "./paths.mjs";

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** Every address that is handed to rcptctl: discretion.test.mjs looks for their local parts. */
function note(text) {
	for (const [address] of String(text).matchAll(/[^\s,;"'<>]+@[\w.-]+/g)) noteLocal(address);
}

/** Starts it. {child, done}; done gives {code, signal, stdout, stderr}. stdin: text, or "open" to keep it open. */
export function startRcptctl(args, { stdin = "", env = {}, cwd, file = bin.rcptctl, ms = 30000 } = {}) {
	note(args.join("\n"));
	if (stdin !== "open") note(stdin);
	const { NO_COLOR, ...inherited } = process.env;
	const child = spawn(file, args, { cwd, env: { ...inherited, ...env }, stdio: ["pipe", "pipe", "pipe"] });
	const said = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (part) => (said[name] += part));
	child.stdin.on("error", () => {}); // it may end before it has read all
	if (stdin !== "open") child.stdin.end(stdin);
	running.add(child);
	const limit = setTimeout(() => child.kill("SIGKILL"), ms);
	const done = new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (code, signal) => {
			clearTimeout(limit);
			running.delete(child);
			resolve({ code, signal, ...said });
		});
	});
	return { child, done, said };
}

export function rcptctl(args, options) {
	return startRcptctl(args, options).done;
}

/** In a terminal of its own (script(1) of util-linux): stdout and stderr are both the terminal, given as stdout. */
export function inTerminal(args, options = {}) {
	const quoted = [bin.rcptctl, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
	return rcptctl(["-qec", quoted, "/dev/null"], { ...options, file: "/usr/bin/script" });
}

/** Rows of a CSV text, as RFC 4180 has it. */
export function parseCsv(text) {
	const rows = [[]];
	for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
		rows[rows.length - 1].push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
		if (end !== ",") rows.push([]);
	}
	return rows.slice(0, -1).filter((row) => row.length > 1 || row[0] !== "");
}
