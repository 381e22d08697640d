#include "cli/screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "google/protobuf/timestamp.pb-c.h"

#define NAME_WIDTH 24
#define NUMBER_WIDTH 15
#define BAR_MAX 30u
#define REASONS_MAX 64u

/* ---- numbers ---- */

static const struct {
	const char *name;
	size_t total, rate;
} COUNTER[] = {
#define COUNTER_ROW(field, name)                                                                                       \
	{                                                                                                              \
		name, offsetof(Rcptd__V1__GetStatsResponse, field), offsetof(Rcptd__V1__StatsRates, field)             \
	}
	COUNTER_ROW(addresses, "addresses taken in"),
	COUNTER_ROW(cache_hits, "answers remembered"),
	COUNTER_ROW(cache_misses, "not remembered"),
	COUNTER_ROW(connections, "connections begun"),
	COUNTER_ROW(recipients_asked, "RCPTs sent"),
	COUNTER_ROW(unclassified_replies, "replies unclassified"),
	COUNTER_ROW(dns_queries, "DNS queries sent"),
#undef COUNTER_ROW
};
#define COUNTERS (sizeof COUNTER / sizeof COUNTER[0])

static uint64_t total_of(const Rcptd__V1__GetStatsResponse *s, size_t i)
{
	return *(const uint64_t *)((const char *)s + COUNTER[i].total);
}

static double rate_of(const Rcptd__V1__StatsRates *r, size_t i)
{
	return *(const double *)((const char *)r + COUNTER[i].rate);
}

static uint64_t answers_of(const Rcptd__V1__GetStatsResponse *s)
{
	uint64_t n = 0;
	for (size_t i = 0; i < s->n_verdicts; i++)
		n += s->verdicts[i]->count;
	return n;
}

/* ---- the frame ---- */

struct frame {
	const struct screen *screen;
	struct buf *out;
	uint32_t used, lines; /* columns of this line; lines that are whole */
};

static bool is_full(const struct frame *f)
{
	return f->lines >= f->screen->lines;
}

static void put(struct frame *f, const char *colour, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void put(struct frame *f, const char *colour, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0 || is_full(f) || f->used >= f->screen->width)
		return;
	bool coloured = f->screen->colour && *colour;
	if (coloured)
		buf_puts(f->out, colour);
	f->used += text_terminal(f->out, text, strlen(text), f->screen->width - f->used);
	if (coloured)
		buf_puts(f->out, COLOUR_END);
}

static void end_line(struct frame *f)
{
	if (is_full(f))
		return;
	buf_putc(f->out, '\n');
	f->used = 0;
	f->lines++;
}

static void put_number(struct frame *f, uint64_t n)
{
	struct buf text = BUF_INIT(64);
	progress_number(&text, n);
	put(f, "", "%*s", NUMBER_WIDTH, buf_str(&text));
	buf_free(&text);
}

static void counter(struct frame *f, const char *name, uint64_t total, const double *rate)
{
	struct buf text = BUF_INIT(64);
	if (rate)
		progress_rate(&text, *rate);
	else
		buf_putc(&text, '-');
	put(f, "", "%-*s", NAME_WIDTH, name);
	put_number(f, total);
	put(f, "", "%*s", NUMBER_WIDTH, buf_str(&text));
	end_line(f);
	buf_free(&text);
}

static void share(struct frame *f, const char *indent, const char *word, const char *colour, uint64_t n, uint64_t of)
{
	double part = of ? (double)n / (double)of : 0;
	uint32_t room = f->screen->width > 64 ? f->screen->width - 64 : 0;
	uint32_t bar = (uint32_t)(part * (room < BAR_MAX ? room : BAR_MAX) + 0.5);
	put(f, colour, "%s%-*s", indent, NAME_WIDTH - (int)strlen(indent), word ? word : "OTHER");
	put_number(f, n);
	put(f, "", "%*.1f %%  ", NUMBER_WIDTH - 2, 100.0 * part);
	while (bar--)
		put(f, colour, "\xE2\x96\x88");
	end_line(f);
}

/* ---- its parts ---- */

static void title(struct frame *f, const Rcptd__V1__GetStatsResponse *s)
{
	struct buf text = BUF_INIT(256);
	Google__Protobuf__Timestamp now = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	now.seconds = f->screen->wall_s;
	put(f, "\033[1m", "rcptd at %.100s", f->screen->server);
	if (s->uptime) {
		output_seconds(&text, output_duration(s->uptime, false));
		put(f, "", ", up for %s", buf_str(&text));
		buf_reset(&text);
	}
	end_line(f);
	output_time(&text, &now);
	put(f, "", "%s, every %g s; Ctrl-C ends", buf_str(&text), (double)f->screen->interval_ms / 1000.0);
	end_line(f);
	end_line(f);
	buf_free(&text);
}

