#include "server/verdict/said.h"

#include <string.h>
#include <strings.h>
#include <unistr.h>

#include "server/verdict/echo.h"

/* A string that is written to a limit; what is beyond is dropped. */
struct out {
	char *s;
	size_t n, max;
};

static void put(struct out *o, const char *s, size_t n)
{
	if (n > o->max - o->n)
		return;
	memcpy(o->s + o->n, s, n);
	o->n += n;
}

static void put_space(struct out *o)
{
	if (o->n && o->s[o->n - 1] != ' ' && o->s[o->n - 1] != '\n')
		put(o, " ", 1);
}

/* U+00C0–U+017F without their accents, so that rules are written in ASCII. */
static const char PLAIN[] = "AAAAAAACEEEEIIIIDNOOOOOxOUUUUYTsaaaaaaaceeeeiiiidnooooo/ouuuuyty"
			    "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiJjJjKkkLlLlLlLlLlNnNnNnnNnOoOoOoOoRrRrRr"
			    "SsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";
_Static_assert(sizeof PLAIN - 1 == 0x180 - 0xc0, "one for each");

static void put_char(struct out *o, ucs4_t c)
{
	if (c == 0x2018 || c == 0x2019 || c == 0xb4)
		c = '\'';
	else if (c == 0x201c || c == 0x201d || c == 0xab || c == 0xbb)
		c = '"';
	else if (c >= 0xc0 && c < 0x180)
		c = (ucs4_t)PLAIN[c - 0xc0];
	if (c <= ' ' || (c >= 0x7f && c <= 0xa0)) {
		put_space(o);
		return;
	}
	uint8_t bytes[6];
	int n = u8_uctomb(bytes, c, sizeof bytes);
	if (n > 0)
		put(o, (const char *)bytes, (size_t)n);
}

/* s as valid UTF-8 with ASCII wherever an accent is all that is lacking; bytes that are no UTF-8 are Latin-1, which
 * older servers speak. */
static void plain(struct out *o, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		ucs4_t c;
		int used = u8_mbtoucr(&c, (const uint8_t *)s + i, n - i);
		if (used <= 0) {
			c = (unsigned char)s[i];
			used = 1;
		}
		put_char(o, c);
		i += (size_t)used;
	}
}

/* The enhanced code at the start of a line is read elsewhere; between two halves of a word it would be in the way. */
static size_t code_at(const char *s, size_t n)
{
	size_t i = 0, dots = 0;
	while (i < n && ((s[i] >= '0' && s[i] <= '9') || s[i] == '.'))
		dots += s[i++] == '.';
	return dots == 2 && (i == n || s[i] == ' ') && s[0] >= '2' && s[0] <= '5' && s[1] == '.' ? i : 0;
}

static size_t fold_lines(const struct reply *r, char *into, size_t max)
{
	struct out o = { into, 0, max };
	size_t n = r->text_len < max ? r->text_len : max;
	for (size_t i = 0; i < n;) {
		const char *nl = memchr(r->text + i, '\n', n - i);
		size_t len = (nl ? (size_t)(nl - r->text) : n) - i;
		size_t skip = code_at(r->text + i, len);
		/* the space behind the code is its own, not a word's */
		skip += skip && skip < len;
		plain(&o, r->text + i + skip, len - skip);
		if (nl)
			put(&o, "\n", 1);
		i += len + (nl != NULL);
	}
	return o.n;
}

/* What of ours a reply may echo. */
#define NEEDLES 10
#define NEEDLE_MAX 330
struct needle {
	char text[NEEDLE_MAX];
	size_t n;
	const char *token;
	bool bracketed; /* only as <alice>, 'alice', … */
	bool sender, recipient;
};
struct needles {
	struct needle all[NEEDLES];
	size_t n;
};

static void need(struct needles *all, const char *s, size_t n, struct needle as)
{
	if (!n || n > NEEDLE_MAX || all->n == NEEDLES)
		return;
	struct needle *it = &all->all[all->n++];
	*it = as;
	struct out o = { it->text, 0, NEEDLE_MAX };
	plain(&o, s, n);
	it->n = o.n;
}

/* Local parts that are also the words a refusal is made of: "user unknown" to user@ must stay what it is. */
static bool telling(const char *s, size_t n)
{
	static const char WORDS[] =
		" user users mailbox account recipient address addressee unknown invalid mail email "
		"alias customer member no not found exist the this is in on of for to and box name "
		"client host server sender domain abuse postmaster local relay ";
	char word[32] = " ";
	if (n > sizeof word - 3)
		return false;
	for (size_t i = 0; i < n; i++)
		word[i + 1] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
	word[n + 1] = ' ';
	word[n + 2] = 0;
	return strstr(WORDS, word) != NULL;
}

