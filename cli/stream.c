#include "cli/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/arena.h"
#include "cli/order.h"
#include "rcptd/v1/verification.pb-c.h"
#include "server/base/clock.h"

#define METHOD "/rcptd.v1.VerificationService/VerifyStream"
#define BATCH 250u
#define CREDITS 4u
#define TICK_MS 200
#define HELD_MAX (256u * 1024u * 1024u)		    /* bytes of rows that wait for an answer or for those before them */
#define ROW_MAX (64u * 1024u)			    /* bytes of one formatted row, what is kept of the input apart */
#define RECORD_MAX (INPUT_RECORD_MAX + 64u * 1024u) /* and cells that are missing */
#define KEPT_NAMES_MAX (8u * 1024u * 1024u)
#define FLUSH_AT (256u * 1024u) /* bytes of rows that became due at once */
#define ARENA_SIZE (512u * 1024u)

/* Why no more is asked; the call itself ends with on_done() in each case. */
enum ending { RUNNING, INPUT_BROKEN, INTERRUPTED, OUTPUT_BROKEN, ANSWERS_BROKEN };

struct stream {
	struct deadline tick; /* first: a tick is its stream */
	const struct stream_options *options;
	struct connection *connection;
	struct tally *tally;
	struct rpc_request *request; /* NULL once it has ended */
	struct watch *input_watch;
	struct order *order;
	struct arena arena;
	struct buf cells;  /* addresses of the batch that is being made */
	struct buf packed; /* a batch that waits to be sent; empty: none */
	struct buf row;	   /* scratch */
	struct buf record; /* what is kept of a row: how many bytes are under the heading, these, those beyond */
	struct buf beyond; /* scratch */
	struct pace pace;
	enum ending ending;
	bool header_out, input_ended, half_closed, line_shown;
	enum exit_code code;
};

/* ---- the line on the terminal ---- */

static void hide_line(struct stream *s)
{
	if (s->line_shown)
		fputs("\r\033[K", stderr);
	s->line_shown = false;
}

static void show_line(struct stream *s)
{
	struct buf line = BUF_INIT(4096);
	uint64_t asked = order_rows(s->order), rows = s->tally->rows;
	uint32_t width = progress_width(STDERR_FILENO);
	int64_t now = clock_mono_ms();
	pace_note(&s->pace, now, rows);
	struct progress p = {
		.tally = s->tally,
		.total = s->input_ended ? asked : input_rows_estimate(s->options->input, asked),
		.exact = s->input_ended,
		.rate = pace_rate(&s->pace, now, rows),
		.colour = progress_colour(STDERR_FILENO),
		.width = width ? width - 1 : 79,
	};
	progress_line(&p, &line);
	hide_line(s);
	fputs(buf_str(&line), stderr);
	s->line_shown = true;
	buf_free(&line);
}

static void on_tick(struct deadline *d)
{
	struct stream *s = (struct stream *)d;
	show_line(s);
	if (deadline_arm(s->connection->loop, &s->tick, TICK_MS, on_tick) != ERR_OK)
		hide_line(s); /* no memory for a timer: the rows matter more */
}

/* ---- rows out ---- */

static void end_early(struct stream *s, enum ending why)
{
	if (s->ending == RUNNING || s->ending == INPUT_BROKEN)
		s->ending = why;
	if (s->request)
		rpc_request_cancel(s->request);
}

static bool flush(struct stream *s)
{
	if (s->line_shown && isatty(s->options->sink->fd))
		hide_line(s);
	if (sink_flush(s->options->sink))
		return true;
	end_early(s, OUTPUT_BROKEN);
	return false;
}

/* The row as it comes out, in s->row. */
static void format(struct stream *s, const Rcptd__V1__Result *result)
{
	struct output_kept kept;
	uint32_t under;
	size_t len;
	const uint8_t *record = order_record(s->order, result->id, &len);
	buf_reset(&s->row);
	if (len < sizeof under) {
		output_row(&s->options->style, result, NULL, &s->row);
		return;
	}
	memcpy(&under, record, sizeof under);
	kept.under = record + sizeof under;
	kept.under_len = under;
	kept.beyond = kept.under + under;
	kept.beyond_len = len - sizeof under - under;
	output_row(&s->options->style, result, &kept, &s->row);
}

/* False: the run is over. */
static bool take_result(struct stream *s, const Rcptd__V1__Result *result)
{
	struct buf *out = &s->options->sink->buf;
	if (!order_expects(s->order, result->id)) {
		end_early(s, ANSWERS_BROKEN);
		return false;
	}
	format(s, result);
	if (s->row.err || order_answer(s->order, result->id, s->row.data, s->row.len, out) != ERR_OK) {
		out->err = out->err ? out->err : ERR_NOMEM;
		return flush(s); /* which fails */
	}
	tally_add(s->tally, result);
	while (order_take(s->order, out))
		if (out->len > FLUSH_AT && !flush(s))
			return false;
	return true;
}

static void put_out_what_is_held(struct stream *s)
{
	struct buf *out = &s->options->sink->buf;
	while (order_take_any(s->order, out))
		if (out->len > FLUSH_AT && !sink_flush(s->options->sink))
			return;
}

