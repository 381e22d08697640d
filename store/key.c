#include "store/key.h"

#include <string.h>

#include "server/address/address.h"

static bool is_label_byte(char c)
{
	return c > ' ' && c < 0x7f && c != '/' && !(c >= 'A' && c <= 'Z');
}

/* n bytes: labels of label bytes, a single dot between them? */
static bool is_domain(const char *text, size_t n)
{
	bool in_label = false;
	for (size_t i = 0; i < n; i++) {
		bool dot = text[i] == '.';
		if (dot ? !in_label : !is_label_byte(text[i]))
			return false;
		in_label = !dot;
	}
	return in_label;
}

err_t key_of_domain(struct key *k, const char *domain)
{
	size_t n = strnlen(domain, KEY_DOMAIN_MAX);
	char reversed[DOMAIN_SIZE];
	if (n >= KEY_DOMAIN_MAX || !is_domain(domain, n))
		return ERR_INVALID;
	domain_reverse(domain, reversed);
	memcpy(k->bytes, reversed, n);
	k->bytes[n] = '.';
	k->len = n + 1;
	return ERR_OK;
}

void key_append(struct key *k, const void *bytes, size_t n)
{
	k->bytes[k->len++] = 0;
	memcpy(k->bytes + k->len, bytes, n);
	k->len += n;
}

bool key_begins(const void *bytes, size_t n, const struct key *prefix)
{
	return n >= prefix->len && memcmp(bytes, prefix->bytes, prefix->len) == 0;
}

void key_token(const struct key *k, char out[KEY_TOKEN_MAX])
{
	memcpy(out, k->bytes, k->len);
	out[k->len] = 0;
	char *nul = memchr(out, 0, k->len);
	if (nul)
		*nul = '/';
}

bool key_of_token(struct key *k, const char *token)
{
	size_t n = strnlen(token, KEY_TOKEN_MAX);
	const char *slash = n < KEY_TOKEN_MAX ? memchr(token, '/', n) : NULL;
	if (!slash)
		return false;
	size_t domain = (size_t)(slash - token), rest = n - domain - 1;
	if (domain < 2 || domain > KEY_DOMAIN_MAX || slash[-1] != '.' || rest > 32)
		return false;
	if (!is_domain(token, domain - 1) || memchr(slash + 1, '/', rest))
		return false;
	memcpy(k->bytes, token, domain);
	k->len = domain;
	key_append(k, slash + 1, rest);
	return true;
}
