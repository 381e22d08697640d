// What it takes when much is asked of it: clients that do not read, thousands of conversations at once, many calls with full windows.
import assert from "node:assert/strict";
import { grpc, noteLocal } from "../lib/client.mjs";
import { rssAnonKb, watchPeak } from "../lib/measure.mjs";
import { sleep, until } from "../lib/process.mjs";
import { Scenario, assertVerdict, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

const ITEMS = Number(process.env.BOUNDS_ITEMS ?? 200000);
const MB = 1024;

/** A stream of its own that reads nothing until read() is called. Its items are what `item` gives for 0, 1, …. */
function deafStream(client, items, item) {
	const call = client.verification.VerifyStream({ deadline: Date.now() + 10 * 60000 });
	call.read(0); // wakes grpc-js's flow control: until then it takes in everything by itself; then no further than 16 messages
	const stream = { call, taken: 0, seen: new Uint8Array(items), results: 0 };
	stream.ended = new Promise((resolve) => {
		call.on("error", () => {}); // status says it
		call.on("status", resolve);
	});
	stream.read = () => {
		call.on("data", ({ results }) => {
			for (const result of results) stream.seen[result.id]++;
			stream.results += results.length;
		});
	};
	const more = () => {
		for (;;) {
			if (stream.taken >= items) return call.end();
			const batch = [];
			for (let n = stream.taken; n < Math.min(items, stream.taken + 1000); n++) batch.push({ id: n, address: Buffer.from(item(n)) });
			stream.taken += batch.length;
			if (!call.write({ items: batch })) return call.once("drain", more);
		}
	};
	more();
	return stream;
}

test(`a client that sends ${ITEMS} items and reads nothing: memory is bounded, others are served, and then it gets every result`, { timeout: 600000 }, async (t) => {
	const d = new Description();
	d.mail("deaf.test", ["zq-bd*"]);
	d.mail("other.test", ["zq-bd*"]);
	const s = await Scenario.start(d, { log: { level: "info" } });
	assertVerdict(await s.client.verifyOne("zq-bd-first@deaf.test"), "DELIVERABLE", "ACCEPTED");
	const idle = rssAnonKb(s.rcptd.pid);
	const peak = watchPeak(() => rssAnonKb(s.rcptd.pid));
	const deaf = s.rcptd.newClient();
	noteLocal("zq-bd-many@deaf.test");
	// Half of them are answered without asking anybody, the others are a few mailboxes over and over.
	const stream = deafStream(deaf, ITEMS, (n) => (n % 2 ? `zq-bd-many${n % 50}@deaf.test` : `zq-bd no address ${n}`));
	let offered = -1;
	await until("it is not read from any more", async () => {
		const before = offered;
		offered = stream.taken;
		await sleep(1000);
		return before === stream.taken;
	}, 60000);
	for (let i = 0; i < 20; i++) assertVerdict(await s.client.verifyOne(`zq-bd-other${i}@other.test`, { ms: 5000 }), "DELIVERABLE", "ACCEPTED");
	const { addresses } = await s.client.getStats();
	const over = (peak.stop() - idle) / MB;
	t.diagnostic(`the daemon took in ${addresses} of ${ITEMS} items; at most ${over.toFixed(1)} MB over idle`);
	assert.ok(addresses < 80000, `the daemon stopped reading: it took in ${addresses}`);
	assert.ok(over < 64, `${over.toFixed(1)} MB over idle`);
	stream.read();
	assert.equal((await stream.ended).code, grpc.status.OK);
	assert.equal(stream.results, ITEMS);
	assert.ok(stream.seen.every((times) => times === 1), "one result an item");
	const after = (rssAnonKb(s.rcptd.pid) - idle) / MB;
	assert.ok(after < 64, `${after.toFixed(1)} MB over idle at its end`);
	deaf.close();
	await s.close();
});

test("5,000 conversations at once with servers that take a second for each answer", { timeout: 300000 }, async (t) => {
	const OPERATORS = 50, EACH = 100;
	const d = new Description();
	d.content.record = undefined; // in memory: 100,000 lines
	for (let op = 0; op < OPERATORS; op++) {
		d.host(`mx.op${op}.test`, { latency_ms: 1000 });
		d.domain(`*.op${op}.test`, { mx: `mx.op${op}.test`, mailboxes: ["zq-bd-user"] });
	}
	const s = await Scenario.start(d, { courtesy: { defaults: { connections: EACH }, ip: { connections: EACH } }, log: { level: "info" } }, { startDaemon: false });
	s.rcptd.under = ["prlimit", "--nofile=20000:20000"];
	await s.rcptd.start();
	const idle = rssAnonKb(s.rcptd.pid);
	const addresses = [];
	for (let i = 0; i < EACH; i++) for (let op = 0; op < OPERATORS; op++) addresses.push(`zq-bd-user@d${i}.op${op}.test`);
	const peak = watchPeak(() => rssAnonKb(s.rcptd.pid));
	const results = await s.client.verify(addresses, { ms: 240000 });
	const over = (peak.stop() - idle) / MB;
	for (const result of results.list) assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	const { all } = await s.world.counts();
	t.diagnostic(`${all.peak} conversations at once, ${over.toFixed(1)} MB over idle`);
	assert.equal(all.connections, OPERATORS * EACH, "each was asked in one");
	assert.equal(all.peak, OPERATORS * EACH, "all at once");
	assert.ok(over < 96, `${over.toFixed(1)} MB over idle: 12 KB a conversation with its address and domain would be 60`);
	await s.close();
});

test("64 calls that fill their windows: what all of them hold is bounded, and a further call is served", { timeout: 300000 }, async (t) => {
	const CALLS = 64, EACH = 12000;
	const d = new Description();
	d.host("mx.silent.test", { persona: "silent" });
	d.domain("*.silent.test", { mx: "mx.silent.test", mailboxes: ["zq-bd*"] });
	d.mail("other.test", ["zq-bd*"]);
	d.mail("bulk.test", ["zq-bd*"]);
	const s = await Scenario.start(d, { timeouts: { banner: "5m", session: "5m" }, log: { level: "info" } });
	const idle = rssAnonKb(s.rcptd.pid);
	noteLocal("zq-bd-wait@silent.test");
	const client = s.rcptd.newClient();
	const streams = Array.from({ length: CALLS }, (_, k) => deafStream(client, EACH, (n) => `zq-bd-wait${n}@s${k}.silent.test`));
	let waiting = -1;
	await until("nothing more is taken in", async () => {
		const before = waiting;
		await sleep(1500);
		waiting = (await s.client.getStats()).addresses_waiting;
		return before === waiting && waiting > 0;
	}, 120000);
	const over = (rssAnonKb(s.rcptd.pid) - idle) / MB;
	t.diagnostic(`${waiting} items of ${CALLS * EACH} are held, ${over.toFixed(1)} MB over idle`);
	assert.ok(waiting >= 60000, `a good part is taken in: ${waiting}`);
	assert.ok(waiting <= 65536 + CALLS * 1000, `${waiting} items held`);
	assert.ok(over < 256, `${over.toFixed(1)} MB over idle`);
	assertVerdict(await s.client.verifyOne("zq-bd-one@other.test", { ms: 5000 }), "DELIVERABLE", "ACCEPTED");
	const list = Array.from({ length: 3000 }, (_, n) => `zq-bd-bulk${n}@bulk.test`);
	const results = await s.client.verify(list, { ms: 60000 });
	for (const result of results.list) assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	for (const stream of streams) stream.call.cancel();
	await until("what nobody waits for is dropped", async () => (await s.client.getStats()).addresses_waiting === 0);
	client.close();
	// All room is given back: one call has its whole window again.
	const again = s.rcptd.newClient();
	const alone = deafStream(again, EACH, (n) => `zq-bd-wait${n}@alone.silent.test`);
	await until("a whole window is taken in", async () => (await s.client.getStats()).addresses_waiting >= 8192, 30000);
	alone.call.cancel();
	again.close();
	await s.close();
});
