#pragma once
/* What server.c and call.c know of each other. A shard is one loop's part of a server: its queue, its pump, the calls
 * accepted there. Its fields belong to that loop. */
#include "server/rpc/op.h"
#include "server/rpc/server.h"

struct rpc_shard {
	struct rpc_server *server;
	struct pump pump;
	struct mail begin;
	unsigned index;
	unsigned accepting; /* calls waiting for a peer */
	unsigned running;
};

grpc_server *server_core(const struct rpc_server *);
bool server_is_stopping(const struct rpc_server *);
const struct rpc_handler *server_open_call(struct rpc_server *, const char *method, struct rpc_call *, void **call_ctx);
/* Every call holds the server from the moment it waits for a peer until its memory is gone. */
void server_hold(struct rpc_server *);
void server_release(struct rpc_server *); /* may be the end of the server: nothing of it may be touched after */

/* Offers calls to core until enough wait for a peer. */
void shard_replenish(struct rpc_shard *);
/* One call more that waits for a peer. */
MUST_CHECK err_t call_accept(struct rpc_shard *);
