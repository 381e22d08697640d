#pragma once
/* Counters and gauges that any floor adds to and api and console read. Any thread, lock-free, relaxed: each number is
 * exact, a set of them is no snapshot. */
#include <stdint.h>

enum stat {
	STAT_ADDRESSES, /* taken in */
	STAT_CACHE_HITS,
	STAT_CACHE_MISSES,
	STAT_CONNECTIONS,	   /* begun */
	STAT_RECIPIENTS,	   /* RCPT commands sent, controls included */
	STAT_UNCLASSIFIED_REPLIES, /* no rule matched */
	STAT_DNS_QUERIES,	   /* sent */
	STAT_SESSIONS_OPEN,	   /* gauge */
	STAT_ADDRESSES_WAITING,	   /* gauge: taken in, not answered */
	STAT_PERMITS,		   /* gauge: connections granted to destination addresses */
	STAT_CALLS_OPEN,	   /* gauge */
	STATS_SIMPLE,
	/* beside these one counter per reason and one per phase: stat_answers_by_reason(), stat_answers_by_phase() */
};

#define STAT_REASONS_MAX 64
#define STAT_PHASES_MAX 16

void stat_add(enum stat, int64_t n); /* negative for a gauge going down */
int64_t stat_get(enum stat);

/* Answers given, by the enums of server/verdict/verdict.h. */
void stat_add_answer(unsigned reason, unsigned phase);
int64_t stat_answers_by_reason(unsigned reason);
int64_t stat_answers_by_phase(unsigned phase);

int64_t stat_start_wall_ms(void);
void stat_start(void); /* notes the start; once, in main */
