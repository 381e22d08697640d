/* Error details: what the server writes the client reads; what anyone else writes harms nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/api/status.h"
#include "server/api/status_read.h"

static void test_round_trip(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(STATUS_DETAILS_MAX);
	struct status_read r;
	status_details(&b, RPC_INVALID_ARGUMENT, "BATCH_TOO_LONG", "bad request", "items", "at most 1,000");
	assert_int_equal(b.err, ERR_OK);
	assert_true(status_read(b.data, b.len, &r));
	assert_string_equal(r.reason, "BATCH_TOO_LONG");
	assert_string_equal(r.domain, "rcptd");
	assert_string_equal(r.message, "bad request");
	assert_string_equal(r.field, "items");
	assert_string_equal(r.description, "at most 1,000");
	buf_free(&b);
}

static void test_without_a_field(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(STATUS_DETAILS_MAX);
	struct status_read r;
	status_details(&b, RPC_UNAVAILABLE, "DRAINING", NULL, NULL, NULL);
	assert_true(status_read(b.data, b.len, &r));
	assert_string_equal(r.reason, "DRAINING");
	assert_string_equal(r.message, "");
	assert_string_equal(r.field, "");
	buf_free(&b);
}

static void test_texts_are_cut_and_cleaned(void **state)
{
	(void)state;
	char text[4000];
	memset(text, 'x', sizeof text - 1);
	text[0] = '\xff';
	text[1] = '\n';
	text[sizeof text - 1] = '\0';
	struct buf b = BUF_INIT(STATUS_DETAILS_MAX);
	struct status_read r;
	status_details(&b, RPC_INTERNAL, text, text, text, text);
	assert_int_equal(b.err, ERR_OK);
	assert_true(status_read(b.data, b.len, &r));
	assert_memory_equal(r.reason, "??xxxx", 6);
	assert_int_equal(strlen(r.reason), 63);
	assert_int_equal(strlen(r.message), 511);
	assert_int_equal(strlen(r.field), 127);
	assert_int_equal(strlen(r.description), 511);
	buf_free(&b);
}

static void test_strange_details(void **state)
{
	(void)state;
	struct status_read r;
	uint8_t *lengthy = calloc(1, 64 * 1024);
	assert_false(status_read(NULL, 0, &r));
	assert_false(status_read(lengthy, 64 * 1024, &r));
	assert_false(status_read((const uint8_t *)"\xff\xff\xff", 3, &r));
	free(lengthy);
	assert_true(status_read((const uint8_t *)"", 0, &r)); /* an empty Status is one */
	/* Terminal escapes in the message. */
	assert_true(status_read((const uint8_t *)"\x12\x04\x1b[2J", 6, &r));
	assert_string_equal(r.message, "?[2J");
}

/* Each byte of honest details set to each value, and each cut of them. */
static void test_damaged_details(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(STATUS_DETAILS_MAX);
	struct status_read r;
	status_details(&b, RPC_INVALID_ARGUMENT, "R", "m", "f", "d");
	for (size_t i = 0; i < b.len; i++) {
		/* A copy of exactly that size, so that the sanitizer sees a read beyond it. */
		uint8_t *copy = malloc(b.len);
		for (int value = 0; value < 256; value++) {
			memcpy(copy, b.data, b.len);
			copy[i] = (uint8_t)value;
			if (status_read(copy, b.len, &r))
				assert_true(strlen(r.reason) < sizeof r.reason);
		}
		uint8_t *cut = malloc(i + 1);
		memcpy(cut, b.data, i);
		(void)status_read(cut, i, &r);
		free(cut);
		free(copy);
	}
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_without_a_field),
		cmocka_unit_test(test_texts_are_cut_and_cleaned),
		cmocka_unit_test(test_strange_details),
		cmocka_unit_test(test_damaged_details),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
