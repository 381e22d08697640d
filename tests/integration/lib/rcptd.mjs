// The daemon under test.
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { Client } from "./client.mjs";
import { bin } from "./paths.mjs";
import { start, stop, until } from "./process.mjs";

export class Rcptd {
	constructor(folder, world, config) {
		this.folder = folder;
		this.logFile = path.join(folder, "rcptd.log");
		this.configFile = path.join(folder, "rcptd.yaml");
		this.storePath = path.join(folder, "store");
		this.under = []; // a program that runs it in its own place: ["prlimit", "--nofile=256"]
		this.env = {};
		this.config = {
			listen: { grpc: `unix:${path.join(folder, "rcptd.sock")}` },
			store: { path: this.storePath },
			dns: { servers: [world.dns] },
			log: { level: "debug" },
			...config,
			probe: {
				port: world.smtpPort,
				sources: [{ address: "127.0.0.1", name: "probe.rcptd.test" }],
				mail_from: "postal@rcptd.test",
				allow_networks: ["127.0.0.0/8"],
				shards: 2,
				...config?.probe,
			},
		};
	}

	/** Starts it and waits until health says SERVING. */
	async start() {
		fs.writeFileSync(this.configFile, JSON.stringify(this.config, null, 1)); // JSON is YAML
		fs.mkdirSync(this.storePath, { recursive: true, mode: 0o700 });
		const from = fs.existsSync(this.logFile) ? fs.statSync(this.logFile).size : 0;
		const [file, ...args] = [...this.under, bin.rcptd, "--config", this.configFile];
		this.child = start(file, args, { logFile: this.logFile, env: this.env });
		this.client = new Client(this.config.listen.grpc);
		try {
			await until(
				() => `rcptd serves; its log:\n${this.log(from)}`,
				async () => {
					if (!this.child.isRunning()) throw new Error(`rcptd ended at its start:\n${this.log(from)}`);
					return (await this.client.health().catch(() => null)) === "SERVING";
				},
			);
		} catch (error) {
			await this.kill();
			throw error;
		}
		return this;
	}

	get pid() {
		return this.child.pid;
	}
	isRunning() {
		return Boolean(this.child?.isRunning());
	}
	/** SIGTERM; gives {code, signal}. */
	async stop(ms = 30000) {
		this.client?.close();
		return this.child ? stop(this.child, "SIGTERM", ms) : null;
	}
	/** kill -9. */
	async kill() {
		this.client?.close();
		return this.child ? stop(this.child, "SIGKILL") : null;
	}
	async restart(signal = "SIGTERM") {
		if (signal === "SIGKILL") await this.kill();
		else await this.stop();
		return this.start();
	}
	log(from = 0) {
		return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile).subarray(from).toString("latin1") : "";
	}
	/** A further client with a connection of its own. */
	newClient(options) {
		return new Client(this.config.listen.grpc, options);
	}
}

/** A TCP port that was free a moment ago, for what cannot listen on a socket's path. */
export function freePort(host = "127.0.0.1") {
	return new Promise((resolve, reject) => {
		const server = net.createServer().on("error", reject);
		server.listen(0, host, () => {
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}
