#include "server/address/address.h"

#include <idn2.h>
#include <string.h>

#include "server/address/text.h"

#define LABEL_MAX 63

/* The domain as it grows, label by label. */
struct building {
	char text[DOMAIN_SIZE];
	size_t n;
	size_t labels;
	bool numeric; /* the last label is digits alone */
};

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_let_dig(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z');
}

/* Octets of the dot at the start, 0 if there is none: '.' and the three that IDNA maps to it (UTS 46). */
static size_t dot_length(struct span s)
{
	static const char *const WIDE[] = { "\u3002", "\uff0e", "\uff61" };
	if (s.n && s.at[0] == '.')
		return 1;
	for (size_t i = 0; i < sizeof WIDE / sizeof *WIDE; i++)
		if (s.n >= 3 && memcmp(s.at, WIDE[i], 3) == 0)
			return 3;
	return 0;
}

/* Why these octets are no label of letters, digits and hyphens (RFC 5321 sub-domain); NULL when they are. */
static const char *label_refusal(struct span s)
{
	if (!s.n)
		return "the domain has an empty label (two dots, or one at an end)";
	if (s.n > LABEL_MAX)
		return "a label of the domain is over 63 octets";
	for (size_t i = 0; i < s.n; i++) {
		if (s.at[i] == '_')
			return "an underscore is not allowed in a mail domain";
		if (!is_let_dig(s.at[i]) && s.at[i] != '-')
			return "a domain may have letters, digits and hyphens only";
	}
	if (s.at[0] == '-' || s.at[s.n - 1] == '-')
		return "a label of the domain begins or ends with a hyphen";
	return NULL;
}

static const char *append_label(struct building *b, struct span s)
{
	const char *why = label_refusal(s);
	if (why)
		return why;
	if (b->n + (b->labels > 0) + s.n >= sizeof b->text)
		return "the domain is over 253 octets";
	if (b->labels++)
		b->text[b->n++] = '.';
	memcpy(b->text + b->n, s.at, s.n);
	b->n += s.n;
	b->numeric = true;
	for (size_t i = 0; i < s.n; i++)
		b->numeric = b->numeric && is_digit(s.at[i]);
	return NULL;
}

/* IDNA 2008 after UTS 46's mapping. label is NUL-terminated; a given A-label must be one that a U-label gives. */
static err_t append_idn(struct building *b, const char *label, const char **why)
{
	uint8_t *alabel = NULL;
	int err = idn2_lookup_u8(
		(const uint8_t *)label, &alabel, IDN2_NONTRANSITIONAL | IDN2_USE_STD3_ASCII_RULES | IDN2_NFC_INPUT);
	if (err == IDN2_MALLOC)
		return ERR_NOMEM;
	if (err == IDN2_OK)
		*why = append_label(b, (struct span){ alabel, strlen((const char *)alabel) });
	else if (err == IDN2_TOO_BIG_LABEL || err == IDN2_TOO_BIG_DOMAIN || err == IDN2_PUNYCODE_BIG_OUTPUT)
		*why = "a label of the domain is over 63 octets";
	else
		*why = "the domain is not a valid internationalised name (IDNA 2008)";
	idn2_free(alabel);
	return *why ? ERR_INVALID : ERR_OK;
}

/* One label as given: plain ASCII needs no IDNA, and old names such as "ab--cd" exist that it would refuse. */
static err_t add_label(struct building *b, struct span s, const char **why)
{
	char label[ADDRESS_MAX + 1];
	for (size_t i = 0; i < s.n; i++)
		label[i] = (char)(s.at[i] >= 'A' && s.at[i] <= 'Z' ? s.at[i] + 32 : s.at[i]);
	label[s.n] = 0;
	if (!text_is_ascii(s) || strncmp(label, "xn--", 4) == 0)
		return append_idn(b, label, why);
	*why = append_label(b, (struct span){ (const uint8_t *)label, s.n });
	return *why ? ERR_INVALID : ERR_OK;
}

/* Reason to refuse the text as a whole, before it is looked at label by label. */
static const char *domain_refusal(struct span s)
{
	if (!s.n)
		return "the domain is missing";
	if (s.n > ADDRESS_MAX)
		return "it is over 320 octets";
	if (s.at[0] == '[')
		return "an address literal is not allowed: give a domain name";
	/* ZWNJ and ZWJ are IDNA's to judge; the rest is judged between them. */
	for (size_t from = 0, i = 0; i <= s.n; i++) {
		bool joiner =
			i + 3 <= s.n && (memcmp(s.at + i, "\u200c", 3) == 0 || memcmp(s.at + i, "\u200d", 3) == 0);
		if (i < s.n && !joiner)
			continue;
		const char *why = text_refusal((struct span){ s.at + from, i - from });
		if (why)
			return why;
		if (joiner)
			i += 2;
		from = i + 1;
	}
	return memchr(s.at, '@', s.n) ? "there is more than one @" : NULL;
}

err_t domain_parse(const void *text, size_t n, char out[DOMAIN_SIZE], const char **why)
{
	struct span rest = text_trim((struct span){ text, n });
	struct building b = { .n = 0 };
	*why = domain_refusal(rest);
	if (*why)
		return ERR_INVALID;
	for (;;) {
		struct span label = { rest.at, 0 };
		size_t dot = 0;
		while (label.n < rest.n) {
			dot = dot_length((struct span){ rest.at + label.n, rest.n - label.n });
			if (dot)
				break;
			label.n++;
		}
		err_t err = add_label(&b, label, why);
		if (err)
			return err;
		if (!dot)
			break;
		rest.at += label.n + dot;
		rest.n -= label.n + dot;
	}
	if (b.labels < 2)
		*why = "the domain has no dot";
	else if (b.numeric)
		*why = "the domain's last label is a number";
	if (*why)
		return ERR_INVALID;
	b.text[b.n] = 0;
	memcpy(out, b.text, b.n + 1);
	return ERR_OK;
}

bool domain_is_within(const char *domain, const char *ancestor)
{
	size_t n = strlen(domain), m = strlen(ancestor);
	if (!m || n < m || memcmp(domain + n - m, ancestor, m) != 0)
		return false;
	return n == m || domain[n - m - 1] == '.';
}

void domain_reverse(const char *domain, char out[DOMAIN_SIZE])
{
	size_t end = strnlen(domain, DOMAIN_SIZE - 1), n = 0;
	for (;;) {
		size_t start = end;
		while (start && domain[start - 1] != '.')
			start--;
		memcpy(out + n, domain + start, end - start);
		n += end - start;
		if (!start)
			break;
		out[n++] = '.';
		end = start - 1;
	}
	out[n] = 0;
}
