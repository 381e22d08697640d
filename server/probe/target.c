#include "server/probe/target.h"

#include <stdlib.h>

#include "server/base/clock.h"
#include "server/probe/plan.h"
#include "server/stats/stats.h"

struct caller *caller_new(struct loop *loop, void (*answered)(struct target *), void *ctx)
{
	struct caller *c = malloc(sizeof *c);
	if (!c)
		return NULL;
	atomic_init(&c->refs, 1);
	atomic_init(&c->cancelled, false);
	c->loop = loop;
	c->answered = answered;
	c->ctx = ctx;
	return c;
}

struct caller *caller_ref(struct caller *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void caller_unref(struct caller *c)
{
	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		free(c);
}

struct target *target_new(struct caller *caller, const struct address *address, uint64_t id, int64_t not_before_ms)
{
	struct target *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->caller = caller_ref(caller);
	t->address = *address;
	t->id = id;
	t->not_before_ms = not_before_ms;
	return t;
}

void target_free(struct target *t)
{
	if (!t)
		return;
	plan_unref(t->plan);
	caller_unref(t->caller);
	free(t->answer);
	free(t);
}

static void come_home(struct mail *m)
{
	struct target *t = (struct target *)m;
	t->caller->answered(t);
}

void target_answer(struct target *t, const struct answer *answer)
{
	t->answer = malloc(sizeof *t->answer);
	if (t->answer)
		*t->answer = *answer;
	if (answer->reason != REASON_CANCELLED || target_is_wanted(t)) /* else nobody is given it */
		stat_add_answer(answer->reason, answer->evidence.phase);
	if (answer->from_cache)
		stat_add(STAT_CACHE_HITS, 1);
	else if (t->missed)
		stat_add(STAT_CACHE_MISSES, 1);
	stat_add(STAT_ADDRESSES_WAITING, -1);
	plan_unref(t->plan);
	t->plan = NULL;
	loop_send(t->caller->loop, &t->mail, come_home);
}

void target_answer_plainly(struct target *t, enum reason reason, enum phase phase)
{
	struct answer answer = { .reason = reason, .retry_after_ms = -1 };
	answer.evidence.phase = phase;
	answer.evidence.time_ms = clock_wall_ms();
	target_answer(t, &answer);
}
