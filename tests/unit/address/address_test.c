/* Email addresses: the grammar's corners, one form for every spelling, and whatever anyone may send us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/address/address.h"

#define A10 "aaaaaaaaaa"
#define A64 A10 A10 A10 A10 A10 A10 "aaaa"
#define U2 "\u00e9"			  /* two octets */
#define U20 U2 U2 U2 U2 U2 U2 U2 U2 U2 U2 /* twenty */

static err_t parse(const char *text, struct address *out, const char **why)
{
	return address_parse(text, strlen(text), out, why);
}

static char *text_of(const struct address *a, struct buf *b)
{
	buf_reset(b);
	address_text(a, b);
	return (char *)buf_str(b);
}

/* Reads again what it wrote: the same, or it was no canonical form. */
static void assert_fixed_point(const struct address *a)
{
	struct buf b = BUF_INIT(1024), c = BUF_INIT(1024);
	struct address again;
	const char *why = NULL;
	if (parse(text_of(a, &b), &again, &why))
		fail_msg("'%s' does not parse again: %s", buf_str(&b), why);
	assert_string_equal(again.local, a->local);
	assert_string_equal(again.domain, a->domain);
	assert_int_equal(again.utf8, a->utf8);
	buf_reset(&b);
	address_exempt_key(a, &b);
	address_exempt_key(&again, &c);
	assert_int_equal(b.err, ERR_OK);
	assert_string_equal(buf_str(&b), buf_str(&c));
	buf_free(&b);
	buf_free(&c);
}

static void every_spelling_has_one_form(void **state)
{
	static const struct {
		const char *text, *canonical;
		bool utf8;
	} GOOD[] = {
		{ "john@example.com", "john@example.com", false },
		{ "  john@example.com\t ", "john@example.com", false },
		{ "John.Doe@EXAMPLE.com", "John.Doe@example.com", false },
		{ "\"john\"@example.com", "john@example.com", false },
		{ "\"jo\\hn\"@example.com", "john@example.com", false },
		{ "\"john.doe\"@example.com", "john.doe@example.com", false },
		{ "\"john..doe\"@example.com", "\"john..doe\"@example.com", false },
		{ "\".john\"@example.com", "\".john\"@example.com", false },
		{ "\"john.\"@example.com", "\"john.\"@example.com", false },
		{ "\"\"@example.com", "\"\"@example.com", false },
		{ "\" \"@example.com", "\" \"@example.com", false },
		{ "\"\\ \\@\"@example.com", "\" @\"@example.com", false },
		{ "\"a\\\"b\\\\c\"@example.com", "\"a\\\"b\\\\c\"@example.com", false },
		{ "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com", false },
		{ "a@b.c", "a@b.c", false },
		{ A64 "@example.com", A64 "@example.com", false },
		{ "\"" A64 "\"@example.com", A64 "@example.com", false },
		/* RFC 3696, section 3, as its errata leave it */
		{ "\"Abc\\@def\"@example.com", "\"Abc@def\"@example.com", false },
		{ "\"Fred Bloggs\"@example.com", "\"Fred Bloggs\"@example.com", false },
		{ "\"Joe\\\\Blow\"@example.com", "\"Joe\\\\Blow\"@example.com", false },
		{ "\"Abc@def\"@example.com", "\"Abc@def\"@example.com", false },
		{ "user+mailbox@example.com", "user+mailbox@example.com", false },
		{ "customer/department=shipping@example.com", "customer/department=shipping@example.com", false },
		{ "$A12345@example.com", "$A12345@example.com", false },
		{ "!def!xyz%abc@example.com", "!def!xyz%abc@example.com", false },
		{ "_somename@example.com", "_somename@example.com", false },
		/* RFC 6531 */
		{ "\u7528\u6237@\u4f8b\u5b50.\u5e7f\u544a", "\u7528\u6237@xn--fsqu00a.xn--4rr70v", true },
		{ "josE\u0301@example.com", "jos\u00c9@example.com", true },
		{ "\"jos\u00e9\"@example.com", "jos\u00e9@example.com", true },
		{ "\"jos\u00e9 x\"@example.com", "\"jos\u00e9 x\"@example.com", true },
		{ "\u212a@example.com", "K@example.com", false }, /* KELVIN SIGN is K in NFC */
		{ "a\u037eb@example.com", "\"a;b\"@example.com", false },
		{ "\u0434\u0436\u043e\u043d@xn--bcher-kva.example", "\u0434\u0436\u043e\u043d@xn--bcher-kva.example",
			true },
		{ "\U0001f600@example.com", "\U0001f600@example.com", true },
		{ U20 U20 U20 U2 U2 "@example.com", U20 U20 U20 U2 U2 "@example.com", true },
	};
	struct buf b = BUF_INIT(1024);
	(void)state;
	for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
		struct address a;
		const char *why = NULL;
		if (parse(GOOD[i].text, &a, &why))
			fail_msg("'%s': %s", GOOD[i].text, why);
		assert_string_equal(text_of(&a, &b), GOOD[i].canonical);
		assert_int_equal(a.utf8, GOOD[i].utf8);
		assert_fixed_point(&a);
	}
	buf_free(&b);
}

