#pragma once
/* Identifiers that sort by the time they were made: ULIDs, 48 bits of milliseconds and 80 random ones in Crockford's
 * base 32. One thread makes them (the writer). */
#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"

#define ULID_SIZE 27 /* bytes with the NUL */

/* Greater than the one before, also within a millisecond. ERR_IO: no randomness to be had. */
MUST_CHECK err_t ulid_next(int64_t wall_ms, char out[ULID_SIZE]);
bool ulid_valid(const char *text);
