/* Which shard owns a name is text_hash(): tests/integration/tests/failover.test.mjs computes the same one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/base/text.h"

static void the_hash_is_fnv_1a(void **state)
{
	(void)state;
	assert_int_equal(text_hash(""), 0x811c9dc5u);
	assert_int_equal(text_hash("a"), 0xe40c292cu);
	assert_int_equal(text_hash("foobar"), 0xbf9cf968u);
}

static void a_copy_is_cut_and_ends(void **state)
{
	char to[4] = "xxx";
	(void)state;
	text_copy(to, sizeof to, "abcdef");
	assert_string_equal(to, "abc");
	text_copy(to, sizeof to, "");
	assert_string_equal(to, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_is_fnv_1a),
		cmocka_unit_test(a_copy_is_cut_and_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
