/* The calibration table of docs/VERDICTS.md, row by row. */
#include "server/verdict/calibrate.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct rcpt_answer answer(int code, enum reason reason, enum strength strength, unsigned order)
{
	struct rcpt_answer a = {
		.answered = true, .code = (uint16_t)code, .order = order, .fingerprint = (uint64_t)code * 31 + reason
	};
	a.reading.reason = reason;
	a.reading.strength = strength;
	a.reading.about_us = reason == REASON_SOURCE_REFUSED || reason == REASON_IDENTITY_REFUSED;
	return a;
}

static struct rcpt_answer yes(unsigned order)
{
	return answer(250, REASON_ACCEPTED, STRENGTH_CLEAR, order);
}

static struct rcpt_answer unknown(unsigned order)
{
	return answer(550, REASON_MAILBOX_UNKNOWN, STRENGTH_CLEAR, order);
}

static struct rcpt_answer ambiguous(int code, enum reason reason, unsigned order)
{
	return answer(code, reason, STRENGTH_AMBIGUOUS, order);
}

static enum reason judge(struct rcpt_answer t, struct session_view v)
{
	struct calibrated c = calibrate(&t, &v, true);
	assert_true(c.final);
	return c.reason;
}

static const struct session_view BEST = { .best_preference = true };

static void a_4yz_is_what_its_words_say_whatever_else_is_known(void **state)
{
	(void)state;
	struct session_view v = BEST;
	v.random = unknown(2);
	v.last_accepted = 9;
	assert_int_equal(judge(answer(451, REASON_GREYLISTED, STRENGTH_CLEAR, 1), v), REASON_GREYLISTED);
	assert_int_equal(
		judge(answer(450, REASON_TEMPORARY_FAILURE, STRENGTH_AMBIGUOUS, 1), v), REASON_TEMPORARY_FAILURE);
	assert_int_equal(judge(answer(452, REASON_MAILBOX_FULL, STRENGTH_CLEAR, 1), v), REASON_MAILBOX_FULL);
	struct rcpt_answer t = answer(451, REASON_GREYLISTED, STRENGTH_CLEAR, 1);
	assert_true(calibrate(&t, &BEST, false).final); /* at once */
}

static void a_clear_5yz_is_that_whatever_else_is_known(void **state)
{
	(void)state;
	struct session_view v = BEST;
	v.random = yes(2);
	static const enum reason REASON[] = { REASON_MAILBOX_UNKNOWN, REASON_MAILBOX_DISABLED, REASON_MAILBOX_FULL,
		REASON_SOURCE_REFUSED, REASON_IDENTITY_REFUSED, REASON_NULL_MX, REASON_INVALID_SYNTAX };
	for (size_t i = 0; i < sizeof REASON / sizeof *REASON; i++) {
		struct rcpt_answer t = answer(550, REASON[i], STRENGTH_CLEAR, 1);
		assert_int_equal(judge(t, v), REASON[i]);
		assert_true(calibrate(&t, &BEST, false).final);
	}
}

static void relay_denied_needs_both_controls_then_the_next_host(void **state)
{
	(void)state;
	struct rcpt_answer t = answer(554, REASON_NOT_SERVED_HERE, STRENGTH_CLEAR, 1);
	struct session_view v = BEST;
	assert_false(calibrate(&t, &v, false).final); /* the controls come later */
	assert_int_equal(judge(t, v), REASON_REFUSED_UNCLEAR);
	v.random = answer(554, REASON_NOT_SERVED_HERE, STRENGTH_CLEAR, 2);
	assert_int_equal(judge(t, v), REASON_REFUSED_UNCLEAR);
	v.postmaster = answer(550, REASON_NOT_SERVED_HERE, STRENGTH_CLEAR, 3);
	struct calibrated c = calibrate(&t, &v, true);
	assert_int_equal(c.reason, REASON_NOT_SERVED_HERE);
	assert_true(c.next_host);
	v.postmaster = yes(3);
	assert_int_equal(judge(t, v), REASON_REFUSED_UNCLEAR);
	assert_false(calibrate(&t, &v, true).next_host);
}

