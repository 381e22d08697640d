// NSD as the authority and Unbound as the resolver of a test, both on loopback; nothing that is asked leaves the two.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { start, stop, until } from "./process.mjs";
import { freePort } from "./rcptd.mjs";
import { loopback } from "./world.mjs";

const PROGRAMS = { nsd: "/usr/sbin/nsd", "nsd-control": "/usr/sbin/nsd-control", unbound: "/usr/sbin/unbound", "unbound-control": "/usr/sbin/unbound-control" };

/** Why they cannot be started here; null if they can. */
export function dnsServersMissing() {
	for (const name of ["nsd", "unbound"]) if (!fs.existsSync(PROGRAMS[name])) return `Debian's package ${name} is not installed`;
	if (process.getuid() !== 0) return "NSD and Unbound must be started by root";
	return null;
}

class Server {
	constructor(folder, name, args) {
		this.folder = path.join(folder, name);
		this.name = name;
		this.args = args;
		fs.mkdirSync(this.folder);
		this.configFile = path.join(this.folder, `${name}.conf`);
		this.logFile = path.join(this.folder, `${name}.log`);
	}
	async start(config) {
		this.address = loopback();
		this.port = await freePort(this.address);
		this.endpoint = `${this.address}:${this.port}`;
		fs.writeFileSync(this.configFile, config);
		return this;
	}
	async run(ready) {
		this.child = start(PROGRAMS[this.name], [...this.args, "-c", this.configFile], { logFile: this.logFile });
		await until(
			() => `${this.name} is up; it said:\n${this.log()}`,
			() => {
				if (!this.child.isRunning()) throw new Error(`${this.name} ended at its start:\n${this.log()}`);
				return ready.test(this.log());
			},
		);
		return this;
	}
	async stop() {
		if (this.child) await stop(this.child);
	}
	log() {
		return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, "utf8") : "";
	}
	/** Its statistics, {name: number}. */
	stats() {
		const said = execFileSync(PROGRAMS[`${this.name}-control`], ["-c", this.configFile, "stats_noreset"], { encoding: "utf8" });
		return Object.fromEntries(said.split("\n").filter(Boolean).map((line) => line.split("=")).map(([name, value]) => [name, Number(value)]));
	}
}

/** `zones`: {name: text of its zone file}. */
export class Nsd extends Server {
	constructor(folder, zones) {
		super(folder, "nsd", ["-d"]);
		this.zones = zones;
	}
	async start() {
		await super.start("");
		const file = (name) => path.join(this.folder, name);
		for (const [zone, text] of Object.entries(this.zones)) fs.writeFileSync(file(`${zone}.zone`), text);
		fs.writeFileSync(this.configFile, `server:
	ip-address: ${this.address}@${this.port}
	do-ip6: no
	server-count: 1
	username: ""
	chroot: ""
	database: ""
	pidfile: ""
	zonesdir: "${this.folder}"
	zonelistfile: "${file("zone.list")}"
	xfrdfile: "${file("xfrd.state")}"
	xfrdir: "${this.folder}"
	verbosity: 1
remote-control:
	control-enable: yes
	control-interface: "${file("control")}"
${Object.keys(this.zones).map((zone) => `zone:\n\tname: "${zone}"\n\tzonefile: "${zone}.zone"\n`).join("")}`);
		return this.run(/nsd started/);
	}
}

/** `stubs`: {zone: endpoint "ADDRESS:PORT" of its authority}; all else is refused. `options`: further lines of `server:`. */
export class Unbound extends Server {
	constructor(folder, stubs, options = []) {
		super(folder, "unbound", ["-d"]);
		this.stubs = stubs;
		this.options = options;
	}
	async start() {
		await super.start("");
		const zones = Object.entries(this.stubs);
		// "test." is among the names that it answers for itself, unless told otherwise.
		fs.writeFileSync(this.configFile, `server:
	interface: ${this.address}@${this.port}
	outgoing-interface: 127.0.0.1
	access-control: 127.0.0.0/8 allow
	do-ip6: no
	do-not-query-localhost: no
	username: ""
	chroot: ""
	pidfile: ""
	directory: "${this.folder}"
	use-syslog: no
	logfile: ""
	verbosity: 1
	log-queries: yes
	log-servfail: yes
	num-threads: 1
	so-rcvbuf: 0
	outgoing-range: 200
	qname-minimisation: no
	root-hints: ""
	module-config: "validator iterator"
	local-zone: "." refuse
	local-zone: "test." transparent
${this.options.map((line) => `\t${line}\n`).join("")}remote-control:
	control-enable: yes
	control-interface: "${path.join(this.folder, "control")}"
	control-use-cert: no
${zones.map(([zone, endpoint]) => `stub-zone:\n\tname: "${zone}"\n\tstub-addr: ${endpoint.replace(":", "@")}\n`).join("")}`);
		return this.run(/start of service/);
	}
	/** What it was asked, in order: ["MX one.test", …]. */
	asked() {
		return [...this.log().matchAll(/ info: 127\.\S+ (\S+)\. (\w+) IN$/gm)].map(([, name, type]) => `${type} ${name}`);
	}
}
