// Many tests on one world and one daemon, asked all at once: the slowest of them is how long they take together.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { until } from "./process.mjs";
import { Scenario, assertOnlyTheEight, test } from "./scenario.mjs";
import { Description, Record } from "./world.mjs";

export class Rows {
	/** `config`: the daemon's. `prepared(scenario)`: called before the first is asked. */
	constructor(config, { prepared } = {}) {
		this.d = new Description();
		this.rows = [];
		this.events = [];
		before(async () => {
			this.s = await Scenario.start(this.d, typeof config === "function" ? config() : config);
			await prepared?.(this.s);
			for (const row of this.rows) {
				row.done = this.run(row);
				row.done.catch(() => {}); // its test awaits it
			}
		});
		after(() => this.s?.close());
	}

	/**
	 * `describe(domain, d)` adds the domain's part of the world now; fn(ask, domain, scenario) begins with the others, and is the test.
	 * ask(locals, options) gives {results, record}: results in the order asked, and what the domain's hosts saw of it.
	 */
	add(name, domain, describe, fn, options = {}) {
		describe(domain, this.d);
		const row = { domain, fn };
		if (!options.skip) this.rows.push(row);
		test(name, options, () => row.done);
	}
	run(row) {
		const ask = async (locals, options = {}) => {
			await this.catchUp();
			const mark = this.events.length;
			const addresses = locals.map((local) => (local.includes("@") ? local : `${local}@${row.domain}`));
			const results = await this.s.client.verify(addresses, { ms: 120000, ...options });
			return { results: results.list, record: await this.settled(row.domain, mark) };
		};
		return row.fn(ask, row.domain, this.s);
	}
	/** What the hosts of a domain saw, once all its connections are closed. */
	async settled(domain, mark = 0, ms = 20000) {
		const is = (name) => name === domain || name?.endsWith(`.${domain}`);
		let record;
		await until(() => `all connections to hosts of ${domain} are closed`, async () => {
			await this.catchUp();
			record = new Record(this.events.slice(mark).filter((e) => is(e.host) || is(e.name)));
			return record.connects().length === record.closes().length;
		}, ms, 50);
		return record;
	}
	/** One reader of the record for all, which is long. */
	catchUp() {
		this.reading ??= (async () => {
			const since = this.events.length ? this.events[this.events.length - 1].seq : 0;
			this.events.push(...(await this.s.world.record(since)).events);
			this.reading = null;
		})();
		return this.reading;
	}

	/** The last tests: only the eight commands, everything closed, the gauges back at zero. */
	theEnd() {
		test("no verb outside the eight; every connection is closed; nothing is open or waiting in the daemon", async () => {
			await Promise.allSettled(this.rows.map((row) => row.done));
			const record = await this.s.world.settled(0, 20000);
			assert.ok(record.lines().length > 50, `${record.lines().length} lines`);
			assertOnlyTheEight(record);
			assert.equal(record.connects().length, record.closes().length);
			const { all } = await this.s.world.counts();
			assert.equal(all.open, 0);
			await until("the gauges are back at zero", async () => {
				const stats = await this.s.client.getStats();
				return stats.sessions_open === 0 && stats.addresses_waiting === 0;
			});
			assert.ok(this.s.rcptd.isRunning());
		});
	}
}

export const words = (results) => results.map((r) => `${r.verdict} ${r.reason}`);
/** A server that knows zq-known* answered about both kinds. */
export const NORMAL = ["DELIVERABLE ACCEPTED", "UNDELIVERABLE MAILBOX_UNKNOWN"];
export const BOTH = ["zq-known1", "zq-nobody1"];

/** Whatever went wrong: who exists is not called unknown, who does not exist is not called deliverable. */
export function assertNeverWrong(results) {
	for (const r of results) {
		const wrong = r.address.includes("known") ? "UNDELIVERABLE" : "DELIVERABLE";
		const { address_bytes, ...shown } = r;
		assert.notEqual(r.verdict, wrong, JSON.stringify(shown));
	}
}
