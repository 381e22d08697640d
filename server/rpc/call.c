#include "server/rpc/call.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/rpc/internal.h"
#include "server/rpc/message.h"

#define METHOD_MAX 256	  /* bytes with the NUL; a longer path is no method of ours */
#define WHY_MAX 1024	  /* bytes; what clients accept as metadata is 8 KiB in all, and % escapes triple it */
#define DETAILS_MAX 3072  /* bytes; base64 adds a third */
#define RUNNING_MAX 10000 /* calls of one shard at once */

/* The sending side leads; each state has lost an ability of the one before. */
enum call_state {
	CALL_WAITING,	/* for a peer */
	CALL_OPEN,	/* sends messages */
	CALL_FINISHING, /* sends what is queued, then the status */
	CALL_ENDED,	/* the status is with core, or nothing can be sent any more */
	CALL_CLOSED,	/* core has said how it ended; gone when no op is pending */
};

struct rpc_call {
	struct rpc_shard *shard;
	grpc_call *core;
	grpc_call_details details;
	grpc_metadata_array peer_metadata;
	struct op accept, recv, send, status, closed;
	unsigned pending; /* ops that core holds */
	enum call_state state;
	int64_t deadline_ms; /* on the monotonic clock; INT64_MAX: none */

	uint32_t credit;
	bool reads_ended;
	grpc_byte_buffer *in;

	struct outbox out;
	bool greeted; /* initial metadata went out */
	enum rpc_code code;
	grpc_slice why;
	grpc_metadata trailing; /* the details */
	bool has_details;

	int cancelled; /* core writes it before `closed` is done */
	const struct rpc_handler *handler;
	void *ctx;
};

static void start(struct rpc_call *c, struct op *op, const grpc_op *ops, size_t count)
{
	c->pending++;
	op_start(op, c->core, ops, count);
}

/* ---- reading ---- */

static void read_next(struct rpc_call *c)
{
	if (c->recv.busy || !c->credit || c->reads_ended || c->state != CALL_OPEN)
		return;
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->in };
	start(c, &c->recv, &op, 1);
}

static void received(struct rpc_call *c, bool ok)
{
	if (!ok || !c->in) {
		c->reads_ended = true;
		/* The end of the stream, or of the peer? The latter is told by on_done() alone. */
		if (ok && c->state == CALL_OPEN && !grpc_call_failed_before_recv_message(c->core))
			c->handler->on_half_close(c, c->ctx);
		return;
	}
	grpc_slice slice = message_take(&c->in);
	c->credit--;
	if (c->state == CALL_OPEN)
		c->handler->on_message(c, c->ctx, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
	grpc_slice_unref(slice);
	read_next(c);
}

/* ---- writing ---- */

static void write_next(struct rpc_call *c)
{
	grpc_op ops[2] = { { 0 } };
	size_t n = 0;
	if (c->send.busy || (c->state != CALL_OPEN && c->state != CALL_FINISHING))
		return;
	if (outbox_empty(&c->out) && c->state == CALL_OPEN)
		return;
	if (!c->greeted)
		ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	c->greeted = true;
	if (!outbox_empty(&c->out)) {
		ops[n].op = GRPC_OP_SEND_MESSAGE;
		ops[n++].data.send_message.send_message = outbox_take(&c->out);
		start(c, &c->send, ops, n);
		return;
	}
	c->state = CALL_ENDED;
	ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[n].data.send_status_from_server.status = (grpc_status_code)c->code;
	ops[n].data.send_status_from_server.status_details = &c->why;
	ops[n].data.send_status_from_server.trailing_metadata_count = c->has_details;
	ops[n].data.send_status_from_server.trailing_metadata = &c->trailing;
	start(c, &c->status, ops, n + 1);
}

static void sent(struct rpc_call *c, bool ok)
{
	outbox_sent(&c->out);
	if (!ok && c->state < CALL_ENDED) {
		c->state = CALL_ENDED;
		grpc_call_cancel(c->core, NULL); /* the stream is broken: so that `closed` surely follows */
	}
	write_next(c);
	if (c->state == CALL_OPEN && outbox_turned_writable(&c->out))
		c->handler->on_writable(c, c->ctx);
}

/* ---- beginning and end ---- */

static void free_call(struct rpc_call *c)
{
	struct rpc_shard *shard = c->shard;
	if (c->in)
		grpc_byte_buffer_destroy(c->in);
	outbox_free(&c->out);
	grpc_slice_unref(c->why);
	if (c->has_details)
		grpc_slice_unref(c->trailing.value);
	grpc_call_details_destroy(&c->details);
	grpc_metadata_array_destroy(&c->peer_metadata);
	if (c->core) {
		grpc_call_unref(c->core);
		shard->running--;
	}
	free(c);
	if (!server_is_stopping(shard->server))
		shard_replenish(shard);
	server_release(shard->server);
}

/* The last step of every op: nothing may touch the call after it. */
static void op_over(struct rpc_call *c)
{
	if (--c->pending > 0 || c->state != CALL_CLOSED)
		return;
	if (c->handler)
		c->handler->on_done(c->ctx, c->cancelled);
	free_call(c);
}

static int64_t deadline_of(gpr_timespec deadline)
{
	gpr_timespec left =
		gpr_time_sub(gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC), gpr_now(GPR_CLOCK_MONOTONIC));
	int64_t day_s = 24 * 3600;
	if (left.tv_sec > 365 * day_s) /* also "infinitely far" */
		return INT64_MAX;
	return clock_mono_ms() + left.tv_sec * 1000 + left.tv_nsec / 1000000;
}

