// A Postfix with more services than smtpd: address verification, postscreen, TLS; and a policy service for it to ask.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { Postfix } from "./postfix.mjs";
import { until } from "./process.mjs";
import { loopback } from "./world.mjs";

/** `value` with each "$name" of `words`; strings in objects of any depth. */
function fill(value, words) {
	if (typeof value === "string") return value.replace(/\$(\w+)/g, (whole, name) => words[name] ?? whole);
	if (!value || typeof value !== "object") return value;
	return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fill(inner, words)]));
}

export class PostfixServices extends Postfix {
	/**
	 * As Postfix. `services`: further lines of master.cf. `words`: what $name is in it, in options and in settings, beside $maps
	 * and $port. `files`: {name: bytes} in $maps, for root alone.
	 */
	constructor({ port, listeners, settings, maps, services, words = {}, files = {} }) {
		const all = { port, ...words };
		super({ port, listeners: fill(listeners, all), settings: fill(settings, all), maps });
		for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(this.configured, name), content, { mode: 0o600 });
		fs.appendFileSync(path.join(this.configured, "master.cf"), fill(services, { maps: this.configured, ...all }));
	}
	/** What a service said: the texts behind `postfix/SERVICE[pid]: `, SERVICE such as `may/smtpd`. */
	said(service) {
		const by = new RegExp(` postfix/${service}\\[\\d+\\]: (.*)$`);
		return this.log().split("\n").map((line) => by.exec(line)?.[1]).filter((text) => text !== undefined);
	}
	/** Waits until a service has said so many lines like this; gives them. */
	async heard(service, pattern, count = 1) {
		const like = () => this.said(service).filter((text) => pattern.test(text));
		await until(() => `${service} says ${pattern} ${count} times; Postfix said:\n${this.log()}`, () => like().length >= count);
		return like();
	}
}

/** Makes a self-signed certificate for a name, with files in that folder: {files: {"key.pem", "cert.pem"}, sha256}. */
export function selfSigned(name, folder) {
	const [key, certificate] = ["key.pem", "cert.pem"].map((file) => path.join(folder, file));
	execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
		"-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`, "-keyout", key, "-out", certificate], { stdio: "pipe" });
	const printed = execFileSync("openssl", ["x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"], { encoding: "utf8" });
	return {
		files: { "key.pem": fs.readFileSync(key), "cert.pem": fs.readFileSync(certificate) },
		sha256: printed.replace(/^.*=/, "").replace(/[^0-9A-F]/g, "").toLowerCase(),
	};
}

/** Speaks Postfix's policy protocol: a request is lines of name=value and an empty one. `decide(request)` gives the action. */
export class PolicyService {
	constructor(decide) {
		this.decide = decide;
		this.requests = [];
		this.open = new Set();
	}
	async start() {
		this.server = net.createServer((socket) => {
			this.open.add(socket);
			socket.on("close", () => this.open.delete(socket)).on("error", () => {});
			let unread = "";
			socket.setEncoding("utf8").on("data", (text) => {
				unread += text;
				for (let end = unread.indexOf("\n\n"); end >= 0; end = unread.indexOf("\n\n")) {
					const request = Object.fromEntries(unread.slice(0, end).split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2)));
					unread = unread.slice(end + 2);
					this.requests.push(request);
					socket.write(`action=${this.decide(request)}\n\n`);
				}
			});
		});
		const address = loopback();
		await new Promise((resolve, reject) => this.server.once("error", reject).listen(0, address, resolve));
		this.endpoint = `inet:${address}:${this.server.address().port}`;
		return this;
	}
	stop() {
		for (const socket of this.open) socket.destroy();
		this.server?.close();
	}
}

/** Puts off every tuple of client, sender and recipient that was not there when mature() was last called. */
export class Greylist extends PolicyService {
	constructor(action) {
		super(({ client_address, sender, recipient }) => {
			const tuple = `${client_address} ${sender} ${recipient}`;
			this.seen.add(tuple);
			return this.ripe.has(tuple) ? "DUNNO" : action;
		});
		this.seen = new Set();
		this.ripe = new Set();
	}
	/** The delay of all tuples so far is over. */
	mature() {
		this.ripe = new Set(this.seen);
	}
}
