// Peers that keep to nothing: mail servers of raw bytes, and a DNS server that answers what a test makes of the question.
import dgram from "node:dgram";
import net from "node:net";

/** A generator of numbers below n that gives the same ones in each run (mulberry32). */
export function seeded(seed) {
	let a = seed >>> 0;
	const next = () => {
		a = (a + 0x6d2b79f5) >>> 0;
		let t = a;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return (t ^ (t >>> 14)) >>> 0;
	};
	const below = (n) => next() % n;
	below.bytes = (n) => Buffer.from(Array.from({ length: n }, () => below(256)));
	return below;
}

/** A TCP server: behave(socket, number of the connection). Gives {connections, close()}. */
export function rawServer(address, port, behave) {
	return new Promise((resolve, reject) => {
		const sockets = new Set();
		const out = { connections: 0, close: () => new Promise((done) => {
			server.close(done);
			sockets.forEach((socket) => socket.destroy());
		}) };
		const server = net.createServer({ allowHalfOpen: true }, (socket) => {
			sockets.add(socket);
			socket.on("error", () => {}).on("close", () => sockets.delete(socket));
			behave(socket, ++out.connections);
		});
		server.on("error", reject).listen(port, address, () => resolve(out));
	});
}

/**
 * A mail server that goes wrong at one phase (banner, ehlo, mail, rcpt, quit) and answers properly before it:
 * wrong(socket, line) then does what it likes. It sees lines as they come, pipelined or not.
 */
export function wrongAt(phase, wrong, { greeting = "220 mx.hostile.test ESMTP", ehlo = ["mx.hostile.test", "PIPELINING"] } = {}) {
	return (socket) => {
		if (phase === "banner") {
			wrong(socket, "");
			socket.resume().on("end", () => socket.end());
			return;
		}
		let text = "", over = false;
		socket.write(`${greeting}\r\n`);
		socket.on("end", () => socket.end());
		socket.on("data", (bytes) => {
			text += bytes.toString("latin1");
			for (let end; !over && (end = text.indexOf("\r\n")) >= 0;) {
				const line = text.slice(0, end);
				text = text.slice(end + 2);
				const verb = line.slice(0, 4).toLowerCase();
				if (verb === phase) {
					over = phase !== "rcpt";
					wrong(socket, line);
				} else if (verb === "ehlo") {
					socket.write(ehlo.map((word, i) => `250${i < ehlo.length - 1 ? "-" : " "}${word}\r\n`).join(""));
				} else if (verb === "quit") {
					socket.end("221 2.0.0 Bye\r\n");
				} else {
					socket.write("250 2.0.0 Ok\r\n");
				}
			}
		});
	};
}

// ---- DNS

export function encodeName(name) {
	return Buffer.concat([...name.split(".").filter(Boolean).map((label) => Buffer.from([label.length, ...Buffer.from(label, "latin1")])), Buffer.from([0])]);
}
const u16 = (...numbers) => Buffer.from(numbers.flatMap((n) => [(n >> 8) & 255, n & 255]));
export const TYPE = { A: 1, CNAME: 5, SOA: 6, MX: 15, AAAA: 28 };

/** {id, name, type, question: the bytes of its question section, bytes} of a query. */
export function readQuery(bytes) {
	const labels = [];
	let at = 12;
	for (let n; (n = bytes[at]); at += n + 1) labels.push(bytes.toString("latin1", at + 1, at + 1 + n));
	return { id: bytes.readUInt16BE(0), name: labels.join(".").toLowerCase(), type: bytes.readUInt16BE(at + 1), question: bytes.subarray(12, at + 5), bytes };
}
/** A resource record; owner: bytes, by default a pointer to the question. */
export function record(type, data, { owner = u16(0xc00c), ttl = 60, length = data.length } = {}) {
	return Buffer.concat([owner, u16(type, 1, 0, ttl, length), data]);
}
export const mxData = (host, preference = 10) => Buffer.concat([u16(preference), Buffer.isBuffer(host) ? host : encodeName(host)]);
/** A whole message. */
export function message(query, { id = query.id, flags = 0x8580, question = query.question, questions = 1, answers = [], answerCount = answers.length } = {}) {
	return Buffer.concat([u16(id, flags, questions, answerCount, 0, 0), question, ...answers]);
}

/** A DNS server on one port for UDP and TCP: answer(query, "udp"|"tcp") gives a Buffer, a list of them, or null for silence; for UDP also a promise of it. */
export async function dnsServer(answer, address = "127.0.0.1") {
	const tcp = await new Promise((resolve, reject) => {
		const server = net.createServer((socket) => {
			sockets.add(socket);
			let held = Buffer.alloc(0);
			socket.on("error", () => {}).on("close", () => sockets.delete(socket));
			socket.on("data", (bytes) => {
				held = Buffer.concat([held, bytes]);
				while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
					const query = held.subarray(2, 2 + held.readUInt16BE(0));
					held = held.subarray(2 + query.length);
					const said = answer(readQuery(query), "tcp", socket);
					for (const one of [said].flat().filter(Boolean)) socket.write(Buffer.concat([u16(one.length), one]));
				}
			});
		}).on("error", reject).listen(0, address, () => resolve(server));
		const sockets = (server.sockets = new Set());
	});
	const { port } = tcp.address();
	const udp = dgram.createSocket("udp4");
	udp.on("error", () => {}).on("message", async (bytes, peer) => {
		const said = await answer(readQuery(bytes), "udp");
		for (const one of [said].flat().filter((part) => part !== null && part !== undefined)) udp.send(one, peer.port, peer.address);
	});
	await new Promise((resolve) => udp.bind(port, address, resolve));
	return { endpoint: `${address}:${port}`, close: () => {
		tcp.sockets.forEach((socket) => socket.destroy());
		tcp.close();
		udp.close();
	} };
}
