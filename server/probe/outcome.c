#include "server/probe/outcome.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/text.h"

#define GREYLIST_ASSUMED_MS (5 * 60 * 1000) /* when the server states no delay */

/* ---- evidence ---- */

struct answer *evidence_new(const struct session *s, enum phase phase, const struct reading_context *context,
	const struct reply *reply, const struct reading *reading)
{
	struct answer *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->retry_after_ms = -1;
	text_copy(a->operator_name, sizeof a->operator_name, s->hop.operator_name);
	struct evidence *e = &a->evidence;
	e->phase = phase;
	e->time_ms = clock_wall_ms();
	text_copy(e->mail_host, sizeof e->mail_host, s->hop.host);
	ip_text(&s->hop.ip, e->mail_ip);
	text_copy(e->source_ip, sizeof e->source_ip, s->source_ip);
	e->tls = s->tls;
	if (reading) {
		a->reason = reading->reason;
		text_copy(e->rule, sizeof e->rule, reading->rule);
		if (reading->delay_s)
			a->retry_after_ms = (int64_t)reading->delay_s * 1000;
		else if (reading->reason == REASON_GREYLISTED)
			a->retry_after_ms = GREYLIST_ASSUMED_MS;
	}
	if (reply) {
		e->code = (uint16_t)reply->code;
		reply_enhanced(reply, e->enhanced);
		struct buf masked = BUF_INIT(4 * EVIDENCE_TEXT_SIZE);
		reading_mask(context, reply, &masked);
		text_copy(e->text, sizeof e->text, buf_str(&masked));
		buf_free(&masked);
	}
	return a;
}

/* Replaces an ask's evidence; frees the old. */
static void set_evidence(struct ask *a, const struct answer *evidence)
{
	struct answer *copy = evidence ? malloc(sizeof *copy) : NULL;
	if (!copy)
		return;
	*copy = *evidence;
	copy->evidence.attempt = a->attempts;
	free(a->best);
	a->best = copy;
}

/* ---- answering ---- */

static bool is_remembered(enum reason reason, enum phase phase)
{
	enum verdict v = reason_verdict(reason);
	return phase >= PHASE_BANNER && (v == VERDICT_DELIVERABLE || v == VERDICT_UNDELIVERABLE);
}

static void remember(struct session *s, const struct ask *a, const struct answer *answer)
{
	const struct evidence *e = &answer->evidence;
	if (!is_remembered(answer->reason, e->phase))
		return;
	struct verdict_fact f = {
		.reason = answer->reason,
		.phase = e->phase,
		.catch_all = answer->catch_all,
		.random_control = (uint8_t)e->random,
		.postmaster_control = (uint8_t)e->postmaster,
		.code = e->code,
		.attempt = e->attempt,
		.attempts = a->attempts,
		.learned_ms = e->time_ms,
		.expires_ms = e->time_ms + engine_config(s->shard->engine)->facts.mailbox_ms,
	};
	text_copy(f.operator_name, sizeof f.operator_name, answer->operator_name);
	text_copy(f.mail_host, sizeof f.mail_host, e->mail_host);
	text_copy(f.mail_ip, sizeof f.mail_ip, e->mail_ip);
	text_copy(f.source_ip, sizeof f.source_ip, e->source_ip);
	text_copy(f.enhanced, sizeof f.enhanced, e->enhanced);
	text_copy(f.rule, sizeof f.rule, e->rule);
	text_copy(f.text, sizeof f.text, e->text);
	f.tls = e->tls;
	struct buf canonical = BUF_INIT(2 * ADDRESS_MAX);
	uint8_t key[STORE_KEY_BYTES];
	address_text(&a->address, &canonical);
	if (!canonical.err) {
		store_address_hash(engine_store(s->shard->engine), canonical.data, canonical.len, key);
		store_verdict_put(engine_store(s->shard->engine), a->address.domain, key, &f);
	}
	buf_free(&canonical);
}

static enum catch_all known_catch_all(const struct session *s, const struct ask *a, enum reason reason)
{
	if (reason == REASON_ACCEPT_ALL)
		return CATCH_ALL_YES;
	if (reason == REASON_ACCEPTED)
		return CATCH_ALL_NO;
	const struct work *w = s->visit.work;
	if (!work_fact_is_fresh(w, a, s->visit.now_wall_ms))
		return CATCH_ALL_NOT_KNOWN;
	return w->fact.accepts_all ? CATCH_ALL_YES : CATCH_ALL_NO;
}

