#pragma once
/* A gRPC server: one listener, one completion queue per loop. A pump thread per queue does nothing but move {tag, ok}
 * into its loop's mailbox, so a call and all its batches live on one loop and need no locks. */
#include <stdbool.h>

#include "server/base/buf.h"
#include "server/rpc/call.h"

void rpc_init(void);	 /* once per process, before anything else here */
void rpc_shutdown(void); /* once, after the last server and client is freed; waits for gRPC's threads */

struct rpc_server;
/* Called on the call's loop for each new call; method is the path, "/rcptd.v1.VerificationService/Verify". NULL answers
 * UNIMPLEMENTED, unless it has finished the call itself. */
typedef const struct rpc_handler *(*rpc_open_fn)(void *ctx, const char *method, struct rpc_call *, void **call_ctx);

/* address: "127.0.0.1:50051", "[::1]:0" or "unix:/path". *port: the port bound (0 for a unix socket). The loops may not
 * be running yet. ERR_IN_USE / ERR_INVALID / ERR_IO with a sentence in why. */
MUST_CHECK err_t rpc_server_start(const char *address, struct loop *const *loops, unsigned loop_count, rpc_open_fn,
	void *ctx, struct rpc_server **, int *port, struct buf *why);
/* Stops listening and accepting; running calls go on. stopped(ctx) runs on loops[0] when the last one has ended and the
 * connections are closed (those that stay open are cut a second later). Only the first call counts. Any thread. */
void rpc_server_stop(struct rpc_server *, void (*stopped)(void *ctx), void *ctx);
void rpc_server_cancel_all(struct rpc_server
		*); /* after rpc_server_stop(): ends the running calls with UNAVAILABLE or CANCELLED. Any thread. */
void rpc_server_free(struct rpc_server *); /* after stopped(), with the loops still running or run again; from no loop's
					      callback but loops[0]'s own thread after it ended is fine */
