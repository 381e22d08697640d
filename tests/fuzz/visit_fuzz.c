/* One domain's turn in a session with any answers in any order: the budget of unknown recipients holds, what was final
 * stays so, and when it is over every answer has its meaning. */
#include <string.h>

#include "server/base/text.h"
#include "server/probe/visit.h"
#include "tests/fuzz/fuzz.h"

#define ASKS_MAX 110 /* more than a visit takes */
#define NOW 1000000

struct turn {
	struct plan *plan;
	struct work *work;
	struct caller *caller;
	struct visit v;
	struct ask *ask[ASKS_MAX];
	unsigned asks;
	enum reason posted[ASKS_MAX]; /* by a judgement that was final; REASON_NONE: none yet */
	int flying[ASKS_MAX + 1];     /* tags, in the order in which they were said */
	unsigned flying_n, refusals, dropped;
	bool refused;
};

static void answered(struct target *t)
{
	target_free(t);
}

static void begin(struct turn *t, struct choices *c)
{
	t->plan = calloc(1, sizeof *t->plan + sizeof(struct hop));
	t->caller = caller_new(NULL, answered, NULL);
	if (!t->plan || !t->caller)
		abort();
	atomic_init(&t->plan->refs, 1);
	t->plan->hop_count = 1;
	text_copy(t->plan->domain, sizeof t->plan->domain, "d.example");
	text_copy(t->plan->hop[0].host, sizeof t->plan->hop[0].host, "mx.d.example");
	unsigned bits = choose(c, 16);
	t->plan->hop[0].best = bits & 1;
	t->plan->has_fact = bits & 2;
	t->plan->fact.accepts_all = bits & 4;
	t->plan->fact.learned_ms = NOW - 1000;
	t->plan->fact.expires_ms = NOW + 1000 - 2000 * (int64_t)choose(c, 2);
	text_copy(t->plan->fact.host, sizeof t->plan->fact.host, bits & 8 ? "mx.d.example" : "other.example");
	t->work = work_new(t->plan, 0);
	t->asks = choose(c, ASKS_MAX + 1);
	if (!t->work)
		abort();
	for (unsigned i = 0; i < t->asks; i++) {
		struct address a = { .domain = "d.example" };
		snprintf(a.local, sizeof a.local, "u%u", i);
		struct target *target = target_new(t->caller, &a, i, INT64_MIN);
		if (!target)
			abort();
		target->plan = plan_ref(t->plan);
		t->ask[i] = ask_new(target);
		if (!t->ask[i])
			abort();
		work_add(t->work, t->ask[i], false);
	}
	visit_begin(&t->v, t->work, 1 + choose(c, 10), 0, choose(c, 5), NOW);
}

static void end(struct turn *t)
{
	struct ask *a, *next;
	HASH_ITER (hh, t->work->asks, a, next) {
		HASH_DEL(t->work->asks, a);
		ask_free(a);
	}
	work_free(t->work);
	plan_unref(t->plan);
	caller_unref(t->caller);
}

/* What reading_of() could say of such a code. */
static struct rcpt_answer any_answer(struct choices *c)
{
	static const uint16_t CODES[] = { 250, 251, 252, 200, 354, 421, 450, 451, 452, 500, 550, 551, 553, 554, 571,
		999 };
	static const enum reason REASONS_5YZ[] = { REASON_MAILBOX_UNKNOWN, REASON_REFUSED_UNCLEAR,
		REASON_NOT_SERVED_HERE, REASON_MAILBOX_DISABLED, REASON_SOURCE_REFUSED, REASON_MAILBOX_FULL,
		REASON_PROTOCOL_ERROR };
	struct rcpt_answer a = { .code = CODES[choose(c, 16)], .fingerprint = choose(c, 3) };
	unsigned bits = choose_byte(c);
	a.reading.reason = a.code < 300	  ? REASON_ACCEPTED
			   : a.code < 500 ? REASON_TEMPORARY_FAILURE
					  : REASONS_5YZ[choose(c, 7)];
	a.reading.strength = bits & 1 ? STRENGTH_CLEAR : STRENGTH_AMBIGUOUS;
	a.reading.about_us = bits & 2;
	a.reading.scope = bits & 4 ? SCOPE_DOMAIN : SCOPE_RECIPIENT;
	a.reading.rule = "";
	return a;
}