/* The ask is in no visit any more, but still in its work. */
static void answer_ask(struct session *s, struct ask *a, enum reason reason)
{
	struct answer answer = { .retry_after_ms = -1 };
	bool stands = a->best && reason != REASON_EXEMPT; /* what an exempt domain's server said is dropped */
	if (stands)
		answer = *a->best;
	answer.reason = reason;
	if (!stands) {
		text_copy(answer.operator_name, sizeof answer.operator_name, s->hop.operator_name);
		text_copy(answer.evidence.mail_host, sizeof answer.evidence.mail_host, s->hop.host);
		ip_text(&s->hop.ip, answer.evidence.mail_ip);
		answer.evidence.time_ms = clock_wall_ms();
		answer.evidence.attempt = a->attempts;
	}
	answer.catch_all = known_catch_all(s, a, reason);
	answer.evidence.random = control_outcome(&s->visit.view.random);
	answer.evidence.postmaster = control_outcome(&s->visit.view.postmaster);
	if (reason == REASON_EXEMPT || reason == REASON_CANCELLED)
		answer.evidence.contact_begun = a->said;
	else
		remember(s, a, &answer);
	work_remove(a->work, a);
	ask_answer(a, &answer);
}

/* The domain is known to accept everybody: it was not asked about this one. */
static void answer_by_fact(struct session *s, struct ask *a)
{
	struct answer answer = {
		.reason = REASON_ACCEPT_ALL, .catch_all = CATCH_ALL_YES, .from_cache = true, .retry_after_ms = -1
	};
	answer.evidence.time_ms = a->work->fact.learned_ms;
	answer.age_ms = clock_wall_ms() - answer.evidence.time_ms;
	text_copy(answer.operator_name, sizeof answer.operator_name, s->hop.operator_name);
	text_copy(answer.evidence.mail_host, sizeof answer.evidence.mail_host, a->work->fact.host);
	answer.evidence.random = CONTROL_ACCEPTED;
	work_remove(a->work, a);
	ask_answer(a, &answer);
}

/* ---- the next host ---- */

/* Some reasons hold only when every host gave them. */
static bool needs_all_hosts(enum reason r)
{
	return r == REASON_NOT_SERVED_HERE || r == REASON_SMTPUTF8_UNSUPPORTED || r == REASON_NO_MAIL_HOST;
}

/* What says nothing any more once another host fails in another way. "Relay denied" then still says that it was
 * refused, unclearly. */
static bool is_void_alone(enum reason r)
{
	return needs_all_hosts(r) && r != REASON_NOT_SERVED_HERE;
}

static bool tells_more(const struct answer *now, const struct answer *before)
{
	if (!before || is_void_alone(now->reason) != is_void_alone(before->reason))
		return !before || is_void_alone(before->reason);
	return now->evidence.phase >= before->evidence.phase;
}

static void note_host_failure(struct ask *a, enum reason reason, const struct answer *evidence)
{
	if (a->best && a->best->reason != reason)
		a->hosts_differ = true;
	struct answer now = { 0 };
	if (evidence)
		now = *evidence;
	now.reason = reason;
	if (tells_more(&now, a->best))
		set_evidence(a, &now);
}

static enum reason of_all_hosts(const struct ask *a, enum reason last)
{
	enum reason r = a->best ? a->best->reason : last;
	bool all = !a->hosts_differ && !a->plan->incomplete;
	if (all || !needs_all_hosts(r))
		return r;
	return r == REASON_NOT_SERVED_HERE ? REASON_REFUSED_UNCLEAR : REASON_TEMPORARY_FAILURE;
}

/* To the hop `next` of its plan, or its answer when there is none. In no visit any more. */
static void to_hop(struct session *s, struct ask *a, unsigned next, enum reason reason)
{
	if (next >= a->plan->hop_count) {
		answer_ask(s, a, of_all_hosts(a, reason));
		return;
	}
	work_remove(a->work, a);
	a->hop = next;
	a->answer = (struct rcpt_answer){ 0 };
	shard_route_ask(s->shard, a);
}

