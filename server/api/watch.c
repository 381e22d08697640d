/* StatsService.WatchStats: the counters at once and then each interval, with what they grew by a second. */
#include <stdlib.h>
#include <string.h>

#include "server/api/internal.h"
#include "server/api/result.h"
#include "server/api/stats.h"
#include "server/api/status.h"
#include "server/base/clock.h"

#define INTERVAL_MS 1000
#define INTERVAL_LEAST_MS 100
#define INTERVAL_MOST_S 3600
#define REQUEST_MAX 1024 /* bytes */

/* What rates are computed of. */
struct counts {
	int64_t at_ms;
	uint64_t addresses, answers, cache_hits, cache_misses, connections, recipients_asked, unclassified_replies,
		dns_queries;
};

struct watch_call {
	struct deadline tick; /* first: a tick is its call */
	LIST_ENTRY(watch_call) link;
	struct rpc_call *call;
	struct loop *loop;
	int64_t interval_ms;
	bool asked, finished;
	struct counts sent; /* the last one that was sent; at_ms 0: none */
};

static void finish(struct watch_call *c, enum rpc_code code, const char *reason, const char *message, const char *field)
{
	if (c->finished)
		return;
	c->finished = true;
	deadline_disarm(c->loop, &c->tick);
	status_finish(c->call, code, reason, message, field, field ? message : NULL);
}

/* ---- messages ---- */

static struct counts counts_of(const struct stats_message *m, int64_t now_ms)
{
	const Rcptd__V1__GetStatsResponse *r = &m->message;
	return (struct counts){ now_ms, r->addresses, m->answers, r->cache_hits, r->cache_misses, r->connections,
		r->recipients_asked, r->unclassified_replies, r->dns_queries };
}

static void rates_between(const struct counts *from, const struct counts *to, Rcptd__V1__StatsRates *r)
{
	double s = (double)(to->at_ms - from->at_ms) / 1000.0;
	rcptd__v1__stats_rates__init(r);
	r->addresses = (double)(to->addresses - from->addresses) / s;
	r->answers = (double)(to->answers - from->answers) / s;
	r->cache_hits = (double)(to->cache_hits - from->cache_hits) / s;
	r->cache_misses = (double)(to->cache_misses - from->cache_misses) / s;
	r->connections = (double)(to->connections - from->connections) / s;
	r->recipients_asked = (double)(to->recipients_asked - from->recipients_asked) / s;
	r->unclassified_replies = (double)(to->unclassified_replies - from->unclassified_replies) / s;
	r->dns_queries = (double)(to->dns_queries - from->dns_queries) / s;
}

static void tell(struct watch_call *c)
{
	struct stats_message stats;
	Rcptd__V1__WatchStatsResponse m = RCPTD__V1__WATCH_STATS_RESPONSE__INIT;
	Rcptd__V1__StatsRates rates;
	Google__Protobuf__Duration elapsed;
	stats_fill(&stats);
	struct counts now = counts_of(&stats, clock_mono_ms());
	m.stats = &stats.message;
	if (c->sent.at_ms && now.at_ms > c->sent.at_ms) {
		rates_between(&c->sent, &now, &rates);
		m.rates = &rates;
		m.elapsed = result_duration(&elapsed, now.at_ms - c->sent.at_ms);
	}
	err_t err = api_send(c->call, &m.base);
	if (err == ERR_OK)
		c->sent = now;
	else if (err != ERR_AGAIN && err != ERR_CLOSED) /* a peer that does not read misses this one */
		finish(c, RPC_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", err_text(err), NULL);
}

static void on_tick(struct deadline *d)
{
	struct watch_call *c = (struct watch_call *)d;
	tell(c);
	if (!c->finished && deadline_arm(c->loop, &c->tick, c->interval_ms, on_tick) != ERR_OK)
		finish(c, RPC_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", err_text(ERR_NOMEM), NULL);
}

/* ---- the request ---- */

static bool read_interval(const Google__Protobuf__Duration *d, int64_t *ms)
{
	*ms = INTERVAL_MS;
	if (!d)
		return true;
	if (d->seconds < 0 || d->seconds > INTERVAL_MOST_S || d->nanos < 0 || d->nanos > 999999999)
		return false;
	*ms = d->seconds * 1000 + d->nanos / 1000000;
	return *ms >= INTERVAL_LEAST_MS && (d->seconds < INTERVAL_MOST_S || d->nanos == 0);
}

static void on_message(struct rpc_call *call, void *ctx, const uint8_t *msg, size_t len)
{
	(void)call;
	struct watch_call *c = ctx;
	c->asked = true;
	Rcptd__V1__WatchStatsRequest *request =
		len > REQUEST_MAX ? NULL : rcptd__v1__watch_stats_request__unpack(NULL, len, msg);
	if (!request) {
		finish(c, RPC_INVALID_ARGUMENT, "MALFORMED", "not a WatchStatsRequest", NULL);
		return;
	}
	bool good = read_interval(request->interval, &c->interval_ms);
	rcptd__v1__watch_stats_request__free_unpacked(request, NULL);
	if (!good)
		finish(c, RPC_INVALID_ARGUMENT, "BAD_INTERVAL", "interval must be 100 ms to 1 h", "interval");
	else if (!c->finished)
		on_tick(&c->tick);
}

static void on_half_close(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct watch_call *c = ctx;
	if (!c->asked)
		finish(c, RPC_INVALID_ARGUMENT, "NO_REQUEST", "the call has no request message", NULL);
}

static void on_writable(struct rpc_call *call, void *ctx)
{
	(void)call, (void)ctx; /* the next tick tells more than a late one */
}

static void on_done(void *ctx, int cancelled)
{
	(void)cancelled;
	struct watch_call *c = ctx;
	deadline_disarm(c->loop, &c->tick);
	LIST_REMOVE(c, link);
	free(c);
}

/* ---- the end of the daemon ---- */

static void drain_call(struct watch_call *c)
{
	finish(c, RPC_UNAVAILABLE, "SHUTTING_DOWN", "the daemon is shutting down", NULL);
}

void watch_drain(struct api *api, unsigned shard)
{
	struct watch_call *c;
	LIST_FOREACH(c, &api->shard[shard].watches, link)
	drain_call(c);
}

const struct rpc_handler *watch_stats_open(struct api *api, struct rpc_call *call, void **call_ctx)
{
	static const struct rpc_handler HANDLER = { on_message, on_half_close, on_writable, on_done };
	struct watch_call *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->call = call;
	c->loop = rpc_call_loop(call);
	LIST_INSERT_HEAD(&api->shard[rpc_call_shard(call)].watches, c, link);
	*call_ctx = c;
	if (atomic_load(&api->draining))
		drain_call(c);
	else
		rpc_call_want(call, 1);
	return &HANDLER;
}
