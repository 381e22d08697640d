#include "server/smtp/dialogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void no_cell_is_forgotten_and_every_state_can_end(void **state)
{
	(void)state;
	for (enum dlg_state s = 0; s < DLG_STATES; s++) {
		for (enum dlg_event e = 0; e < DLG_EVENTS; e++) {
			struct dlg_step step = dlg_step(s, e);
			assert_int_not_equal(step.act, DLG_UNSET);
			assert_true(step.next <= DLG_STATES);
		}
		/* Whatever state: what ends a connection ends the conversation, in at most two steps. */
		static const enum dlg_event ENDS[] = { DLG_LOST, DLG_SILENT };
		for (size_t i = 0; i < 2; i++) {
			enum dlg_state next = dlg_step(s, ENDS[i]).next;
			assert_true(next == DLG_CLOSED || dlg_step(next, ENDS[i]).next == DLG_CLOSED);
		}
		enum dlg_state stopped = dlg_step(s, DLG_STOP).next;
		assert_true(stopped == (s == DLG_CLOSED || s == DLG_TLS ? DLG_CLOSED : DLG_QUIT));
	}
}

static void after_quit_nothing_is_looked_at(void **state)
{
	(void)state;
	for (enum dlg_event e = DLG_YES; e <= DLG_QUARREL; e++) {
		assert_int_equal(dlg_step(DLG_QUIT, e).act, DLG_WAIT);
		assert_int_equal(dlg_step(DLG_QUIT, e).next, DLG_QUIT);
	}
}

/* Walks every path of one recipient: exactly one outcome (an answer, or an end without one), then closed. */
static void walk(struct dialogue d, bool tls, int outcomes, int depth)
{
	assert_true(depth < 16);
	if (d.state == DLG_CLOSED) {
		assert_int_equal(outcomes, 1);
		return;
	}
	for (enum dlg_event e = 0; e < DLG_EVENTS; e++) {
		if (d.state == DLG_QUIT && e != DLG_LOST)
			continue; /* the others change nothing: see above */
		struct dialogue next = d;
		struct commands out = COMMANDS_INIT;
		struct dlg_result r = dlg_on(&next, e);
		int now = outcomes;
		switch (r.act) {
		case DLG_SAY_EHLO:
		case DLG_SAY_HELO: assert_int_equal(dlg_say_hello(&next, &out, "us.example"), ERR_OK); break;
		case DLG_READY:
			if (tls && r.met == DLG_EHLO)
				assert_int_equal(dlg_say_starttls(&next, &out), ERR_OK);
			else
				assert_int_equal(dlg_say_mail(&next, &out, "p@us.example", false), ERR_OK);
			break;
		case DLG_START_TLS: break;
		case DLG_GO_ON: assert_int_equal(dlg_say_rcpt(&next, &out, "a@b.example", 7), ERR_OK); break;
		case DLG_ANSWER:
		case DLG_ANSWER_END:
			assert_int_equal(r.tag, 7);
			now++;
			assert_int_equal(dlg_say_quit(&next, &out), ERR_OK);
			break;
		case DLG_FAIL:
		case DLG_END:
			now++;
			assert_int_equal(dlg_say_quit(&next, &out), ERR_OK);
			break;
		case DLG_CUT: now++; break;
		case DLG_CLOSE: break;
		default: fail();
		}
		buf_free(&out.lines);
		walk(next, tls && r.met != DLG_TLS && r.met != DLG_STARTTLS, now, depth + 1);
	}
}

static void every_path_has_exactly_one_outcome(void **state)
{
	(void)state;
	struct dialogue d;
	dlg_init(&d);
	walk(d, false, 0, 0);
	walk(d, true, 0, 0);
}

static void greet(struct dialogue *d, struct commands *out, bool pipelining)
{
	dlg_init(d);
	assert_int_equal(dlg_on(d, DLG_YES).act, DLG_SAY_EHLO);
	assert_int_equal(dlg_say_hello(d, out, "us.example"), ERR_OK);
	assert_int_equal(dlg_say_hello(d, out, "us.example"), ERR_AGAIN); /* once */
	assert_int_equal(dlg_on(d, DLG_YES).act, DLG_READY);
	d->pipelining = pipelining;
}