static void to_next(struct session *s, struct ask *a, enum host_failure how, bool whole_host, enum reason reason)
{
	unsigned next = a->plan->hop_count;
	if (how != HOST_PUT_US_OFF)
		next = plan_next(a->plan, a->hop, whole_host ? s->hop.host : NULL,
			how == HOST_REFUSED_US ? s->hop.operator_name : NULL);
	to_hop(s, a, next, reason);
}

void outcome_not_offered(struct session *s, struct ask *a, enum reason reason)
{
	struct reading none = { .rule = "", .reason = reason };
	struct answer *evidence = evidence_new(s, PHASE_EHLO, NULL, NULL, &none);
	visit_drop(&s->visit, a);
	note_host_failure(a, reason, evidence);
	free(evidence);
	to_next(s, a, HOST_FAILED, true, reason);
}

/* ---- a visit's end ---- */

static void settle_one(struct session *s, struct ask *a, bool over)
{
	struct calibrated c = visit_judge(&s->visit, a, over);
	if (!c.final || (!a->answer.answered && c.reason == REASON_NONE))
		return;
	visit_drop(&s->visit, a);
	if (!a->answer.answered && c.reason == REASON_ACCEPT_ALL) {
		answer_by_fact(s, a);
		return;
	}
	if (!a->answer.answered && s->refusal) /* refused along with the one that was answered so */
		set_evidence(a, s->refusal);
	if (c.next_host) {
		note_host_failure(a, c.reason, a->best);
		to_next(s, a, HOST_FAILED, true, c.reason);
		return;
	}
	answer_ask(s, a, c.reason);
}

static void settle_list(struct session *s, struct asks *list, bool over)
{
	struct ask *next;
	for (struct ask *a = TAILQ_FIRST(list); a; a = next) {
		next = TAILQ_NEXT(a, link);
		settle_one(s, a, over);
	}
}

void outcome_settle(struct session *s, bool over)
{
	settle_list(s, &s->visit.answered, over);
	settle_list(s, &s->visit.taken, over);
	if (over)
		settle_list(s, &s->visit.flying, over);
}

/* Back into the work's queue, ahead of the others. */
static void put_back(struct session *s, struct ask *a)
{
	struct work *w = a->work;
	visit_drop(&s->visit, a);
	a->state = ASK_WAITING;
	TAILQ_INSERT_HEAD(&w->waiting, a, link);
	w->waiting_count++;
}

static void leave_work(struct session *s)
{
	struct work *w = s->visit.work;
	s->visiting = false;
	w->serving--;
	work_ready_changed(s->shard, w);
}

/* Calls fn for each ask of the visit; fn takes it out. */
static void drain_visit(struct session *s, void (*fn)(struct session *, struct ask *, void *), void *ctx)
{
	struct asks *lists[] = { &s->visit.taken, &s->visit.flying, &s->visit.answered };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		for (struct ask *a; (a = TAILQ_LAST(lists[i], asks));)
			fn(s, a, ctx);
}

static void give_reason(struct session *s, struct ask *a, void *ctx)
{
	visit_drop(&s->visit, a);
	answer_ask(s, a, *(enum reason *)ctx);
}

void outcome_all(struct session *s, enum reason reason)
{
	drain_visit(s, give_reason, &reason);
	leave_work(s);
}

static void not_asked(struct session *s, struct ask *a, void *ctx)
{
	(void)ctx;
	if (!s->shard->draining) {
		put_back(s, a);
		return;
	}
	visit_drop(&s->visit, a);
	answer_ask(s, a, REASON_CANCELLED);
}

void outcome_visit_over(struct session *s)
{
	outcome_settle(s, true);
	drain_visit(s, not_asked, NULL);
	leave_work(s);
}

/* ---- failures ---- */

struct failure {
	enum host_failure how;
	enum reason reason;
	struct answer *evidence;
	bool random_owed; /* answers wait for a random control that was not asked */
};

static void host_failed_for(struct session *s, struct ask *a, void *ctx)
{
	const struct failure *f = ctx;
	visit_drop(&s->visit, a);
	if (a->answer.answered) { /* in an earlier session; the random control cannot be asked any more */
		struct calibrated c = visit_judge(&s->visit, a, true);
		answer_ask(s, a, c.reason);
		return;
	}
	note_host_failure(a, f->reason, f->evidence);
	to_next(s, a, f->how, false, f->reason);
}

