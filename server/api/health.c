#include "server/api/health.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "proto/grpc/health/v1/health.pb-c.h"
#include "server/api/status.h"

#define REQUEST_MAX 1024 /* bytes: a service's name */

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
#define NONE_SENT ((serving_status)-1)

enum state { NOT_SERVING, SERVING, ENDED };

struct health_call {
	LIST_ENTRY(health_call) next; /* while it watches */
	struct rpc_call *call;
	struct health *health;
	bool watches; /* its method is Watch */
	bool listed;
	bool known;	     /* the service it asked about */
	serving_status sent; /* the last one */
};

struct health_shard {
	struct mail changed;
	atomic_bool told; /* `changed` is on its way */
	struct loop *loop;
	LIST_HEAD(, health_call) watches;
};

struct health {
	_Atomic enum state state;
	unsigned shard_count;
	struct health_shard shards[];
};

bool health_knows(const char *service)
{
	static const char *const SERVICES[] = { "", "rcptd.v1.VerificationService", "rcptd.v1.DomainService",
		"rcptd.v1.ExemptionService", "rcptd.v1.StatsService" };
	for (size_t i = 0; i < sizeof SERVICES / sizeof SERVICES[0]; i++)
		if (strcmp(service, SERVICES[i]) == 0)
			return true;
	return false;
}

/* ---- answers ---- */

static serving_status status_of(const struct health_call *c, enum state state)
{
	if (!c->known)
		return GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
	return state == SERVING ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
				: GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

static err_t send_status(struct health_call *c, serving_status status)
{
	uint8_t packed[16];
	Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
	response.status = status;
	size_t len = grpc__health__v1__health_check_response__pack(&response, packed);
	return rpc_call_send(c->call, packed, len);
}

/* Tells what has changed since the last time. A watch that does not read is told the latest when it does. */
static void tell(struct health_call *c)
{
	enum state state = atomic_load(&c->health->state); /* once: what is told and whether it ends belong together */
	serving_status status = status_of(c, state);
	if (status != c->sent) {
		err_t err = send_status(c, status);
		if (err == ERR_AGAIN || err == ERR_CLOSED)
			return;
		if (err) {
			rpc_call_finish(c->call, RPC_RESOURCE_EXHAUSTED, err_text(err), NULL, 0);
			return;
		}
		c->sent = status;
	}
	if (state == ENDED)
		rpc_call_finish(c->call, RPC_UNAVAILABLE, "the server is shutting down", NULL, 0);
}

static void check(struct health_call *c)
{
	if (!c->known) {
		status_finish(c->call, RPC_NOT_FOUND, "UNKNOWN_SERVICE", "no such service", NULL, NULL);
		return;
	}
	err_t err = send_status(c, status_of(c, atomic_load(&c->health->state)));
	rpc_call_finish(c->call, err ? RPC_RESOURCE_EXHAUSTED : RPC_OK, err ? err_text(err) : NULL, NULL, 0);
}

/* ---- calls ---- */

static void on_message(struct rpc_call *call, void *ctx, const uint8_t *msg, size_t len)
{
	struct health_call *c = ctx;
	Grpc__Health__V1__HealthCheckRequest *request =
		len > REQUEST_MAX ? NULL : grpc__health__v1__health_check_request__unpack(NULL, len, msg);
	if (!request) {
		status_finish(call, RPC_INVALID_ARGUMENT, "MALFORMED_REQUEST", "not a HealthCheckRequest", NULL, NULL);
		return;
	}
	c->known = health_knows(request->service);
	grpc__health__v1__health_check_request__free_unpacked(request, NULL);
	if (!c->watches) {
		check(c);
		return;
	}
	LIST_INSERT_HEAD(&c->health->shards[rpc_call_shard(call)].watches, c, next);
	c->listed = true;
	tell(c);
}

static void on_half_close(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	status_finish(call, RPC_INVALID_ARGUMENT, "MALFORMED_REQUEST", "a request is missing", NULL, NULL);
}

static void on_writable(struct rpc_call *call, void *ctx)
{
	(void)call;
	tell(ctx);
}

static void on_done(void *ctx, int cancelled)
{
	(void)cancelled;
	struct health_call *c = ctx;
	if (c->listed)
		LIST_REMOVE(c, next);
	free(c);
}

const struct rpc_handler *health_open(struct health *h, const char *method, struct rpc_call *call, void **call_ctx)
{
	static const struct rpc_handler HANDLER = { on_message, on_half_close, on_writable, on_done };
	bool watches = strcmp(method, "/grpc.health.v1.Health/Watch") == 0;
	if (!watches && strcmp(method, "/grpc.health.v1.Health/Check") != 0)
		return NULL;
	struct health_call *c = calloc(1, sizeof *c);
	if (!c) {
		rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, err_text(ERR_NOMEM), NULL, 0);
		return NULL;
	}
	c->call = call;
	c->health = h;
	c->watches = watches;
	c->sent = NONE_SENT;
	*call_ctx = c;
	rpc_call_want(call, 1);
	return &HANDLER;
}

/* ---- changes ---- */

static void on_changed(struct mail *m)
{
	struct health_shard *shard = (struct health_shard *)((char *)m - offsetof(struct health_shard, changed));
	atomic_store(&shard->told, false); /* before the state is looked at: a change from now on sends again */
	struct health_call *c;
	LIST_FOREACH(c, &shard->watches, next)
	tell(c);
}

static void change(struct health *h, enum state to)
{
	enum state from = atomic_load(&h->state);
	do {
		if (from == ENDED)
			return;
	} while (!atomic_compare_exchange_weak(&h->state, &from, to));
	for (unsigned i = 0; i < h->shard_count; i++)
		if (!atomic_exchange(&h->shards[i].told, true))
			loop_send(h->shards[i].loop, &h->shards[i].changed, on_changed);
}

void health_set(struct health *h, bool serving)
{
	change(h, serving ? SERVING : NOT_SERVING);
}

void health_end(struct health *h)
{
	change(h, ENDED);
}

err_t health_new(struct loop *const *loops, unsigned count, struct health **out)
{
	struct health *h = calloc(1, sizeof *h + count * sizeof h->shards[0]);
	if (!h)
		return ERR_NOMEM;
	h->shard_count = count;
	for (unsigned i = 0; i < count; i++) {
		h->shards[i].loop = loops[i];
		LIST_INIT(&h->shards[i].watches);
	}
	*out = h;
	return ERR_OK;
}

void health_free(struct health *h)
{
	free(h);
}
