#pragma once
/* What was answered so far, counted; the line on a terminal that shows it, and the summary at the end. Main thread. */
#include <stdbool.h>
#include <stdint.h>

#include "rcptd/v1/verification.pb-c.h"
#include "server/base/buf.h"

#define TALLY_VERDICTS 8u /* room for words that a newer server may have */
#define TALLY_REASONS 64u

struct tally {
	uint64_t rows, from_cache;
	uint64_t verdicts[TALLY_VERDICTS];
	uint64_t reasons[TALLY_VERDICTS][TALLY_REASONS];
	int64_t started_ms; /* clock_mono_ms() */
};

void tally_add(struct tally *, const Rcptd__V1__Result *);
/* Several lines: how many, how long, and each verdict with its reasons, the most frequent first. now_ms: as started_ms.
 */
void tally_summary(const struct tally *, int64_t now_ms, bool colour, struct buf *out);
/* One line without its end, at most `width` columns. total: 0 if it is not known. */
void tally_line(
	const struct tally *, int64_t now_ms, uint64_t total, bool exact, bool colour, uint32_t width, struct buf *out);

/* "1,234,567" */
void progress_number(struct buf *, uint64_t);
/* Columns of the terminal on fd; 0 if it is none. */
uint32_t progress_width(int fd);
/* Whether fd may be coloured: a terminal, no NO_COLOR, no TERM=dumb. */
bool progress_colour(int fd);
