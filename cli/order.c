#include "cli/order.h"

#include <stdlib.h>
#include <string.h>

struct slot {
	uint8_t *text; /* the record until it is answered, then the answer; NULL: none */
	uint32_t len;
	bool answered;
};

struct order {
	size_t window, held, held_max;
	uint64_t next, end; /* the first row not yet put out; the first not yet asked */
	struct slot *slots; /* row % window */
};

struct order *order_new(size_t window, size_t held_max)
{
	struct order *o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->window = window;
	o->held_max = held_max;
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
	return o->end - o->next == o->window || o->held > o->held_max;
}

static struct slot *slot_of(const struct order *o, uint64_t row)
{
	return &o->slots[row % o->window];
}

static void empty(struct order *o, struct slot *s)
{
	o->held -= s->len;
	free(s->text);
	*s = (struct slot){ 0 };
}

static err_t hold(struct order *o, struct slot *s, const uint8_t *text, size_t len)
{
	uint8_t *copy = malloc(len + 1);
	if (!copy)
		return ERR_NOMEM;
	if (len)
		memcpy(copy, text, len);
	s->text = copy;
	s->len = (uint32_t)len;
	o->held += len;
	return ERR_OK;
}

err_t order_asked(struct order *o, const struct buf *record, uint64_t *row)
{
	if (record && record->len) {
		err_t err = hold(o, slot_of(o, o->end), record->data, record->len);
		if (err)
			return err;
	}
	*row = o->end++;
	return ERR_OK;
}

const uint8_t *order_record(const struct order *o, uint64_t row, size_t *len)
{
	const struct slot *s = slot_of(o, row);
	*len = s->len;
	return s->text;
}

uint64_t order_rows(const struct order *o)
{
	return o->end;
}

bool order_expects(const struct order *o, uint64_t row)
{
	return row >= o->next && row < o->end && !slot_of(o, row)->answered;
}

static void put_out(struct order *o, struct buf *out)
{
	struct slot *s = slot_of(o, o->next++);
	buf_append(out, s->text, s->len);
	empty(o, s);
}

err_t order_answer(struct order *o, uint64_t row, const uint8_t *text, size_t len, struct buf *out)
{
	struct slot *s = slot_of(o, row);
	empty(o, s);
	if (row == o->next) { /* the usual case needs no copy */
		buf_append(out, text, len);
		o->next++;
		return out->err;
	}
	s->answered = true;
	return hold(o, s, text, len);
}

bool order_take(struct order *o, struct buf *out)
{
	if (o->next == o->end || !slot_of(o, o->next)->answered)
		return false;
	put_out(o, out);
	return true;
}

bool order_take_any(struct order *o, struct buf *out)
{
	while (o->next < o->end && !slot_of(o, o->next)->answered)
		empty(o, slot_of(o, o->next++));
	return order_take(o, out);
}
