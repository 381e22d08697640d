/* One request, one answer. */
#include <stdlib.h>

#include "server/api/internal.h"
#include "server/api/status.h"

struct unary {
	struct api *api;
	const struct unary_method *method;
	struct rpc_call *call; /* NULL once it is done */
	struct loop *loop;
	unsigned shard, holds;
	bool asked;
};

struct api *unary_api(const struct unary *u)
{
	return u->api;
}

struct loop *unary_loop(const struct unary *u)
{
	return u->loop;
}

unsigned unary_shard(const struct unary *u)
{
	return u->shard;
}

void unary_hold(struct unary *u)
{
	u->holds++;
}

void unary_release(struct unary *u)
{
	if (!--u->holds && !u->call)
		free(u);
}

void unary_reply(struct unary *u, const ProtobufCMessage *message)
{
	if (!u->call)
		return;
	err_t err = api_send(u->call, message);
	if (err)
		unary_fail_err(u, err);
	else
		rpc_call_finish(u->call, RPC_OK, "", NULL, 0);
}

void unary_fail(struct unary *u, enum rpc_code code, const char *reason, const char *message, const char *field)
{
	if (u->call)
		status_finish(u->call, code, reason, message, field, field ? message : NULL);
}

void unary_fail_err(struct unary *u, err_t err)
{
	if (err == ERR_SPACE)
		unary_fail(u, RPC_RESOURCE_EXHAUSTED, "STORE_FULL", "the store is full: nothing was written", NULL);
	else if (err == ERR_NOMEM || err == ERR_LIMIT)
		unary_fail(u, RPC_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", err_text(err), NULL);
	else
		unary_fail(u, RPC_INTERNAL, "STORE_FAILED", err_text(err), NULL);
}

static void on_message(struct rpc_call *call, void *ctx, const uint8_t *msg, size_t len)
{
	(void)call;
	struct unary *u = ctx;
	u->asked = true;
	u->method->handle(u, msg, len);
}

static void on_half_close(struct rpc_call *call, void *ctx)
{
	struct unary *u = ctx;
	if (!u->asked)
		status_finish(call, RPC_INVALID_ARGUMENT, "NO_REQUEST", "the call has no request message", NULL, NULL);
}

static void on_writable(struct rpc_call *call, void *ctx)
{
	(void)call, (void)ctx;
}

static void on_done(void *ctx, int cancelled)
{
	(void)cancelled;
	struct unary *u = ctx;
	u->call = NULL;
	if (!u->holds)
		free(u);
}

const struct rpc_handler *unary_open(
	struct api *api, const struct unary_method *method, struct rpc_call *call, void **call_ctx)
{
	static const struct rpc_handler HANDLER = { on_message, on_half_close, on_writable, on_done };
	struct unary *u = calloc(1, sizeof *u);
	if (!u)
		return NULL;
	*u = (struct unary){
		.api = api,
		.method = method,
		.call = call,
		.loop = rpc_call_loop(call),
		.shard = rpc_call_shard(call),
	};
	*call_ctx = u;
	rpc_call_want(call, 1);
	return &HANDLER;
}
