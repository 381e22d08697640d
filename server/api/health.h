#pragma once
/* grpc.health.v1: whether we take work. One state for all services; it changes at start and at drain.
 *
 * Shared by the shards: the state is atomic, each shard's watches belong to its loop. Created before the server,
 * freed when the server is gone and the loops do not run any more. */
#include <stdbool.h>

#include "server/loop/loop.h"
#include "server/rpc/call.h"

struct health;

/* loops: as given to rpc_server_start(). NOT_SERVING at first. */
MUST_CHECK err_t health_new(struct loop *const *loops, unsigned loop_count, struct health **);
void health_free(struct health *);

void health_set(struct health *, bool serving); /* any thread; watches are told */
/* For the drain: NOT_SERVING for good, and watches end with UNAVAILABLE once they were told, or rpc_server_stop() would
 * wait for them. Any thread. */
void health_end(struct health *);

/* An rpc_open_fn in part: NULL when the method is not of this service. */
const struct rpc_handler *health_open(struct health *, const char *method, struct rpc_call *, void **call_ctx);
/* "" for the server as a whole, or one of our services. */
bool health_knows(const char *service);
