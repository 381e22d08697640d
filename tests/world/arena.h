#pragma once
/* Memory that is given back all at once: what a description file was read into. Owner: the description. Zeroed; running
 * out of memory ends the program, for a test tool has nothing better to do. */
#include <stddef.h>

struct arena {
	struct arena_block *blocks;
};

void *arena_get(struct arena *, size_t n);
char *arena_text(struct arena *, const char *bytes, size_t n); /* a copy with a NUL behind it */
void arena_free(struct arena *);
