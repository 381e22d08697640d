#include "server/loop/heap.h"

#include <stdlib.h>

static void put(struct heap *h, size_t i, struct deadline *d)
{
	h->at[i] = d;
	d->place = i + 1;
}

static void up(struct heap *h, size_t i)
{
	struct deadline *d = h->at[i];
	while (i > 0 && h->at[(i - 1) / 2]->at_ms > d->at_ms) {
		put(h, i, h->at[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(h, i, d);
}

static void down(struct heap *h, size_t i)
{
	struct deadline *d = h->at[i];
	for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
		if (child + 1 < h->count && h->at[child + 1]->at_ms < h->at[child]->at_ms)
			child++;
		if (h->at[child]->at_ms >= d->at_ms)
			break;
		put(h, i, h->at[child]);
	}
	put(h, i, d);
}

err_t heap_add(struct heap *h, struct deadline *d)
{
	if (h->count == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 64;
		struct deadline **at = realloc(h->at, cap * sizeof(*at));
		if (!at)
			return ERR_NOMEM;
		h->at = at;
		h->cap = cap;
	}
	put(h, h->count++, d);
	up(h, h->count - 1);
	return ERR_OK;
}

void heap_remove(struct heap *h, struct deadline *d)
{
	size_t i = d->place - 1;
	struct deadline *last = h->at[--h->count];
	d->place = 0;
	if (last == d)
		return;
	put(h, i, last);
	up(h, i);
	down(h, last->place - 1);
}

struct deadline *heap_first(const struct heap *h)
{
	return h->count ? h->at[0] : NULL;
}

void heap_free(struct heap *h)
{
	free(h->at);
	*h = (struct heap){ 0 };
}
