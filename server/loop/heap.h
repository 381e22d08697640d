#pragma once
/* The deadlines of a loop, soonest first: a binary heap of pointers. Private to server/loop. */
#include "server/loop/loop.h"

struct heap {
	struct deadline **at;
	size_t count, cap;
};

MUST_CHECK err_t heap_add(struct heap *, struct deadline *);
void heap_remove(struct heap *, struct deadline *); /* it is in it */
struct deadline *heap_first(const struct heap *);   /* NULL: empty */
void heap_free(struct heap *);
