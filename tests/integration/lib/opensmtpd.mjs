// OpenSMTPD as a mail server of a test. Debian's conflicts with Postfix, so it is unpacked beside it, not installed (tools/deps test).
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { root } from "./paths.mjs";
import { start, stop, until } from "./process.mjs";

const PROGRAM = [path.join(root, ".packages/opensmtpd/usr/sbin/smtpd"), "/usr/sbin/smtpd"].find((file) => fs.existsSync(file));
const OWN_MOUNTS = ["--mount", "--propagation", "private"];
const USERS = ["opensmtpd", "opensmtpq"];

/** Why it cannot be started here; null if it can. */
export function opensmtpdMissing() {
	if (!PROGRAM) return "Debian's package opensmtpd is not there; 'tools/deps test' unpacks it";
	if (process.getuid() !== 0) return "OpenSMTPD must be started by root";
	try {
		execFileSync("unshare", [...OWN_MOUNTS, "true"], { stdio: "pipe" });
	} catch {
		return "OpenSMTPD needs a mount namespace, and none can be made here";
	}
	return null;
}

/** A copy of /etc/passwd or /etc/group with its users. */
function withUsers(file, row) {
	const had = fs.readFileSync(file, "utf8").replace(/\n?$/, "\n");
	const taken = new Set(had.split("\n").map((line) => Number(line.split(":")[2])));
	let id = 60000;
	const missing = USERS.filter((name) => !new RegExp(`^${name}:`, "m").test(had));
	return had + missing.map((name) => {
		while (taken.has(id)) id++;
		return `${row(name, id++)}\n`;
	}).join("");
}

// Its users, its spool and its socket are at fixed places: this process tree sees its own there.
const MOUNTS = `set -e
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/group" /etc/group
for place in /var/spool /var/lib /run; do mount -t tmpfs -o mode=755 none "$place"; done
mkdir -m 711 /var/spool/smtpd
mkdir -p -m 755 /var/lib/opensmtpd/empty
exec "$1" -dv -T smtp -f "$0/smtpd.conf"`;

export class OpenSmtpd {
	/** `config`: smtpd.conf, with $folder. `files`: {name: bytes} in that folder. */
	constructor({ config, files = {} }) {
		this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "rcptd-os-"));
		fs.chmodSync(this.folder, 0o755);
		process.on("exit", () => this.remove());
		this.logFile = path.join(this.folder, "log");
		const put = (name, content, mode) => fs.writeFileSync(path.join(this.folder, name), content, { mode });
		put("passwd", withUsers("/etc/passwd", (name, id) => `${name}:x:${id}:${id}::/var/lib/opensmtpd/empty:/usr/sbin/nologin`), 0o644);
		put("group", withUsers("/etc/group", (name, id) => `${name}:x:${id}:`), 0o644);
		put("smtpd.conf", config.replaceAll("$folder", this.folder), 0o600);
		for (const [name, content] of Object.entries(files)) put(name, content, 0o600);
	}
	async start() {
		this.child = start("unshare", [...OWN_MOUNTS, "sh", "-c", MOUNTS, this.folder, PROGRAM], { logFile: this.logFile });
		await until(
			() => `OpenSMTPD is up; it said:\n${this.log()}`,
			() => {
				if (!this.child.isRunning()) throw new Error(`OpenSMTPD ended at its start:\n${this.log()}`);
				return /smtp: will accept at most/.test(this.log());
			},
		);
		return this;
	}
	async stop() {
		if (this.child) await stop(this.child);
		this.remove();
	}
	remove() {
		fs.rmSync(this.folder, { recursive: true, force: true });
	}
	log() {
		return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, "utf8") : "";
	}
	/** Conversations at the listener of a host name, in order: {commands, replies, lines: ["<<< EHLO …", ">>> 250 …"], tls, ended}. */
	seen(hostname) {
		const all = [], open = new Map();
		for (const line of this.log().split("\n")) {
			const [, id, said] = /^smtp: (0x\w+): (.*)$/.exec(line) ?? [];
			if (!id) continue;
			const host = /^connected to listener .*hostname=([^,\]]+)/.exec(said)?.[1];
			if (host) {
				open.set(id, { host, commands: [], replies: [], lines: [], tls: false, ended: false });
				all.push(open.get(id));
			}
			const c = open.get(id);
			if (!c) continue;
			if (/^<<< |^>>> /.test(said)) c.lines.push(said);
			if (said.startsWith("<<< ")) c.commands.push(said.slice(4));
			if (said.startsWith(">>> ")) c.replies.push(said.slice(4));
			if (/-> STATE_TLS/.test(said)) c.tls = true;
			if (/-> STATE_QUIT/.test(said)) c.ended = true;
		}
		return all.filter(({ host }) => host === hostname);
	}
	/** seen(), once so many conversations have ended. */
	async settled(hostname, conversations) {
		await until(
			() => `${conversations} conversations at ${hostname} ended; OpenSMTPD said:\n${this.log()}`,
			() => this.seen(hostname).filter(({ ended }) => ended).length >= conversations,
		);
		return this.seen(hostname);
	}
}