static void what_is_no_mailbox_is_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} BAD[] = {
		{ "", "empty" },
		{ " \t ", "empty" },
		{ "example.com", "no @" },
		{ "\"john\"", "no @" },
		{ "@example.com", "nothing before" },
		{ "john@", "nothing after" },
		{ "@", "nothing before" },
		{ "john@@example.com", "more than one @" },
		{ "a@b@example.com", "more than one @" },
		{ "john@ example.com", "space after" },
		{ "john @example.com", "only a quoted one" },
		{ "john doe@example.com", "only a quoted one" },
		{ ".john@example.com", "dot" },
		{ "john.@example.com", "dot" },
		{ "jo..hn@example.com", "dot" },
		{ ".@example.com", "dot" },
		{ "a(comment)@example.com", "only a quoted one" },
		{ "a\\@b@example.com", "only a quoted one" },
		{ "a,b@example.com", "only a quoted one" },
		{ "\"john@example.com", "no closing" },
		{ "\"john\\\"@example.com", "no closing" },
		{ "\"john\\", "no closing" },
		{ "\"", "no closing" },
		{ "\"a\"b@example.com", "between" },
		{ "\"a\".b@example.com", "between" },
		{ "\"a\" @example.com", "between" },
		{ "a.\"b\"@example.com", "as a whole" },
		{ "\"a\\\u00e9\"@example.com", "backslash" },
		{ "\"a\tb\"@example.com", "control" },
		{ "A <a@example.com>", "display name" },
		{ "\"A B\" <a@example.com>", "display name" },
		{ "<a@example.com>", "angle brackets" },
		{ "<>", "angle brackets" },
		{ "@relay.example,@b.example:user@c.example", "source route" },
		{ "mailto:a@example.com", "only a quoted one" },
		{ A64 "a@example.com", "64" },
		{ "\"" A64 "a\"@example.com", "64" },
		{ U20 U20 U20 U2 U2 "x@example.com", "64" },
		{ "john@[127.0.0.1]", "literal" },
		{ "john@localhost", "no dot" },
		{ "john@example.com.", "empty label" },
		{ "john@example..com", "empty label" },
		{ "john@1.2.3.4", "number" },
		{ "john@exa_mple.com", "underscore" },
		{ "john@example.com\r\n", "line break" },
		{ "\njohn@example.com", "line break" },
		{ "john@example.com\r\nDATA", "line break" },
		{ "\"a\r\nRCPT TO:<x@y.z>\"@example.com", "line break" },
		{ "john\x7f@example.com", "only a quoted one" },
		{ "\"john\x7f\"@example.com", "control" },
		{ "\"john\\\x7f\"@example.com", "backslash" },
		{ "jo\x01hn@example.com", "only a quoted one" },
		{ "jo\xc2\x85hn@example.com", "control" }, /* NEL, of C1 */
		{ "jo\xffhn@example.com", "UTF-8" },
		{ "jo\xc0\x8dhn@example.com", "UTF-8" },     /* an overlong CR */
		{ "jo\xe0\x80\x8ahn@example.com", "UTF-8" }, /* an overlong LF */
		{ "jo\xed\xa0\x80hn@example.com", "UTF-8" }, /* a surrogate */
		{ "jo\xf4\x90\x80\x80@example.com", "UTF-8" },
		{ "jo\xe2@example.com", "UTF-8" },
		{ "jo\ufffdhn@example.com", "U+FFFD" },
		{ "jo\u200bhn@example.com", "invisible" },
		{ "jo\u200dhn@example.com", "invisible" },
		{ "jo\ufeffhn@example.com", "invisible" },
		{ "\ufeffjohn@example.com", "invisible" },
		{ "jo\u202ehn@example.com", "invisible" },
		{ "jo\u2066hn@example.com", "invisible" },
		{ "jo\u00adhn@example.com", "invisible" },
		{ "jo\u3164hn@example.com", "invisible" },
		{ "jo\U000e0041hn@example.com", "invisible" },
		{ "jo\u2028hn@example.com", "separator" },
		{ "jo\u2029hn@example.com", "separator" },
		{ "jo\u00a0hn@example.com", "separator" },
		{ "jo\u2000hn@example.com", "separator" },
		{ "jo\uffffhn@example.com", "no character" },
		{ "jo\ufdd0hn@example.com", "no character" },
		{ "jo\U0001fffehn@example.com", "no character" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		struct address a = { .local = "untouched" };
		const char *why = NULL;
		assert_int_equal(parse(BAD[i].text, &a, &why), ERR_INVALID);
		assert_string_equal(a.local, "untouched");
		if (!strstr(why, BAD[i].why))
			fail_msg("case %zu '%s': expected '%s' in '%s'", i, BAD[i].text, BAD[i].why, why);
	}
}