/* The rest of the work's queue fares as the visit does. */
static void take_all(struct session *s)
{
	struct work *w = s->visit.work;
	for (struct ask *a; (a = TAILQ_FIRST(&w->waiting));) {
		TAILQ_REMOVE(&w->waiting, a, link);
		w->waiting_count--;
		a->state = ASK_TAKEN;
		a->attempts++;
		TAILQ_INSERT_TAIL(&s->visit.taken, a, link);
	}
}

void outcome_host_failed(struct session *s, enum host_failure how, enum reason reason, struct answer *evidence)
{
	struct failure f = { .how = how, .reason = reason, .evidence = evidence };
	take_all(s);
	drain_visit(s, host_failed_for, &f);
	free(evidence);
	leave_work(s);
}

static void sender_refused_for(struct session *s, struct ask *a, void *ctx)
{
	const struct failure *f = ctx;
	visit_drop(&s->visit, a);
	if (a->answer.answered) {
		answer_ask(s, a, visit_judge(&s->visit, a, true).reason);
		return;
	}
	set_evidence(a, f->evidence);
	answer_ask(s, a, f->reason);
}

void outcome_sender_refused(struct session *s, enum reason reason, struct answer *evidence)
{
	struct failure f = { .reason = reason, .evidence = evidence };
	take_all(s);
	drain_visit(s, sender_refused_for, &f);
	free(evidence);
	leave_work(s);
}

static void lost_for(struct session *s, struct ask *a, void *ctx)
{
	const struct failure *f = ctx;
	bool answered = a->answer.answered;
	if (answered && (visit_judge(&s->visit, a, false).final || !f->random_owed)) {
		settle_one(s, a, true);
		return;
	}
	if (++a->lost < ASK_SESSIONS_MAX && !s->shard->draining) {
		put_back(s, a);
		return;
	}
	if (answered) {
		settle_one(s, a, true);
		return;
	}
	visit_drop(&s->visit, a);
	set_evidence(a, f->evidence);
	answer_ask(s, a, s->shard->draining ? REASON_CANCELLED : f->reason);
}

void outcome_lost(struct session *s, enum reason reason, enum phase phase)
{
	struct reading none = { .rule = "", .reason = reason };
	struct failure f = {
		.reason = reason,
		.evidence = evidence_new(s, phase, NULL, NULL, &none),
		.random_owed = visit_wants_random(&s->visit),
	};
	drain_visit(s, lost_for, &f);
	free(f.evidence);
	leave_work(s);
}

void outcome_refused(struct session *s)
{
	take_all(s);
	outcome_visit_over(s);
}

/* What is remembered of a host keeps this from going round; the count does, should it be forgotten. */
static void again_for(struct session *s, struct ask *a, void *ctx)
{
	const struct failure *f = ctx;
	if (++a->again <= ASK_AGAIN_MAX) {
		put_back(s, a);
		return;
	}
	if (a->answer.answered) {
		settle_one(s, a, true);
		return;
	}
	visit_drop(&s->visit, a);
	set_evidence(a, f->evidence);
	answer_ask(s, a, f->reason);
}

void outcome_again(struct session *s)
{
	if (s->shard->draining) { /* no session follows in which it could be asked */
		outcome_visit_over(s);
		return;
	}
	struct reading none = { .rule = "", .reason = REASON_PROTOCOL_ERROR };
	struct failure f = { .reason = REASON_PROTOCOL_ERROR,
		.evidence = evidence_new(s, PHASE_MAIL, NULL, NULL, &none) };
	drain_visit(s, again_for, &f);
	free(f.evidence);
	leave_work(s);
}

static void unlearn(struct session *s, struct ask *a, void *ctx)
{
	a->answer = (struct rcpt_answer){ 0 };
	lost_for(s, a, ctx);
}

void outcome_out_of_step(struct session *s)
{
	struct reading none = { .rule = "", .reason = REASON_PROTOCOL_ERROR };
	struct failure f = { .reason = REASON_PROTOCOL_ERROR,
		.evidence = evidence_new(s, PHASE_RCPT, NULL, NULL, &none) };
	drain_visit(s, unlearn, &f);
	free(f.evidence);
	leave_work(s);
}
