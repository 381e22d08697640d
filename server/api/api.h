#pragma once
/* The gRPC services: they translate between messages and the engine or the store, and decide nothing. One api per
 * daemon; each call lives on the loop of the shard that accepted it. */
#include "server/probe/engine.h"
#include "server/rpc/server.h"

struct api;
MUST_CHECK err_t api_new(struct engine *, struct api **);
void api_free(struct api *); /* after the last call has ended and the loops do not run any more */

void api_serve(struct api *); /* health turns SERVING. Any thread */

/* For rpc_server_start(); ctx is the api. */
const struct rpc_handler *api_open(void *ctx, const char *method, struct rpc_call *, void **call_ctx);

/* Health turns NOT_SERVING; no more addresses are taken in: new calls get UNAVAILABLE, running ones end once what they
 * owe is sent. Any thread. */
void api_drain(struct api *);