static void counters(struct frame *f, const Rcptd__V1__WatchStatsResponse *m)
{
	uint64_t answers = answers_of(m->stats);
	put(f, "", "%-*s%*s%*s", NAME_WIDTH, "", NUMBER_WIDTH, "since the start", NUMBER_WIDTH, "a second");
	end_line(f);
	for (size_t i = 0; i < COUNTERS; i++) {
		double rate = m->rates ? rate_of(m->rates, i) : 0;
		counter(f, COUNTER[i].name, total_of(m->stats, i), m->rates ? &rate : NULL);
		if (i == 0)
			counter(f, "answers given", answers, m->rates ? &m->rates->answers : NULL);
	}
	end_line(f);
}

static void now_line(struct buf *out, const Rcptd__V1__GetStatsResponse *s)
{
	progress_number(out, s->addresses_waiting);
	buf_printf(out, " address%s waiting, ", s->addresses_waiting == 1 ? "" : "es");
	progress_number(out, s->sessions_open);
	buf_printf(out, " session%s open, ", s->sessions_open == 1 ? "" : "s");
	progress_number(out, s->calls_open);
	buf_printf(out, " call%s", s->calls_open == 1 ? "" : "s");
}

static void gauges(struct frame *f, const Rcptd__V1__GetStatsResponse *s)
{
	struct buf text = BUF_INIT(256);
	now_line(&text, s);
	put(f, "", "now: %s", buf_str(&text));
	end_line(f);
	buf_free(&text);
}

static int by_count(const void *a, const void *b)
{
	const Rcptd__V1__ReasonCount *x = *(Rcptd__V1__ReasonCount *const *)a, *y = *(Rcptd__V1__ReasonCount *const *)b;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return (int)x->reason - (int)y->reason;
}

/* The most frequent first; the last lines of the screen are theirs. */
static void answers(struct frame *f, const Rcptd__V1__GetStatsResponse *s)
{
	Rcptd__V1__ReasonCount *reasons[REASONS_MAX];
	size_t n = s->n_reasons < REASONS_MAX ? s->n_reasons : REASONS_MAX;
	uint64_t all = answers_of(s);
	if (s->n_verdicts)
		end_line(f);
	for (size_t i = 0; i < s->n_verdicts; i++) {
		Rcptd__V1__Verdict v = s->verdicts[i]->verdict;
		share(f, "", output_verdict(v), output_verdict_colour(v), s->verdicts[i]->count, all);
	}
	if (n)
		end_line(f);
	for (size_t i = 0; i < n; i++)
		reasons[i] = s->reasons[i];
	qsort(reasons, n, sizeof reasons[0], by_count);
	for (size_t i = 0; i < n; i++)
		share(f, "  ", output_reason(reasons[i]->reason), "", reasons[i]->count, all);
}

uint32_t screen_draw(const struct screen *screen, const Rcptd__V1__WatchStatsResponse *m, struct buf *out)
{
	struct frame f = { screen, out, 0, 0 };
	title(&f, m->stats);
	counters(&f, m);
	gauges(&f, m->stats);
	answers(&f, m->stats);
	return f.lines;
}

/* ---- the line ---- */

static void field(struct buf *out, const char *name, uint64_t total, const double *rate)
{
	buf_printf(out, "%s ", name);
	progress_number(out, total);
	if (rate) {
		buf_puts(out, " (");
		progress_rate(out, *rate);
		buf_puts(out, "/s)");
	}
	buf_puts(out, ", ");
}

void screen_line(const Rcptd__V1__WatchStatsResponse *m, int64_t wall_s, struct buf *out)
{
	const Rcptd__V1__GetStatsResponse *s = m->stats;
	const Rcptd__V1__StatsRates *r = m->rates;
	Google__Protobuf__Timestamp now = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	now.seconds = wall_s;
	output_time(out, &now);
	buf_puts(out, ": ");
	field(out, "addresses", s->addresses, r ? &r->addresses : NULL);
	field(out, "answers", answers_of(s), r ? &r->answers : NULL);
	field(out, "connections", s->connections, r ? &r->connections : NULL);
	field(out, "RCPTs", s->recipients_asked, r ? &r->recipients_asked : NULL);
	now_line(out, s);
	buf_putc(out, '\n');
}
