/* Mail domains: one form for every spelling, and what is no mail domain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "server/address/address.h"

#define L63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"

static err_t parse(const char *text, char out[DOMAIN_SIZE], const char **why)
{
	return domain_parse(text, strlen(text), out, why);
}

static void every_spelling_has_one_form(void **state)
{
	static const struct {
		const char *text, *domain;
	} GOOD[] = {
		{ "example.com", "example.com" },
		{ "  Example.COM\t", "example.com" },
		{ "a.b", "a.b" },
		{ "3com.com", "3com.com" },
		{ "1.2.3.4.example", "1.2.3.4.example" },
		{ "example.x1", "example.x1" },
		{ "ab--cd.de", "ab--cd.de" },
		{ "AB--CD.b\u00fccher.example", "ab--cd.xn--bcher-kva.example" },
		{ "ab--cd.xn--bcher-kva.example", "ab--cd.xn--bcher-kva.example" },
		{ "b\u00fccher.example", "xn--bcher-kva.example" },
		{ "B\u00dcCHER.example", "xn--bcher-kva.example" },
		{ "bu\u0308cher.example", "xn--bcher-kva.example" },
		{ "XN--Bcher-KVA.example", "xn--bcher-kva.example" },
		{ "fa\u00df.de", "xn--fa-hia.de" }, /* not transitional: not fass.de */
		{ "xn--fa-hia.de", "xn--fa-hia.de" },
		{ "\uff45xample\u3002com", "example.com" },
		{ "example\uff0ecom", "example.com" },
		{ "\u65e5\u672c\u8a9e.jp", "xn--wgv71a119e.jp" },
		{ "\u4f8b\u3048.\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah" },
		{ "\u0438\u0441\u043f\u044b\u0442\u0430\u043d\u0438\u0435.\u0440\u0444", "xn--80akhbyknj4f.xn--p1ai" },
		{ "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com", "xn--mgba3gch31f060k.com" }, /* ZWNJ in place */
		{ "xn--mgba3gch31f060k.com", "xn--mgba3gch31f060k.com" },
		{ L63 ".example", L63 ".example" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
		char out[DOMAIN_SIZE], again[DOMAIN_SIZE];
		const char *why = NULL;
		if (parse(GOOD[i].text, out, &why))
			fail_msg("%s: %s", GOOD[i].text, why);
		assert_string_equal(out, GOOD[i].domain);
		assert_int_equal(parse(out, again, &why), ERR_OK);
		assert_string_equal(again, out);
	}
}

