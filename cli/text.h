#pragma once
/* Text that somebody else chose, made fit for JSON, CSV and terminals. Any bytes may come in; what is not UTF-8 becomes
 * U+FFFD. Pure; any thread. */
#include <stddef.h>
#include <stdint.h>

#include "server/base/buf.h"

/* A JSON string with its quotes. What a terminal could act on (controls, direction marks) is escaped, which is the same
 * string to a JSON reader. */
void text_json(struct buf *, const void *bytes, size_t n);
/* A CSV cell, quoted where it must be; controls, line ends among them, become U+FFFD. */
void text_csv(struct buf *, const void *bytes, size_t n);
/* A CSV cell that comes out as it came in, byte for byte, quoted where it must be. */
void text_csv_kept(struct buf *, const void *bytes, size_t n);
/* At most `columns` wide on a terminal, cut with an ellipsis; what a terminal could act on is written as \x1B or
 * \u202E. Returns the columns used. */
uint32_t text_terminal(struct buf *, const void *bytes, size_t n, uint32_t columns);
