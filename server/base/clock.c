#include "server/base/clock.h"

#include <stdatomic.h>
#include <time.h>

static atomic_llong fake_ms = -1; /* negative: the real clock */

static int64_t read_clock(clockid_t id)
{
	int64_t fake = atomic_load_explicit(&fake_ms, memory_order_relaxed);
	if (fake >= 0)
		return fake;
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

void clock_fake(int64_t wall_ms)
{
	atomic_store(&fake_ms, wall_ms);
}

void clock_fake_advance(int64_t ms)
{
	atomic_fetch_add(&fake_ms, ms);
}

void clock_real(void)
{
	atomic_store(&fake_ms, -1);
}