/* ---- rows in ---- */

static bool has_column(const void *input, const char *name)
{
	return input_has_column(input, name);
}

/* Not before the input's own heading was read. */
static void put_out_header(struct stream *s)
{
	struct input *in = s->options->input;
	struct buf kept = BUF_INIT(KEPT_NAMES_MAX);
	input_heading(in, &kept);
	output_header(&s->options->style, buf_str(&kept), has_column, in, &s->options->sink->buf);
	if (kept.err)
		s->options->sink->buf.err = kept.err;
	buf_free(&kept);
	s->header_out = true;
}

/* What is kept of the row that was just read goes to where its answer will find it. */
static err_t ask(struct stream *s, uint64_t *row)
{
	uint32_t under = 0;
	buf_reset(&s->record);
	buf_reset(&s->beyond);
	buf_append(&s->record, &under, sizeof under);
	input_record(s->options->input, &s->record, &s->beyond);
	buf_append(&s->record, s->beyond.data, s->beyond.len);
	if (s->record.err || s->beyond.err)
		return ERR_NOMEM;
	if (s->record.len == sizeof under)
		return order_asked(s->order, NULL, row);
	under = (uint32_t)(s->record.len - sizeof under - s->beyond.len);
	memcpy(s->record.data, &under, sizeof under);
	return order_asked(s->order, &s->record, row);
}

/* Takes rows until the batch or the window is full or none is there for now. Returns how many. */
static size_t gather(struct stream *s, Rcptd__V1__Item *items)
{
	size_t count = 0, starts[BATCH];
	buf_reset(&s->cells);
	while (count < BATCH && !order_full(s->order)) {
		const uint8_t *address;
		size_t len;
		enum input_step step = input_next(s->options->input, &address, &len);
		if (step == INPUT_WAIT)
			watch_want(s->input_watch, WATCH_READ);
		if (step == INPUT_FAILED)
			s->ending = INPUT_BROKEN;
		s->input_ended = step == INPUT_END || step == INPUT_FAILED;
		if (!s->header_out && step != INPUT_WAIT && step != INPUT_FAILED)
			put_out_header(s);
		if (step != INPUT_ROW)
			break;
		rcptd__v1__item__init(&items[count]);
		if (ask(s, &items[count].id) != ERR_OK) {
			s->cells.err = ERR_NOMEM;
			break;
		}
		starts[count] = s->cells.len;
		buf_append(&s->cells, address, len);
		items[count].address.len = len;
		count++;
	}
	for (size_t i = 0; i < count; i++) /* not before: the buffer moves while it grows */
		items[i].address.data = items[i].address.len ? s->cells.data + starts[i] : NULL;
	return count;
}

/* Leaves a batch in `packed`, or nothing if there is none for now. */
static void make_batch(struct stream *s)
{
	Rcptd__V1__Item items[BATCH], *pointers[BATCH];
	Rcptd__V1__VerifyStreamRequest batch = RCPTD__V1__VERIFY_STREAM_REQUEST__INIT;
	Google__Protobuf__Duration max_age = GOOGLE__PROTOBUF__DURATION__INIT;
	batch.n_items = gather(s, items);
	if (batch.n_items == 0 && !s->cells.err)
		return;
	for (size_t i = 0; i < batch.n_items; i++)
		pointers[i] = &items[i];
	batch.items = pointers;
	max_age.seconds = s->options->max_age_s;
	if (max_age.seconds >= 0)
		batch.max_age = &max_age;
	buf_reserve(&s->packed, rcptd__v1__verify_stream_request__get_packed_size(&batch));
	if (s->packed.err || s->cells.err) {
		s->options->sink->buf.err = ERR_NOMEM;
		flush(s); /* which fails */
		return;
	}
	s->packed.len = rcptd__v1__verify_stream_request__pack(&batch, s->packed.data);
}

/* Sends what can be sent now. Called again after whatever may have changed that. */
static void pump(struct stream *s)
{
	while (s->request && !s->half_closed && (s->ending == RUNNING || s->ending == INPUT_BROKEN)) {
		if (s->packed.len == 0 && !s->input_ended)
			make_batch(s);
		if (s->packed.len) {
			if (rpc_request_send(s->request, s->packed.data, s->packed.len) != ERR_OK)
				return; /* on_writable() or on_done() follows */
			buf_reset(&s->packed);
		} else if (s->input_ended) {
			rpc_request_half_close(s->request);
			s->half_closed = true;
		} else {
			return;
		}
	}
}

static void on_input(void *ctx, unsigned events)
{
	(void)events;
	struct stream *s = ctx;
	watch_want(s->input_watch, 0);
	input_fill(s->options->input);
	pump(s);
}

/* ---- the call ---- */

