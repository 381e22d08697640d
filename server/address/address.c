#include "server/address/address.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>

#include "server/address/text.h"

#define LOCAL_MAX 64 /* octets of content, RFC 5321 4.5.3.1.1 */

/* A local part's content: quotes and backslashes gone. */
struct content {
	uint8_t text[ADDRESS_MAX];
	size_t n;
};

/* atext of RFC 5322 with RFC 6531's UTF8-non-ascii. */
static bool is_atext(uint8_t c)
{
	if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-/=?^_`{|}~", c);
}

static bool is_dot_atom(struct span s)
{
	bool after_dot = true;
	for (size_t i = 0; i < s.n; i++) {
		if (s.at[i] == '.' ? after_dot : !is_atext(s.at[i]))
			return false;
		after_dot = s.at[i] == '.';
	}
	return !after_dot;
}

/* Reads a quoted string from the start of *rest, which stands behind it then. */
static const char *take_quoted(struct span *rest, struct content *out)
{
	size_t i = 1;
	for (;; i++) {
		if (i >= rest->n)
			return "the quoted local part has no closing quote";
		uint8_t c = rest->at[i];
		if (c == '"')
			break;
		if (c == '\\') {
			if (++i >= rest->n)
				return "the quoted local part has no closing quote";
			c = rest->at[i];
			if (c < 0x20 || c > 0x7e)
				return "a backslash may stand before printable ASCII only";
		}
		out->text[out->n++] = c;
	}
	rest->at += i + 1;
	rest->n -= i + 1;
	return NULL;
}

static const char *take_dot_atom(struct span *rest, struct content *out)
{
	const uint8_t *at = memchr(rest->at, '@', rest->n);
	if (!at)
		return "there is no @";
	struct span local = { rest->at, (size_t)(at - rest->at) };
	if (!local.n)
		return "there is nothing before the @";
	if (memchr(local.at, '"', local.n))
		return "a quoted local part must be quoted as a whole";
	for (size_t i = 0; i < local.n; i++)
		if (local.at[i] != '.' && !is_atext(local.at[i]))
			return "the local part has a character that only a quoted one may have";
	if (!is_dot_atom(local))
		return "the local part begins or ends with a dot or has two in a row";
	memcpy(out->text, local.at, local.n);
	out->n = local.n;
	rest->at += local.n;
	rest->n -= local.n;
	return NULL;
}

/* Splits at the @ between local part and domain. What people paste from a message header is named as what it is. */
static const char *split(struct span s, struct content *local, struct span *domain)
{
	bool angles = s.at[s.n - 1] == '>' && memchr(s.at, '<', s.n);
	const char *why;
	if (s.at[0] == '@' && memchr(s.at, ':', s.n))
		return "a source route is not allowed: give the address alone";
	why = s.at[0] == '"' ? take_quoted(&s, local) : take_dot_atom(&s, local);
	if (!why && (!s.n || s.at[0] != '@'))
		why = s.n ? "there is something between the quoted local part and the @" : "there is no @";
	if (!why && s.n == 1)
		why = "there is nothing after the @";
	if (!why && (s.at[1] == ' ' || s.at[1] == '\t'))
		why = "there is a space after the @";
	if (why && angles)
		return "a display name or angle brackets are not allowed: give the address alone";
	*domain = (struct span){ s.at + 1, s.n ? s.n - 1 : 0 };
	return why;
}

/* NFC, then the checks that concern what is left; some characters become ASCII by it. */
static err_t normalise(struct content *local, const char **why)
{
	uint8_t room[ADDRESS_MAX * 3]; /* NFC triples the length at most */
	size_t n = sizeof room;
	uint8_t *nfc = u8_normalize(UNINORM_NFC, local->text, local->n, room, &n);
	if (!nfc)
		return ERR_NOMEM;
	*why = n > LOCAL_MAX ? "the local part is over 64 octets" : text_refusal((struct span){ nfc, n });
	if (!*why) {
		memcpy(local->text, nfc, n);
		local->n = n;
	}
	if (nfc != room)
		free(nfc);
	return *why ? ERR_INVALID : ERR_OK;
}

/* As RCPT TO carries it. */
static void spell_local(const struct content *local, struct address *out)
{
	struct span s = { local->text, local->n };
	bool quote = !is_dot_atom(s);
	size_t n = 0;
	if (quote)
		out->local[n++] = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.at[i] == '"' || s.at[i] == '\\')
			out->local[n++] = '\\';
		out->local[n++] = (char)s.at[i];
	}
	if (quote)
		out->local[n++] = '"';
	out->local[n] = 0;
	out->utf8 = !text_is_ascii(s);
}

err_t address_parse(const void *text, size_t n, struct address *out, const char **why)
{
	struct span s = text_trim((struct span){ text, n });
	struct span domain;
	struct content local = { .n = 0 };
	struct address address = { .utf8 = false };
	*why = NULL;
	if (n > ADDRESS_MAX)
		*why = "it is over 320 octets";
	else if (!s.n)
		*why = "it is empty";
	else if (memchr(s.at, 0, s.n))
		*why = "a NUL is not allowed";
	else if (memchr(s.at, '\r', s.n) || memchr(s.at, '\n', s.n))
		*why = "a line break is not allowed";
	else
		*why = split(s, &local, &domain);
	if (!*why) /* before NFC, which wants UTF-8 */
		*why = text_refusal((struct span){ local.text, local.n });
	if (*why)
		return ERR_INVALID;
	err_t err = normalise(&local, why);
	if (!err)
		err = domain_parse(domain.at, domain.n, address.domain, why);
	if (err)
		return err;
	spell_local(&local, &address);
	if (strlen(address.local) + 1 + strlen(address.domain) > ADDRESS_MAX) { /* its text would be refused in turn */
		*why = "it is over 320 octets once its domain is in A-labels";
		return ERR_INVALID;
	}
	*out = address;
	return ERR_OK;
}

void address_text(const struct address *a, struct buf *out)
{
	buf_printf(out, "%s@%s", a->local, a->domain);
}

static struct content unquoted(const struct address *a)
{
	struct content local = { .n = 0 };
	struct span s = { (const uint8_t *)a->local, strlen(a->local) };
	if (a->local[0] != '"' || take_quoted(&s, &local)) {
		memcpy(local.text, a->local, s.n);
		local.n = s.n;
	}
	return local;
}

void address_exempt_key(const struct address *a, struct buf *out)
{
	struct content local = unquoted(a);
	/* Canonical caseless matching (Unicode 3.13 D145) wants NFD before folding. */
	size_t n = 0;
	uint8_t *nfd = u8_normalize(UNINORM_NFD, local.text, local.n, NULL, &n);
	size_t m = 0;
	uint8_t *folded = nfd || !local.n ? u8_casefold(nfd, n, NULL, UNINORM_NFC, NULL, &m) : NULL;
	if (!folded && local.n) {
		if (!out->err)
			out->err = ERR_NOMEM;
	} else {
		buf_append(out, folded, m);
		buf_printf(out, "@%s", a->domain);
	}
	free(nfd);
	free(folded);
}
