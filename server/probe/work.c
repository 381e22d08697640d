#include "server/probe/work.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/text.h"

struct ask *ask_new(struct target *t)
{
	struct ask *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	TAILQ_INIT(&a->targets);
	a->plan = t->plan;
	t->plan = NULL;
	a->address = t->address;
	a->not_before_ms = INT64_MIN;
	ask_add_target(a, t);
	return a;
}

void ask_free(struct ask *a)
{
	for (struct target *t; (t = TAILQ_FIRST(&a->targets));) {
		TAILQ_REMOVE(&a->targets, t, link);
		target_free(t);
	}
	plan_unref(a->plan);
	free(a->best);
	free(a);
}

void ask_add_target(struct ask *a, struct target *t)
{
	plan_unref(t->plan);
	t->plan = NULL;
	TAILQ_INSERT_TAIL(&a->targets, t, link);
	if (t->not_before_ms > a->not_before_ms)
		a->not_before_ms = t->not_before_ms;
}

bool ask_is_wanted(struct ask *a)
{
	struct target *next;
	for (struct target *t = TAILQ_FIRST(&a->targets); t; t = next) {
		next = TAILQ_NEXT(t, link);
		if (target_is_wanted(t))
			continue;
		TAILQ_REMOVE(&a->targets, t, link);
		target_answer_plainly(t, REASON_CANCELLED, PHASE_NONE);
	}
	return !TAILQ_EMPTY(&a->targets);
}

void ask_answer(struct ask *a, struct answer *answer)
{
	answer->attempts = a->attempts;
	for (struct target *t; (t = TAILQ_FIRST(&a->targets));) {
		TAILQ_REMOVE(&a->targets, t, link);
		target_answer(t, answer);
	}
	ask_free(a);
}

struct work *work_new(const struct plan *plan, unsigned hop)
{
	struct work *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	TAILQ_INIT(&w->waiting);
	w->hop = plan->hop[hop];
	text_copy(w->domain, sizeof w->domain, plan->domain);
	text_copy(w->control, sizeof w->control, plan->control);
	w->has_fact = plan->has_fact;
	w->fact = plan->fact;
	text_copy(w->key.domain, sizeof w->key.domain, plan->domain);
	w->key.ip = w->hop.ip;
	return w;
}

void work_free(struct work *w)
{
	free(w);
}

static void swallow(struct ask *into, struct ask *from)
{
	for (struct target *t; (t = TAILQ_FIRST(&from->targets));) {
		TAILQ_REMOVE(&from->targets, t, link);
		ask_add_target(into, t);
	}
	ask_free(from);
}

void work_add(struct work *w, struct ask *a)
{
	struct ask *same = work_find(w, &a->address);
	if (same) {
		swallow(same, a);
		return;
	}
	if (a->plan->has_fact && (!w->has_fact || a->plan->fact.learned_ms > w->fact.learned_ms)) {
		w->has_fact = true;
		w->fact = a->plan->fact;
	}
	a->work = w;
	a->state = ASK_WAITING;
	HASH_ADD_STR(w->asks, address.local, a); /* no memory: the same address may be asked twice */
	w->count++;
	w->waiting_count++;
	TAILQ_INSERT_TAIL(&w->waiting, a, link);
}

void work_remove(struct work *w, struct ask *a)
{
	if (a->state == ASK_WAITING) {
		TAILQ_REMOVE(&w->waiting, a, link);
		w->waiting_count--;
	}
	if (a->hh.tbl)
		HASH_DEL(w->asks, a);
	w->count--;
	a->work = NULL;
}

struct ask *work_find(const struct work *w, const struct address *address)
{
	struct ask *a;
	HASH_FIND_STR(w->asks, address->local, a);
	return a;
}

bool work_fact_is_fresh(const struct work *w, const struct ask *a, int64_t now)
{
	return w->has_fact && w->fact.expires_ms > now && w->fact.learned_ms >= a->not_before_ms;
}
