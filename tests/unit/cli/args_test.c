#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/args.h"

static void durations(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t seconds;
	} GOOD[] = { { "0", 0 }, { "0s", 0 }, { "30s", 30 }, { "5m", 300 }, { "12h", 43200 }, { "7d", 604800 },
		{ "999999999d", 999999999ll * 86400 } };
	static const char *const BAD[] = { "", "s", "5", "-1s", "+1s", " 1s", "1s ", "1.5h", "1h30m", "1w", "0x1s",
		"1000000000s", "12 h", "\xC2\xB2s" };
	for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
		int64_t seconds = -7;
		assert_true(args_duration(GOOD[i].text, &seconds));
		assert_int_equal(seconds, GOOD[i].seconds);
	}
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
		int64_t seconds = -7;
		assert_false(args_duration(BAD[i], &seconds));
		assert_int_equal(seconds, -7);
	}
}

static void formats(void **state)
{
	(void)state;
	bool json;
	assert_true(args_json("json", &json) && json);
	assert_true(args_json("text", &json) && !json);
	assert_false(args_json("jsonl", &json));
}

static void near_names(void **state)
{
	(void)state;
	static const char *const NAME[] = { "verify", "domain show", "stats" };
	assert_string_equal(args_nearest("verfy", NAME, 3), "verify");
	assert_string_equal(args_nearest("stast", NAME, 3), "stats");
	assert_string_equal(args_nearest("domain shwo", NAME, 3), "domain show");
	assert_null(args_nearest("exempt", NAME, 3));
	assert_null(args_nearest("a word that is much longer than any name of a command", NAME, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(formats),
		cmocka_unit_test(near_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
