#pragma once
/* rcptctl stats: the counters once (stats.c), or tick by tick (watch.c). Main thread. */
#include <jansson.h>

#include "cli/connect.h"
#include "rcptd/v1/stats.pb-c.h"

json_t *stats_json(const Rcptd__V1__GetStatsResponse *);

#define WATCH_INTERVAL_MS 1000
/* Runs until the user or the server ends it: a screen on a terminal, else one line a tick; JSON: one object a tick. */
enum exit_code watch_run(struct connection *, int64_t interval_ms, bool json);