static void accepted_and_random_refused_after_it_is_deliverable(void **state)
{
	(void)state;
	struct session_view v = BEST;
	v.random = unknown(2);
	assert_int_equal(judge(yes(1), v), REASON_ACCEPTED);
	assert_int_equal(judge(answer(251, REASON_ACCEPTED, STRENGTH_CLEAR, 1), v), REASON_ACCEPTED);
	v.random = ambiguous(554, REASON_REFUSED_UNCLEAR, 2); /* refused all the same */
	assert_int_equal(judge(yes(1), v), REASON_ACCEPTED);
	v.best_preference = false; /* a worse host may speak of its own mailboxes */
	assert_int_equal(judge(yes(1), v), REASON_ACCEPTED);

	v = BEST;
	v.random = unknown(1);
	assert_int_equal(judge(yes(2), v), REASON_CATCH_ALL_UNKNOWN); /* refused before it proves nothing */
	v.random = answer(550, REASON_SOURCE_REFUSED, STRENGTH_CLEAR, 2);
	assert_int_equal(judge(yes(1), v), REASON_CATCH_ALL_UNKNOWN); /* about us */
	v.random = answer(451, REASON_GREYLISTED, STRENGTH_CLEAR, 2);
	assert_int_equal(judge(yes(1), v), REASON_CATCH_ALL_UNKNOWN);
	v.random = ambiguous(503, REASON_PROTOCOL_ERROR, 2);
	v.random.reading.kind = MEANS_PIPELINE_QUARREL;
	assert_int_equal(judge(yes(1), v), REASON_CATCH_ALL_UNKNOWN); /* the command was refused, not the mailbox */
	assert_int_equal(learned_catch_all(&v), CATCH_ALL_NOT_KNOWN);
	v.random = unknown(2);
	assert_int_equal(judge(answer(252, REASON_CATCH_ALL_UNKNOWN, STRENGTH_CLEAR, 1), v), REASON_CATCH_ALL_UNKNOWN);
}

static void accepted_with_a_fresh_no_of_this_host_is_deliverable_unless_random_was_asked(void **state)
{
	(void)state;
	struct session_view v = BEST;
	struct rcpt_answer t = yes(1);
	v.fact = KNOWN_NO_HERE;
	assert_int_equal(judge(t, v), REASON_ACCEPTED);
	assert_false(calibrate(&t, &v, false).final); /* random may still be asked */
	v.random = yes(2);
	assert_int_equal(judge(t, v), REASON_ACCEPT_ALL); /* what is newer counts */
	v.random = answer(450, REASON_TEMPORARY_FAILURE, STRENGTH_AMBIGUOUS, 2);
	assert_int_equal(judge(t, v), REASON_CATCH_ALL_UNKNOWN);
}

static void accepted_or_not_asked_where_random_is_accepted_is_accept_all(void **state)
{
	(void)state;
	struct session_view v = BEST;
	struct rcpt_answer not_asked = { 0 };
	v.random = yes(2);
	v.unknown_before_random = 2;
	assert_int_equal(judge(yes(1), v), REASON_ACCEPT_ALL);
	assert_int_equal(judge(not_asked, v), REASON_ACCEPT_ALL);
	assert_int_equal(learned_catch_all(&v), CATCH_ALL_YES);
	v = BEST;
	v.fact = KNOWN_YES;
	assert_int_equal(judge(not_asked, v), REASON_ACCEPT_ALL);
	assert_true(calibrate(&not_asked, &v, false).final);
	assert_int_equal(judge(yes(1), v), REASON_ACCEPT_ALL);
}

static void accepted_otherwise_is_catch_all_unknown(void **state)
{
	(void)state;
	struct session_view v = BEST;
	assert_int_equal(judge(yes(1), v), REASON_CATCH_ALL_UNKNOWN); /* random never asked */
	v.random = yes(5);
	v.unknown_before_random = 3; /* the server may have turned */
	assert_int_equal(judge(yes(1), v), REASON_CATCH_ALL_UNKNOWN);
	assert_int_equal(learned_catch_all(&v), CATCH_ALL_NOT_KNOWN);
	v.unknown_before_random = 0;
	v.best_preference = false; /* a worse host is no fact of the domain */
	assert_int_equal(judge(yes(1), v), REASON_CATCH_ALL_UNKNOWN);
	assert_int_equal(learned_catch_all(&v), CATCH_ALL_NOT_KNOWN);
}

static void an_ambiguous_refusal_is_unknown_mailbox_if_somebody_was_accepted_after_it(void **state)
{
	(void)state;
	struct session_view v = BEST;
	struct rcpt_answer t = ambiguous(550, REASON_MAILBOX_UNKNOWN, 2);
	v.last_accepted = 3;
	assert_int_equal(judge(t, v), REASON_MAILBOX_UNKNOWN);
	assert_true(calibrate(&t, &v, false).final);
	v.last_accepted = 1; /* before it: the server may have turned since */
	assert_int_equal(judge(t, v), REASON_REFUSED_UNCLEAR);
	assert_false(calibrate(&t, &v, false).final);
	v.last_accepted = 3;
	assert_int_equal(
		judge(ambiguous(554, REASON_REFUSED_UNCLEAR, 2), v), REASON_REFUSED_UNCLEAR); /* 554, 5.7.x: never */
}

