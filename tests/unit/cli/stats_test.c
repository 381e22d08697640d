/* rcptctl stats, once and tick by tick, run against a server that answers by the book. */
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/cli/fake_server.h"
#include "tests/unit/cli/program.h"

static struct fake_server fake;
static char dir[200];

static bool out_has(const char *text)
{
	return strstr(buf_str(&program_out), text) != NULL;
}

static bool err_has(const char *text)
{
	return strstr(buf_str(&program_err), text) != NULL;
}

static int setup(void **state)
{
	(void)state;
	atomic_store(&fake.mode, FAKE_REVERSED);
	atomic_store(&fake.calls, 0);
	return 0;
}

static void counters(void **state)
{
	(void)state;
	assert_int_equal(rcptctl("stats"), 0);
	assert_true(out_has("1,234,567"));
	assert_true(out_has("RISKY"));
	assert_int_equal(rcptctl("stats", "--format", "json"), 0);
	json_t *j = json_loads(buf_str(&program_out), 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(j, "sessions_open")), 3);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "verdicts"), "RISKY")), 12);
	json_decref(j);
}

static void counters_watched(void **state)
{
	(void)state;
	const char *words[] = { "stats", "--watch", "--interval", "250ms", NULL };
	buf_reset(&program_out);
	struct run r = program_start(words);
	program_lines(&r, 3);
	assert_int_equal(atomic_load(&fake.interval_ms), 250);
	assert_int_equal(kill(r.pid, SIGINT), 0);
	assert_int_equal(program_end(&r), 130);
	assert_true(out_has(": addresses 1,234,567, answers 12, "));
	assert_true(out_has(": addresses 1,234,567 (813/s), answers 12 (0.0/s), "));
	assert_int_equal(program_err.len, 0);

	const char *json[] = { "stats", "-w", "--format", "json", NULL };
	buf_reset(&program_out);
	r = program_start(json);
	program_lines(&r, 2);
	assert_int_equal(atomic_load(&fake.interval_ms), 1000);
	assert_int_equal(kill(r.pid, SIGTERM), 0);
	assert_int_equal(program_end(&r), 130);
	json_t *j = json_loads(buf_str(&program_out), JSON_DISABLE_EOF_CHECK, NULL);
	assert_true(json_is_null(json_object_get(j, "rates")));
	assert_int_equal(json_integer_value(json_object_get(j, "addresses")), 1234567);
	json_decref(j);
	j = json_loads(strchr(buf_str(&program_out), '\n'), JSON_DISABLE_EOF_CHECK, NULL);
	assert_true(json_real_value(json_object_get(json_object_get(j, "rates"), "addresses")) == 812.5);
	assert_true(json_real_value(json_object_get(j, "elapsed_s")) == 1.5);
	json_decref(j);
}

static void counters_on_a_terminal(void **state)
{
	(void)state;
	const char *words[] = { "stats", "--watch", NULL };
	setenv("TERM", "xterm", 1);
	buf_reset(&program_out);
	struct run r = program_start_on_terminal(words);
	while (!out_has("813\033[K"))
		assert_true(program_more(&r));
	assert_true(out_has("\033[?25l"));
	assert_false(out_has("\033[?25h"));
	assert_int_equal(kill(r.pid, SIGINT), 0);
	assert_int_equal(program_end(&r), 130);
	assert_true(out_has("A\033[1mrcptd at ")); /* over the frame before */
	assert_true(out_has("\033[?25h"));	   /* the cursor is back */
	setenv("TERM", "dumb", 1);
	buf_reset(&program_out);
	r = program_start_on_terminal(words);
	program_lines(&r, 3);
	assert_int_equal(kill(r.pid, SIGINT), 0);
	assert_int_equal(program_end(&r), 130);
	assert_null(memchr(program_out.data, '\033', program_out.len));
	unsetenv("TERM");
}

static void a_watch_that_the_server_ends(void **state)
{
	(void)state;
	atomic_store(&fake.mode, FAKE_DRAIN);
	assert_int_equal(rcptctl("stats", "--watch"), 3);
	assert_true(out_has("1,234,567"));
	assert_string_equal(buf_str(&program_err), "rcptctl: the daemon is shutting down (SHUTTING_DOWN)\n");
}

static void intervals(void **state)
{
	(void)state;
	static const char *const BAD[] = { "0", "99ms", "1", "2h", "3600001ms", "-1s", "ms", "" };
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
		assert_int_equal(rcptctl("stats", "--watch", "--interval", BAD[i]), 2);
		assert_true(err_has("--interval is 100ms to 1h"));
	}
	assert_int_equal(rcptctl("stats", "--interval", "1s"), 2);
	assert_true(err_has("--interval is about --watch"));
	assert_int_equal(rcptctl("verify", "-w", "a@example.org"), 2);
	assert_true(err_has("there is no option -w"));
	assert_int_equal(atomic_load(&fake.calls), 0);
}

int main(void)
{
	const char *base = getenv("TEST_TMPDIR");
	snprintf(dir, sizeof dir, "%s/stats.XXXXXX", base && strlen(base) < 80 ? base : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	fake_start(&fake);
	program_init(dir, fake.target);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(counters, setup),
		cmocka_unit_test_setup(counters_watched, setup),
		cmocka_unit_test_setup(counters_on_a_terminal, setup),
		cmocka_unit_test_setup(a_watch_that_the_server_ends, setup),
		cmocka_unit_test_setup(intervals, setup),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_stop(&fake);
	buf_free(&program_out);
	buf_free(&program_err);
	return failed;
}