static void find_ours(struct needles *all, const struct reading_context *ctx)
{
	const char *at = strrchr(ctx->recipient, '@'), *from = strrchr(ctx->sender, '@');
	size_t local = at ? (size_t)(at - ctx->recipient) : 0;
	bool same = at && from && strcasecmp(at, from) == 0;
	need(all, ctx->recipient, strlen(ctx->recipient), (struct needle){ .token = "", .recipient = true });
	need(all, ctx->sender, strlen(ctx->sender), (struct needle){ .token = "OURSENDER", .sender = true });
	need(all, ctx->source_name, strlen(ctx->source_name), (struct needle){ .token = "OURNAME" });
	if (local >= 3 && !telling(ctx->recipient, local))
		need(all, ctx->recipient, local, (struct needle){ .token = "", .recipient = true });
	else if (local)
		need(all, ctx->recipient, local, (struct needle){ .token = "", .recipient = true, .bracketed = true });
	if (at)
		need(all, at + 1, strlen(at + 1), (struct needle){ .token = "" });
	if (from && !same)
		need(all, from + 1, strlen(from + 1), (struct needle){ .token = "OURDOMAIN", .sender = true });
}

static bool in_brackets(const char *s, size_t n, size_t i, size_t len)
{
	const char *open = i ? strchr("<([\"'`", s[i - 1]) : NULL;
	return open && *open && i + len < n && s[i + len] && strchr(">)]\"'`", s[i + len]);
}

/* Writes `token` for the echo s[i..i+len), without the brackets around it; returns how much of s it took. */
static size_t replace(struct out *o, const char *s, size_t n, size_t i, size_t len, const char *token)
{
	if (o->n && in_brackets(s, n, i, len) && o->s[o->n - 1] == s[i - 1]) {
		o->n--;
		len++;
	}
	put_space(o);
	if (*token) {
		put(o, token, strlen(token));
		put(o, " ", 1);
	}
	return len;
}

static size_t strip_ours(
	struct said *said, const struct needles *ours, struct out *o, const char *s, size_t n, size_t i)
{
	for (size_t k = 0; k < ours->n; k++) {
		const struct needle *it = &ours->all[k];
		size_t len = echo_needle(s, n, i, it->text, it->n);
		if (!len || (it->bracketed && !in_brackets(s, n, i, len)))
			continue;
		/* the local part or domain of some longer address is that address */
		if (i + len < n && s[i + len] == '@' && !memchr(it->text, '@', it->n))
			continue;
		said->sender |= it->sender;
		said->recipient |= it->recipient;
		return replace(o, s, n, i, len, it->token);
	}
	return 0;
}

static size_t strip_others(struct said *said, struct out *o, const char *s, size_t n, size_t i)
{
	size_t at, len = echo_url(s, n, i);
	if (len) {
		if (len < sizeof said->links - 1 - said->links_n) {
			memcpy(said->links + said->links_n, s + i, len);
			said->links_n += len;
			said->links[said->links_n++] = ' ';
		}
		return replace(o, s, n, i, len, "");
	}
	len = echo_address(s, n, i, false, &at);
	if (len)
		return replace(o, s, n, i, len, "");
	len = echo_ip(s, n, i);
	return len ? replace(o, s, n, i, len, "IPADDR") : 0;
}

/* The enhanced code that stands inside the text: "(#5.1.1)", "550 550 5.1.1". */
static void find_enhanced(struct said *said, int code)
{
	const char *s = said->text[0];
	for (size_t i = 0; i + 4 < said->n[0]; i++) {
		bool after_code = i >= 4 && s[i - 4] == '0' + code / 100 && (s[i - 1] == ' ' || s[i - 1] == '-') &&
				  s[i - 2] >= '0' && s[i - 2] <= '9' && s[i - 3] >= '0' && s[i - 3] <= '9';
		if (!after_code && !(i && s[i - 1] == '#'))
			continue;
		struct reply inside = { code, 1, s + i, said->n[0] - i };
		reply_enhanced(&inside, said->enhanced);
		if (said->enhanced[0])
			return;
	}
}

static size_t join(const char *s, size_t n, const char *with, char *into)
{
	struct out o = { into, 0, SAID_MAX };
	for (size_t i = 0; i < n; i++) {
		const char *c = s[i] == '\n' ? with : s + i;
		if (!*c || *c == ' ') {
			if (*c)
				put_space(&o);
			continue;
		}
		put(&o, c, 1);
	}
	const uint8_t *cut = u8_check((const uint8_t *)into, o.n); /* a character that the limit cut */
	if (cut)
		o.n = (size_t)(cut - (const uint8_t *)into);
	into[o.n] = 0;
	return o.n;
}

void said_prepare(struct said *said, const struct reading_context *ctx, const struct reply *r)
{
	char lines[SAID_MAX + 1], marked[SAID_MAX + 1];
	struct needles ours = { .n = 0 };
	*said = (struct said){ .n = { 0, 0 } };
	size_t n = fold_lines(r, lines, SAID_MAX);
	find_ours(&ours, ctx);
	struct out o = { marked, 0, SAID_MAX };
	for (size_t i = 0; i < n;) {
		size_t used = strip_ours(said, &ours, &o, lines, n, i);
		if (!used)
			used = strip_others(said, &o, lines, n, i);
		if (!used) {
			if (lines[i] == ' ')
				put_space(&o);
			else
				put(&o, lines + i, 1);
			used = 1;
		}
		i += used;
	}
	said->n[0] = join(marked, o.n, " ", said->text[0]);
	if (memchr(marked, '\n', o.n))
		said->n[1] = join(marked, o.n, "", said->text[1]);
	reply_enhanced(r, said->enhanced);
	if (!said->enhanced[0])
		find_enhanced(said, r->code);
}
