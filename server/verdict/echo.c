#include "server/verdict/echo.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define QUOTED_MAX 130 /* a local part of 64 with every character escaped, and its quotes */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool echo_breaks(char c)
{
	return !is_digit(c) && !is_alpha(c) && (unsigned char)c < 0x80;
}

/* What may stand in an unquoted address, at sign apart; generous, since servers rewrite addresses oddly. */
static bool in_token(char c, bool in_url)
{
	return (unsigned char)c > ' ' && c != 0x7f && !strchr("<>()[],;:\"", c) && !(in_url && strchr("/?&#", c));
}

/* At sign at s[i]: its length, 0 for none. */
static size_t at_sign(const char *s, size_t n, size_t i)
{
	if (s[i] == '@')
		return 1;
	if (n - i < 3 || (s[i] != '%' && s[i] != '=' && s[i] != '+'))
		return 0;
	if (s[i + 1] == '4' && s[i + 2] == '0')
		return 3;
	return n - i >= 5 && memcmp(s + i, "%2540", 5) == 0 ? 5 : 0;
}

/* s[i..end) looks like a domain: a dot inside and a letter behind it. An encoded at sign needs that, or "time=40" would
 * be an address. */
static bool domain_like(const char *s, size_t i, size_t end)
{
	for (; i + 1 < end; i++)
		if (s[i] == '.' && (is_alpha(s[i + 1]) || (unsigned char)s[i + 1] >= 0x80))
			return true;
	return false;
}

/* Length of a quoted string at s[i] that an at sign follows, 0 for none. */
static size_t quoted_local(const char *s, size_t n, size_t i)
{
	if (s[i] != '"')
		return 0;
	for (size_t k = i + 1; k < n && k - i < QUOTED_MAX; k++) {
		if (s[k] == '\\')
			k++;
		else if (s[k] == '"')
			return k + 1 < n && k > i + 1 && at_sign(s, n, k + 1) ? k + 1 - i : 0;
	}
	return 0;
}

size_t echo_address(const char *s, size_t n, size_t i, bool in_url, size_t *at)
{
	size_t quoted = quoted_local(s, n, i);
	size_t end = i + quoted;
	while (end < n && in_token(s[end], in_url))
		end++;
	if (quoted) {
		*at = i + quoted;
	} else {
		if (i && in_token(s[i - 1], in_url))
			return 0;
		size_t found = 0;
		for (size_t k = i + 1; k < end; k++) {
			size_t sign = at_sign(s, end, k);
			if (sign == 1 || (sign && domain_like(s, k + sign, end)))
				found = k;
		}
		if (!found)
			return 0;
		*at = found;
	}
	size_t sign = at_sign(s, n, *at);
	size_t stop = *at + sign;
	/* "alice@example.com... User unknown": the dots are no part of it */
	while (stop < end && !(s[stop] == '.' && (stop + 1 == end || s[stop + 1] == '.')))
		stop++;
	return stop - i;
}

/* The length of a fold at s[i]: its line end and the enhanced code that the next line starts with. */
static size_t fold(const char *s, size_t n, size_t i)
{
	if (s[i] != '\n')
		return 0;
	size_t k = i + 1;
	if (k < n && is_digit(s[k])) {
		size_t p = k + 1, dots = 0;
		while (p < n && (is_digit(s[p]) || s[p] == '.'))
			dots += s[p++] == '.';
		if (dots == 2 && p < n && s[p] == ' ')
			k = p + 1;
	}
	return k - i;
}

size_t echo_needle(const char *s, size_t n, size_t i, const char *needle, size_t needle_n)
{
	if (!needle_n || (i && !echo_breaks(s[i - 1]) && !echo_breaks(needle[0])))
		return 0;
	size_t k = i;
	for (size_t j = 0; j < needle_n; j++) {
		if (j && k < n)
			k += fold(s, n, k);
		if (k >= n || lower(s[k]) != lower(needle[j]))
			return 0;
		k++;
	}
	if (k < n && !echo_breaks(s[k]) && !echo_breaks(needle[needle_n - 1]))
		return 0;
	return k - i;
}

size_t echo_ip(const char *s, size_t n, size_t i)
{
	if (i && (!echo_breaks(s[i - 1]) || s[i - 1] == '.'))
		return 0;
	size_t from = i;
	if (n - i > 5 && strncasecmp(s + i, "IPv6:", 5) == 0)
		from += 5;
	char text[INET6_ADDRSTRLEN];
	size_t k = 0;
	while (from + k < n && k < sizeof text - 1 &&
		(strchr("0123456789abcdefABCDEF:.", s[from + k]) && s[from + k])) {
		text[k] = s[from + k];
		k++;
	}
	if (from + k < n && !echo_breaks(s[from + k]))
		return 0;
	while (k && (text[k - 1] == '.' || (text[k - 1] == ':' && !(k > 1 && text[k - 2] == ':'))))
		k--;
	text[k] = 0;
	unsigned char address[16];
	if (k < 3 || (inet_pton(AF_INET, text, address) != 1 && inet_pton(AF_INET6, text, address) != 1))
		return 0;
	size_t end = from + k;
	if (end + 1 < n && s[end] == '/' && is_digit(s[end + 1]))
		for (end++; end < n && is_digit(s[end]);)
			end++;
	return end - i;
}

size_t echo_url(const char *s, size_t n, size_t i)
{
	static const char *const START[] = { "http://", "https://", "www." };
	if (i && !echo_breaks(s[i - 1]))
		return 0;
	for (size_t k = 0; k < sizeof START / sizeof *START; k++) {
		size_t len = strlen(START[k]);
		if (n - i <= len || strncasecmp(s + i, START[k], len) != 0)
			continue;
		size_t end = i + len;
		while (end < n && (unsigned char)s[end] > ' ' && !strchr("<>()\"", s[end]))
			end++;
		while (end > i + len && strchr(".,;:]'", s[end - 1]))
			end--;
		return end - i;
	}
	return 0;
}
