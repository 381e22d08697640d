// Runs last: no local part that any test used occurs in a log of rcptd or in its store.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { runFolder } from "../lib/paths.mjs";
import { Scenario, filesBelow, grepFiles, test } from "../lib/scenario.mjs";
import { Description } from "../lib/world.mjs";

/** What the daemon wrote: logs, and all of the store with what LMDB has not overwritten. */
const written = () => filesBelow(runFolder()).filter((file) => path.basename(file) === "rcptd.log" || file.split(path.sep).includes("store"));
const locals = () => fs.readFileSync(path.join(runFolder(), "locals.txt"), "utf8").split("\n").filter(Boolean);

test("a conversation of every kind, to begin with", async () => {
	const d = new Description();
	d.mail("discreet.test", ["zq-known*"], {}, { replies: { "zq-full": "452 4.2.2 <$rcpt>: over quota", "zq-echo*": "550 5.1.1 $local of $domain is unknown" } });
	const s = await Scenario.start(d);
	const list = ["zq-known-discreet@discreet.test", "zq-nobody-discreet@discreet.test", "zq-full@discreet.test", "zq-echoed-local@discreet.test", "zq-known-gone@nowhere.test"];
	const results = await s.client.verify(list);
	for (const r of results.list) assert.ok(!r.evidence.text.includes(r.address.split("@")[0]), r.evidence.text);
	await s.client.createExemption("discreet.test");
	await s.client.verify(list);
	await s.rcptd.restart("SIGKILL");
	await s.close();
});

test("no local part of the whole run occurs in a log of rcptd or in its store files", () => {
	const [files, texts] = [written(), [...new Set(locals())]];
	assert.ok(files.some((f) => f.endsWith("rcptd.log")) && files.some((f) => f.endsWith(".mdb")), files.join());
	assert.ok(texts.length >= 5);
	const found = grepFiles(files, texts);
	assert.deepEqual(found.slice(0, 10), []);
});

test("and they would be found: the search finds what is there", () => {
	const file = path.join(runFolder(), "control.bin");
	fs.writeFileSync(file, Buffer.concat([Buffer.from([0, 255]), Buffer.from(locals()[0]), Buffer.from([0])]));
	assert.equal(grepFiles([file], locals().slice(0, 1)).length, 1);
});
