/* The reply parser: any bytes, in any pieces, give the same replies or the same error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those before it */
#include <cmocka.h>

#include "server/base/buf.h"
#include "server/smtp/reply.h"

/* Feeds `bytes` in pieces of at most `first`, then `piece`, and writes what came out in a comparable form. */
static err_t run(const char *bytes, size_t n, size_t first, size_t piece, struct buf *seen)
{
	struct reply_parser *p = NULL;
	assert_int_equal(reply_parser_new(&p), ERR_OK);
	err_t err = ERR_AGAIN;
	size_t at = 0, limit = first;
	while (at < n) {
		size_t give = n - at < limit ? n - at : limit;
		/* a copy of exactly that size: the sanitizer sees a read beyond it */
		uint8_t *copy = malloc(give ? give : 1);
		assert_non_null(copy);
		memcpy(copy, bytes + at, give);
		size_t used = 0;
		struct reply r;
		err = reply_parser_feed(p, copy, give, &used, &r);
		free(copy);
		assert_true(used <= give);
		at += used;
		limit = piece;
		if (err == ERR_OK) {
			assert_int_equal(r.text[r.text_len], 0);
			buf_printf(seen, "[%d %u %zu ", r.code, r.lines, r.text_len);
			buf_append(seen, r.text, r.text_len);
			buf_putc(seen, ']');
		} else if (err == ERR_AGAIN) {
			assert_int_equal(used, give);
		} else {
			size_t again = 99;
			assert_int_equal(reply_parser_feed(p, (const uint8_t *)"250 ok\r\n", 8, &again, &r), err);
			assert_int_equal(again, 0);
			break;
		}
	}
	reply_parser_free(p);
	return err;
}

static void gives_n(const char *bytes, size_t n, err_t err, const char *want, size_t want_n)
{
	struct buf seen = BUF_INIT(1024 * 1024), other = BUF_INIT(1024 * 1024);
	assert_int_equal(run(bytes, n, n, n, &seen), err);
	assert_int_equal(seen.len, want_n);
	if (want_n)
		assert_memory_equal(seen.data, want, want_n);
	size_t stride = n > 512 ? n / 256 : 1;
	for (size_t split = 1; split <= n; split += stride) {
		buf_reset(&other);
		assert_int_equal(run(bytes, n, split, n, &other), err);
		assert_int_equal(other.len, seen.len);
		if (seen.len)
			assert_memory_equal(other.data, seen.data, seen.len);
	}
	for (size_t piece = 1; piece < 4; piece++) {
		buf_reset(&other);
		assert_int_equal(run(bytes, n, piece, piece, &other), err);
		assert_int_equal(other.len, seen.len);
		if (seen.len)
			assert_memory_equal(other.data, seen.data, seen.len);
	}
	buf_free(&seen);
	buf_free(&other);
}

static void gives(const char *bytes, err_t err, const char *want)
{
	gives_n(bytes, strlen(bytes), err, want, strlen(want));
}

static void whole_replies(void **state)
{
	(void)state;
	gives("250 ok\r\n", ERR_OK, "[250 1 2 ok]");
	gives("250 ok\n", ERR_OK, "[250 1 2 ok]");
	gives("250\r\n", ERR_OK, "[250 1 0 ]");
	gives("250 \r\n", ERR_OK, "[250 1 0 ]");
	gives("250\n", ERR_OK, "[250 1 0 ]");
	gives("250-a\r\n250-b\n250 c\r\n220 d\r\n", ERR_OK, "[250 3 5 a\nb\nc][220 1 1 d]");
	gives("250-\r\n250\r\n", ERR_OK, "[250 2 1 \n]");
	gives("250-a\r\n550 b\r\n", ERR_OK, "[550 2 3 a\nb]");
	gives("999 x\r\n000 y\r\n", ERR_OK, "[999 1 1 x][0 1 1 y]");
	gives("250  two spaces\r\n", ERR_OK, "[250 1 11  two spaces]");
	gives("250 a\rb\r\r\n", ERR_OK, "[250 1 4 a\rb\r]");
	gives("250 Empf\xe4nger \xff\r\n", ERR_OK, "[250 1 11 Empf\xe4nger \xff]");
	gives_n("250 a\0b\r\n", 9, ERR_OK, "[250 1 3 a\0b]", 13);
	gives("250 a\r\n250 b\r\n250 c", ERR_AGAIN, "[250 1 1 a][250 1 1 b]");
}

static void no_replies(void **state)
{
	(void)state;
	gives("", ERR_AGAIN, "");
	gives("25", ERR_AGAIN, "");
	gives("2500 x\r\n", ERR_INVALID, "");
	gives("HTTP/1.1 400 Bad Request\r\n", ERR_INVALID, "");
	gives("\r\n", ERR_INVALID, "");
	gives("\n", ERR_INVALID, "");
	gives("25\r\n", ERR_INVALID, "");
	gives("250\rx\r\n", ERR_INVALID, "");
	gives("250\tx\r\n", ERR_INVALID, "");
	gives(" 250 x\r\n", ERR_INVALID, "");
	gives("-50 x\r\n", ERR_INVALID, "");
	gives("250 fine\r\nnonsense\r\n250 x\r\n", ERR_INVALID, "[250 1 4 fine]");
	gives("250-a\r\nb\r\n250 c\r\n", ERR_INVALID, "");
	gives_n("\0\0\0\0\r\n", 6, ERR_INVALID, "", 0);
	gives("\x16\x03\x01\x02", ERR_INVALID, "");
}

