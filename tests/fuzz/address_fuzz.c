/* What people and peers give as an address or a domain. What is taken is canonical, safe in a command line, and has one
 * exemption key whatever its spelling. */
#include <string.h>

#include "server/address/address.h"
#include "server/address/hints.h"
#include "tests/fuzz/fuzz.h"

static void check_domain(const char domain[DOMAIN_SIZE])
{
	char again[DOMAIN_SIZE], reversed[DOMAIN_SIZE];
	const char *why;
	size_t n = strnlen(domain, DOMAIN_SIZE);
	MUST(n && n < DOMAIN_SIZE && !has_control(domain, n) && strchr(domain, '.'));
	for (size_t i = 0; i < n; i++)
		MUST((uint8_t)domain[i] < 0x80 && !(domain[i] >= 'A' && domain[i] <= 'Z'));
	MUST(domain_parse(domain, n, again, &why) == ERR_OK && strcmp(again, domain) == 0);
	MUST(domain_is_within(domain, domain) && domain_is_within(domain, strchr(domain, '.') + 1));
	domain_reverse(domain, reversed);
	domain_reverse(reversed, again);
	MUST(strcmp(again, domain) == 0);
}

static void key_of(const struct address *a, struct buf *key)
{
	address_exempt_key(a, key);
	MUST(!key->err && key->len > strlen(a->domain) && !has_control(key->data, key->len));
}

/* Another spelling: the other case of ASCII letters, and quoted. */
static void check_spellings(const struct address *a, struct buf *key)
{
	struct buf text = BUF_INIT(1024), other_key = BUF_INIT(1024);
	struct address other;
	const char *why;
	bool quoted = a->local[0] == '"';
	buf_puts(&text, quoted ? "" : "\"");
	for (const char *p = a->local; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
		buf_putc(&text, letter ? (char)(*p ^ 0x20) : *p);
	}
	buf_puts(&text, quoted ? "@" : "\"@");
	buf_puts(&text, a->domain);
	MUST(!text.err);
	if (text.len <= ADDRESS_MAX) {
		MUST(address_parse(text.data, text.len, &other, &why) == ERR_OK);
		key_of(&other, &other_key);
		MUST(other_key.len == key->len && memcmp(other_key.data, key->data, key->len) == 0);
	}
	buf_free(&text);
	buf_free(&other_key);
}

static void check_address(const struct address *a)
{
	struct address again;
	const char *why;
	struct buf text = BUF_INIT(1024), key = BUF_INIT(1024);
	check_domain(a->domain);
	MUST(memchr(a->local, 0, sizeof a->local) && a->local[0] && !has_control(a->local, strlen(a->local)));
	address_text(a, &text);
	MUST(!text.err);
	MUST(address_parse(text.data, text.len, &again, &why) == ERR_OK);
	MUST(strcmp(again.local, a->local) == 0 && strcmp(again.domain, a->domain) == 0 && again.utf8 == a->utf8);
	key_of(a, &key);
	check_spellings(a, &key);
	struct hints h = hints_of(a);
	if (h.suggestion[0]) {
		check_domain(h.suggestion);
		MUST(strcmp(h.suggestion, a->domain) != 0);
	}
	buf_free(&text);
	buf_free(&key);
}

static void check_refusal(err_t err, const char *why)
{
	MUST(err == ERR_INVALID && why && *why && !has_control(why, strlen(why)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct address a;
	char domain[DOMAIN_SIZE];
	const char *why = NULL;
	err_t err = address_parse(data, len, &a, &why);
	if (err)
		check_refusal(err, why);
	else
		check_address(&a);
	why = NULL;
	err = domain_parse(data, len, domain, &why);
	if (err)
		check_refusal(err, why);
	else
		check_domain(domain);
	return 0;
}