static void what_is_no_mail_domain_is_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} BAD[] = {
		{ "", "missing" }, { "   ", "missing" }, { "localhost", "no dot" }, { "xn--p1ai", "no dot" },
		{ "example.com.", "empty label" }, { ".example.com", "empty label" }, { "a..b", "empty label" },
		{ ".", "empty label" }, { "example\u3002\u3002com", "empty label" }, { "a.\ufe0f.com", "invisible" },
		{ "1.2.3.4", "number" }, { "example.123", "number" }, { "example.\uff11\uff12", "number" },
		{ "[1.2.3.4]", "literal" }, { "[IPv6:::1]", "literal" }, { "a_b.example", "underscore" },
		{ "_dmarc.example.com", "underscore" }, { "-a.example", "hyphen" }, { "a-.example", "hyphen" },
		{ "a b.example", "letters, digits" }, { "a,b.example", "letters, digits" },
		{ "exa\tmple.com", "control" }, { "example.com\n", "line break" },
		{ "example.com\r\nRCPT TO:<a@b.c>", "line break" }, { "example\x7f.com", "control" },
		{ "a@b.example", "more than one @" }, { "a/b.example", "letters, digits" }, { L63 "x.example", "63" },
		{ "\u00fc" L63 ".example", "63" }, { L63 "." L63 "." L63 "." L63 ".com", "253" },
		{ "xn--.example", "IDNA" }, { "xn--foo-.example", "IDNA" }, /* decodes to ASCII */
		{ "xn--a.example", "IDNA" },				    /* decodes to a control character */
		{ "xn--ss-qcu.example", "IDNA" },			    /* no U-label gives it */
		{ "xn--99999999.example", "IDNA" }, { "i\u2764.ws", "IDNA" },
		{ "a\u200cb.example", "IDNA" },				       /* ZWNJ out of place */
		{ "\u0308a.example", "IDNA" }, { "\u05d01a.example", "IDNA" }, /* bidi rule */
		{ "a\u200bb.example", "invisible" }, { "a\u00adb.example", "invisible" },
		{ "a\u202eb.example", "invisible" }, { "a\ufffd.example", "U+FFFD" }, { "a\xff.example", "UTF-8" },
		{ "a\xe2\x80", "UTF-8" }, { "a\xed\xa0\x80.example", "UTF-8" }, /* a surrogate */
		{ "a\xc0\xae.example", "UTF-8" },				/* an overlong dot */
	};
	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		char out[DOMAIN_SIZE] = "untouched";
		const char *why = NULL;
		assert_int_equal(parse(BAD[i].text, out, &why), ERR_INVALID);
		assert_string_equal(out, "untouched");
		if (!strstr(why, BAD[i].why))
			fail_msg("case %zu '%s': expected '%s' in '%s'", i, BAD[i].text, BAD[i].why, why);
	}
	char out[DOMAIN_SIZE], longest[400];
	const char *why;
	memset(longest, 'a', sizeof longest);
	assert_int_equal(domain_parse(longest, 321, out, &why), ERR_INVALID);
	assert_int_equal(domain_parse("a\0b.example", 11, out, &why), ERR_INVALID);
	assert_int_equal(domain_parse(NULL, 0, out, &why), ERR_INVALID);
}

static void length_ends_at_253(void **state)
{
	char text[300], out[DOMAIN_SIZE];
	const char *why;
	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = i % 2 ? '.' : 'a';
	assert_int_equal(domain_parse(text, 253, out, &why), ERR_OK);
	assert_int_equal(strlen(out), 253);
	assert_int_equal(domain_parse(text, 255, out, &why), ERR_INVALID);
}

static void within_is_by_whole_labels(void **state)
{
	(void)state;
	assert_true(domain_is_within("example.com", "example.com"));
	assert_true(domain_is_within("a.b.example.com", "example.com"));
	assert_false(domain_is_within("badexample.com", "example.com"));
	assert_false(domain_is_within("com", "example.com"));
	assert_false(domain_is_within("example.com", "a.example.com"));
	assert_false(domain_is_within("example.com.evil.org", "example.com"));
	assert_false(domain_is_within("example.com", ""));
	assert_false(domain_is_within("", "com"));
}

static void reversed_by_labels(void **state)
{
	static const char *const PAIRS[][2] = { { "mail.example.com", "com.example.mail" }, { "com", "com" },
		{ "", "" }, { "a.b", "b.a" }, { "ab-c.d.xn--p1ai", "xn--p1ai.d.ab-c" } };
	char out[DOMAIN_SIZE], again[DOMAIN_SIZE], longest[400];
	(void)state;
	for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
		domain_reverse(PAIRS[i][0], out);
		assert_string_equal(out, PAIRS[i][1]);
		domain_reverse(out, again);
		assert_string_equal(again, PAIRS[i][0]);
	}
	memset(longest, '.', sizeof longest);
	longest[399] = 0;
	domain_reverse(longest, out);
	assert_int_equal(strlen(out), DOMAIN_SIZE - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_has_one_form),
		cmocka_unit_test(what_is_no_mail_domain_is_refused),
		cmocka_unit_test(length_ends_at_253),
		cmocka_unit_test(within_is_by_whole_labels),
		cmocka_unit_test(reversed_by_labels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