static void length_and_nul(void **state)
{
	char text[400];
	struct address a;
	const char *why;
	(void)state;
	memset(text, ' ', sizeof text);
	memcpy(text, "john@example.com", 16);
	assert_int_equal(address_parse(text, ADDRESS_MAX, &a, &why), ERR_OK);
	assert_int_equal(address_parse(text, ADDRESS_MAX + 1, &a, &why), ERR_INVALID);
	assert_string_equal(why, "it is over 320 octets");
	assert_int_equal(address_parse("john\0@example.com", 17, &a, &why), ERR_INVALID);
	assert_string_equal(why, "a NUL is not allowed");
	assert_int_equal(address_parse("john@example.com\0", 17, &a, &why), ERR_INVALID);
	assert_int_equal(address_parse(NULL, 0, &a, &why), ERR_INVALID);
	memset(text, '"', sizeof text); /* the most that quoting can add */
	text[0] = '"';
	for (size_t i = 1; i < 129; i++)
		text[i] = i % 2 ? '\\' : '"';
	memcpy(text + 129, "\"@example.com", 13);
	assert_int_equal(address_parse(text, 142, &a, &why), ERR_OK);
	assert_int_equal(strlen(a.local), 130);
	assert_fixed_point(&a);
	for (size_t i = 0; i < 31; i++) /* 3 octets each, 8 as an A-label */
		memcpy(text + 131 + 3 * i, "\u00fc.", 3);
	memcpy(text + 131 + 93, "de", 2);
	assert_int_equal(address_parse(text, 226, &a, &why), ERR_INVALID);
	assert_string_equal(why, "it is over 320 octets once its domain is in A-labels");
}

static void no_spelling_escapes_its_exemption(void **state)
{
	static const char *const SAME[][4] = {
		{ "John.Doe@Example.com", "\"john.doe\"@example.COM", "\"JOHN\\.DOE\"@example.com",
			"john.doe@example.com" },
		{ "JOS\u00c9@b\u00fccher.example", "jose\u0301@xn--bcher-kva.example",
			"\"Jos\u00e9\"@B\u00dcCHER.example", "jos\u00e9@xn--bcher-kva.example" },
		{ "STRASSE@example.com", "stra\u00dfe@example.com", "STRA\u1e9eE@example.com", "strasse@example.com" },
		{ "\"A b\"@example.com", "\"a B\"@example.com", "\"a\\ b\"@example.com", "a b@example.com" },
		{ "\u212a@example.com", "k@example.com", "\"K\"@example.com", "k@example.com" },
		{ "\u03c3\u03c2@example.com", "\u03a3\u03a3@example.com", "\u03c2\u03c3@example.com",
			"\u03c3\u03c3@example.com" },
	};
	struct buf b = BUF_INIT(1024);
	(void)state;
	for (size_t i = 0; i < sizeof SAME / sizeof *SAME; i++) {
		for (size_t j = 0; j < 3; j++) {
			struct address a;
			const char *why = NULL;
			assert_int_equal(parse(SAME[i][j], &a, &why), ERR_OK);
			buf_reset(&b);
			address_exempt_key(&a, &b);
			assert_string_equal(buf_str(&b), SAME[i][3]);
		}
	}
	struct address empty;
	const char *why;
	assert_int_equal(parse("\"\"@example.com", &empty, &why), ERR_OK);
	buf_reset(&b);
	address_exempt_key(&empty, &b);
	assert_string_equal(buf_str(&b), "@example.com");
	buf_free(&b);
}

