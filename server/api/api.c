#include "server/api/api.h"

#include <stdlib.h>
#include <string.h>

#include "proto/descriptors.h"
#include "server/api/internal.h"
#include "server/api/status.h"

err_t api_new(struct engine *engine, struct api **out)
{
	struct api *a = calloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->engine = engine;
	struct loop *loops[CONFIG_SHARDS];
	for (unsigned i = 0; i < engine_shards(engine); i++) {
		a->shard[i].api = a;
		a->shard[i].index = i;
		TAILQ_INIT(&a->shard[i].calls);
		LIST_INIT(&a->shard[i].watches);
		loops[i] = engine_loop(engine, i);
	}
	err_t err = health_new(loops, engine_shards(engine), &a->health);
	if (!err)
		err = reflection_new(rcptd_descriptors, rcptd_descriptors_size, &a->reflection);
	if (err) {
		api_free(a);
		return err;
	}
	*out = a;
	return ERR_OK;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	reflection_free(a->reflection);
	health_free(a->health);
	free(a);
}

void api_serve(struct api *a)
{
	health_set(a->health, true);
}

/* Its method is there, so "no such method" would not be true. */
static const struct rpc_handler *or_no_memory(const struct rpc_handler *h, struct rpc_call *call)
{
	if (!h)
		rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, "out of memory for the call", NULL, 0);
	return h;
}

const struct rpc_handler *api_open(void *ctx, const char *method, struct rpc_call *call, void **call_ctx)
{
	static const struct unary_method *const SERVICES[] = { DOMAIN_METHODS, EXEMPTION_METHODS, STATS_METHODS };
	struct api *a = ctx;
	if (strcmp(method, VERIFY_PATH) == 0 || strcmp(method, VERIFY_STREAM_PATH) == 0)
		return or_no_memory(verify_open(a, strcmp(method, VERIFY_STREAM_PATH) == 0, call, call_ctx), call);
	if (strcmp(method, WATCH_STATS_PATH) == 0)
		return or_no_memory(watch_stats_open(a, call, call_ctx), call);
	for (size_t i = 0; i < sizeof SERVICES / sizeof *SERVICES; i++)
		for (const struct unary_method *m = SERVICES[i]; m->path; m++)
			if (strcmp(method, m->path) == 0)
				return or_no_memory(unary_open(a, m, call, call_ctx), call);
	const struct rpc_handler *h = health_open(a->health, method, call, call_ctx);
	return h ? h : reflection_open(a->reflection, method, call, call_ctx);
}

static void drain_here(struct mail *m)
{
	struct api_shard *s = (struct api_shard *)m;
	verify_drain(s->api, s->index);
	watch_drain(s->api, s->index);
}

void api_drain(struct api *a)
{
	atomic_store(&a->draining, true);
	health_end(a->health);
	for (unsigned i = 0; i < engine_shards(a->engine); i++)
		loop_send(engine_loop(a->engine, i), &a->shard[i].drain, drain_here);
}

err_t api_send(struct rpc_call *call, const ProtobufCMessage *message)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = malloc(n ? n : 1);
	if (!bytes)
		return ERR_NOMEM;
	protobuf_c_message_pack(message, bytes);
	err_t err = rpc_call_send(call, bytes, n);
	free(bytes);
	return err;
}
