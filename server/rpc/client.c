#include "server/rpc/client.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "server/rpc/address.h"
#include "server/rpc/message.h"
#include "server/rpc/op.h"

#define TARGET_MAX 512
#define RECEIVE_MAX (4 * 1024 * 1024) /* bytes of one message */
#define METADATA_MAX (16 * 1024)

struct rpc_client {
	struct pump pump;
	grpc_channel *channel;
};

enum request_state {
	REQUEST_OPEN,	  /* sends messages */
	REQUEST_CLOSING,  /* sends what is queued, then the half-close */
	REQUEST_CLOSED,	  /* sends nothing any more, or cannot */
	REQUEST_FINISHED, /* its status is here; gone when no op is pending */
};

struct rpc_request {
	grpc_call *core;
	struct op greet, greeted, recv, send, close, status;
	unsigned pending; /* ops that core holds */
	enum request_state state;

	uint32_t credit;
	bool reads_ended;
	grpc_byte_buffer *in;
	struct outbox out;

	grpc_metadata_array initial, trailing;
	grpc_status_code code;
	grpc_slice message;

	const struct rpc_request_handler *handler;
	void *ctx;
};

static void start(struct rpc_request *r, struct op *op, const grpc_op *ops, size_t count)
{
	r->pending++;
	op_start(op, r->core, ops, count);
}

static void read_next(struct rpc_request *r)
{
	if (r->recv.busy || !r->credit || r->reads_ended || r->state == REQUEST_FINISHED)
		return;
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &r->in };
	start(r, &r->recv, &op, 1);
}

static void write_next(struct rpc_request *r)
{
	if (r->send.busy || (r->state != REQUEST_OPEN && r->state != REQUEST_CLOSING))
		return;
	if (!outbox_empty(&r->out)) {
		grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = outbox_take(&r->out) };
		start(r, &r->send, &op, 1);
	} else if (r->state == REQUEST_CLOSING) {
		r->state = REQUEST_CLOSED;
		grpc_op op = { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };
		start(r, &r->close, &op, 1);
	}
}

/* ---- the end ---- */

static const grpc_slice *find_details(const grpc_metadata_array *trailing)
{
	for (size_t i = 0; i < trailing->count; i++)
		if (grpc_slice_str_cmp(trailing->metadata[i].key, "grpc-status-details-bin") == 0)
			return &trailing->metadata[i].value;
	return NULL;
}

/* As a string: what comes over the wire may have NULs in it. NULL: no memory, which is no reason not to end. */
static char *text_of(grpc_slice slice)
{
	size_t len = GRPC_SLICE_LENGTH(slice);
	char *text = malloc(len + 1);
	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++)
		text[i] = GRPC_SLICE_START_PTR(slice)[i] ? (char)GRPC_SLICE_START_PTR(slice)[i] : '?';
	text[len] = '\0';
	return text;
}

/* Everything of core's goes before on_done(), so that the handler may free the client there. */
static void finish(struct rpc_request *r)
{
	const grpc_slice *found = find_details(&r->trailing);
	grpc_slice details = found ? grpc_slice_ref(*found) : grpc_empty_slice();
	char *message = text_of(r->message);
	grpc_metadata_array_destroy(&r->initial);
	grpc_metadata_array_destroy(&r->trailing);
	grpc_slice_unref(r->message);
	if (r->in)
		grpc_byte_buffer_destroy(r->in);
	outbox_free(&r->out);
	grpc_call_unref(r->core);
	r->handler->on_done(r->ctx, (enum rpc_code)r->code, message ? message : "",
		found ? GRPC_SLICE_START_PTR(details) : NULL, GRPC_SLICE_LENGTH(details));
	grpc_slice_unref(details);
	free(message);
	free(r);
}

/* The last step of every op: nothing may touch the request after it. */
static void op_over(struct rpc_request *r)
{
	if (--r->pending == 0 && r->state == REQUEST_FINISHED)
		finish(r);
}

