#pragma once
/* grpc.reflection.v1 and v1alpha (the same on the wire): what we serve, told from the descriptors compiled in.
 *
 * Const after reflection_new(); shared by all shards. Freed when no call is left. */
#include <stddef.h>
#include <stdint.h>

#include "server/rpc/call.h"

struct reflection;

/* set: a serialised FileDescriptorSet that stays, "proto/descriptors.h". ERR_CORRUPT when it is none. */
MUST_CHECK err_t reflection_new(const uint8_t *set, size_t len, struct reflection **);
void reflection_free(struct reflection *);

/* An rpc_open_fn in part: NULL when the method is not of this service. */
const struct rpc_handler *reflection_open(struct reflection *, const char *method, struct rpc_call *, void **call_ctx);