static unsigned length(const struct asks *list, enum ask_state state)
{
	unsigned n = 0;
	const struct ask *a;
	TAILQ_FOREACH (a, list, link) {
		MUST(a->state == state && n < ASKS_MAX);
		n++;
	}
	return n;
}

/* Answered without being asked, by what is known of the domain. */
static void drop(struct turn *t, unsigned i)
{
	visit_drop(&t->v, t->ask[i]);
	work_remove(t->work, t->ask[i]);
	ask_free(t->ask[i]);
	t->ask[i] = NULL;
	t->dropped++;
}

/* As a session does: after each answer, and once at the end. */
static void judge(struct turn *t, bool over)
{
	for (unsigned i = 0; i < t->asks; i++) {
		const struct ask *a = t->ask[i];
		if (!a || a->state == ASK_WAITING || (a->state == ASK_FLYING && !over))
			continue;
		struct calibrated c = visit_judge(&t->v, a, over);
		if (t->posted[i] != REASON_NONE)
			MUST(c.final && c.reason == t->posted[i]);
		if (over && a->answer.answered)
			MUST(c.final);
		if (!c.final)
			continue;
		MUST(c.reason != REASON_NONE && c.reason < REASONS);
		if (a->state == ASK_TAKEN)
			drop(t, i);
		else
			t->posted[i] = c.reason;
	}
}

static void check(const struct turn *t)
{
	const struct visit *v = &t->v;
	unsigned flying = length(&v->flying, ASK_FLYING);
	MUST(flying == v->flying_count && flying + v->control_flying == t->flying_n);
	MUST(flying + length(&v->taken, ASK_TAKEN) + length(&v->answered, ASK_ANSWERED) + t->dropped == v->count);
	MUST(length(&t->work->waiting, ASK_WAITING) == t->work->waiting_count);
	MUST(v->count + t->work->waiting_count == t->asks);
	MUST(v->count <= VISIT_ASKS_MAX);
	MUST(t->refusals <= v->unknown_max); /* what they count against us */
}

static void say(struct turn *t)
{
	struct ask *a = NULL;
	enum visit_next next = visit_next(&t->v, &a);
	if (next == VISIT_WAIT)
		MUST(t->flying_n);
	if (next == VISIT_OVER)
		MUST(!t->flying_n);
	if (next != VISIT_TARGET && next != VISIT_CONTROL)
		return;
	MUST(!t->refused && !t->v.view.random.answered && !t->v.control_flying);
	if (next == VISIT_CONTROL)
		MUST(!t->flying_n);
	t->flying[t->flying_n++] = visit_said(&t->v, next == VISIT_TARGET ? a : NULL);
}

static int land(struct turn *t)
{
	int tag = t->flying[0];
	memmove(t->flying, t->flying + 1, --t->flying_n * sizeof *t->flying);
	return tag;
}

static void hear(struct turn *t, struct choices *c)
{
	unsigned what = choose(c, 16);
	if (!t->flying_n || t->refused)
		return;
	if (what == 0) {
		visit_unsaid(&t->v, land(t));
		return;
	}
	struct rcpt_answer answer = any_answer(c);
	answer.answered = true;
	t->refusals += rcpt_unknown(&answer);
	visit_answered(&t->v, land(t), answer);
	if (what == 1 && answer.code >= 400) {
		visit_refused(&t->v, &answer.reading);
		t->refused = true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct choices c = { data, len };
	struct turn t = { .asks = 0 };
	begin(&t, &c);
	while (c.left) {
		switch (choose(&c, 4)) {
		case 0:
		case 1: say(&t); break;
		case 2: hear(&t, &c); break;
		default: judge(&t, false);
		}
		check(&t);
	}
	judge(&t, true);
	end(&t);
	return 0;
}
