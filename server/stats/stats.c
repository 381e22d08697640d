#include "server/stats/stats.h"

#include <stdatomic.h>

#include "server/base/clock.h"

static atomic_llong simple[STATS_SIMPLE], by_reason[STAT_REASONS_MAX], by_phase[STAT_PHASES_MAX], start_ms;

void stat_add(enum stat s, int64_t n)
{
	atomic_fetch_add_explicit(&simple[s], n, memory_order_relaxed);
}

int64_t stat_get(enum stat s)
{
	return atomic_load_explicit(&simple[s], memory_order_relaxed);
}

void stat_add_answer(unsigned reason, unsigned phase)
{
	atomic_fetch_add_explicit(&by_reason[reason], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&by_phase[phase], 1, memory_order_relaxed);
}

int64_t stat_answers_by_reason(unsigned reason)
{
	return atomic_load_explicit(&by_reason[reason], memory_order_relaxed);
}

int64_t stat_answers_by_phase(unsigned phase)
{
	return atomic_load_explicit(&by_phase[phase], memory_order_relaxed);
}

void stat_start(void)
{
	atomic_store(&start_ms, clock_wall_ms());
}

int64_t stat_start_wall_ms(void)
{
	return atomic_load(&start_ms);
}
