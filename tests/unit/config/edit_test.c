/* The distance between two texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/base/edit.h"

static void distances(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned limit, distance;
	} CASES[] = {
		{ "", "", 2, 0 },
		{ "gmail.com", "gmail.com", 2, 0 },
		{ "gmial.com", "gmail.com", 2, 1 },  /* a swap */
		{ "gmil.com", "gmail.com", 2, 1 },   /* a removal */
		{ "ggmail.com", "gmail.com", 2, 1 }, /* an insertion */
		{ "gnail.com", "gmail.com", 2, 1 },  /* a replacement */
		{ "mgail.cmo", "gmail.com", 2, 2 },
		{ "ca", "abc", 3, 3 }, /* each place is edited once */
		{ "abcd", "dcba", 2, 3 },
		{ "a", "abcd", 2, 3 },
		{ "", "ab", 2, 2 },
		{ "kitten", "sitting", 3, 3 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		assert_int_equal(edit_distance(CASES[i].a, CASES[i].b, CASES[i].limit), CASES[i].distance);
		assert_int_equal(edit_distance(CASES[i].b, CASES[i].a, CASES[i].limit), CASES[i].distance);
	}
}

static void a_long_text_is_far(void **state)
{
	char a[EDIT_TEXT_MAX + 2], b[EDIT_TEXT_MAX + 2];
	(void)state;
	for (size_t i = 0; i < sizeof a; i++)
		a[i] = b[i] = 'x';
	a[EDIT_TEXT_MAX] = b[EDIT_TEXT_MAX] = 0;
	assert_int_equal(edit_distance(a, b, 1), 0);
	a[EDIT_TEXT_MAX] = b[EDIT_TEXT_MAX] = 'x';
	a[EDIT_TEXT_MAX + 1] = b[EDIT_TEXT_MAX + 1] = 0;
	assert_int_equal(edit_distance(a, b, 1), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(distances),
		cmocka_unit_test(a_long_text_is_far),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
