#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/text.h"

void tally_add(struct tally *t, const Rcptd__V1__Result *a)
{
	unsigned verdict = (unsigned)a->verdict < TALLY_VERDICTS ? (unsigned)a->verdict : 0;
	unsigned reason = (unsigned)a->reason < TALLY_REASONS ? (unsigned)a->reason : 0;
	t->rows++;
	t->from_cache += a->from_cache != 0;
	t->verdicts[verdict]++;
	t->reasons[verdict][reason]++;
}

void progress_number(struct buf *out, uint64_t n)
{
	if (n >= 1000) {
		progress_number(out, n / 1000);
		buf_printf(out, ",%03u", (unsigned)(n % 1000));
	} else {
		buf_printf(out, "%u", (unsigned)n);
	}
}

void progress_rate(struct buf *out, double per_second)
{
	if (per_second >= 9.95)
		progress_number(out, per_second < 1e15 ? (uint64_t)(per_second + 0.5) : UINT64_C(1000000000000000));
	else
		buf_printf(out, "%.1f", per_second);
}

static void rate(struct buf *out, double per_second)
{
	progress_rate(out, per_second);
	buf_puts(out, "/s");
}

static void elapsed(struct buf *out, int64_t ms)
{
	if (ms < 60 * 1000)
		buf_printf(out, "%.1f s", (double)ms / 1000.0);
	else if (ms < 3600 * 1000)
		buf_printf(out, "%d min %02d s", (int)(ms / 60000), (int)(ms / 1000 % 60));
	else
		buf_printf(out, "%lld h %02d min", (long long)(ms / 3600000), (int)(ms / 60000 % 60));
}

/* ---- summary ---- */

static void summary_row(
	struct buf *out, const char *indent, const char *word, uint64_t n, uint64_t of, const char *colour)
{
	struct buf number = BUF_INIT(64);
	progress_number(&number, n);
	buf_printf(out, "%s%s%-*s%s %12s %6.1f %%\n", indent, colour, 26 - (int)strlen(indent), word ? word : "?",
		*colour ? COLOUR_END : "", buf_str(&number), of ? 100.0 * (double)n / (double)of : 0);
	buf_free(&number);
}

/* Index of the largest below the one that was taken last (ties: the lower index first); count: there is none. */
static unsigned next_largest(const uint64_t *n, unsigned count, unsigned last)
{
	unsigned best = count;
	for (unsigned i = 0; i < count; i++) {
		bool left = n[i] && (last == count || n[i] < n[last] || (n[i] == n[last] && i > last));
		if (left && (best == count || n[i] > n[best]))
			best = i;
	}
	return best;
}

void tally_summary(const struct tally *t, int64_t now_ms, bool colour, struct buf *out)
{
	int64_t ms = now_ms - t->started_ms;
	progress_number(out, t->rows);
	buf_printf(out, " address%s in ", t->rows == 1 ? "" : "es");
	elapsed(out, ms);
	buf_puts(out, " (");
	rate(out, ms > 0 ? (double)t->rows * 1000.0 / (double)ms : 0);
	buf_puts(out, ")");
	if (t->from_cache) {
		buf_puts(out, ", ");
		progress_number(out, t->from_cache);
		buf_puts(out, " known already");
	}
	buf_putc(out, '\n');
	unsigned v = TALLY_VERDICTS;
	while ((v = next_largest(t->verdicts, TALLY_VERDICTS, v)) != TALLY_VERDICTS) {
		summary_row(out, "  ", output_verdict((Rcptd__V1__Verdict)v), t->verdicts[v], t->rows,
			colour ? output_verdict_colour((Rcptd__V1__Verdict)v) : "");
		unsigned r = TALLY_REASONS;
		while ((r = next_largest(t->reasons[v], TALLY_REASONS, r)) != TALLY_REASONS)
			summary_row(out, "    ", output_reason((Rcptd__V1__Reason)r), t->reasons[v][r], t->rows, "");
	}
}

/* ---- how fast ---- */

void pace_note(struct pace *p, int64_t now_ms, uint64_t rows)
{
	if (p->count && now_ms - p->step[p->last].at_ms < PACE_STEP_MS)
		return;
	p->last = p->count ? (p->last + 1) % PACE_STEPS : 0;
	p->step[p->last] = (struct pace_step){ now_ms, rows };
	p->count += p->count < PACE_STEPS;
}

double pace_rate(const struct pace *p, int64_t now_ms, uint64_t rows)
{
	/* The oldest within PACE_MS. */
	for (unsigned age = p->count; age-- > 0;) {
		const struct pace_step *s = &p->step[(p->last + PACE_STEPS - age) % PACE_STEPS];
		int64_t ms = now_ms - s->at_ms;
		if (ms <= PACE_MS && ms >= PACE_STEP_MS)
			return (double)(rows - s->rows) * 1000.0 / (double)ms;
	}
	return -1;
}

/* ---- the line ---- */

static void time_left(struct buf *out, double s)
{
	if (s < 60)
		buf_printf(out, "%d s", (int)s + 1);
	else if (s < 3600)
		buf_printf(out, "%d min", (int)(s / 60) + 1);
	else if (s < 48 * 3600)
		buf_printf(out, "%d h %02d min", (int)(s / 3600), (int)(s / 60) % 60);
	else if (s < 9999 * 86400.0)
		buf_printf(out, "%d days", (int)(s / 86400) + 1);
	else
		buf_puts(out, "years");
	buf_puts(out, " left");
}

static void how_far(const struct progress *p, struct buf *out)
{
	uint64_t rows = p->tally->rows;
	progress_number(out, rows);
	if (p->total) {
		buf_puts(out, p->exact ? " of " : " of about ");
		progress_number(out, p->total);
		buf_printf(out, " (%u %%)", (unsigned)(100.0 * (double)rows / (double)p->total));
	}
	if (p->rate < 0)
		return;
	buf_puts(out, ", ");
	rate(out, p->rate);
	if (p->total > rows && p->rate > 0) {
		buf_puts(out, p->exact ? ", " : ", about ");
		time_left(out, (double)(p->total - rows) / p->rate);
	}
}

void progress_line(const struct progress *p, struct buf *out)
{
	static const char *const SHORT[] = { "?", "deliverable", "undeliverable", "risky", "unknown" };
	const struct tally *t = p->tally;
	struct buf plain = BUF_INIT(1024);
	how_far(p, &plain);
	uint32_t used = text_terminal(out, plain.data, plain.len, p->width);
	for (unsigned v = 0; v < sizeof SHORT / sizeof SHORT[0]; v++) {
		if (!t->verdicts[v])
			continue;
		buf_reset(&plain);
		buf_puts(&plain, "  ");
		progress_number(&plain, t->verdicts[v]);
		buf_printf(&plain, " %s", SHORT[v]);
		if (used + plain.len > p->width)
			break;
		used += (uint32_t)plain.len;
		if (p->colour)
			buf_puts(out, output_verdict_colour((Rcptd__V1__Verdict)v));
		buf_append(out, plain.data, plain.len);
		if (p->colour)
			buf_puts(out, COLOUR_END);
	}
	buf_free(&plain);
}

uint32_t progress_width(int fd)
{
	struct winsize size;
	if (!isatty(fd))
		return 0;
	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

uint32_t progress_height(int fd)
{
	struct winsize size;
	if (!isatty(fd))
		return 0;
	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row ? size.ws_row : 24;
}

bool progress_colour(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}
