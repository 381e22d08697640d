#pragma once
/* The connection to rcptd: a loop and a gRPC client on it, and what its errors mean to a user. Main thread.
 * connect_open() … connect_close(); one at a time in a process. */
#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "cli/args.h"
#include "server/loop/loop.h"
#include "server/rpc/client.h"

struct connection {
	const char *target; /* the caller's string */
	struct loop *loop;
	struct rpc_client *client;
	struct watch *interrupt;
	void (*on_interrupt)(void *ctx); /* of the call that runs; NULL: none does */
	void *interrupt_ctx;
};

/* False: it complained. */
bool connect_open(struct connection *, const char *target);
void connect_close(struct connection *);

/* One question, one answer; runs the loop until it is there. EXIT_DONE: *answer is a message of the descriptor's type,
 * the caller's to free with protobuf_c_message_free_unpacked(). Otherwise it complained. */
enum exit_code connect_ask(struct connection *, const char *method, const ProtobufCMessage *question,
	const ProtobufCMessageDescriptor *, ProtobufCMessage **answer);

/* Complains about a call that did not end with RPC_OK; what a script should see of it. */
enum exit_code connect_explain(
	const struct connection *, enum rpc_code, const char *message, const uint8_t *details, size_t details_len);
