// The harness itself: a world, a daemon, one address each way.
import assert from "node:assert/strict";
import { Scenario, assertVerdict, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

test("one address through every floor", async () => {
	const d = new Description();
	d.mail("smoke.test", ["zq-ada"]);
	const s = await Scenario.start(d);
	assertVerdict(await s.client.verifyOne("zq-ada@smoke.test"), "DELIVERABLE", "ACCEPTED");
	await s.client.committed();
	const results = await s.client.verify(["zq-ada@smoke.test", "zq-nobody@smoke.test"]);
	assertVerdict(results.get("zq-nobody@smoke.test"), "UNDELIVERABLE", "MAILBOX_UNKNOWN");
	assert.equal(results.get("zq-ada@smoke.test").from_cache, true);
	await s.close();
});
