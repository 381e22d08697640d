#pragma once
/* gRPC calls made by us (rcptctl, tests): same rules as server-side calls, one loop owns them all. */
#include "server/rpc/call.h"
#include "server/rpc/server.h"

struct rpc_client;
/* target: "127.0.0.1:50051", "unix:/path". Connects lazily. */
MUST_CHECK err_t rpc_client_new(struct loop *, const char *target, struct rpc_client **);
void rpc_client_free(struct rpc_client *); /* the last request's on_done() may call it */

struct rpc_request;
struct rpc_request_handler {
	void (*on_message)(struct rpc_request *, void *ctx, const uint8_t *msg, size_t len);
	void (*on_writable)(struct rpc_request *, void *ctx); /* after ERR_AGAIN */
	/* Exactly once, last: also after every message, so that a request without credit for one that came waits.
	 * details: grpc-status-details-bin or NULL. The strings live during the call. */
	void (*on_done)(void *ctx, enum rpc_code, const char *message, const uint8_t *details, size_t details_len);
};
/* timeout_ms: 0 for no deadline. */
MUST_CHECK err_t rpc_request_start(struct rpc_client *, const char *method, int64_t timeout_ms,
	const struct rpc_request_handler *, void *ctx, struct rpc_request **);
MUST_CHECK err_t rpc_request_send(struct rpc_request *, const uint8_t *msg, size_t len); /* as rpc_call_send() */
void rpc_request_half_close(struct rpc_request *);					 /* after what is queued */
void rpc_request_want(struct rpc_request *, unsigned n); /* credits, as rpc_call_want() */
void rpc_request_cancel(struct rpc_request *);		 /* on_done() follows, with RPC_CANCELLED unless it had ended */
