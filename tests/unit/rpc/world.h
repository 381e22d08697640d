#pragma once
/* A server on loops in threads of their own, and the test's loop where its clients live.
 *
 * The server's side counts with atomics what it saw and wakes the test's loop, so that a test waits for a fact and
 * never for a time. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "server/loop/loop.h"
#include "server/rpc/client.h"
#include "server/rpc/server.h"

#define WORLD_LOOPS 2

struct world {
	struct loop *main; /* the test's; runs only inside world_wait() */
	struct loop *loops[WORLD_LOOPS];
	pthread_t threads[WORLD_LOOPS];
	struct rpc_server *server;
	int port;
	char address[128];
	atomic_bool stopped;
};

void world_start(struct world *, const char *address, rpc_open_fn, void *ctx); /* "127.0.0.1:0" */
void world_stop(struct world *); /* asks the server to stop and cancels what runs */
void world_end(struct world *);	 /* world_stop() if need be, then all is freed */
void world_wake(struct world *); /* any thread: conditions are looked at anew */
#define world_wait(w, condition)                                                                                       \
	while (!(condition))                                                                                           \
	loop_run((w)->main)
void world_ask_to_stop(struct world *); /* rpc_server_stop() alone */

/* One request and what came of it. */
struct exchange {
	struct world *world;
	struct rpc_request *request; /* NULL once it is done */
	bool keeps_wanting;	     /* grants credit for each message that came */
	unsigned received, writable;
	uint8_t first[64]; /* of the last message */
	size_t last_len;
	bool done;
	enum rpc_code code;
	char message[2048];
	uint8_t details[4096];
	size_t details_len;
	void (*on_message)(struct exchange *, const uint8_t *msg, size_t len); /* may be NULL */
};
void exchange_start(struct exchange *, struct world *, struct rpc_client *, const char *method, int64_t timeout_ms);
/* Sends one message, half-closes, reads all, waits for the end. */
void exchange_unary(
	struct exchange *, struct world *, struct rpc_client *, const char *method, const void *msg, size_t len);
