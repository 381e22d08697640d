#pragma once
/* From addresses as people write them to names gRPC core takes without asking any DNS, and the questions about a
 * listening address that core answers poorly. Plain functions; any thread. */
#include "server/base/buf.h"
#include "server/base/err.h"

/* "127.0.0.1:50051", "[::1]:0", "unix:/path" into `target`, after a look whether it can be listened on: ERR_IN_USE when
 * someone listens there; a socket file nobody listens on is removed. ERR_INVALID / ERR_DENIED / ERR_IO; a sentence in
 * why. */
MUST_CHECK err_t address_to_listen(const char *address, struct buf *target, struct buf *why);

/* The same forms and host:port, for connecting. */
MUST_CHECK err_t address_to_dial(const char *address, struct buf *target);
