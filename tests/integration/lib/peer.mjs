// A mail server driven by hand, for what the world's descriptions cannot say: when each segment goes out.
import net from "node:net";

/**
 * Listens on address:port. `script(peer)` is called for each connection with
 * {write(text), line() → the next line or null at the end, bytes() → the next bytes of any kind, end(), reset()}.
 * Gives {connections: [{said: [text], lines: [text]}], close()}.
 */
export async function listen(address, port, script) {
	const out = { connections: [] };
	const sockets = new Set();
	const server = net.createServer({ noDelay: true }, (socket) => {
		sockets.add(socket);
		const seen = { lines: [], said: [] };
		out.connections.push(seen);
		const arrived = [];
		let waiting = null;
		let over = false;
		const wake = () => waiting?.();
		socket.on("data", (part) => {
			arrived.push(part);
			wake();
		});
		for (const event of ["end", "close", "error"]) socket.on(event, () => {
			over = true;
			wake();
		});
		socket.on("close", () => sockets.delete(socket));
		const more = () => new Promise((resolve) => {
			waiting = () => {
				waiting = null;
				resolve();
			};
		});
		const peer = {
			write: (text) => new Promise((resolve) => {
				seen.said.push(text);
				if (socket.destroyed) resolve();
				else socket.write(text, "latin1", () => resolve());
			}),
			async bytes() {
				while (!arrived.length) {
					if (over) return null;
					await more();
				}
				return arrived.shift();
			},
			async line() {
				let text = "";
				for (;;) {
					const part = await peer.bytes();
					if (!part) return null;
					text += part.toString("latin1");
					const end = text.indexOf("\r\n");
					if (end < 0) continue;
					if (end + 2 < text.length) arrived.unshift(Buffer.from(text.slice(end + 2), "latin1"));
					seen.lines.push(text.slice(0, end));
					return text.slice(0, end);
				}
			},
			end: () => socket.end(),
			reset: () => socket.resetAndDestroy(),
		};
		Promise.resolve(script(peer, out.connections.length)).catch(() => {}).finally(() => socket.end());
	});
	await new Promise((resolve, reject) => server.on("error", reject).listen(port, address, resolve));
	out.close = () => new Promise((resolve) => {
		for (const socket of sockets) socket.destroy();
		server.close(resolve);
	});
	return out;
}

/** An ordinary server's part: answers until QUIT; knows zq-known*. `on(verb, line)`: true when it has dealt with it. */
export async function serve(peer, { banner = "220 hand.test ESMTP", ehlo = ["250-hand.test", "250 PIPELINING"], on } = {}) {
	if (banner) await peer.write(`${banner}\r\n`);
	for (;;) {
		const line = await peer.line();
		if (line === null) return;
		const verb = line.split(/[ :]/)[0].toUpperCase();
		if (await on?.(verb, line)) continue;
		if (verb === "EHLO") await peer.write(`${ehlo.join("\r\n")}\r\n`);
		else if (verb === "RCPT") await peer.write(/<zq-known/.test(line) ? "250 2.1.5 Ok\r\n" : "550 5.1.1 User unknown\r\n");
		else if (verb === "QUIT") return void (await peer.write("221 2.0.0 Bye\r\n"));
		else await peer.write("250 2.0.0 Ok\r\n");
	}
}
