#include "cli/order.h"

#include <stdlib.h>
#include <string.h>

struct slot {
	uint8_t *text; /* NULL: not answered */
	uint32_t len;
};

struct order {
	size_t window;
	uint64_t next, end; /* the first row not yet put out; the first not yet asked */
	struct slot *slots; /* row % window */
};

struct order *order_new(size_t window)
{
	struct order *o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->window = window;
	o->slots = calloc(window, sizeof *o->slots);
	if (!o->slots) {
		free(o);
		return NULL;
	}
	return o;
}

void order_free(struct order *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->window; i++)
		free(o->slots[i].text);
	free(o->slots);
	free(o);
}

bool order_full(const struct order *o)
{
	return o->end - o->next == o->window;
}

uint64_t order_asked(struct order *o)
{
	return o->end++;
}

uint64_t order_rows(const struct order *o)
{
	return o->end;
}

static struct slot *slot_of(const struct order *o, uint64_t row)
{
	return &o->slots[row % o->window];
}

bool order_expects(const struct order *o, uint64_t row)
{
	return row >= o->next && row < o->end && !slot_of(o, row)->text;
}

static void put_out(struct order *o, struct buf *out)
{
	struct slot *s = slot_of(o, o->next++);
	buf_append(out, s->text, s->len);
	free(s->text);
	*s = (struct slot){ 0 };
}

err_t order_answer(struct order *o, uint64_t row, const uint8_t *text, size_t len, struct buf *out)
{
	if (row == o->next) { /* the usual case needs no copy */
		buf_append(out, text, len);
		o->next++;
		return out->err;
	}
	struct slot *s = slot_of(o, row);
	s->text = malloc(len + 1);
	if (!s->text)
		return ERR_NOMEM;
	memcpy(s->text, text, len);
	s->len = (uint32_t)len;
	return ERR_OK;
}

bool order_take(struct order *o, struct buf *out)
{
	if (o->next == o->end || !slot_of(o, o->next)->text)
		return false;
	put_out(o, out);
	return true;
}

bool order_take_any(struct order *o, struct buf *out)
{
	while (o->next < o->end && !slot_of(o, o->next)->text)
		o->next++;
	return order_take(o, out);
}
