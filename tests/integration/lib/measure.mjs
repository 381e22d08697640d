// What a process takes, from /proc.
import fs from "node:fs";

/** Anonymous memory in KiB: what it allocated itself. A mapped store and program files do not count. */
export function rssAnonKb(pid) {
	return Number(/^RssAnon:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "latin1"))[1]);
}

/** CPU time of all its threads so far, in microseconds. */
export function cpuMicros(pid) {
	const threads = fs.readdirSync(`/proc/${pid}/task`);
	const ns = threads.map((tid) => Number(fs.readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "latin1").split(" ")[0]));
	return ns.reduce((a, b) => a + b, 0) / 1000;
}

/** Largest of what `read` gives, every few milliseconds until stop(). */
export function watchPeak(read, every = 20) {
	let peak = read();
	const timer = setInterval(() => (peak = Math.max(peak, read())), every);
	return {
		get peak() {
			return peak;
		},
		stop() {
			clearInterval(timer);
			return Math.max(peak, read());
		},
	};
}

export function median(values) {
	return percentile(values, 50);
}
export function percentile(values, p) {
	const sorted = [...values].sort((a, b) => a - b);
	return sorted[Math.min(sorted.length - 1, Math.ceil((p / 100) * sorted.length) - 1)];
}
