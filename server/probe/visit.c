#include "server/probe/visit.h"

#include <string.h>
#include <strings.h>

#define RANDOM_AFTER_UNKNOWN 3

void visit_begin(struct visit *v, struct work *work, unsigned unknown_max, unsigned unknown_used,
	unsigned unknown_targets, int64_t now)
{
	memset(v, 0, sizeof *v);
	v->work = work;
	TAILQ_INIT(&v->taken);
	TAILQ_INIT(&v->flying);
	TAILQ_INIT(&v->answered);
	v->unknown_max = unknown_max;
	v->unknown_used = unknown_used;
	v->unknown_targets = unknown_targets;
	v->may_ask = v->may_ask_controls = true;
	v->now_wall_ms = now;
	v->view.best_preference = work->hop.best;
}

static struct asks *list_of(struct visit *v, const struct ask *a)
{
	return a->state == ASK_FLYING ? &v->flying : a->state == ASK_ANSWERED ? &v->answered : &v->taken;
}

static void move(struct visit *v, struct ask *a, enum ask_state to)
{
	TAILQ_REMOVE(list_of(v, a), a, link);
	v->flying_count -= a->state == ASK_FLYING;
	a->state = to;
	v->flying_count += to == ASK_FLYING;
	TAILQ_INSERT_TAIL(list_of(v, a), a, link);
}

static bool fact_is_fresh(const struct visit *v, const struct ask *a)
{
	const struct work *w = v->work;
	return work_fact_is_fresh(w, a, v->now_wall_ms) &&
	       (w->fact.accepts_all || strcmp(w->fact.host, w->hop.host) == 0);
}

/* Which controls does this answer make wanted, also when the answer itself is judged by then? */
static void note_for_controls(struct visit *v, const struct ask *a)
{
	const struct rcpt_answer *answer = &a->answer;
	bool refused = answer->code / 100u == 5;
	bool puzzling = refused && (rcpt_ambiguous(answer) || rcpt_relay_denied(answer));
	v->postmaster_due |= puzzling;
	v->random_due |= puzzling || (!refused && !fact_is_fresh(v, a));
	if (strcasecmp(a->address.local, POSTMASTER) == 0) /* somebody asked about it: that is its answer */
		v->view.postmaster = *answer;
}

bool visit_take(struct visit *v)
{
	struct work *w = v->work;
	struct ask *a = TAILQ_FIRST(&w->waiting);
	if (!a || v->count == VISIT_ASKS_MAX || v->view.random.answered || v->control_flying)
		return false;
	TAILQ_REMOVE(&w->waiting, a, link);
	w->waiting_count--;
	a->attempts++;
	/* An answer that outlived its session waits for the random control alone. */
	a->outlived = a->answer.answered;
	a->state = a->outlived ? ASK_ANSWERED : ASK_TAKEN;
	if (a->outlived)
		note_for_controls(v, a);
	TAILQ_INSERT_TAIL(list_of(v, a), a, link);
	v->tag[v->count++] = a;
	return true;
}

/* How many more recipients may be refused as unknown, were all in flight refused. */
static unsigned budget(const struct visit *v)
{
	unsigned spoken_for = v->unknown_used + v->flying_count + (v->control_flying ? 1 : 0);
	return spoken_for < v->unknown_max ? v->unknown_max - spoken_for : 0;
}

bool visit_wants_random(const struct visit *v)
{
	if (v->view.random.answered || !v->may_ask_controls)
		return false;
	return v->random_due || v->unknown_targets >= RANDOM_AFTER_UNKNOWN;
}

static bool wants_postmaster(const struct visit *v)
{
	return v->postmaster_due && !v->view.postmaster.answered && !v->view.random.answered && v->may_ask_controls;
}

enum visit_next visit_next(struct visit *v, struct ask **ask)
{
	/* A slot is kept for the random control, which comes last. */
	if (v->may_ask && !v->control_flying && !v->view.random.answered) {
		if (TAILQ_EMPTY(&v->taken))
			while (visit_take(v) && TAILQ_EMPTY(&v->taken))
				; /* answers that outlived their session need no asking */
		*ask = TAILQ_FIRST(&v->taken);
		if (*ask && budget(v) > 1)
			return VISIT_TARGET;
	}
	if (v->flying_count || v->control_flying)
		return VISIT_WAIT;
	if (budget(v) > 1 && wants_postmaster(v))
		v->control_tag = VISIT_TAG_POSTMASTER;
	else if (budget(v) > 0 && visit_wants_random(v))
		v->control_tag = VISIT_TAG_RANDOM;
	else
		return VISIT_OVER;
	return VISIT_CONTROL;
}

int visit_said(struct visit *v, struct ask *a)
{
	if (!a) {
		v->control_flying = true;
		return v->control_tag;
	}
	move(v, a, ASK_FLYING);
	a->said = true;
	for (unsigned i = 0; i < v->count; i++)
		if (v->tag[i] == a)
			return (int)i;
	__builtin_unreachable(); /* visit_take() gave it a tag */
}

struct ask *visit_ask(const struct visit *v, int tag)
{
	return tag >= VISIT_TAG_RANDOM ? NULL : v->tag[tag];
}

void visit_answered(struct visit *v, int tag, struct rcpt_answer answer)
{
	answer.answered = true;
	answer.order = ++v->work->order;
	v->unknown_used += rcpt_unknown(&answer);
	struct ask *a = visit_ask(v, tag);
	if (!a) {
		v->control_flying = false;
		if (tag == VISIT_TAG_POSTMASTER) {
			v->view.postmaster = answer;
			return;
		}
		v->view.random = answer;
		v->view.unknown_before_random = v->unknown_targets;
		return;
	}
	v->unknown_targets += rcpt_unknown(&answer);
	if (rcpt_accepted(&answer))
		v->view.last_accepted = answer.order;
	a->answer = answer;
	note_for_controls(v, a);
	move(v, a, ASK_ANSWERED);
}

void visit_unsaid(struct visit *v, int tag)
{
	struct ask *a = visit_ask(v, tag);
	if (!a) {
		v->control_flying = false;
		return;
	}
	move(v, a, ASK_TAKEN);
	TAILQ_REMOVE(&v->taken, a, link); /* it is the next, so that it does not come last each time */
	TAILQ_INSERT_HEAD(&v->taken, a, link);
}

void visit_refused(struct visit *v, const struct reading *reading)
{
	v->view.refused_us = *reading;
	v->may_ask = v->may_ask_controls = false;
}

struct calibrated visit_judge(const struct visit *v, const struct ask *a, bool over)
{
	struct session_view view = v->view;
	if (a->outlived) /* who is accepted in this session says nothing of a refusal in another */
		view.last_accepted = 0;
	view.fact = !fact_is_fresh(v, a) ? KNOWN_NOTHING : v->work->fact.accepts_all ? KNOWN_YES : KNOWN_NO_HERE;
	return calibrate(&a->answer, &view, over);
}

void visit_drop(struct visit *v, struct ask *a)
{
	TAILQ_REMOVE(list_of(v, a), a, link);
	v->flying_count -= a->state == ASK_FLYING;
	for (unsigned i = 0; i < v->count; i++)
		if (v->tag[i] == a)
			v->tag[i] = NULL;
}