static void open_call(struct rpc_call *c)
{
	char method[METHOD_MAX] = "";
	size_t len = GRPC_SLICE_LENGTH(c->details.method);
	const uint8_t *path = GRPC_SLICE_START_PTR(c->details.method);
	if (len < sizeof method && !memchr(path, '\0', len)) {
		memcpy(method, path, len);
		method[len] = '\0';
	}
	if (c->shard->running > RUNNING_MAX) {
		rpc_call_finish(c, RPC_RESOURCE_EXHAUSTED, "too many calls at once", NULL, 0);
		return;
	}
	c->handler = server_open_call(c->shard->server, method, c, &c->ctx);
	if (!c->handler)
		rpc_call_finish(c, RPC_UNIMPLEMENTED, "no such method", NULL, 0);
}

static void on_accept(void *owner, bool ok)
{
	struct rpc_call *c = owner;
	c->shard->accepting--;
	if (!ok) { /* the server stops */
		c->state = CALL_CLOSED;
		op_over(c);
		return;
	}
	c->shard->running++;
	c->state = CALL_OPEN;
	c->deadline_ms = deadline_of(c->details.deadline);
	grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &c->cancelled };
	start(c, &c->closed, &op, 1);
	if (!server_is_stopping(c->shard->server))
		shard_replenish(c->shard);
	open_call(c);
	op_over(c);
}

static void on_received(void *owner, bool ok)
{
	received(owner, ok);
	op_over(owner);
}

static void on_sent(void *owner, bool ok)
{
	sent(owner, ok);
	op_over(owner);
}

static void on_status(void *owner, bool ok)
{
	(void)ok; /* not sent: then the peer is gone, which `closed` tells */
	op_over(owner);
}

static void on_closed(void *owner, bool ok)
{
	(void)ok; /* always true */
	struct rpc_call *c = owner;
	c->state = CALL_CLOSED;
	op_over(c);
}

err_t call_accept(struct rpc_shard *shard)
{
	struct rpc_call *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->shard = shard;
	op_init(&c->accept, c, on_accept);
	op_init(&c->recv, c, on_received);
	op_init(&c->send, c, on_sent);
	op_init(&c->status, c, on_status);
	op_init(&c->closed, c, on_closed);
	outbox_init(&c->out);
	c->why = grpc_empty_slice();
	grpc_call_details_init(&c->details);
	grpc_metadata_array_init(&c->peer_metadata);
	c->pending = 1;
	shard->accepting++;
	server_hold(shard->server);
	op_give(&c->accept);
	grpc_completion_queue *queue = shard->pump.queue;
	grpc_call_error e = grpc_server_request_call(
		server_core(shard->server), &c->core, &c->details, &c->peer_metadata, queue, queue, &c->accept);
	if (e != GRPC_CALL_OK) {
		log_error("rpc what=accept_refused why=\"%s\"", grpc_call_error_to_string(e));
		abort(); /* we broke core's rules */
	}
	return ERR_OK;
}

/* ---- for the handler ---- */

void rpc_call_want(struct rpc_call *c, unsigned n)
{
	c->credit = n > UINT32_MAX - c->credit ? UINT32_MAX : c->credit + n;
	read_next(c);
}

err_t rpc_call_send(struct rpc_call *c, const uint8_t *msg, size_t len)
{
	if (c->state != CALL_OPEN)
		return ERR_CLOSED;
	err_t err = outbox_put(&c->out, msg, len);
	if (!err)
		write_next(c);
	return err;
}

void rpc_call_finish(
	struct rpc_call *c, enum rpc_code code, const char *why, const uint8_t *details, size_t details_len)
{
	if (c->state != CALL_OPEN)
		return;
	c->state = CALL_FINISHING;
	c->code = code;
	if (why)
		c->why = grpc_slice_from_copied_buffer(why, strnlen(why, WHY_MAX));
	if (details && details_len > DETAILS_MAX)
		log_warn("rpc what=details_too_long bytes=%zu", details_len);
	else if (details) {
		c->has_details = true;
		c->trailing.key = grpc_slice_from_static_string("grpc-status-details-bin");
		c->trailing.value = grpc_slice_from_copied_buffer((const char *)details, details_len);
	}
	write_next(c);
}

int64_t rpc_call_time_left_ms(const struct rpc_call *c)
{
	if (c->deadline_ms == INT64_MAX)
		return INT64_MAX;
	int64_t left = c->deadline_ms - clock_mono_ms();
	return left > 0 ? left : 0;
}

struct loop *rpc_call_loop(const struct rpc_call *c)
{
	return c->shard->pump.loop;
}

unsigned rpc_call_shard(const struct rpc_call *c)
{
	return c->shard->index;
}
