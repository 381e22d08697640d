#pragma once
/* The counters as a message. Private to server/api; any thread. */
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "proto/rcptd/v1/stats.pb-c.h"
#include "server/verdict/verdict.h"

/* A GetStatsResponse and everything it points to; it must not move once it is filled. */
struct stats_message {
	Rcptd__V1__GetStatsResponse message;
	uint64_t answers; /* of all verdicts */
	Google__Protobuf__Timestamp start;
	Google__Protobuf__Duration uptime;
	Rcptd__V1__VerdictCount verdicts[VERDICTS], *verdict_at[VERDICTS];
	Rcptd__V1__ReasonCount reasons[REASONS], *reason_at[REASONS];
	Rcptd__V1__PhaseCount phases[PHASES], *phase_at[PHASES];
};
void stats_fill(struct stats_message *);
