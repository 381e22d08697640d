// kill -9 at any moment of a run, again and again: the store opens, what was acknowledged is there and in force, facts are
// whole. CRASH_LOOPS: how often (20); CRASH_SEED repeats the moments.
import assert from "node:assert/strict";
import { status } from "../lib/client.mjs";
import { seeded } from "../lib/hostile.mjs";
import { sleep, until } from "../lib/process.mjs";
import { assertOnlyTheEight, assertVerdict, scenarioTest } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

const LOOPS = Number(process.env.CRASH_LOOPS || 20);
const SEED = Number(process.env.CRASH_SEED || Date.now() % 1000000);
const DOMAINS = 40;
const KILL_WITHIN_MS = 400; // of the first answer of a run

const d = new Description();
/** What is true of each domain: its host, the host's address, whether everybody is accepted. */
const truth = new Map();
for (let i = 0; i < DOMAINS; i++) {
	const domain = `d${i}.asked.test`;
	const host = `mx.operator${i}.test`;
	const all = i % 8 === 0;
	const address = d.host(host, { latency_ms: (i * 7) % 30, persona: all ? "accept-all" : i % 5 === 1 ? "tls" : "normal" });
	d.domain(domain, { mx: host, mailboxes: ["zq-yes*"] });
	truth.set(domain, { host, address, all });
}
// Names without number below these two: one is exempted, the other exempted and then no more.
for (const name of ["shut.test", "reopened.test"]) {
	d.host(`mx.${name}`, { latency_ms: 5 });
	d.domain(`*.${name}`, { mx: `mx.${name}`, mailboxes: ["zq-yes*"] });
}

/** All that one run of the daemon acknowledged before it was killed. */
class Run {
	constructor(s, number, below) {
		Object.assign(this, { s, number, below, granted: [], revoked: [], stopped: false });
	}
	domain(k, parent) {
		return `n${k}.run${this.number}.${parent}`;
	}
	addresses() {
		const list = [];
		for (let n = 0; n < 600; n++) {
			const domain = this.below(3) ? `d${this.below(DOMAINS)}.asked.test` : this.domain(this.below(40), this.below(4) ? "shut.test" : "reopened.test");
			list.push(`${this.below(2) ? "zq-yes" : "zq-nobody"}${this.below(60)}@${domain}`);
		}
		return list;
	}
	/** Until the daemon is gone. */
	async grant() {
		const { client } = this.s;
		for (let k = 0; !this.stopped; k++) {
			const reopens = k % 4 === 3;
			const domain = this.domain(k, reopens ? "reopened.test" : "shut.test");
			const { id } = await client.createExemption(domain, { by: "zq-desk-person", note: `run ${this.number}` });
			if (reopens) {
				await client.revokeExemption(id);
				this.revoked.push({ id, domain });
			} else {
				const grant = { id, domain, seq: null };
				this.granted.push(grant);
				await this.s.world.reset(); // by its second answer the farm has read what was sent before
				grant.seq = await this.s.world.reset();
			}
		}
	}
}

async function runUntilKilled(s, number, below) {
	const run = new Run(s, number, below);
	const stream = s.client.openStream({ ms: 60000 });
	const first = new Promise((resolve) => (stream.onResults = resolve));
	const addresses = run.addresses();
	for (let i = 0; i < addresses.length; i += 50) stream.send(addresses.slice(i, i + 50), i % 150 ? undefined : 0); // some anew, so that facts are written all along
	const granting = run.grant().catch((error) => {
		assert.ok(run.stopped, `an exemption was refused: ${error.message}`);
	});
	await Promise.race([first, sleep(5000)]);
	assert.ok(stream.results.length, "an answer came within 5 s");
	await sleep(below(KILL_WITHIN_MS));
	run.stopped = true;
	await s.rcptd.kill();
	await granting;
	for (const result of stream.results) checkResult(result, run);
	return run;
}

function checkResult(result, run) {
	const [local, domain] = result.address.split("@");
	const known = truth.get(domain);
	if (!known) {
		// From ACCEPTED to EXEMPT in the middle of the run, each is right at its time.
		if (result.reason !== "EXEMPT") assertVerdict(result, ...(local.startsWith("zq-yes") ? ["DELIVERABLE", "ACCEPTED"] : ["UNDELIVERABLE", "MAILBOX_UNKNOWN"]));
		else assert.ok(run, `${domain} is exempt`);
		return;
	}
	if (known.all) assertVerdict(result, "RISKY", "ACCEPT_ALL");
	else if (local.startsWith("zq-yes")) assertVerdict(result, "DELIVERABLE", "ACCEPTED");
	else assertVerdict(result, "UNDELIVERABLE", "MAILBOX_UNKNOWN");
	assert.equal(result.evidence.mail_host, known.host);
	if (known.all) return;
	assert.equal(result.evidence.mail_ip, known.address);
	assert.equal(result.evidence.code, local.startsWith("zq-yes") ? 250 : 550);
	assert.equal(result.evidence.phase, "RCPT");
	if (result.from_cache) assert.ok(result.age_s >= 0 && result.age_s < 600, `${result.age_s} s old`);
}