static void pipelined_answers_belong_to_commands_by_order(void **state)
{
	(void)state;
	struct dialogue d;
	struct commands out = COMMANDS_INIT;
	greet(&d, &out, true);
	assert_int_equal(dlg_say_rcpt(&d, &out, "a@b.example", 1), ERR_AGAIN); /* not before MAIL */
	assert_int_equal(dlg_say_mail(&d, &out, "p@us.example", true), ERR_OK);
	assert_int_equal(dlg_say_rcpt(&d, &out, "a@b.example", 1), ERR_OK);
	assert_int_equal(dlg_say_rcpt(&d, &out, "\"a b\"@b.example", 2), ERR_OK);
	assert_int_equal(dlg_say_rset(&d, &out), ERR_OK);
	assert_int_equal(dlg_say_mail(&d, &out, "p@us.example", false), ERR_OK);
	assert_int_equal(dlg_say_rcpt(&d, &out, "c@b.example", 3), ERR_OK);
	assert_string_equal(buf_str(&out.lines),
		"EHLO us.example\r\nMAIL FROM:<p@us.example> SMTPUTF8\r\nRCPT TO:<a@b.example>\r\n"
		"RCPT TO:<\"a b\"@b.example>\r\nRSET\r\nMAIL FROM:<p@us.example>\r\nRCPT TO:<c@b.example>\r\n");
	assert_int_equal(dlg_on(&d, DLG_YES).act, DLG_GO_ON); /* MAIL */
	struct dlg_result r = dlg_on(&d, DLG_PERM);
	assert_int_equal(r.act, DLG_ANSWER);
	assert_int_equal(r.tag, 1);
	assert_int_equal(dlg_on(&d, DLG_YES).tag, 2);
	assert_int_equal(d.state, DLG_RSET);
	assert_int_equal(dlg_on(&d, DLG_YES).act, DLG_GO_ON);
	assert_int_equal(dlg_on(&d, DLG_YES).act, DLG_GO_ON);
	assert_int_equal(dlg_on(&d, DLG_TEMP).tag, 3);
	assert_int_equal(d.state, DLG_OPEN);
	buf_free(&out.lines);
}

static void in_lockstep_one_command_waits_for_one_reply(void **state)
{
	(void)state;
	struct dialogue d;
	struct commands out = COMMANDS_INIT;
	greet(&d, &out, false);
	assert_int_equal(dlg_say_mail(&d, &out, "p@us.example", false), ERR_OK);
	assert_false(dlg_may_rcpt(&d));
	assert_int_equal(dlg_on(&d, DLG_YES).act, DLG_GO_ON);
	assert_int_equal(dlg_say_rcpt(&d, &out, "a@b.example", 1), ERR_OK);
	assert_int_equal(dlg_say_rcpt(&d, &out, "c@b.example", 2), ERR_AGAIN);
	assert_int_equal(dlg_on(&d, DLG_YES).tag, 1);
	assert_true(dlg_may_rcpt(&d));
	buf_free(&out.lines);
}

static void the_ring_is_bounded(void **state)
{
	(void)state;
	struct dialogue d;
	struct commands out = COMMANDS_INIT;
	greet(&d, &out, true);
	assert_int_equal(dlg_say_mail(&d, &out, "p@us.example", false), ERR_OK);
	int said = 0;
	while (dlg_say_rcpt(&d, &out, "a@b.example", said) == ERR_OK)
		assert_true(++said < 100);
	assert_int_equal(said, DLG_OWED_MAX - 1);
	assert_int_equal(dlg_on(&d, DLG_YES).act, DLG_GO_ON);
	for (int i = 0; i < said; i++)
		assert_int_equal(dlg_on(&d, DLG_YES).tag, i);
	buf_free(&out.lines);
}

static void no_argument_makes_a_second_command(void **state)
{
	(void)state;
	static const char *const BAD[] = { "a@b.example>\r\nDATA", "a@b.example\nDATA", "a>b@c.example", "",
		"a b@c.example", "\"a\r\nDATA\"@c.example", "\"a@c.example", "<a@c.example",
		"\"\\\r\nDATA\"@c.example" };
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
		for (enum smtp_verb v = SMTP_MAIL; v <= SMTP_RCPT; v++) {
			struct commands out = COMMANDS_INIT;
			assert_int_equal(command_put(&out, v, BAD[i], false), ERR_INVALID);
			assert_int_equal(out.lines.len, 0);
			buf_free(&out.lines);
		}
	struct commands out = COMMANDS_INIT;
	assert_int_equal(command_put(&out, SMTP_RCPT, "\"a>\\\" b\"@c.example", false), ERR_OK);
	assert_string_equal(buf_str(&out.lines), "RCPT TO:<\"a>\\\" b\"@c.example>\r\n");
	buf_free(&out.lines);
}

static void the_verbs_are_these_eight(void **state)
{
	(void)state;
	static const char *const EIGHT[] = { "EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "RSET", "NOOP", "QUIT" };
	assert_int_equal(SMTP_VERBS, 8);
	for (enum smtp_verb v = 0; v < SMTP_VERBS; v++)
		assert_string_equal(smtp_verb_name(v), EIGHT[v]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_cell_is_forgotten_and_every_state_can_end),
		cmocka_unit_test(after_quit_nothing_is_looked_at),
		cmocka_unit_test(every_path_has_exactly_one_outcome),
		cmocka_unit_test(pipelined_answers_belong_to_commands_by_order),
		cmocka_unit_test(in_lockstep_one_command_waits_for_one_reply),
		cmocka_unit_test(the_ring_is_bounded),
		cmocka_unit_test(no_argument_makes_a_second_command),
		cmocka_unit_test(the_verbs_are_these_eight),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
