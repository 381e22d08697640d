#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/arena.h"
#include "cli/order.h"

static void answer(struct order *o, uint64_t row, struct buf *out)
{
	char text[32];
	snprintf(text, sizeof text, "%d,", (int)row);
	assert_true(order_expects(o, row));
	assert_int_equal(order_answer(o, row, (const uint8_t *)text, strlen(text), out), ERR_OK);
	while (order_take(o, out))
		;
}

static uint64_t ask(struct order *o, const char *record)
{
	struct buf b = BUF_INIT(100);
	uint64_t row;
	buf_puts(&b, record);
	assert_int_equal(order_asked(o, *record ? &b : NULL, &row), ERR_OK);
	buf_free(&b);
	return row;
}

static void any_order_in_one_order_out(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(1024);
	struct order *o = order_new(3, 1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(o, ""), i);
	assert_true(order_full(o));
	answer(o, 2, &out);
	answer(o, 1, &out);
	assert_string_equal(buf_str(&out), "");
	assert_true(order_full(o));
	answer(o, 0, &out);
	assert_string_equal(buf_str(&out), "0,1,2,");
	assert_false(order_full(o));
	assert_int_equal(ask(o, ""), 3); /* the ring comes round */
	answer(o, 3, &out);
	assert_string_equal(buf_str(&out), "0,1,2,3,");
	order_free(o);
	buf_free(&out);
}

static void strangers_are_not_expected(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(1024);
	struct order *o = order_new(10, 1000);
	assert_false(order_expects(o, 0)); /* nothing was asked */
	ask(o, "");
	ask(o, "");
	assert_true(order_expects(o, 0));
	assert_false(order_expects(o, 2));
	assert_false(order_expects(o, UINT64_MAX));
	answer(o, 1, &out);
	assert_false(order_expects(o, 1)); /* twice, while held */
	answer(o, 0, &out);
	assert_false(order_expects(o, 0)); /* twice, when gone */
	assert_false(order_expects(o, 10));
	order_free(o);
	buf_free(&out);
}

static void an_early_end_leaves_gaps(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(1024);
	struct order *o = order_new(10, 1000);
	for (int i = 0; i < 6; i++)
		ask(o, "");
	answer(o, 1, &out);
	answer(o, 4, &out);
	while (order_take_any(o, &out))
		;
	assert_string_equal(buf_str(&out), "1,4,");
	order_free(o);
	buf_free(&out);
}

static void held_rows_are_freed(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(1024);
	struct order *o = order_new(4, 1000);
	ask(o, "");
	ask(o, "");
	answer(o, 1, &out);
	order_free(o); /* the leak checker looks */
	order_free(NULL);
	buf_free(&out);
}

static void a_record_waits_for_its_answer(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(1024);
	struct order *o = order_new(4, 8);
	size_t len;
	ask(o, "first");
	ask(o, "");
	assert_memory_equal(order_record(o, 0, &len), "first", 5);
	assert_int_equal(len, 5);
	(void)order_record(o, 1, &len);
	assert_int_equal(len, 0);
	assert_false(order_full(o));
	ask(o, "third"); /* 10 bytes are held, of 8 */
	assert_true(order_full(o));
	assert_true(order_expects(o, 2));
	answer(o, 0, &out); /* put out at once */
	assert_false(order_full(o));
	answer(o, 2, &out); /* "2," is held instead of the record */
	assert_false(order_full(o));
	ask(o, "fourthly");
	assert_true(order_full(o));
	while (order_take_any(o, &out)) /* rows without an answer give their records back too */
		;
	assert_false(order_full(o));
	assert_string_equal(buf_str(&out), "0,2,");
	ask(o, "left");
	order_free(o); /* the leak checker looks */
	buf_free(&out);
}

static void the_arena_serves_more_than_its_block(void **state)
{
	(void)state;
	struct arena a;
	assert_true(arena_init(&a, 64));
	for (int round = 0; round < 3; round++) {
		void *all[8];
		for (int i = 0; i < 8; i++) {
			all[i] = a.allocator.alloc(a.allocator.allocator_data, 24);
			assert_non_null(all[i]);
			assert_int_equal((uintptr_t)all[i] % 16, 0);
			memset(all[i], i, 24);
		}
		for (int i = 0; i < 8; i++)
			assert_int_equal(((uint8_t *)all[i])[23], i);
		a.allocator.free(a.allocator.allocator_data, all[3]);
		arena_reset(&a);
	}
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_in_one_order_out),
		cmocka_unit_test(strangers_are_not_expected),
		cmocka_unit_test(an_early_end_leaves_gaps),
		cmocka_unit_test(held_rows_are_freed),
		cmocka_unit_test(a_record_waits_for_its_answer),
		cmocka_unit_test(the_arena_serves_more_than_its_block),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
