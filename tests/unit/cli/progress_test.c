#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/progress.h"

static void add(struct tally *t, int verdict, int reason, bool cached, int times)
{
	Rcptd__V1__Result a = RCPTD__V1__RESULT__INIT;
	a.verdict = (Rcptd__V1__Verdict)verdict;
	a.reason = (Rcptd__V1__Reason)reason;
	a.from_cache = cached;
	while (times--)
		tally_add(t, &a);
}

static void numbers(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(100);
	progress_number(&out, 7);
	buf_putc(&out, ' ');
	progress_number(&out, 1002);
	buf_putc(&out, ' ');
	progress_number(&out, 10000000);
	assert_string_equal(buf_str(&out), "7 1,002 10,000,000");
	buf_free(&out);
}

static void summary(void **state)
{
	(void)state;
	struct tally t = { .started_ms = 1000 };
	struct buf out = BUF_INIT(4096);
	add(&t, 1, 1, false, 20);
	add(&t, 2, 7, true, 1200);
	add(&t, 2, 2, false, 400);
	add(&t, 4, 14, false, 380);
	tally_summary(&t, 1000 + 2000, false, &out);
	assert_string_equal(buf_str(&out), "2,000 addresses in 2.0 s (1,000/s), 1,200 known already\n"
					   "  UNDELIVERABLE                   1,600   80.0 %\n"
					   "    MAILBOX_UNKNOWN               1,200   60.0 %\n"
					   "    INVALID_SYNTAX                  400   20.0 %\n"
					   "  UNKNOWN                           380   19.0 %\n"
					   "    GREYLISTED                      380   19.0 %\n"
					   "  DELIVERABLE                        20    1.0 %\n"
					   "    ACCEPTED                         20    1.0 %\n");
	buf_free(&out);
}

/* Equal counts: each is shown once. */
static void ties(void **state)
{
	(void)state;
	struct tally t = { 0 };
	struct buf out = BUF_INIT(4096);
	add(&t, 2, 2, false, 5);
	add(&t, 2, 7, false, 5);
	add(&t, 1, 1, false, 10);
	tally_summary(&t, 0, false, &out);
	const char *text = buf_str(&out);
	assert_non_null(strstr(text, "INVALID_SYNTAX"));
	assert_non_null(strstr(text, "MAILBOX_UNKNOWN"));
	assert_non_null(strstr(text, "  DELIVERABLE"));
	size_t lines = 0;
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 6);
	buf_free(&out);
}

static void line(void **state)
{
	(void)state;
	struct tally t = { 0 };
	struct buf out = BUF_INIT(4096);
	add(&t, 1, 1, false, 30);
	add(&t, 4, 14, false, 20);
	tally_line(&t, 10000, 200, true, false, 100, &out);
	assert_string_equal(buf_str(&out), "50 of 200 (25 %), 5.0/s  30 deliverable  20 unknown");
	buf_reset(&out);
	tally_line(&t, 10000, 200, false, false, 45, &out);
	assert_string_equal(buf_str(&out), "50 of about 200 (25 %), 5.0/s  30 deliverable");
	buf_reset(&out);
	tally_line(&t, 10000, 0, false, true, 100, &out);
	assert_string_equal(buf_str(&out), "50, 5.0/s\033[32m  30 deliverable\033[0m\033[36m  20 unknown\033[0m");
	buf_reset(&out);
	tally_line(&t, 0, 0, false, false, 4, &out); /* no time yet, no room */
	assert_true(out.len <= 6);
	buf_free(&out);
}

static void strange_words_are_counted(void **state)
{
	(void)state;
	struct tally t = { 0 };
	struct buf out = BUF_INIT(4096);
	add(&t, 99, 999, false, 1);
	add(&t, -1, -1, false, 1);
	tally_summary(&t, 0, true, &out);
	assert_non_null(strstr(buf_str(&out), "2 addresses"));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(summary),
		cmocka_unit_test(ties),
		cmocka_unit_test(line),
		cmocka_unit_test(strange_words_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
