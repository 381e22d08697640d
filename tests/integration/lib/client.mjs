// gRPC to the daemon, with plain values: strings for addresses and words, seconds for durations, null for what is absent.
import fs from "node:fs";
import path from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";
import { protoFolder, runFolder } from "./paths.mjs";

const OPTIONS = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true, includeDirs: [protoFolder] };
const definition = loader.loadSync([
	"rcptd/v1/verification.proto", "rcptd/v1/domain.proto", "rcptd/v1/exemption.proto", "rcptd/v1/stats.proto",
	"grpc/health/v1/health.proto", "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto",
], OPTIONS);
export const api = grpc.loadPackageDefinition(definition);
export const { status } = grpc;
export { grpc, loader, protobuf };

/** Every local part that a test uses goes through here: discretion.test.mjs looks for them in logs and stores. */
const asked = new Set();
export function noteLocal(address) {
	const at = address.lastIndexOf("@");
	const local = at < 0 ? address : address.slice(0, at);
	if (local.length < 6 || local.length > 200 || /[\0\n\r]/.test(local) || asked.has(local)) return;
	asked.add(local);
	fs.appendFileSync(path.join(runFolder(), "locals.txt"), `${local}\n`);
}

/** Seconds to a Duration message. */
export function duration(seconds) {
	const whole = Math.trunc(seconds);
	return { seconds: whole, nanos: Math.round((seconds - whole) * 1e9) };
}
const seconds = (d) => (d ? d.seconds + d.nanos / 1e9 : null);
const word = (text, prefix) => text.replace(prefix, "");

/** A Result message with plain values. */
export function plain(result) {
	const { evidence } = result;
	return {
		...result,
		address: result.address.toString("utf8"),
		address_bytes: result.address,
		verdict: word(result.verdict, "VERDICT_"),
		reason: word(result.reason, "REASON_"),
		catch_all: word(result.catch_all, "CATCH_ALL_"),
		age_s: seconds(result.age),
		retry_after_s: seconds(result.retry_after),
		evidence: evidence && {
			...evidence,
			phase: word(evidence.phase, "PHASE_"),
			text: evidence.text.toString("utf8"),
			text_bytes: evidence.text,
			random_control: word(evidence.random_control, "CONTROL_OUTCOME_"),
			postmaster_control: word(evidence.postmaster_control, "CONTROL_OUTCOME_"),
		},
	};
}

