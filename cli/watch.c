/* rcptctl stats --watch */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/screen.h"
#include "cli/stats.h"
#include "server/base/clock.h"

#define METHOD "/rcptd.v1.StatsService/WatchStats"
#define CREDITS 2u
#define FRAME_MAX (256u * 1024u)
#define HIDE_CURSOR "\033[?25l"
#define SHOW_CURSOR "\033[?25h"

struct watching {
	struct connection *connection;
	struct rpc_request *request; /* NULL once it has ended */
	int64_t interval_ms;
	bool json, on_screen, interrupted, unreadable, output_broken;
	uint32_t drawn; /* lines of the frame that stands on the screen */
	enum exit_code code;
};

/* ---- what is shown ---- */

/* Over the frame before: nothing flickers, and what was on the terminal earlier stays above. */
static void draw(struct watching *w, const Rcptd__V1__WatchStatsResponse *m, struct buf *out)
{
	struct buf frame = BUF_INIT(FRAME_MAX);
	uint32_t lines = progress_height(STDOUT_FILENO), width = progress_width(STDOUT_FILENO);
	struct screen screen = {
		.server = w->connection->target,
		.wall_s = clock_wall_ms() / 1000,
		.interval_ms = w->interval_ms,
		.colour = progress_colour(STDOUT_FILENO),
		.width = width ? width - 1 : 79,
		.lines = lines > 1 ? lines - 1 : 1,
	};
	uint32_t drawn = screen_draw(&screen, m, &frame);
	uint32_t up = w->drawn < screen.lines ? w->drawn : screen.lines; /* the window may have shrunk */
	buf_puts(out, HIDE_CURSOR);
	if (up)
		buf_printf(out, "\033[%uA", up);
	const char *line = buf_str(&frame), *end;
	for (; (end = strchr(line, '\n')); line = end + 1) {
		buf_append(out, line, (size_t)(end - line));
		buf_puts(out, "\033[K\n");
	}
	buf_puts(out, "\033[J");
	buf_free(&frame);
	w->drawn = drawn;
}

static json_t *rates_json(const Rcptd__V1__StatsRates *r)
{
	if (!r)
		return json_null();
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "addresses", r->addresses, "answers", r->answers,
		"cache_hits", r->cache_hits, "cache_misses", r->cache_misses, "connections", r->connections,
		"recipients_asked", r->recipients_asked, "unclassified_replies", r->unclassified_replies, "dns_queries",
		r->dns_queries);
}

static void print_json(const Rcptd__V1__WatchStatsResponse *m, struct buf *out)
{
	json_t *j = stats_json(m->stats);
	const Google__Protobuf__Duration *d = m->elapsed;
	json_object_set_new(j, "elapsed_s", d ? json_real((double)d->seconds + (double)d->nanos / 1e9) : json_null());
	json_object_set_new(j, "rates", rates_json(m->rates));
	char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
	json_decref(j);
	if (!text) {
		out->err = ERR_NOMEM;
		return;
	}
	buf_puts(out, text);
	buf_putc(out, '\n');
	free(text);
}

static bool show(struct watching *w, const Rcptd__V1__WatchStatsResponse *m)
{
	struct buf out = BUF_INIT(FRAME_MAX);
	if (w->json)
		print_json(m, &out);
	else if (w->on_screen)
		draw(w, m, &out);
	else
		screen_line(m, clock_wall_ms() / 1000, &out);
	errno = 0;
	if (!out.err)
		fwrite(out.data, 1, out.len, stdout);
	bool good = !out.err && fflush(stdout) == 0 && !ferror(stdout);
	if (!good && errno != EPIPE)
		complain("standard output: %s", out.err ? err_text(out.err) : strerror(errno));
	buf_free(&out);
	return good;
}

/* ---- the call ---- */

static void stop(struct watching *w)
{
	if (w->request)
		rpc_request_cancel(w->request);
}

static void on_message(struct rpc_request *r, void *ctx, const uint8_t *msg, size_t len)
{
	struct watching *w = ctx;
	if (w->interrupted || w->unreadable || w->output_broken)
		return;
	Rcptd__V1__WatchStatsResponse *m = rcptd__v1__watch_stats_response__unpack(NULL, len, msg);
	w->unreadable = !m || !m->stats;
	w->output_broken = !w->unreadable && !show(w, m);
	if (m)
		rcptd__v1__watch_stats_response__free_unpacked(m, NULL);
	if (w->unreadable || w->output_broken)
		stop(w);
	else
		rpc_request_want(r, 1);
}

static void on_done(void *ctx, enum rpc_code code, const char *message, const uint8_t *details, size_t details_len)
{
	struct watching *w = ctx;
	w->request = NULL;
	if (w->drawn) {
		fputs(SHOW_CURSOR, stdout);
		fflush(stdout);
	}
	w->code = EXIT_FAILED;
	if (w->interrupted)
		w->code = EXIT_INTERRUPTED;
	else if (w->unreadable)
		complain("the server's answer could not be read");
	else if (code != RPC_OK)
		w->code = w->output_broken ? EXIT_FAILED
					   : connect_explain(w->connection, code, message, details, details_len);
	else
		complain("the server ended the call");
	loop_stop(w->connection->loop);
}

static void on_interrupt(void *ctx)
{
	struct watching *w = ctx;
	w->interrupted = true;
	stop(w);
}

static err_t start(struct watching *w)
{
	static const struct rpc_request_handler HANDLER = { .on_message = on_message, .on_done = on_done };
	Rcptd__V1__WatchStatsRequest question = RCPTD__V1__WATCH_STATS_REQUEST__INIT;
	Google__Protobuf__Duration interval = GOOGLE__PROTOBUF__DURATION__INIT;
	uint8_t packed[64];
	interval.seconds = w->interval_ms / 1000;
	interval.nanos = (int32_t)(w->interval_ms % 1000) * 1000000;
	question.interval = &interval;
	size_t len = rcptd__v1__watch_stats_request__pack(&question, packed);
	err_t err = rpc_request_start(w->connection->client, METHOD, 0, &HANDLER, w, &w->request);
	if (err)
		return err;
	err_t sent = rpc_request_send(w->request, packed, len);
	if (sent == ERR_OK)
		rpc_request_half_close(w->request);
	else if (sent != ERR_CLOSED) /* if it is, on_done() says why */
		rpc_request_cancel(w->request);
	rpc_request_want(w->request, CREDITS);
	return ERR_OK;
}

enum exit_code watch_run(struct connection *c, int64_t interval_ms, bool json)
{
	const char *term = getenv("TERM");
	struct watching w = {
		.connection = c,
		.interval_ms = interval_ms,
		.json = json,
		.on_screen = !json && isatty(STDOUT_FILENO) && !(term && strcmp(term, "dumb") == 0),
	};
	err_t err = start(&w);
	if (err) {
		complain("the call could not be made: %s", err_text(err));
		return EXIT_FAILED;
	}
	c->on_interrupt = on_interrupt;
	c->interrupt_ctx = &w;
	loop_run(c->loop);
	c->on_interrupt = NULL;
	return w.code;
}
