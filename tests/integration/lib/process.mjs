// Child processes of a test: started, waited for with a bound, and gone when the test process is.
import { spawn } from "node:child_process";
import fs from "node:fs";

const running = new Set();

process.on("exit", () => {
	for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

/** Starts a program; what it says on standard error (and output, unless `onStdout` is given) is appended to logFile. */
export function start(file, args, { logFile, onStdout, env } = {}) {
	const log = fs.openSync(logFile, "a");
	const child = spawn(file, args, {
		stdio: ["ignore", onStdout ? "pipe" : log, log],
		env: { ...process.env, ...env },
	});
	fs.closeSync(log);
	running.add(child);
	child.ended = new Promise((resolve) => {
		child.on("error", (error) => {
			running.delete(child);
			fs.appendFileSync(logFile, `${file}: ${error.message}\n`);
			resolve({ code: null, signal: null, error });
		});
		child.on("exit", (code, signal) => {
			running.delete(child);
			resolve({ code, signal });
		});
	});
	child.isRunning = () => running.has(child);
	if (onStdout) child.stdout.setEncoding("utf8").on("data", onStdout);
	return child;
}

/** Ends a program by a signal; SIGKILL when it has not ended in time. Gives its {code, signal}. */
export async function stop(child, signal = "SIGTERM", ms = 15000) {
	if (child.isRunning()) child.kill(signal);
	const late = Symbol("late");
	const ended = await Promise.race([child.ended, sleep(ms, late)]);
	if (ended !== late) return ended;
	child.kill("SIGKILL");
	await child.ended;
	throw new Error(`process ${child.spawnfile} did not end within ${ms} ms of ${signal}`);
}

export function sleep(ms, value) {
	return new Promise((resolve) => {
		setTimeout(resolve, ms, value).unref();
	});
}

/** Asks until `ready` gives something truthy, which is given back. */
export async function until(what, ready, ms = 10000, every = 20) {
	const end = Date.now() + ms;
	for (;;) {
		const value = await ready();
		if (value) return value;
		if (Date.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === "function" ? what() : what}`);
		await new Promise((resolve) => setTimeout(resolve, every));
	}
}