static void an_ambiguous_refusal_that_both_controls_got_is_control_refused(void **state)
{
	(void)state;
	struct session_view v = BEST;
	struct rcpt_answer t = ambiguous(554, REASON_REFUSED_UNCLEAR, 1);
	v.random = ambiguous(554, REASON_REFUSED_UNCLEAR, 2);
	v.postmaster = ambiguous(554, REASON_REFUSED_UNCLEAR, 3);
	assert_int_equal(judge(t, v), REASON_CONTROL_REFUSED);
	v.postmaster = yes(3);
	assert_int_equal(judge(t, v), REASON_REFUSED_UNCLEAR);
	v.postmaster = ambiguous(554, REASON_REFUSED_UNCLEAR, 3);
	v.random = unknown(2); /* other words */
	assert_int_equal(judge(t, v), REASON_REFUSED_UNCLEAR);
	t = ambiguous(550, REASON_MAILBOX_UNKNOWN, 1);
	assert_int_equal(judge(t, BEST), REASON_REFUSED_UNCLEAR);
}

static void a_refusal_of_us_is_everybodys_who_has_no_answer(void **state)
{
	(void)state;
	struct session_view v = BEST;
	struct rcpt_answer none = { 0 };
	v.refused_us.reason = REASON_SOURCE_REFUSED;
	assert_int_equal(judge(none, v), REASON_SOURCE_REFUSED);
	assert_int_equal(judge(unknown(1), v), REASON_MAILBOX_UNKNOWN); /* answers stand */
	struct calibrated c = calibrate(&none, &BEST, true);
	assert_false(c.final); /* not asked, and nobody refused: it is asked again */
}

static void what_budgets_count_and_facts_learn(void **state)
{
	(void)state;
	struct rcpt_answer t = unknown(1);
	assert_true(rcpt_unknown(&t));
	t = ambiguous(554, REASON_REFUSED_UNCLEAR, 1);
	assert_true(rcpt_unknown(&t));
	t = answer(550, REASON_SOURCE_REFUSED, STRENGTH_CLEAR, 1);
	assert_false(rcpt_unknown(&t));
	t = answer(550, REASON_SOURCE_REFUSED, STRENGTH_AMBIGUOUS, 1);
	assert_true(rcpt_unknown(&t)); /* not clearly about us */
	t = answer(450, REASON_TEMPORARY_FAILURE, STRENGTH_CLEAR, 1);
	assert_false(rcpt_unknown(&t));
	struct session_view v = BEST;
	v.random = unknown(3);
	assert_int_equal(learned_catch_all(&v), CATCH_ALL_NO);
	v.unknown_before_random = 4;
	assert_int_equal(learned_catch_all(&v), CATCH_ALL_NO);
	v.random = answer(550, REASON_SOURCE_REFUSED, STRENGTH_CLEAR, 3);
	assert_int_equal(learned_catch_all(&v), CATCH_ALL_NOT_KNOWN);
	v.random = answer(252, REASON_CATCH_ALL_UNKNOWN, STRENGTH_CLEAR, 3);
	assert_int_equal(learned_catch_all(&v), CATCH_ALL_NOT_KNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_4yz_is_what_its_words_say_whatever_else_is_known),
		cmocka_unit_test(a_clear_5yz_is_that_whatever_else_is_known),
		cmocka_unit_test(relay_denied_needs_both_controls_then_the_next_host),
		cmocka_unit_test(accepted_and_random_refused_after_it_is_deliverable),
		cmocka_unit_test(accepted_with_a_fresh_no_of_this_host_is_deliverable_unless_random_was_asked),
		cmocka_unit_test(accepted_or_not_asked_where_random_is_accepted_is_accept_all),
		cmocka_unit_test(accepted_otherwise_is_catch_all_unknown),
		cmocka_unit_test(an_ambiguous_refusal_is_unknown_mailbox_if_somebody_was_accepted_after_it),
		cmocka_unit_test(an_ambiguous_refusal_that_both_controls_got_is_control_refused),
		cmocka_unit_test(a_refusal_of_us_is_everybodys_who_has_no_answer),
		cmocka_unit_test(what_budgets_count_and_facts_learn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