/** What GetDomain says is nothing, or all of the truth. Gives whether it knew the route. */
async function checkDomain(s, domain) {
	const { host, address, all } = truth.get(domain);
	const known = await s.client.getDomain(domain).catch((error) => {
		assert.equal(error.code, status.NOT_FOUND, error.message);
		return null;
	});
	if (!known) return false;
	assert.equal(known.domain, domain);
	assert.equal(known.exempt, false);
	if (known.catch_all !== "CATCH_ALL_UNKNOWN" && known.catch_all !== "CATCH_ALL_UNSPECIFIED") {
		assert.equal(known.catch_all, all ? "CATCH_ALL_YES" : "CATCH_ALL_NO");
		assert.equal(known.catch_all_host, host);
		assert.ok(known.catch_all_expires.seconds > Date.now() / 1000);
	}
	if (!known.route) return false;
	assert.equal(known.route.status, "ROUTE_STATUS_FOUND");
	assert.deepEqual(known.route.hosts.map((h) => [h.name, h.addresses]), [[host, [address]]]);
	return true;
}

async function listAll(s) {
	const all = new Map();
	for (let page_token = ""; ;) {
		const page = await s.client.listExemptions({ page_size: 500, page_token, include_revoked: true });
		for (const e of page.exemptions) all.set(e.id, e);
		if (!(page_token = page.next_page_token)) return all;
	}
}

/** After the restart: `runs` with this one last. */
async function checkWhatIsLeft(s, runs, below) {
	const granted = runs.flatMap((run) => run.granted);
	const revoked = runs.flatMap((run) => run.revoked);
	const listed = await listAll(s);
	for (const { id, domain } of granted) {
		assert.equal(listed.get(id)?.domain, domain, `${domain} was acknowledged`);
		assert.equal(listed.get(id).revoke_time, null);
		assert.equal(listed.get(id).by, "zq-desk-person");
	}
	for (const { id, domain } of revoked) assert.ok(listed.get(id)?.revoke_time, `the end of ${domain}'s was acknowledged`);

	const recent = [...runs.at(-1).granted, ...Array.from({ length: 20 }, () => granted[below(granted.length || 1)]).filter(Boolean)];
	const mark = await s.world.mark();
	const results = await s.client.verify(recent.flatMap(({ domain }) => [`zq-yes1@${domain}`, `zq-nobody1@below.${domain}`]), { maxAge: 0 });
	results.list.forEach((r) => assertVerdict(r, "UNKNOWN", "EXEMPT"));
	for (const { domain } of recent.slice(0, 10)) {
		const known = await s.client.getDomain(domain);
		assert.deepEqual([known.exempt, known.route], [true, null]);
	}
	const record = await s.world.record(mark);
	assert.deepEqual(record.connects(), []);
	assert.deepEqual(record.dns(), []);

	let routes = 0;
	for (const domain of truth.keys()) routes += await checkDomain(s, domain);
	const again = await s.client.verify([...truth.keys()].flatMap((domain) => [`zq-yes${below(60)}@${domain}`, `zq-nobody${below(60)}@${domain}`]));
	again.list.forEach((r) => checkResult(r));
	return { routes, cached: again.list.filter((r) => r.from_cache).length };
}

scenarioTest(`${LOOPS} times kill -9 in the middle of a run`, d, async (s) => {
	const below = seeded(SEED);
	const runs = [];
	const seen = { routes: 0, cached: 0 };
	try {
		for (let i = 0; i < LOOPS; i++) {
			runs.push(await runUntilKilled(s, i, below));
			await s.rcptd.start(); // it says SERVING, or this fails with its log
			const left = await checkWhatIsLeft(s, runs, below);
			seen.routes += left.routes;
			seen.cached += left.cached;
			await s.client.forgetDomain(`d${below(DOMAINS)}.asked.test`); // something to be learned anew
		}
	} catch (error) {
		process.stderr.write(`CRASH_SEED=${SEED}, after ${runs.length} runs\n`);
		throw error;
	}
	const record = await s.world.settled(0, 30000);
	assertOnlyTheEight(record);
	const since = new Map(runs.flatMap((run) => run.granted).filter(({ seq }) => seq !== null).map(({ domain, seq }) => [domain, seq]));
	assert.ok(since.size >= LOOPS, `${since.size} exemptions were granted`);
	for (const r of record.rcpts()) assert.ok(!(r.seq > since.get(r.domain)), `${r.domain} was exempt from ${since.get(r.domain)} on: ${JSON.stringify(r)}`);
	assert.ok(seen.routes > 0 && seen.cached > 0, `what was learned is mostly kept: ${JSON.stringify(seen)}`);
}, { timeout: 60000 + LOOPS * 15000 });
