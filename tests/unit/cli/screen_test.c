#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/screen.h"

static Rcptd__V1__VerdictCount verdicts[2], *verdict_at[] = { &verdicts[0], &verdicts[1] };
static Rcptd__V1__ReasonCount reasons[3], *reason_at[] = { &reasons[0], &reasons[1], &reasons[2] };
static Rcptd__V1__StatsRates rates;
static Google__Protobuf__Duration uptime;
static Rcptd__V1__GetStatsResponse stats;

static Rcptd__V1__WatchStatsResponse message(void)
{
	Rcptd__V1__WatchStatsResponse m = RCPTD__V1__WATCH_STATS_RESPONSE__INIT;
	rcptd__v1__get_stats_response__init(&stats);
	rcptd__v1__stats_rates__init(&rates);
	google__protobuf__duration__init(&uptime);
	uptime.seconds = 7300;
	for (int i = 0; i < 2; i++)
		rcptd__v1__verdict_count__init(&verdicts[i]);
	for (int i = 0; i < 3; i++)
		rcptd__v1__reason_count__init(&reasons[i]);
	verdicts[0].verdict = RCPTD__V1__VERDICT__VERDICT_DELIVERABLE;
	verdicts[0].count = 750;
	verdicts[1].verdict = (Rcptd__V1__Verdict)77; /* a newer server's */
	verdicts[1].count = 250;
	reasons[0].reason = RCPTD__V1__REASON__REASON_GREYLISTED;
	reasons[0].count = 100;
	reasons[1].reason = RCPTD__V1__REASON__REASON_ACCEPTED;
	reasons[1].count = 750;
	reasons[2].reason = RCPTD__V1__REASON__REASON_MAILBOX_UNKNOWN;
	reasons[2].count = 150;
	stats.uptime = &uptime;
	stats.addresses = 1234567;
	stats.sessions_open = 1;
	stats.addresses_waiting = 12;
	stats.verdicts = verdict_at;
	stats.n_verdicts = 2;
	stats.reasons = reason_at;
	stats.n_reasons = 3;
	rates.addresses = 812.4;
	rates.answers = 0.25;
	m.stats = &stats;
	m.rates = &rates;
	return m;
}

static const char *draw(const Rcptd__V1__WatchStatsResponse *m, uint32_t width, uint32_t lines, bool colour)
{
	static struct buf out = BUF_INIT(64 * 1024);
	struct screen s = { .server = "127.0.0.1:50051",
		.wall_s = 1700000000,
		.interval_ms = 500,
		.colour = colour,
		.width = width,
		.lines = lines };
	buf_reset(&out);
	uint32_t n = screen_draw(&s, m, &out), seen = 0;
	for (const char *c = buf_str(&out); *c; c++)
		seen += *c == '\n';
	assert_int_equal(n, seen);
	assert_true(n <= lines);
	return buf_str(&out);
}

static void a_screen(void **state)
{
	(void)state;
	Rcptd__V1__WatchStatsResponse m = message();
	const char *text = draw(&m, 79, 40, false);
	assert_memory_equal(text, "rcptd at 127.0.0.1:50051, up for 2 h\n2023-11-14 22:13:20 UTC, every 0.5 s;", 70);
	assert_non_null(strstr(text, "\naddresses taken in            1,234,567            812\n"));
	assert_non_null(strstr(text, "\nanswers given                     1,000            0.2\n"));
	assert_non_null(strstr(text, "\nnow: 12 addresses waiting, 1 session open, 0 calls\n"));
	assert_non_null(strstr(text, "\nOTHER                               250         25.0 %"));
	const char *accepted = strstr(text, "  ACCEPTED"), *unknown = strstr(text, "  MAILBOX_UNKNOWN"),
		   *grey = strstr(text, "  GREYLISTED");
	assert_true(accepted && unknown && grey && accepted < unknown && unknown < grey); /* the most frequent first */
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(draw(&m, 79, 40, true), "\033[32mDELIVERABLE"));
}

static void the_first_one_has_no_rates(void **state)
{
	(void)state;
	Rcptd__V1__WatchStatsResponse m = message();
	m.rates = NULL;
	assert_non_null(strstr(draw(&m, 79, 40, false), "\naddresses taken in            1,234,567              -\n"));
}

static void it_fits_every_terminal(void **state)
{
	(void)state;
	Rcptd__V1__WatchStatsResponse m = message();
	for (uint32_t width = 0; width < 120; width++)
		for (uint32_t lines = 1; lines < 30; lines += 7) {
			const char *text = draw(&m, width, lines, false);
			uint32_t columns = 0;
			for (; *text; text++) {
				columns = *text == '\n' ? 0 : columns + ((*text & 0xC0) != 0x80);
				assert_true(columns <= width);
			}
		}
}

static void a_line(void **state)
{
	(void)state;
	Rcptd__V1__WatchStatsResponse m = message();
	struct buf out = BUF_INIT(4096);
	screen_line(&m, 1700000000, &out);
	assert_string_equal(buf_str(&out),
		"2023-11-14 22:13:20 UTC: addresses 1,234,567 (812/s), answers 1,000 (0.2/s), connections 0 (0.0/s), "
		"RCPTs 0 (0.0/s), 12 addresses waiting, 1 session open, 0 calls\n");
	buf_reset(&out);
	m.rates = NULL;
	screen_line(&m, 1700000000, &out);
	assert_null(strstr(buf_str(&out), "/s"));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_screen),
		cmocka_unit_test(the_first_one_has_no_rates),
		cmocka_unit_test(it_fits_every_terminal),
		cmocka_unit_test(a_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
