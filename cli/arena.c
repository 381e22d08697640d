#include "cli/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct arena_extra {
	struct arena_extra *next;
	max_align_t memory[];
};

static void *take(void *ctx, size_t size)
{
	struct arena *a = ctx;
	size_t need = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (need >= size && need <= a->size - a->used) {
		void *p = a->block + a->used;
		a->used += need;
		return p;
	}
	struct arena_extra *e = malloc(sizeof *e + size);
	if (!e)
		return NULL;
	e->next = a->extra;
	a->extra = e;
	return e->memory;
}

static void keep(void *ctx, void *p)
{
	(void)ctx;
	(void)p;
}

bool arena_init(struct arena *a, size_t size)
{
	*a = (struct arena){ .allocator = { take, keep, a }, .block = malloc(size), .size = size };
	return a->block != NULL;
}

void arena_reset(struct arena *a)
{
	while (a->extra) {
		struct arena_extra *e = a->extra;
		a->extra = e->next;
		free(e);
	}
	a->used = 0;
}

void arena_free(struct arena *a)
{
	arena_reset(a);
	free(a->block);
	a->block = NULL;
}
