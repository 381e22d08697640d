#include "server/verdict/calibrate.h"

#define TURNS_AFTER 3 /* unknown recipients after which some servers accept everybody */

static bool has_class(const struct rcpt_answer *a, unsigned hundreds)
{
	return a->answered && a->code / 100u == hundreds;
}

bool rcpt_accepted(const struct rcpt_answer *a)
{
	return a->answered && (a->code == 250 || a->code == 251);
}

bool rcpt_unknown(const struct rcpt_answer *a)
{
	return has_class(a, 5) && !(a->reading.about_us && a->reading.strength == STRENGTH_CLEAR);
}

bool rcpt_ambiguous(const struct rcpt_answer *a)
{
	return has_class(a, 5) && a->reading.strength == STRENGTH_AMBIGUOUS;
}

bool rcpt_relay_denied(const struct rcpt_answer *a)
{
	return has_class(a, 5) && a->reading.kind == MEANS_REASON && a->reading.reason == REASON_NOT_SERVED_HERE;
}

/* R's mailbox was refused: neither we, nor the way it was asked (a 503 out of the blue). */
static bool random_refused(const struct session_view *v)
{
	const struct reading *r = &v->random.reading;
	return has_class(&v->random, 5) && r->kind == MEANS_REASON && !r->about_us;
}

enum control control_outcome(const struct rcpt_answer *a)
{
	if (has_class(a, 2))
		return CONTROL_ACCEPTED;
	if (has_class(a, 5))
		return CONTROL_REFUSED;
	return a->answered ? CONTROL_TEMPORARY : CONTROL_NOT_ASKED;
}

enum catch_all learned_catch_all(const struct session_view *v)
{
	if (!v->best_preference)
		return CATCH_ALL_NOT_KNOWN;
	if (rcpt_accepted(&v->random) && v->unknown_before_random < TURNS_AFTER)
		return CATCH_ALL_YES;
	if (random_refused(v))
		return CATCH_ALL_NO;
	return CATCH_ALL_NOT_KNOWN;
}

static bool accepts_all(const struct session_view *v)
{
	return v->fact == KNOWN_YES || learned_catch_all(v) == CATCH_ALL_YES;
}

static struct calibrated accepted(const struct rcpt_answer *t, const struct session_view *v, bool over)
{
	bool asked_random = v->random.answered;
	if (t->code == 250 || t->code == 251) {
		if (random_refused(v) && v->random.order > t->order)
			return (struct calibrated){ .reason = REASON_ACCEPTED, .final = true };
		if (v->fact == KNOWN_NO_HERE && !asked_random)
			return (struct calibrated){ .reason = REASON_ACCEPTED, .final = over };
	}
	bool final = over || asked_random; /* R is the last to be asked */
	return (struct calibrated){ .reason = accepts_all(v) ? REASON_ACCEPT_ALL : REASON_CATCH_ALL_UNKNOWN,
		.final = final };
}

static bool same_refusal(const struct rcpt_answer *a, const struct rcpt_answer *b)
{
	return has_class(b, 5) && a->fingerprint == b->fingerprint;
}

static struct calibrated refused(const struct rcpt_answer *t, const struct session_view *v, bool over)
{
	if (rcpt_relay_denied(t) && t->reading.strength == STRENGTH_CLEAR) {
		bool all = rcpt_relay_denied(&v->random) && rcpt_relay_denied(&v->postmaster);
		return (struct calibrated){ all ? REASON_NOT_SERVED_HERE : REASON_REFUSED_UNCLEAR, .next_host = all,
			.final = over };
	}
	if (t->reading.strength == STRENGTH_CLEAR)
		return (struct calibrated){ .reason = t->reading.reason, .final = true };
	if (t->reading.reason == REASON_MAILBOX_UNKNOWN && v->last_accepted > t->order)
		return (struct calibrated){ .reason = REASON_MAILBOX_UNKNOWN, .final = true };
	bool as_controls = same_refusal(t, &v->random) && same_refusal(t, &v->postmaster);
	return (struct calibrated){ .reason = as_controls ? REASON_CONTROL_REFUSED : REASON_REFUSED_UNCLEAR,
		.final = over };
}

struct calibrated calibrate(const struct rcpt_answer *t, const struct session_view *v, bool over)
{
	if (!t->answered) {
		if (accepts_all(v))
			return (struct calibrated){ .reason = REASON_ACCEPT_ALL, .final = true };
		return (struct calibrated){ .reason = v->refused_us.reason,
			.final = v->refused_us.reason != REASON_NONE };
	}
	switch (t->code / 100u) {
	case 2: return accepted(t, v, over);
	case 5: return refused(t, v, over);
	default:
		return (struct calibrated){ .reason = t->reading.reason,
			.final = true }; /* 4yz by its words; else no SMTP */
	}
}
