/* The reader of SMTP command lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/world/smtp_cmd.h"

static struct smtp_cmd read_text(const char *line)
{
	struct smtp_cmd c;

	smtp_cmd_read(&c, (const uint8_t *)line, strlen(line));
	return c;
}

static void verbs(void **state)
{
	(void)state;
	assert_int_equal(read_text("EHLO me").verb, VERB_EHLO);
	assert_int_equal(read_text("ehlo me").verb, VERB_EHLO);
	assert_int_equal(read_text("RsEt").verb, VERB_RSET);
	assert_int_equal(read_text("DATA").verb, VERB_DATA);
	assert_int_equal(verb_phase(VERB_DATA), PHASE_OTHER);
	assert_int_equal(read_text("BDAT 5 LAST").verb, VERB_BDAT);
	assert_int_equal(read_text("DATAX").verb, VERB_OTHER);
	assert_int_equal(read_text("").verb, VERB_OTHER);
	assert_int_equal(read_text(" QUIT").verb, VERB_OTHER);
	assert_int_equal(read_text("AVERYLONGVERBINDEEDTHATGOESON x").verb, VERB_OTHER);
	assert_string_equal(read_text("AVERYLONGVERBINDEEDTHATGOESON x").word, "AVERYLONGVERBIND");
	assert_string_equal(read_text("g\001\200t / HTTP/1.1").word, "G??T");
	for (int v = 0; v < VERB_OTHER; v++)
		assert_int_equal(read_text(verb_name((enum verb)v)).verb, v);
}

static void arguments(void **state)
{
	struct smtp_cmd c = read_text("EHLO  probe.test  ");

	(void)state;
	assert_int_equal(c.arg_len, 10);
	assert_memory_equal(c.arg, "probe.test", 10);
	assert_int_equal(read_text("QUIT").arg_len, 0);
}

static void a_path(const char *line, const char *local, const char *domain)
{
	struct smtp_cmd c = read_text(line);

	assert_true(c.path_ok);
	assert_string_equal(c.local, local);
	assert_string_equal(c.domain, domain);
}

static void good_paths(void **state)
{
	(void)state;
	a_path("RCPT TO:<alice@acme.example>", "alice", "acme.example");
	a_path("rcpt to: <Alice@ACME.Example>", "Alice", "acme.example");
	a_path("RCPT TO:<\"a b>c@d\"@acme.example>", "a b>c@d", "acme.example");
	a_path("RCPT TO:<\"q\\\"q\"@acme.example>", "q\"q", "acme.example");
	a_path("RCPT TO:<Postmaster>", "Postmaster", "");
	a_path("MAIL FROM:<>", "", "");
	assert_true(read_text("MAIL FROM:<>").path_empty);
	assert_true(read_text("RCPT TO:<j\303\266rg@acme.example>").is_utf8);
}

static void bad_paths(void **state)
{
	static const char *const BAD[] = { "RCPT TO:", "RCPT", "RCPT TO:<>", "RCPT TO:alice@acme.example",
		"RCPT TO:<alice@acme.example", "RCPT TO:<alice>", "RCPT TO:<@acme.example>", "RCPT TO:<alice@>",
		"RCPT TO:<a@b@c>", "RCPT TO:<\"a@b.example>", "RCPT TO:<a@b.example>x", "RCPT FROM:<a@b.example>",
		"MAIL TO:<a@b.example>", "RCPT TO:<a@b c>" };

	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
		if (read_text(BAD[i]).path_ok)
			fail_msg("taken as a path: %s", BAD[i]);
}

static void too_long(void **state)
{
	char line[2048] = "RCPT TO:<";
	struct smtp_cmd c;

	(void)state;
	memset(line + 9, 'a', 1000);
	memcpy(line + 1009, "@b.example>", 11);
	smtp_cmd_read(&c, (uint8_t *)line, 1020);
	assert_false(c.path_ok);
	memcpy(line + 9, "a@", 2);
	line[1009] = 'a';
	smtp_cmd_read(&c, (uint8_t *)line, 1020);
	assert_false(c.path_ok);
}

static void parameters(void **state)
{
	struct smtp_cmd c = read_text("MAIL FROM:<a@b.example> SIZE=1  BODY=8BITMIME SMTPUTF8");
	const char *text;
	size_t n;

	(void)state;
	assert_true(smtp_cmd_param(&c, 0, &text, &n));
	assert_int_equal(n, 6);
	assert_true(smtp_cmd_param(&c, 2, &text, &n));
	assert_memory_equal(text, "SMTPUTF8", 8);
	assert_false(smtp_cmd_param(&c, 3, &text, &n));
	c = read_text("EHLO x");
	assert_false(smtp_cmd_param(&c, 0, &text, &n));
}

/* Exact-size heap blocks: a byte read beyond one is seen by the sanitizer. */
static void any_bytes(void **state)
{
	uint32_t seed = 12345;
	static const char PIECES[] = "RCPT TO:<>\"\\@ \0\r\200aMAILFROM";

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t n = seed % 40;
		uint8_t *line = malloc(n + 1);
		struct smtp_cmd c;
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			line[i] = (uint8_t)PIECES[(seed >> 16) % (sizeof PIECES - 1)];
		}
		line = realloc(line, n ? n : 1);
		if (n > 9 && round % 2)
			memcpy(line, "RCPT TO:<", 9);
		smtp_cmd_read(&c, line, n);
		assert_true(c.arg_len <= n);
		assert_true(c.path_len <= n);
		free(line);
		seed = seed * 1664525 + 1013904223;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verbs),
		cmocka_unit_test(arguments),
		cmocka_unit_test(good_paths),
		cmocka_unit_test(bad_paths),
		cmocka_unit_test(too_long),
		cmocka_unit_test(parameters),
		cmocka_unit_test(any_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
