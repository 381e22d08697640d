#include "server/api/api.h"

#include <stdlib.h>
#include <string.h>

#include "server/api/internal.h"
#include "server/api/reflection.h"
#include "server/api/status.h"

err_t api_new(struct engine *engine, struct health *health, struct api **out)
{
	struct api *a = calloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->engine = engine;
	a->health = health;
	for (unsigned i = 0; i < engine_shards(engine); i++) {
		a->shard[i].api = a;
		a->shard[i].index = i;
		TAILQ_INIT(&a->shard[i].calls);
	}
	*out = a;
	return ERR_OK;
}

void api_free(struct api *a)
{
	free(a);
}

const struct rpc_handler *api_open(void *ctx, const char *method, struct rpc_call *call, void **call_ctx)
{
	static const struct unary_method *const SERVICES[] = { DOMAIN_METHODS, EXEMPTION_METHODS, STATS_METHODS };
	struct api *a = ctx;
	if (strcmp(method, VERIFY_PATH) == 0 || strcmp(method, VERIFY_STREAM_PATH) == 0)
		return verify_open(a, strcmp(method, VERIFY_STREAM_PATH) == 0, call, call_ctx);
	for (size_t i = 0; i < sizeof SERVICES / sizeof *SERVICES; i++)
		for (const struct unary_method *m = SERVICES[i]; m->path; m++)
			if (strcmp(method, m->path) == 0)
				return unary_open(a, m, call, call_ctx);
	const struct rpc_handler *h = health_open(a->health, method, call, call_ctx);
	return h ? h : reflection_open(method, call, call_ctx);
}

static void drain_here(struct mail *m)
{
	struct api_shard *s = (struct api_shard *)m;
	verify_drain(s->api, s->index);
}

void api_drain(struct api *a)
{
	atomic_store(&a->draining, true);
	for (unsigned i = 0; i < engine_shards(a->engine); i++)
		loop_send(engine_loop(a->engine, i), &a->shard[i].drain, drain_here);
}