static void on_message(struct rpc_request *r, void *ctx, const uint8_t *msg, size_t len)
{
	struct stream *s = ctx;
	if (s->ending == OUTPUT_BROKEN || s->ending == ANSWERS_BROKEN)
		return;
	Rcptd__V1__VerifyStreamResponse *answer =
		rcptd__v1__verify_stream_response__unpack(&s->arena.allocator, len, msg);
	if (!answer)
		end_early(s, ANSWERS_BROKEN);
	for (size_t i = 0; answer && i < answer->n_results; i++)
		if (!take_result(s, answer->results[i]))
			break;
	arena_reset(&s->arena);
	if (s->ending != OUTPUT_BROKEN && s->ending != ANSWERS_BROKEN && flush(s)) {
		rpc_request_want(r, 1);
		pump(s);
	}
}

static void on_writable(struct rpc_request *r, void *ctx)
{
	(void)r;
	pump(ctx);
}

static enum exit_code interrupted_server(
	struct stream *s, enum rpc_code code, const char *message, const uint8_t *details, size_t details_len)
{
	enum exit_code exit_code = connect_explain(s->connection, code, message, details, details_len);
	if (s->tally->rows) {
		struct buf n = BUF_INIT(64);
		progress_number(&n, s->tally->rows);
		complain("the call ended after %s answers, which are in the output; run it again for the rest: "
			 "what is known is not asked twice",
			buf_str(&n));
		buf_free(&n);
	}
	return exit_code;
}

static enum exit_code conclude(
	struct stream *s, enum rpc_code code, const char *message, const uint8_t *details, size_t details_len)
{
	bool all = s->input_ended && s->tally->rows == order_rows(s->order);
	switch (s->ending) {
	case INTERRUPTED: return EXIT_INTERRUPTED;
	case OUTPUT_BROKEN: return EXIT_FAILED; /* whoever closes the sink says why */
	case ANSWERS_BROKEN: complain("the server's answer makes no sense; is it another version?"); return EXIT_FAILED;
	case INPUT_BROKEN:
		complain("%s", input_why(s->options->input));
		if (code == RPC_OK && all)
			return EXIT_USAGE;
		break;
	case RUNNING: break;
	}
	if (code != RPC_OK)
		return interrupted_server(s, code, message, details, details_len);
	if (all)
		return EXIT_DONE;
	complain("the server ended the call before it had answered every row");
	return EXIT_FAILED;
}

static void on_done(void *ctx, enum rpc_code code, const char *message, const uint8_t *details, size_t details_len)
{
	struct stream *s = ctx;
	s->request = NULL;
	hide_line(s);
	s->code = conclude(s, code, message, details, details_len);
	loop_stop(s->connection->loop);
}

static void on_interrupt(void *ctx)
{
	end_early(ctx, INTERRUPTED);
}

/* ---- life ---- */

static err_t start(struct stream *s)
{
	static const struct rpc_request_handler HANDLER = { on_message, on_writable, on_done };
	struct loop *loop = s->connection->loop;
	int fd = input_fd(s->options->input);
	s->order = order_new(s->options->window, HELD_MAX);
	if (!s->order || !arena_init(&s->arena, ARENA_SIZE))
		return ERR_NOMEM;
	if (fd >= 0 && watch_open(loop, fd, on_input, s, &s->input_watch) != ERR_OK)
		input_never_wait(s->options->input); /* a device that cannot be watched */
	if (s->options->progress) {
		err_t err = deadline_arm(loop, &s->tick, TICK_MS, on_tick);
		if (err)
			return err;
	}
	err_t err = rpc_request_start(s->connection->client, METHOD, 0, &HANDLER, s, &s->request);
	if (err)
		return err;
	s->connection->on_interrupt = on_interrupt;
	s->connection->interrupt_ctx = s;
	rpc_request_want(s->request, CREDITS);
	if (s->options->style.format == OUTPUT_TABLE)
		put_out_header(s);
	pump(s);
	return ERR_OK;
}

enum exit_code stream_run(struct connection *c, const struct stream_options *options, struct tally *tally)
{
	struct stream s = {
		.options = options,
		.connection = c,
		.tally = tally,
		.cells = BUF_INIT(BATCH * INPUT_ADDRESS_MAX),
		.packed = BUF_INIT(RPC_MESSAGE_MAX),
		.row = BUF_INIT(ROW_MAX + RECORD_MAX),
		.record = BUF_INIT(RECORD_MAX),
		.beyond = BUF_INIT(RECORD_MAX),
	};
	tally->started_ms = clock_mono_ms();
	pace_note(&s.pace, tally->started_ms, 0);
	err_t err = start(&s);
	if (err) {
		complain("the call could not be made: %s", err_text(err));
		s.code = EXIT_FAILED;
	} else {
		loop_run(c->loop);
		put_out_what_is_held(&s);
	}
	if (s.code != EXIT_DONE && tally->rows == 0)
		buf_reset(&options->sink->buf); /* a heading alone would hide what stood in the file */
	c->on_interrupt = NULL;
	deadline_disarm(c->loop, &s.tick);
	watch_close(s.input_watch);
	order_free(s.order);
	arena_free(&s.arena);
	buf_free(&s.cells);
	buf_free(&s.packed);
	buf_free(&s.row);
	buf_free(&s.record);
	buf_free(&s.beyond);
	return s.code;
}
