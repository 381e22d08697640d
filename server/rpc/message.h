#pragma once
/* Messages between our bytes and core's buffers: the byte-bounded queue of what is to be sent, and what was received
 * as one piece. Owner: the call or request it is part of, on its loop. */
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/base/err.h"

struct out_message;
struct outbox {
	STAILQ_HEAD(, out_message) waiting;
	grpc_byte_buffer *flying; /* the one core has */
	size_t flying_cost;
	size_t bytes;	     /* waiting and flying */
	bool wants_writable; /* ERR_AGAIN was said */
};

void outbox_init(struct outbox *);
/* Copies msg. ERR_AGAIN: at RPC_OUT_LIMIT; ERR_NOMEM. */
MUST_CHECK err_t outbox_put(struct outbox *, const uint8_t *msg, size_t len);
bool outbox_empty(const struct outbox *); /* nothing waits; one may be flying */
/* The next one, flying from now on until outbox_sent(). Not when empty. */
grpc_byte_buffer *outbox_take(struct outbox *);
void outbox_sent(struct outbox *);
/* True once after an ERR_AGAIN, when half of the limit is free again. */
bool outbox_turned_writable(struct outbox *);
void outbox_free(struct outbox *); /* nothing is flying */

/* The bytes of a received message as one slice, to be unreferenced; the buffer is destroyed. */
grpc_slice message_take(grpc_byte_buffer **);
