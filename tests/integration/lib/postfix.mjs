// Debian's Postfix as a mail server of a test: a configuration, queue and log of its own, on loopback addresses of its own.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { start, stop, until } from "./process.mjs";

const PROGRAM = "/usr/sbin/postfix";

/** Why it cannot be started here; null if it can. */
export function postfixMissing() {
	if (!fs.existsSync(PROGRAM)) return "Debian's package postfix is not installed";
	if (process.getuid() !== 0) return "Postfix must be started by root";
	return null;
}

// Only what a conversation up to RCPT needs; every service without its chroot.
const SERVICES = `
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
`;

export class Postfix {
	/**
	 * `listeners`: {word: {address, options}}, options as in main.cf, of that listener alone. `settings`: lines of main.cf.
	 * `maps`: texthash files, {name: {key: value}}; $maps in a setting is their folder.
	 */
	constructor({ port, listeners, settings = {}, maps = {} }) {
		// Not in the run's folder: Postfix opens files here as its own user, and nobody else may enter that one.
		this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "rcptd-pf-"));
		fs.chmodSync(this.folder, 0o755);
		process.on("exit", () => {
			this.end();
			this.remove();
		});
		this.logFile = path.join(this.folder, "log", "mail.log");
		this.outputFile = path.join(this.folder, "output");
		this.configured = path.join(this.folder, "etc");
		for (const sub of ["etc", "queue", "data", "log"]) fs.mkdirSync(path.join(this.folder, sub));
		execFileSync("chown", ["postfix", path.join(this.folder, "data")]);
		for (const [map, rows] of Object.entries(maps)) {
			fs.writeFileSync(path.join(this.configured, map), Object.entries(rows).map(([key, value]) => `${key} ${value}\n`).join(""));
		}
		const own = {
			compatibility_level: "3.6",
			queue_directory: path.join(this.folder, "queue"),
			data_directory: path.join(this.folder, "data"),
			maillog_file: this.logFile,
			maillog_file_prefixes: path.join(this.folder, "log"),
			mydestination: "",
			inet_interfaces: "loopback-only", // an address of 127.0.0.0/8 here fails silently; master.cf has it
			inet_protocols: "ipv4",
			mynetworks: "",
			in_flow_delay: "0", // no queue manager runs that would take what it waits for
			smtpd_peername_lookup: "no", // it must ask no resolver of this machine
			smtpd_relay_restrictions: "reject_unauth_destination",
			alias_maps: "",
			alias_database: "",
			...settings,
		};
		const expand = (value) => value.replaceAll("$maps", this.configured);
		fs.writeFileSync(path.join(this.configured, "main.cf"), Object.entries(own).map(([key, value]) => `${key} = ${expand(value)}\n`).join(""));
		const inet = Object.entries(listeners).map(([word, { address, options = {} }]) => {
			const all = Object.entries({ syslog_name: `postfix/${word}`, ...options });
			return `${address}:${port} inet n - n - - smtpd${all.map(([key, value]) => `\n  -o { ${key} = ${expand(value)} }`).join("")}\n`;
		});
		fs.writeFileSync(path.join(this.configured, "master.cf"), inet.join("") + SERVICES);
	}

	async start() {
		this.child = start(PROGRAM, ["-c", this.configured, "start-fg"], { logFile: this.outputFile });
		await until(
			() => `Postfix is up; it said:\n${this.output()}`,
			() => {
				if (!this.child.isRunning()) throw new Error(`Postfix ended at its start:\n${this.output()}`);
				return /daemon started -- version/.test(this.log());
			},
			30000,
		);
		return this;
	}
	async stop() {
		this.end();
		if (this.child) await stop(this.child);
		this.remove();
	}
	/** start-fg waits for the master, and does not take it along when it is ended itself. */
	end() {
		if (!this.child?.isRunning()) return;
		const file = path.join(this.folder, "queue", "pid", "master.pid");
		const pid = fs.existsSync(file) ? Number.parseInt(fs.readFileSync(file, "latin1"), 10) : 0;
		if (pid > 1) process.kill(pid, "SIGTERM");
	}
	remove() {
		fs.rmSync(this.folder, { recursive: true, force: true });
	}
	log() {
		return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, "utf8") : "";
	}
	/** All it said, in its log and before it had one. */
	output() {
		return (fs.existsSync(this.outputFile) ? fs.readFileSync(this.outputFile, "utf8") : "") + this.log();
	}
	/** Names of messages in its queues. */
	queued() {
		return ["maildrop", "incoming", "active", "deferred", "hold"].flatMap((queue) => fs.readdirSync(path.join(this.folder, "queue", queue)));
	}
	/** Conversations at a listener, in order: {connects, rejects: [text], disconnects: [{ehlo: "1", rcpt: "1/3", …}], other: [text]}. */
	seen(word) {
		const out = { connects: 0, rejects: [], disconnects: [], other: [] };
		const by = new RegExp(` postfix/${word}/smtpd\\[\\d+\\]: (.*)$`);
		for (const line of this.log().split("\n")) {
			const said = by.exec(line)?.[1];
			if (!said) continue;
			if (said.startsWith("connect from ")) out.connects++;
			else if (/^\w+: reject: /.test(said)) out.rejects.push(said.replace(/^\w+: reject: /, ""));
			else if (said.startsWith("disconnect from ")) {
				out.disconnects.push(Object.fromEntries([...said.matchAll(/ (\w+)=(\S+)/g)].map((m) => [m[1], m[2]])));
			} else if (!/^\w+: client=|^discarding EHLO keywords/.test(said)) out.other.push(said);
		}
		return out;
	}
	/** seen(), once so many conversations have ended. */
	async settled(word, conversations) {
		await until(
			() => `${conversations} conversations at ${word} ended; Postfix said:\n${this.log()}`,
			() => this.seen(word).disconnects.length >= conversations,
		);
		return this.seen(word);
	}
}
