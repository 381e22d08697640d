// Runs test files, each in a process of its own, two at a time; discretion.test.mjs last, over what the others left behind.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const CONCURRENCY = 2;
const FILE_MS = 15 * 60 * 1000;
const lib = path.dirname(fileURLToPath(import.meta.url));
const folder = path.join(lib, "../tests");
const totals = { passed: 0, failed: 0, skipped: 0 };

function pick(names) {
	const all = fs.readdirSync(folder).filter((name) => name.endsWith(".test.mjs")).sort();
	if (!names.length) return all;
	return names.map((name) => {
		const wanted = path.basename(name).replace(/(\.test)?(\.mjs)?$/, ".test.mjs");
		if (all.includes(wanted)) return wanted;
		console.error(`tests/integration/run: no ${wanted}; there are: ${all.join(", ")}`);
		return process.exit(2);
	});
}

function runFile(name, out) {
	const counts = path.join(out, `${name}.counts`);
	const args = [`--test-reporter=${path.join(lib, "reporter.mjs")}`, "--test-reporter-destination=stdout", path.join(folder, name)];
	const child = spawn(process.execPath, args, {
		stdio: ["ignore", "pipe", "pipe"],
		env: { ...process.env, RCPTD_OUT: out, RCPTD_COUNTS: counts },
	});
	const started = Date.now();
	const limit = setTimeout(() => child.kill("SIGTERM"), FILE_MS);
	let said = "";
	for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (said += part));
	return new Promise((resolve) => {
		child.on("close", (code, signal) => {
			clearTimeout(limit);
			const n = { passed: 0, failed: 0, skipped: 0 };
			if (fs.existsSync(counts)) Object.assign(n, JSON.parse(fs.readFileSync(counts, "utf8")));
			if (code !== 0 && !n.failed) {
				n.failed = 1;
				said += `  FAIL ${name}: ended with ${signal ?? code} outside its tests\n`;
			}
			for (const key of Object.keys(totals)) totals[key] += n[key];
			process.stdout.write(`${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n${said}`);
			resolve();
		});
	});
}

const names = pick(process.argv.slice(2));
const out = fs.mkdtempSync(path.join(os.tmpdir(), "rcptd-it-"));
const last = names.filter((name) => name === "discretion.test.mjs");
const queue = names.filter((name) => name !== "discretion.test.mjs");
async function work() {
	for (let name = queue.shift(); name; name = queue.shift()) await runFile(name, out);
}
await Promise.all(Array.from({ length: CONCURRENCY }, work));
for (const name of last) await runFile(name, out);
if (totals.failed || process.env.RCPTD_KEEP) console.log(`logs and stores are in ${out}`);
else fs.rmSync(out, { recursive: true, force: true });
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed ? 1 : 0);
