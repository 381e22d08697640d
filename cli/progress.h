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
/* How fast it goes now: over the last PACE_MS, or since the start while it is younger. Zeroed memory is a new one. */
#define PACE_MS (10 * 1000)
#define PACE_STEP_MS 200
#define PACE_STEPS (PACE_MS / PACE_STEP_MS + 1)
struct pace {
	struct pace_step {
		int64_t at_ms;
		uint64_t rows;
	} step[PACE_STEPS]; /* a ring */
	unsigned count, last;
};
/* Notes how many rows there are, each PACE_STEP_MS or rarer; what comes sooner replaces nothing. */
void pace_note(struct pace *, int64_t now_ms, uint64_t rows);
/* Rows a second; negative: too early to tell. */
double pace_rate(const struct pace *, int64_t now_ms, uint64_t rows);

/* One line without its end, at most `width` columns: rows of total, rate (negative: unknown yet), time left, verdicts.
 * total: 0 if it is not known. */
struct progress {
	const struct tally *tally;
	uint64_t total;
	bool exact; /* total is no estimate */
	double rate;
	bool colour;
	uint32_t width;
};
void progress_line(const struct progress *, struct buf *out);

/* "1,234,567" */
void progress_number(struct buf *, uint64_t);
/* A rate: "812", "1,234" or "4.5". */
void progress_rate(struct buf *, double per_second);
/* Columns and lines of the terminal on fd; 0 if it is none. */
uint32_t progress_width(int fd);
uint32_t progress_height(int fd);
/* Whether fd may be coloured: a terminal, no NO_COLOR, no TERM=dumb. */
bool progress_colour(int fd);
