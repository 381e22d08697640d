// Where things are. RCPTD_OUT is set by the runner: one folder for a whole run.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
export const bin = {
	rcptd: process.env.RCPTD_BIN ?? path.join(root, "bazel-bin/server/rcptd"),
	rcptctl: process.env.RCPTCTL_BIN ?? path.join(root, "bazel-bin/cli/rcptctl"),
	world: process.env.WORLD_BIN ?? path.join(root, "bazel-bin/tests/world/world"),
};
export const protoFolder = path.join(root, "proto");

let folder;
/** The folder of the run. Short, because sockets have their paths in it. */
export function runFolder() {
	folder ??= process.env.RCPTD_OUT ?? fs.mkdtempSync(path.join(os.tmpdir(), "rcptd-it-"));
	return folder;
}

let count = 0;
/** A new folder for one scenario of this test file. */
export function scenarioFolder() {
	const file = path.basename(process.argv[1] ?? "x").replace(/\..*/, "");
	const made = path.join(runFolder(), `${file}-${process.pid}-${++count}`);
	fs.mkdirSync(made, { recursive: true });
	return made;
}