/* n lines, each "250-" and `text` bytes, the last "250 ". */
static void lines(unsigned n, size_t text, struct buf *out)
{
	for (unsigned i = 0; i < n; i++) {
		buf_puts(out, i + 1 < n ? "250-" : "250 ");
		for (size_t k = 0; k < text; k++)
			buf_putc(out, 'x');
		buf_puts(out, "\r\n");
	}
}

static err_t of_lines(unsigned n, size_t text)
{
	struct buf in = BUF_INIT(1024 * 1024), seen = BUF_INIT(1024 * 1024), drip = BUF_INIT(1024 * 1024);
	lines(n, text, &in);
	err_t err = run((const char *)in.data, in.len, in.len, in.len, &seen);
	assert_int_equal(run((const char *)in.data, in.len, 1, 1, &drip), err);
	assert_int_equal(drip.len, seen.len);
	buf_free(&in);
	buf_free(&seen);
	buf_free(&drip);
	return err;
}

static void limits(void **state)
{
	(void)state;
	assert_int_equal(of_lines(1, REPLY_LINE_MAX - 4), ERR_OK);
	assert_int_equal(of_lines(1, REPLY_LINE_MAX - 3), ERR_LIMIT); /* 2,049 bytes */
	assert_int_equal(of_lines(REPLY_LINES_MAX, 10), ERR_OK);
	assert_int_equal(of_lines(REPLY_LINES_MAX + 1, 10), ERR_LIMIT);
	assert_int_equal(of_lines(16, 1000), ERR_OK);
	assert_int_equal(of_lines(17, 1020), ERR_LIMIT); /* 17 KiB */
	/* a reply without an end never takes more */
	struct buf in = BUF_INIT(1024 * 1024), seen = BUF_INIT(1024);
	for (int i = 0; i < 100000; i++)
		buf_putc(&in, '2');
	assert_int_equal(run((const char *)in.data, in.len, in.len, in.len, &seen), ERR_INVALID);
	buf_free(&in);
	buf_free(&seen);
	/* the limit is a reply's, not a connection's */
	struct buf many = BUF_INIT(1024 * 1024), out = BUF_INIT(1024 * 1024);
	for (int i = 0; i < 20; i++)
		lines(8, 1000, &many);
	assert_int_equal(run((const char *)many.data, many.len, 700, 700, &out), ERR_OK);
	buf_free(&many);
	buf_free(&out);
}

/* Bytes without sense: an error or replies, and the same whatever the pieces. */
static void garbage(void **state)
{
	(void)state;
	static const char SOUP[] = "0123456789 -\r\n\r\n250 .x\xff";
	uint32_t seed = 12345;
	for (int round = 0; round < 300; round++) {
		char bytes[64];
		for (size_t i = 0; i < sizeof bytes; i++) {
			seed = seed * 1664525 + 1013904223;
			bytes[i] = SOUP[(seed >> 16) % (sizeof SOUP)];
		}
		if (round % 2)
			memcpy(bytes, "250-x\r\n250 ", 11);
		struct buf a = BUF_INIT(4096), b = BUF_INIT(4096);
		err_t err = run(bytes, sizeof bytes, sizeof bytes, sizeof bytes, &a);
		assert_int_equal(run(bytes, sizeof bytes, 1, 1, &b), err);
		assert_int_equal(a.len, b.len);
		if (a.len)
			assert_memory_equal(a.data, b.data, a.len);
		buf_free(&a);
		buf_free(&b);
	}
}

static void enhanced_is(int code, const char *text, const char *want)
{
	struct reply r = { code, 1, text, strlen(text) };
	char out[12];
	memset(out, 'x', sizeof out);
	reply_enhanced(&r, out);
	assert_string_equal(out, want);
}

static void enhanced(void **state)
{
	(void)state;
	enhanced_is(550, "5.1.1 unknown", "5.1.1");
	enhanced_is(550, "5.1.1", "5.1.1");
	enhanced_is(550, "  5.1.1: x", "5.1.1");
	enhanced_is(550, "5.1.1. No such user", "5.1.1");
	enhanced_is(550, "5.1.1<a@b>", "5.1.1");
	enhanced_is(550, "5.7.606 denied", "5.7.606");
	enhanced_is(550, "5.111.222 x", "5.111.222");
	enhanced_is(550, "5.7.1.100 is listed", "");
	enhanced_is(550, "5.7.1-2 is a version", "");
	enhanced_is(550, "5.7.1rc2", "");
	enhanced_is(550, "5.7.1/24", "");
	enhanced_is(550, "5.7.1000 x", "");
	enhanced_is(550, "5.7. x", "");
	enhanced_is(550, "5.7", "");
	enhanced_is(550, "5.", "");
	enhanced_is(550, "5", "");
	enhanced_is(550, "", "");
	enhanced_is(550, "4.1.1 other class", "");
	enhanced_is(450, "5.1.1 other class", "");
	enhanced_is(450, "4.2.1 x", "4.2.1");
	enhanced_is(250, "2.1.5 ok", "2.1.5");
	enhanced_is(350, "3.1.1 no such class", "");
	enhanced_is(999, "9.1.1 no such class", "");
	enhanced_is(550, "Unknown (#5.1.1)", "");
	enhanced_is(550, "The account\n5.1.1 does not exist", "5.1.1");
	enhanced_is(550, "5.1.1 The account\n5.1.1 does not exist", "5.1.1");
	enhanced_is(550, "2.1.5 fine so far\n5.1.1 but no", "5.1.1");
	enhanced_is(550, "5.0.0 first\n5.1.1 last", "5.1.1");
	struct reply none = { 550, 1, NULL, 0 };
	char out[12];
	reply_enhanced(&none, out);
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_replies),
		cmocka_unit_test(no_replies),
		cmocka_unit_test(limits),
		cmocka_unit_test(garbage),
		cmocka_unit_test(enhanced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
