// Every address that the daemon hands to the system, written down at the socket (lib/socket_log.c), not by our own belief.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { bin, scenarioFolder } from "./paths.mjs";

let file;
/** From here on every daemon of this test file is watched. Call it before the first is started. */
export function watchSockets() {
	if (file) return;
	const folder = scenarioFolder();
	const library = path.join(folder, "socket_log.so");
	const source = path.join(path.dirname(fileURLToPath(import.meta.url)), "socket_log.c");
	execFileSync("gcc", ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"]);
	file = path.join(folder, "sockets.txt");
	fs.writeFileSync(file, "");
	const wrapper = path.join(folder, "rcptd");
	// A daemon built with the address sanitizer would rather be first.
	fs.writeFileSync(wrapper, `#!/bin/sh\nexport LD_PRELOAD='${library}' SOCKET_LOG='${file}' ASAN_OPTIONS="verify_asan_link_order=0:$ASAN_OPTIONS"\nexec '${bin.rcptd}' "$@"\n`, { mode: 0o700 });
	bin.rcptd = wrapper;
}

/** All contacts so far, in order: {call, ip, port}. */
export function contacts() {
	const lines = fs.readFileSync(file, "utf8").split("\n").filter(Boolean);
	return lines.map((line) => {
		const [call, ip, port] = line.split(" ");
		return { call, ip, port: Number(port) };
	});
}

/** Mail hosts (at that port) contacted, a count by address. */
export function mailContacts(port) {
	const count = {};
	for (const c of contacts()) if (c.call === "connect" && c.port === port) count[c.ip] = (count[c.ip] ?? 0) + 1;
	return count;
}

/** Everything that was contacted passes `isAllowed({ip, port})`; and contacts are counted at all. */
export function assertOnlyContacted(isAllowed) {
	const seen = contacts();
	assert.ok(seen.length > 0, "contacts are counted");
	assert.deepEqual(seen.filter((c) => !isAllowed(c)), []);
}
