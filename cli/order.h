#pragma once
/* Answers come in any order and leave in the order of the rows: a ring of formatted rows between the first one not yet
 * answered and the last one asked. Main thread. order_new() … order_free(). */
#include <stdbool.h>
#include <stdint.h>

#include "server/base/buf.h"

struct order;
struct order *order_new(size_t window); /* NULL: no memory */
void order_free(struct order *);

bool order_full(const struct order *);
uint64_t order_asked(struct order *); /* takes the next row's number; not when full */
uint64_t order_rows(const struct order *);
/* False: that row was not asked, or has its answer. */
bool order_expects(const struct order *, uint64_t row);
/* The answer of a row that is expected: to out if it is the next in order, else a copy is held. */
MUST_CHECK err_t order_answer(struct order *, uint64_t row, const uint8_t *text, size_t len, struct buf *out);
/* Moves one held row to out, the next in order; false: that one is not answered yet. Until then, after each answer. */
bool order_take(struct order *, struct buf *out);
/* The same, but skips the rows that are not answered; false: none is left. For a run that ends early. */
bool order_take_any(struct order *, struct buf *out);
