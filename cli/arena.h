#pragma once
/* Memory for unpacking one message after another: taken piece by piece, given back all at once. Main thread.
 * Zeroed memory with `allocator` set by arena_init() is ready; arena_free() ends it. */
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
	ProtobufCAllocator allocator;
	uint8_t *block; /* kept; what does not fit is allocated on its own */
	size_t used, size;
	struct arena_extra *extra;
};

bool arena_init(struct arena *, size_t size);
void arena_reset(struct arena *); /* everything taken from it is gone */
void arena_free(struct arena *);
