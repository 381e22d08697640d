// The other side: a description of a mail internet, the `world` program that plays it, and what it saw. See docs/WORLD.md.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { bin } from "./paths.mjs";
import { start, stop, until } from "./process.mjs";

// All worlds of a test file share 127.X/16, with X by process: together with ports that the kernel chose no two meet.
const second = 1 + (process.pid % 250);
let addresses = 0;
export function loopback() {
	addresses++;
	if (addresses > 65000) throw new Error("out of loopback addresses");
	return `127.${second}.${addresses >> 8}.${addresses & 255}`;
}

/** Builds a description. host() gives an address of its own to a host that names none. */
export class Description {
	constructor(defaults = {}) {
		this.content = { defaults: { ttl: 300, negative_ttl: 60, latency_ms: 0, ...defaults }, hosts: {}, names: {}, domains: {} };
	}
	host(name, options = {}) {
		const addresses = options.addresses ?? [loopback()];
		this.content.hosts[name] = { ...options, addresses };
		return addresses[0];
	}
	domain(name, options) {
		this.content.domains[name] = options;
		return this;
	}
	name(name, options) {
		this.content.names[name] = options;
		return this;
	}
	/** A domain with one mail host of its own, mx.DOMAIN; gives the host's address. */
	mail(domain, mailboxes = [], hostOptions = {}, domainOptions = {}) {
		const address = this.host(`mx.${domain}`, hostOptions);
		this.domain(domain, { mx: `mx.${domain}`, mailboxes, ...domainOptions });
		return address;
	}
	/** Several mail hosts in the order of preference: {name: options}. */
	mailHosts(domain, mailboxes, hosts, domainOptions = {}) {
		const mx = Object.keys(hosts).map((host, i) => ({ preference: 10 * (i + 1), host }));
		for (const [name, options] of Object.entries(hosts)) if (options) this.host(name, options);
		this.domain(domain, { mx, mailboxes, ...domainOptions });
		return this;
	}
}

export class World {
	constructor(folder) {
		this.folder = folder;
		this.logFile = path.join(folder, "world.log");
	}

	static async start(description, folder) {
		const world = new World(folder);
		const config = path.join(folder, "world.yaml"); // JSON is YAML
		fs.writeFileSync(config, JSON.stringify({
			listen: { dns: ["127.0.0.1:0"], smtp_port: 0, control: path.join(folder, "world.sock") },
			record: path.join(folder, "world.jsonl"),
			...description.content,
		}, null, 1));
		let said = "";
		world.child = start(bin.world, ["--config", config], {
			logFile: world.logFile,
			onStdout: (text) => {
				said += text;
			},
		});
		const ready = await until(
			() => `world is ready; it said: ${said}${fs.readFileSync(world.logFile)}`,
			() => /world ready dns=(\S+) smtp_port=(\d+) control=(\S+)/.exec(said) ?? (world.child.isRunning() ? null : ["ended"]),
		);
		if (ready[0] === "ended") throw new Error(`world did not start: ${fs.readFileSync(world.logFile)}`);
		[world.dns, world.smtpPort, world.control] = [ready[1], Number(ready[2]), ready[3]];
		return world;
	}

	async stop() {
		if (this.child) await stop(this.child);
	}

	request(method, target) {
		return new Promise((resolve, reject) => {
			const request = http.request({ socketPath: this.control, method, path: target, timeout: 10000 }, (answer) => {
				let text = "";
				answer.setEncoding("latin1").on("data", (part) => (text += part)).on("end", () => resolve(text)).on("error", reject);
			});
			request.on("timeout", () => request.destroy(new Error(`world: ${method} ${target} was not answered`)));
			request.on("error", reject).end();
		});
	}
	async counts() {
		return JSON.parse(await this.request("GET", "/counts"));
	}
	async openConnections() {
		return JSON.parse(await this.request("GET", "/connections"));
	}
	/** Counters to zero; gives the number of the last line of the record. */
	async reset() {
		return JSON.parse(await this.request("POST", "/reset")).seq;
	}
	/** Greylists are empty again. */
	async forget() {
		await this.request("POST", "/forget");
	}
	/** What happened after that line of the record. */
	async record(since = 0) {
		const lines = [];
		for (;;) {
			const text = await this.request("GET", `/record?since=${since}`);
			const got = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
			if (!got.length) return new Record(lines);
			lines.push(...got);
			since = got[got.length - 1].seq;
		}
	}
	/** The number of the newest line. */
	async mark() {
		const record = await this.record();
		return record.events.length ? record.events[record.events.length - 1].seq : 0;
	}
	/** Waits until every connection is closed, then gives the record since that line. */
	async settled(since = 0, ms = 10000) {
		await until("all connections to the farm are closed", async () => !(await this.openConnections()).length, ms);
		return this.record(since);
	}
}

/** Lines of the farm's record, and questions to them. */
export class Record {
	constructor(events) {
		this.events = events;
	}
	of(event, fields = {}) {
		return this.events.filter((e) => e.event === event && Object.entries(fields).every(([key, value]) => e[key] === value));
	}
	connects(host) {
		return this.of("connect", host ? { host } : {});
	}
	/** Hosts contacted, in order, one entry a connection. */
	hosts() {
		return this.of("connect").map((e) => e.host);
	}
	/** The commands, with their verbs in order; of a connection or a host. */
	lines(fields = {}) {
		return this.of("line", fields);
	}
	verbs(fields = {}) {
		return this.lines(fields).map((e) => e.verb);
	}
	/** Recipients asked: {conn, host, t, seq, local, domain, round_trip}. */
	rcpts(fields = {}) {
		return this.lines({ verb: "RCPT", ...fields }).map((e) => {
			const path = Buffer.from(e.arg, "latin1").toString("utf8").replace(/^TO: *</i, "").replace(/>[^>]*$/, "");
			const at = path.lastIndexOf("@");
			return { ...e, local: path.slice(0, at), domain: path.slice(at + 1) };
		});
	}
	/** Local parts asked, in order. */
	locals(fields = {}) {
		return this.rcpts(fields).map((r) => r.local);
	}
	closes(fields = {}) {
		return this.of("close", fields);
	}
	dns(fields = {}) {
		return this.of("dns", fields);
	}
}

/** A random control by its shape: verdicts.md says 20 to 32 letters and digits. The tests' own local parts have a hyphen
 * ("zq-…"): that alone tells them apart, since letters drawn at random may well be "zq". */
export function isRandomControl(local) {
	return /^[a-z0-9]{20,32}$/i.test(local);
}
