#include "tests/world/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *next;
	max_align_t bytes[];
};

void *arena_get(struct arena *a, size_t n)
{
	struct arena_block *b = calloc(1, sizeof *b + n);

	if (!b) {
		fputs("world: out of memory\n", stderr);
		exit(1);
	}
	b->next = a->blocks;
	a->blocks = b;
	return b->bytes;
}

char *arena_text(struct arena *a, const char *bytes, size_t n)
{
	char *text = arena_get(a, n + 1);

	memcpy(text, bytes, n);
	return text;
}

void arena_free(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
}