/* Folding what is folded changes nothing, or one mailbox would have two keys. */
static void assert_key_is_stable(const struct address *a)
{
	struct buf key = BUF_INIT(1024), quoted = BUF_INIT(2048), again = BUF_INIT(1024);
	struct address folded;
	const char *why = NULL;
	address_exempt_key(a, &key);
	size_t local = key.len - strlen(a->domain) - 1;
	buf_putc(&quoted, '"');
	for (size_t i = 0; i < local; i++) {
		if (key.data[i] == '"' || key.data[i] == '\\')
			buf_putc(&quoted, '\\');
		buf_putc(&quoted, (char)key.data[i]);
	}
	buf_printf(&quoted, "\"@%s", a->domain);
	if (parse(buf_str(&quoted), &folded, &why)) {
		assert_string_equal(why, "the local part is over 64 octets"); /* it may grow */
	} else {
		address_exempt_key(&folded, &again);
		assert_string_equal(buf_str(&again), buf_str(&key));
	}
	buf_free(&key);
	buf_free(&quoted);
	buf_free(&again);
}

static uint64_t next_random(uint64_t *seed) /* xorshift64 */
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Pieces that make something that is nearly an address, with what breaks one. */
static size_t random_text(uint64_t *seed, char *out, size_t max)
{
	static const char *const PIECES[] = { "a", "B", "john", ".", "@", "@", "\"", "\\", "\\\"", " ", "example.com",
		".com", "xn--", "xn--bcher-kva", "\u00fc", "u\u0308", "\u0338", "\u037e", "\u3002", "\u200c", "\u200d",
		"\u05d0", "\u202e", "\u212a", "\u00df", "\u1fef", "<", ">", "=", "-", "--", "_", "[", "]", ":", "\r\n",
		"\n", "\t", "\x7f", "\x01", "\xff", "\xe2", "\xc2\x85", "\ufffd", "\u0345", "\u1fb3", "\u0391",
		"\u03a3", "\u0130", "\u01c5", "\u0149", "1", "\uff11" };
	size_t n = 0, target = next_random(seed) % (next_random(seed) % 4 ? 5 : 24);
	bool raw = next_random(seed) % 8 == 0, quote = next_random(seed) % 4 == 0;
	if (quote)
		out[n++] = '"';
	for (size_t i = 0; i < target; i++) {
		const char *piece = PIECES[next_random(seed) % (sizeof PIECES / sizeof *PIECES)];
		char byte[2] = { (char)next_random(seed), 0 };
		size_t length = raw ? 1 : strlen(piece);
		if (n + length > max)
			break;
		memcpy(out + n, raw ? byte : piece, length);
		n += length;
	}
	if (quote && n < max)
		out[n++] = '"';
	if (next_random(seed) % 4 && n + 14 <= max) {
		memcpy(out + n, "@xn--p1ai.test", 14);
		n += 14;
	}
	return n;
}

static void any_bytes_leave_no_control_byte(void **state)
{
	uint64_t seed = 20260101;
	size_t good = 0, utf8 = 0, quoted = 0;
	(void)state;
	for (size_t i = 0; i < 200000; i++) {
		char text[256], *exact;
		size_t n = random_text(&seed, text, sizeof text);
		struct address a;
		const char *why = NULL;
		exact = malloc(n ? n : 1); /* so that reading past the end is seen */
		assert_non_null(exact);
		memcpy(exact, text, n);
		err_t err = address_parse(exact, n, &a, &why);
		free(exact);
		if (err) {
			assert_int_equal(err, ERR_INVALID);
			assert_non_null(why);
			continue;
		}
		good++;
		utf8 += a.utf8;
		quoted += a.local[0] == '"';
		for (const char *p = a.local; *p; p++)
			assert_false((uint8_t)*p < 0x20 || *p == 0x7f);
		for (const char *p = a.domain; *p; p++)
			assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", *p));
		assert_fixed_point(&a);
		assert_key_is_stable(&a);
	}
	/* The generator reaches what it is for. */
	assert_true(good > 10000 && utf8 > 1000 && quoted > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_has_one_form),
		cmocka_unit_test(what_is_no_mailbox_is_refused),
		cmocka_unit_test(length_and_nul),
		cmocka_unit_test(no_spelling_escapes_its_exemption),
		cmocka_unit_test(any_bytes_leave_no_control_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
