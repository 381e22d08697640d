#pragma once
/* One server-side RPC: one object, one state machine, one owning loop.
 *
 * Every function runs on the loop that accepted the call. The call frees itself after on_done(); no pointer to it is
 * valid after that returns. Reads are credits: nothing is received that was not asked for (with gRPC's BDP probe off,
 * so that flow control reaches the peer). No handler is called before the function that caused it has returned. */
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/loop/loop.h"

#define RPC_OUT_LIMIT (64u * 1024u) /* bytes queued per call before rpc_call_send() says ERR_AGAIN */
#define RPC_MESSAGE_MAX                                                                                                \
	(1u * 1024u * 1024u) /* bytes of one received message; a longer one ends the call with RESOURCE_EXHAUSTED */

/* The status codes of gRPC that we use. */
enum rpc_code {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_INVALID_ARGUMENT = 3,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_NOT_FOUND = 5,
	RPC_ALREADY_EXISTS = 6,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_FAILED_PRECONDITION = 9,
	RPC_ABORTED = 10,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
};

struct rpc_call; /* opaque */
struct rpc_handler {
	void (*on_message)(struct rpc_call *, void *ctx, const uint8_t *msg, size_t len);
	void (*on_half_close)(struct rpc_call *, void *ctx); /* peer sends no more; only after credit was granted */
	void (*on_writable)(struct rpc_call *, void *ctx);   /* after ERR_AGAIN */
	void (*on_done)(void *ctx, int cancelled); /* exactly once, last; cancelled: the peer went away, its deadline
						      passed, or the server was stopped */
};

/* Grants n more messages; one RECV_MESSAGE is in flight while credit > 0. */
void rpc_call_want(struct rpc_call *, unsigned n);
/* Copies msg. ERR_AGAIN: queue at its limit, wait for on_writable(). ERR_CLOSED: finished or dead. */
MUST_CHECK err_t rpc_call_send(struct rpc_call *, const uint8_t *msg, size_t len);
/* Flushes the queue, then sends the status. `details`: a serialised google.rpc.Status for grpc-status-details-bin, NULL
 * for none; copied. Idempotent. */
void rpc_call_finish(struct rpc_call *, enum rpc_code, const char *why, const uint8_t *details, size_t details_len);
/* Milliseconds until the peer's deadline as of now, at least 0; INT64_MAX: it set none. */
int64_t rpc_call_time_left_ms(const struct rpc_call *);
struct loop *rpc_call_loop(const struct rpc_call *);
unsigned rpc_call_shard(const struct rpc_call *); /* index of its loop, as given to rpc_server_start() */
