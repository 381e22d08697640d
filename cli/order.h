#pragma once
/* Answers come in any order and leave in the order of the rows: a ring of formatted rows between the first one not yet
 * answered and the last one asked. A row may have a record, which waits for its answer here. Main thread.
 * order_new() … order_free(). */
#include <stdbool.h>
#include <stdint.h>

#include "server/base/buf.h"

struct order;
/* window: rows; held_max: bytes of records and of answers that wait, over which no more is asked. NULL: no memory. */
struct order *order_new(size_t window, size_t held_max);
void order_free(struct order *);

bool order_full(const struct order *);
/* Takes the next row's number; not when full. The record is copied; NULL: none. ERR_NOMEM: none was taken. */
MUST_CHECK err_t order_asked(struct order *, const struct buf *record, uint64_t *row);
/* The record of a row that is expected; 0 bytes: none. Until its answer. */
const uint8_t *order_record(const struct order *, uint64_t row, size_t *len);
uint64_t order_rows(const struct order *);
/* False: that row was not asked, or has its answer. */
bool order_expects(const struct order *, uint64_t row);
/* The answer of a row that is expected: to out if it is the next in order, else a copy is held. */
MUST_CHECK err_t order_answer(struct order *, uint64_t row, const uint8_t *text, size_t len, struct buf *out);
/* Moves one held row to out, the next in order; false: that one is not answered yet. Until then, after each answer. */
bool order_take(struct order *, struct buf *out);
/* The same, but skips the rows that are not answered; false: none is left. For a run that ends early. */
bool order_take_any(struct order *, struct buf *out);
