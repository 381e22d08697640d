#pragma once
/* The heading of a CSV: names of columns, in their order. Pure; main thread. Zeroed memory with `names` set by
 * BUF_INIT() is an empty one; buf_free(&names) ends it. */
#include <stdbool.h>
#include <stddef.h>

#include "server/base/buf.h"

struct columns {
	struct buf names; /* each ended by a NUL; its err tells whether all found room */
	size_t count;
};

void columns_add(struct columns *, const void *name, size_t n); /* up to a NUL in it */
/* Where the addresses are: the column called `wanted`, its case aside if none is called exactly so; for NULL the one
 * that is called like an address, or the only one. columns->count: none is it, and a sentence in why. */
size_t columns_choose(const struct columns *, const char *wanted, struct buf *why);
bool columns_has(const struct columns *, const char *name);    /* whatever the case */
void columns_heading(const struct columns *, struct buf *out); /* as cells of a CSV, each with a comma behind it */
