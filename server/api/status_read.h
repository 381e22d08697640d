#pragma once
/* The client's side of status.h: what a server's grpc-status-details-bin says. A pure function; any thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "" where the server said nothing. Control characters have become '?': it can be printed. */
struct status_read {
	char message[512];
	char reason[64];
	char domain[64];
	char field[128]; /* the first one blamed */
	char description[512];
};

/* False: no google.rpc.Status, or one longer than any honest server sends; *out is all "". */
bool status_read(const uint8_t *details, size_t len, struct status_read *out);
