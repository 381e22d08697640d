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

static const char *drawn(const struct tally *t, uint64_t total, bool exact, double rate, bool colour, uint32_t width)
{
	static struct buf out = BUF_INIT(4096);
	struct progress p = { t, total, exact, rate, colour, width };
	buf_reset(&out);
	progress_line(&p, &out);
	return buf_str(&out);
}

static void line(void **state)
{
	(void)state;
	struct tally t = { 0 };
	add(&t, 1, 1, false, 30);
	add(&t, 4, 14, false, 20);
	assert_string_equal(
		drawn(&t, 200, true, 5, false, 100), "50 of 200 (25 %), 5.0/s, 31 s left  30 deliverable  20 unknown");
	assert_string_equal(
		drawn(&t, 200, false, 5, false, 62), "50 of about 200 (25 %), 5.0/s, about 31 s left  30 deliverable");
	assert_string_equal(drawn(&t, 0, false, 5, true, 100),
		"50, 5.0/s\033[32m  30 deliverable\033[0m\033[36m  20 unknown\033[0m");
	assert_string_equal(drawn(&t, 200, true, -1, false, 20), "50 of 200 (25 %)"); /* too early for a rate */
	assert_string_equal(drawn(&t, 200, true, 0, false, 40), "50 of 200 (25 %), 0.0/s  30 deliverable");
	assert_string_equal(drawn(&t, 50, true, 5, false, 30), "50 of 50 (100 %), 5.0/s");
	assert_true(strlen(drawn(&t, 0, false, 5, false, 4)) <= 6); /* no room */
}

static void time_left(void **state)
{
	(void)state;
	static const struct {
		uint64_t rows;
		const char *left;
	} CASE[] = { { 1, "1 s left" }, { 59, "59 s left" }, { 61, "2 min left" }, { 3599, "60 min left" },
		{ 2 * 3600 + 5 * 60, "2 h 05 min left" }, { 72 * 3600, "4 days left" },
		{ UINT64_C(1) << 60, "years left" } };
	struct tally t = { 0 };
	add(&t, 1, 1, false, 1);
	for (size_t i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
		const char *text = drawn(&t, 1 + CASE[i].rows, true, CASE[i].rows < 60 ? 1.01 : 1, false, 200);
		assert_non_null(strstr(text, CASE[i].left));
	}
}

static void the_pace_is_that_of_the_last_seconds(void **state)
{
	(void)state;
	struct pace p = { 0 };
	assert_true(pace_rate(&p, 0, 0) < 0);
	pace_note(&p, 1000, 0);
	assert_true(pace_rate(&p, 1100, 50) < 0);
	assert_int_equal((int)pace_rate(&p, 2000, 100), 100);
	uint64_t rows = 0;
	int64_t now = 1000;
	for (; now < 61000; now += 100) { /* a minute of 1,000 a second, noted twice as often as it counts */
		pace_note(&p, now, rows);
		rows += 100;
	}
	assert_int_equal((int)(pace_rate(&p, now, rows) + 0.5), 1000);
	for (int i = 0; i < 50; i++, now += 200) /* ten seconds of nothing */
		pace_note(&p, now, rows);
	assert_int_equal((int)pace_rate(&p, now, rows), 0);
	assert_true(pace_rate(&p, now + 60000, rows) < 0); /* nothing was noted for so long */
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
		cmocka_unit_test(time_left),
		cmocka_unit_test(the_pace_is_that_of_the_last_seconds),
		cmocka_unit_test(strange_words_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
