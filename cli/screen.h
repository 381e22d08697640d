#pragma once
/* What rcptd does, tick by tick: a screen for people, a line for logs. Pure; main thread. */
#include <stdbool.h>
#include <stdint.h>

#include "rcptd/v1/stats.pb-c.h"
#include "server/base/buf.h"

struct screen {
	const char *server;    /* as the user gave it */
	int64_t wall_s;	       /* now */
	int64_t interval_ms;   /* as the user gave it */
	bool colour;	       /* of verdicts */
	uint32_t width, lines; /* of the terminal; no line is wider, and no more lines come out */
};
/* Lines, each with its end. Returns how many. */
uint32_t screen_draw(const struct screen *, const Rcptd__V1__WatchStatsResponse *, struct buf *out);
/* One line with its end. */
void screen_line(const Rcptd__V1__WatchStatsResponse *, int64_t wall_s, struct buf *out);