let root;
/** An error's google.rpc.Status: {code, message, reason, domain, metadata, fields: [{field, description}]}; null without one. */
export function errorDetails(error) {
	const bytes = error.metadata?.get("grpc-status-details-bin")[0];
	if (!bytes) return null;
	if (!root) {
		root = new protobuf.Root();
		root.resolvePath = (origin, target) => {
			const own = path.join(protoFolder, target);
			return fs.existsSync(own) ? own : protobuf.Root.prototype.resolvePath.call(root, origin, target);
		};
		root.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"], { keepCase: true });
	}
	const message = root.lookupType("google.rpc.Status").decode(bytes);
	const out = { code: message.code, message: message.message, reason: null, domain: null, metadata: {}, fields: [], types: [] };
	for (const any of message.details) {
		const type = any.type_url.replace(/^.*\//, "");
		out.types.push(type);
		const detail = root.lookupType(type).toObject(root.lookupType(type).decode(any.value), { defaults: true });
		if (type === "google.rpc.ErrorInfo") Object.assign(out, { reason: detail.reason, domain: detail.domain, metadata: detail.metadata });
		if (type === "google.rpc.BadRequest") out.fields.push(...detail.field_violations);
	}
	return out;
}

const bytes = (text) => (Buffer.isBuffer(text) ? text : Buffer.from(text, "utf8"));

export class Client {
	constructor(endpoint, options = {}) {
		const credentials = grpc.credentials.createInsecure();
		const own = { "grpc.use_local_subchannel_pool": 1, "grpc.initial_reconnect_backoff_ms": 50, "grpc.max_receive_message_length": 64 << 20, ...options };
		this.channel = new grpc.Channel(endpoint, credentials, own);
		const make = (Service) => new Service(endpoint, credentials, { channelOverride: this.channel });
		this.verification = make(api.rcptd.v1.VerificationService);
		this.domains = make(api.rcptd.v1.DomainService);
		this.exemptions = make(api.rcptd.v1.ExemptionService);
		this.stats = make(api.rcptd.v1.StatsService);
		this.healthService = make(api.grpc.health.v1.Health);
		this.reflectionV1 = make(api.grpc.reflection.v1.ServerReflection);
		this.reflectionV1alpha = make(api.grpc.reflection.v1alpha.ServerReflection);
	}
	close() {
		this.channel.close();
	}
	/** One unary call as a promise; rejects with the gRPC error. */
	call(service, method, request, { ms = 30000 } = {}) {
		return new Promise((resolve, reject) => {
			service[method](request, { deadline: Date.now() + ms }, (error, answer) => (error ? reject(error) : resolve(answer)));
		});
	}
	async health(service = "") {
		return (await this.call(this.healthService, "Check", { service }, { ms: 5000 })).status;
	}

	/** One address by the unary call. maxAge in seconds, absent: any age. */
	async verifyOne(address, { maxAge, ms } = {}) {
		noteLocal(address.toString());
		const request = { address: bytes(address) };
		if (maxAge !== undefined) request.max_age = duration(maxAge);
		return plain((await this.call(this.verification, "Verify", request, { ms })).result);
	}

	/** A stream to be driven by hand: {send(addresses, maxAge), end(), call, results, done}. `done` gives results or rejects. */
	openStream({ ms = 60000 } = {}) {
		const call = this.verification.VerifyStream({ deadline: Date.now() + ms });
		const stream = { call, results: [], sent: 0, onResults: null };
		stream.done = new Promise((resolve, reject) => {
			let failed = null;
			call.on("data", (message) => {
				stream.results.push(...message.results.map(plain));
				stream.onResults?.(stream.results);
			});
			call.on("error", (error) => (failed = error));
			call.on("status", (s) => (s.code === grpc.status.OK ? resolve(stream.results) : reject(failed ?? Object.assign(new Error(s.details), s))));
		});
		stream.done.catch(() => {}); // whoever wants it awaits it
		stream.send = (addresses, maxAge) => {
			addresses.forEach((a) => noteLocal(a.toString()));
			const request = { items: addresses.map((address) => ({ id: stream.sent++, address: bytes(address) })) };
			if (maxAge !== undefined) request.max_age = duration(maxAge);
			return call.write(request);
		};
		stream.end = () => call.end();
		return stream;
	}

	/**
	 * Many addresses by the stream. Gives a Map from address to result, whose `list` has the results in the order asked.
	 * Fails unless every item got exactly one result with its own id and address.
	 */
	async verify(addresses, { maxAge, ms, batch = 1000 } = {}) {
		const stream = this.openStream({ ms });
		for (let i = 0; i < addresses.length; i += batch) stream.send(addresses.slice(i, i + batch), maxAge);
		stream.end();
		const results = await stream.done;
		const list = new Array(addresses.length).fill(null);
		for (const result of results) {
			if (!(result.id in list)) throw new Error(`a result with the foreign id ${result.id}`);
			if (list[result.id]) throw new Error(`two results for item ${result.id}, ${addresses[result.id]}`);
			list[result.id] = result;
		}
		const missing = addresses.filter((_, i) => !list[i]);
		if (missing.length) throw new Error(`no result for ${missing.length} items: ${missing.slice(0, 5)}`);
		const map = new Map(list.map((result, i) => [addresses[i], result]));
		map.list = list;
		return map;
	}

	getDomain(domain) {
		return this.call(this.domains, "GetDomain", { domain: bytes(domain) });
	}
	forgetDomain(domain, include_subdomains = false) {
		return this.call(this.domains, "ForgetDomain", { domain: bytes(domain), include_subdomains });
	}
	/** Waits until what was learned so far is in the store: facts are read as of the last commit, and this goes through the same writer. */
	async committed() {
		await this.forgetDomain("nobody-asks-about-this.test");
	}
	async createExemption(domain, { by = "desk@rcptd.test", note = "" } = {}) {
		return (await this.call(this.exemptions, "CreateExemption", { domain: bytes(domain), by: bytes(by), note: bytes(note) })).exemption;
	}
	checkExemption(subject) {
		return this.call(this.exemptions, "CheckExemption", { subject: bytes(subject) });
	}
	listExemptions(request = {}) {
		return this.call(this.exemptions, "ListExemptions", { ...request, domain: bytes(request.domain ?? "") });
	}
	async revokeExemption(id, { by = "desk@rcptd.test", note = "" } = {}) {
		return (await this.call(this.exemptions, "RevokeExemption", { id, by: bytes(by), note: bytes(note) })).exemption;
	}
	/** GetStats, with the counts as objects by word: verdicts.DELIVERABLE. */
	async getStats() {
		const answer = await this.call(this.stats, "GetStats", {});
		const byWord = (rows, key, prefix) => Object.fromEntries(rows.map((row) => [word(row[key], prefix), row.count]));
		return {
			...answer,
			verdicts: byWord(answer.verdicts, "verdict", "VERDICT_"),
			reasons: byWord(answer.reasons, "reason", "REASON_"),
			phases: byWord(answer.phases, "phase", "PHASE_"),
		};
	}
}
