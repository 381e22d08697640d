/* Hints: what an address alone suggests, and the order of the lists that the search relies on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/address/disposable_domains.h"
#include "server/address/free_domains.h"
#include "server/address/hints.h"
#include "server/address/popular_domains.h"
#include "server/address/role_locals.h"

static struct hints hints(const char *text)
{
	struct address a;
	const char *why = NULL;
	if (address_parse(text, strlen(text), &a, &why))
		fail_msg("'%s': %s", text, why);
	return hints_of(&a);
}

static void roles(void **state)
{
	static const char *const YES[] = { "info", "INFO", "\"info\"", "sales", "postmaster", "Abuse", "noreply",
		"no-reply", "no_reply", "do.not.reply", "info+list", "webmaster", "kontakt", "b\u00fcro", "BU\u0308RO",
		"ventas", "\u0438\u043d\u0444\u043e", "\u5ba2\u670d" };
	static const char *const NO[] = { "john", "john.info", "information.jones", "+info", "a", "\"\"", "-", "in fo",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "zzzz" };
	(void)state;
	for (size_t i = 0; i < sizeof YES / sizeof *YES; i++) {
		char text[128];
		snprintf(text, sizeof text, "%s@example.org", YES[i]);
		if (!hints(text).role)
			fail_msg("%s", text);
	}
	for (size_t i = 0; i < sizeof NO / sizeof *NO; i++) {
		char text[128];
		bool quote = strchr(NO[i], ' ') != NULL;
		snprintf(text, sizeof text, quote ? "\"%s\"@example.org" : "%s@example.org", NO[i]);
		if (hints(text).role)
			fail_msg("%s", text);
	}
}

static void free_and_disposable(void **state)
{
	static const struct {
		const char *domain;
		bool free, disposable;
	} CASES[] = {
		{ "gmail.com", true, false },
		{ "GMAIL.com", true, false },
		{ "yahoo.co.uk", true, false },
		{ "web.de", true, false },
		{ "qq.com", true, false },
		{ "proton.me", true, false },
		{ "mailinator.com", false, true },
		{ "any.thing.mailinator.com", false, true },
		{ "guerrillamail.com", false, true },
		{ "yopmail.com", false, true },
		{ "mailinator.example", false, false },
		{ "mailinator.com.example.org", false, false },
		{ "mail.gmail.com", false, false },
		{ "example.org", false, false },
		{ "a.b", false, false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		char text[128];
		snprintf(text, sizeof text, "john@%s", CASES[i].domain);
		struct hints h = hints(text);
		if (h.free != CASES[i].free || h.disposable != CASES[i].disposable)
			fail_msg("%s: free %d, disposable %d", text, h.free, h.disposable);
	}
}

static void suggestions(void **state)
{
	static const char *const CASES[][2] = {
		{ "gmial.com", "gmail.com" },
		{ "gmai.com", "gmail.com" },
		{ "gmail.co", "gmail.com" },
		{ "gmail.cm", "gmail.com" },
		{ "gmail.con", "gmail.com" },
		{ "gmial.con", "gmail.com" },
		{ "hotmail.con", "hotmail.com" },
		{ "hotmial.cm", "hotmail.com" },
		{ "otulook.com", "outlook.com" },
		{ "yaho.com", "yahoo.com" },
		{ "yahooo.co.uk", "yahoo.co.uk" },
		{ "t-onlin.de", "t-online.de" },
		{ "gmx.nett", "gmx.net" },
		{ "example.con", "example.com" },
		{ "mail.example.ogr", "mail.example.org" },
		/* nothing to say */
		{ "gmail.com", "" },
		{ "hotmail.com", "" },
		{ "email.com", "" }, /* near gmail.com, but itself known */
		{ "ymail.com", "" },
		{ "mail.com", "" },
		{ "example.com", "" },
		{ "nw.com", "" }, /* near me.com: too short to tell */
		{ "gmy.de", "" },
		{ "gmail.example", "" },
		{ "xn--bcher-kva.example", "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		char text[128];
		snprintf(text, sizeof text, "john@%s", CASES[i][0]);
		struct hints h = hints(text);
		if (strcmp(h.suggestion, CASES[i][1]) != 0)
			fail_msg("%s: '%s' instead of '%s'", CASES[i][0], h.suggestion, CASES[i][1]);
	}
}

/* Walks a list's lines: each is found, and where the search relies on it, they are in order and parse. */
static void check_list(const unsigned char *text, size_t size, bool sorted, bool domains)
{
	char last[256] = "", line[256];
	const char *at = (const char *)text, *end = at + size;
	size_t lines = 0;
	bool head = true;
	assert_int_equal(end[-1], '\n');
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)(stop - at);
		assert_in_range(n, 1, sizeof line - 1);
		memcpy(line, at, n);
		line[n] = 0;
		at = stop + 1;
		if (line[0] == '#') {
			assert_true(head);
			continue;
		}
		head = false;
		lines++;
		if (sorted && strcmp(last, line) >= 0)
			fail_msg("'%s' stands before '%s'", last, line);
		memcpy(last, line, n + 1);
		char parsed[DOMAIN_SIZE];
		const char *why = NULL;
		if (domains && (domain_parse(line, n, parsed, &why) || strcmp(parsed, line) != 0))
			fail_msg("'%s': %s", line, why ? why : "not in canonical form");
	}
	assert_true(lines > 100);
}

static void lists_are_sorted_and_canonical(void **state)
{
	(void)state;
	check_list(disposable_domains, disposable_domains_size, true, true);
	check_list(free_domains, free_domains_size, true, true);
	check_list(popular_domains, popular_domains_size, false, true);
	check_list(role_locals, role_locals_size, true, false);
}

static void each_line_is_found(const unsigned char *list, size_t size, const char *format, size_t field)
{
	const char *at = (const char *)list, *end = at + size;
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		char text[400];
		snprintf(text, sizeof text, format, (int)(stop - at), at);
		if (*at != '#') {
			struct hints h = hints(text);
			if (!*((const bool *)&h + field))
				fail_msg("%s", text);
			if (field == offsetof(struct hints, free))
				assert_string_equal(h.suggestion, "");
		}
		at = stop + 1;
	}
}

static void the_search_finds_every_line(void **state)
{
	(void)state;
	each_line_is_found(
		disposable_domains, disposable_domains_size, "john@%.*s", offsetof(struct hints, disposable));
	each_line_is_found(free_domains, free_domains_size, "john@%.*s", offsetof(struct hints, free));
	each_line_is_found(popular_domains, popular_domains_size, "john@%.*s", offsetof(struct hints, free));
	each_line_is_found(role_locals, role_locals_size, "%.*s@example.org", offsetof(struct hints, role));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles),
		cmocka_unit_test(free_and_disposable),
		cmocka_unit_test(suggestions),
		cmocka_unit_test(lists_are_sorted_and_canonical),
		cmocka_unit_test(the_search_finds_every_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
