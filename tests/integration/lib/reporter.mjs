// What `run` prints of one test file. Works alike on Node 18 and 20, whose own reporters differ.
import fs from "node:fs";

const counts = { passed: 0, failed: 0, skipped: 0 };

function reason(error) {
	const cause = error?.cause ?? error;
	return (cause?.stack ?? String(cause)).split("\n").map((line) => `      ${line}`).join("\n");
}

export default async function* report(source) {
	for await (const { type, data } of source) {
		const indent = "  ".repeat((data?.nesting ?? 0) + 1);
		if (type === "test:pass") {
			const skipped = data.skip !== undefined;
			counts[skipped ? "skipped" : "passed"]++;
			yield `${indent}${skipped ? "skip" : "ok"}   ${data.name} (${Math.round(data.details.duration_ms)} ms)\n`;
		} else if (type === "test:fail") {
			const error = data.details.error;
			if (error?.failureType === "subtestsFailed") continue; // counted below it
			counts.failed++;
			yield `${indent}FAIL ${data.name} (${Math.round(data.details.duration_ms)} ms)\n${reason(error)}\n`;
		} else if (type === "test:diagnostic" && data.nesting > 0) {
			yield `${indent}# ${data.message}\n`;
		}
	}
	if (process.env.RCPTD_COUNTS) fs.writeFileSync(process.env.RCPTD_COUNTS, JSON.stringify(counts));
}
