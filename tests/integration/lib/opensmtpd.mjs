// OpenSMTPD as a mail server of a test. Debian's conflicts with Postfix, so it is unpacked beside it, not installed (tools/deps test).
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { root } from "./paths.mjs";
import { start, stop, until } from "./process.mjs";

const PROGRAM = [path.join(root, ".packages/opensmtpd/usr/sbin/smtpd"), "/usr/sbin/smtpd"].find((file) => fs.existsSync(file));
const USERS = ["opensmtpd", "opensmtpq"];
// Its users, its spool and its socket are at fixed places: so it runs in a root of its own.
const PLACES = ["etc", "dev", "run", "var/spool", "var/lib/opensmtpd/empty"];

/** Why it cannot be started here; null if it can. */
export function opensmtpdMissing() {
	if (!PROGRAM) return "Debian's package opensmtpd is not there; 'tools/deps test' unpacks it";
	if (process.getuid() !== 0) return "OpenSMTPD must be started by root";
	return null;
}

/** A program and the libraries that it needs, at the same places below `to`. */
function copyWithLibraries(program, to) {
	const needed = execFileSync("ldd", [program], { encoding: "utf8" }).match(/\/\S+(?= \(0x)/g) ?? [];
	for (const [from, at] of [[program, "/usr/sbin/smtpd"], ...needed.map((file) => [file, file])]) {
		fs.mkdirSync(path.join(to, path.dirname(at)), { recursive: true });
		fs.copyFileSync(from, path.join(to, at));
		fs.chmodSync(path.join(to, at), 0o755);
	}
}

export class OpenSmtpd {
	/** `config`: smtpd.conf. `files`: {name: bytes}, in /etc as it sees it. */
	constructor({ config, files = {} }) {
		this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "rcptd-os-"));
		process.on("exit", () => this.remove());
		this.logFile = path.join(this.folder, "log");
		this.root = path.join(this.folder, "root");
		for (const place of PLACES) fs.mkdirSync(path.join(this.root, place), { recursive: true });
		fs.mkdirSync(path.join(this.root, "var/spool/smtpd"), { mode: 0o711 });
		fs.symlinkSync("../run", path.join(this.root, "var/run"));
		copyWithLibraries(PROGRAM, this.root);
		const put = (name, content, mode) => fs.writeFileSync(path.join(this.root, "etc", name), content, { mode });
		const rows = (row) => `root${row(0)}${USERS.map((name, i) => `${name}${row(60001 + i)}`).join("")}`;
		put("passwd", rows((id) => `:x:${id}:${id}::/var/lib/opensmtpd/empty:/usr/sbin/nologin\n`), 0o644);
		put("group", rows((id) => `:x:${id}:\n`), 0o644);
		put("hosts", "127.0.0.1 localhost\n", 0o644);
		put("smtpd.conf", config, 0o600);
		for (const [name, content] of Object.entries(files)) put(name, content, 0o600);
		execFileSync("mknod", ["-m", "666", path.join(this.root, "dev/null"), "c", "1", "3"]);
	}
	async start() {
		this.child = start("chroot", [this.root, "/usr/sbin/smtpd", "-dv", "-T", "smtp", "-f", "/etc/smtpd.conf"], { logFile: this.logFile });
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