static void received(struct rpc_request *r, bool ok)
{
	if (!ok || !r->in) {
		r->reads_ended = true; /* the status follows */
		return;
	}
	grpc_slice slice = message_take(&r->in);
	r->credit--;
	r->handler->on_message(r, r->ctx, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
	grpc_slice_unref(slice);
	read_next(r);
}

static void on_received(void *owner, bool ok)
{
	received(owner, ok);
	op_over(owner);
}

static void on_sent(void *owner, bool ok)
{
	struct rpc_request *r = owner;
	outbox_sent(&r->out);
	if (!ok && r->state < REQUEST_CLOSED)
		r->state = REQUEST_CLOSED; /* it has ended; the status follows */
	write_next(r);
	if (r->state == REQUEST_OPEN && outbox_turned_writable(&r->out))
		r->handler->on_writable(r, r->ctx);
	op_over(r);
}

static void on_step(void *owner, bool ok)
{
	(void)ok; /* what failed shows in the status */
	op_over(owner);
}

static void on_status(void *owner, bool ok)
{
	(void)ok; /* always true */
	struct rpc_request *r = owner;
	r->state = REQUEST_FINISHED;
	op_over(r);
}

/* ---- the beginning ---- */

static void start_ops(struct rpc_request *r)
{
	grpc_op greet = { .op = GRPC_OP_SEND_INITIAL_METADATA };
	start(r, &r->greet, &greet, 1);
	grpc_op greeted = { .op = GRPC_OP_RECV_INITIAL_METADATA,
		.data.recv_initial_metadata.recv_initial_metadata = &r->initial };
	start(r, &r->greeted, &greeted, 1);
	grpc_op status = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
		.data.recv_status_on_client = {
			.trailing_metadata = &r->trailing, .status = &r->code, .status_details = &r->message } };
	start(r, &r->status, &status, 1);
}

err_t rpc_request_start(struct rpc_client *client, const char *method, int64_t timeout_ms,
	const struct rpc_request_handler *handler, void *ctx, struct rpc_request **out)
{
	struct rpc_request *r = calloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	r->handler = handler;
	r->ctx = ctx;
	op_init(&r->greet, r, on_step);
	op_init(&r->greeted, r, on_step);
	op_init(&r->recv, r, on_received);
	op_init(&r->send, r, on_sent);
	op_init(&r->close, r, on_step);
	op_init(&r->status, r, on_status);
	outbox_init(&r->out);
	grpc_metadata_array_init(&r->initial);
	grpc_metadata_array_init(&r->trailing);
	r->message = grpc_empty_slice();
	gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
	if (timeout_ms > 0)
		deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
	grpc_slice path = grpc_slice_from_copied_string(method);
	r->core = grpc_channel_create_call(
		client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->pump.queue, path, NULL, deadline, NULL);
	grpc_slice_unref(path);
	start_ops(r);
	*out = r;
	return ERR_OK;
}

err_t rpc_request_send(struct rpc_request *r, const uint8_t *msg, size_t len)
{
	if (r->state != REQUEST_OPEN)
		return ERR_CLOSED;
	err_t err = outbox_put(&r->out, msg, len);
	if (!err)
		write_next(r);
	return err;
}

void rpc_request_half_close(struct rpc_request *r)
{
	if (r->state != REQUEST_OPEN)
		return;
	r->state = REQUEST_CLOSING;
	write_next(r);
}

void rpc_request_want(struct rpc_request *r, unsigned n)
{
	r->credit = n > UINT32_MAX - r->credit ? UINT32_MAX : r->credit + n;
	read_next(r);
}

void rpc_request_cancel(struct rpc_request *r)
{
	grpc_call_cancel(r->core, NULL);
}

/* ---- the channel ---- */

static grpc_arg int_arg(const char *key, int value)
{
	return (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

static grpc_channel *new_channel(const char *target)
{
	grpc_arg args[] = {
		int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0), int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RECEIVE_MAX),
		int_arg(GRPC_ARG_MAX_METADATA_SIZE, METADATA_MAX),
		int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
		int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0), /* an http_proxy of the environment is not for us */
		int_arg(GRPC_ARG_ENABLE_RETRIES, 0),
		int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1), /* no back-off inherited from another client */
	};
	grpc_channel_args list = { sizeof args / sizeof args[0], args };
	grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
	grpc_channel *channel = grpc_channel_create(target, credentials, &list);
	grpc_channel_credentials_release(credentials);
	return channel;
}

err_t rpc_client_new(struct loop *loop, const char *target, struct rpc_client **out)
{
	struct buf name = BUF_INIT(TARGET_MAX);
	err_t err = address_to_dial(target, &name);
	struct rpc_client *client = err ? NULL : calloc(1, sizeof *client);
	if (!err && !client)
		err = ERR_NOMEM;
	if (!err)
		err = pump_start(&client->pump, loop);
	if (!err)
		client->channel = new_channel(buf_str(&name));
	buf_free(&name);
	if (err)
		free(client);
	else
		*out = client;
	return err;
}

void rpc_client_free(struct rpc_client *client)
{
	if (!client)
		return;
	grpc_channel_destroy(client->channel);
	pump_end(&client->pump);
	free(client);
}
