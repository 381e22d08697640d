#pragma once
/* What the server and the client side share: operations given to gRPC core, and the pump that brings them back.
 *
 * An op is the tag of one batch, embedded in its owner, given to core at most once at a time. The pump, one thread per
 * completion queue, stores what core said and sends the op's own mail to the loop: no memory, nothing to lose. From
 * there on only the loop touches it. */
#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "server/base/err.h"
#include "server/loop/loop.h"

struct op {
	struct mail mail; /* first: a mail is its op */
	void *owner;
	void (*done)(void *owner, bool ok); /* on the loop */
	bool busy;			    /* core has it */
	bool ok;
	atomic_bool given; /* released by who gives it to core, acquired by the pump */
};

void op_init(struct op *, void *owner, void (*done)(void *owner, bool ok));
/* To be called right before the op goes to core as a tag. */
void op_give(struct op *);
/* Starts a batch. Core refuses one only when we broke its rules, which ends the process. */
void op_start(struct op *, grpc_call *, const grpc_op *ops, size_t count);

struct pump {
	grpc_completion_queue *queue;
	struct loop *loop;
	pthread_t thread;
};
MUST_CHECK err_t pump_start(struct pump *, struct loop *);
void pump_end(struct pump *); /* when core has no op of this queue any more; waits for the thread. Any thread. */
