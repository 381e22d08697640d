#include "tests/world/smtp_cmd.h"

#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	enum phase phase;
} VERB[VERBS] = {
#define VERB_ROW(name, phase) [VERB_##name] = { #name, PHASE_##phase },
	VERB_MAP(VERB_ROW)
#undef VERB_ROW
};

enum phase verb_phase(enum verb verb)
{
	return VERB[verb].phase;
}

const char *verb_name(enum verb verb)
{
	return VERB[verb].name;
}

static void read_word(struct smtp_cmd *c, const char *text, size_t n)
{
	size_t used = 0;

	for (; used < n && used + 1 < sizeof c->word; used++) {
		char ch = text[used];
		if (ch >= 'a' && ch <= 'z')
			ch = (char)(ch - 32);
		c->word[used] = ch > ' ' && ch < 127 ? ch : '?';
	}
	c->word[used] = '\0';
	c->verb = VERB_OTHER;
	for (int v = 0; v < VERB_OTHER; v++)
		if (n == strlen(VERB[v].name) && !strcmp(VERB[v].name, c->word))
			c->verb = (enum verb)v;
}

/* Where the path ends: the first '>' outside quotes; NULL if there is none. */
static const char *path_end(const char *from, const char *end)
{
	bool quoted = false;

	for (const char *p = from; p < end; p++) {
		if (*p == '\\' && quoted)
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '>' && !quoted)
			return p;
	}
	return NULL;
}

static bool split_mailbox(struct smtp_cmd *c)
{
	const char *end = c->path + c->path_len, *at = NULL;
	bool quoted = false;
	size_t used = 0;

	for (const char *p = c->path; p < end; p++) {
		if (*p == '\0')
			return false;
		if (*p == '\\' && quoted && p + 1 < end) {
			p++;
		} else if (*p == '"') {
			quoted = !quoted;
			continue;
		} else if (*p == '@' && !quoted) {
			at = p;
			break;
		}
		if (used + 1 >= sizeof c->local)
			return false;
		c->local[used++] = *p;
	}
	c->local[used] = '\0';
	if (!at)
		return !quoted && !strcasecmp(c->local, "postmaster");
	if (!used || at + 1 == end || (size_t)(end - at - 1) >= sizeof c->domain)
		return false;
	used = 0;
	for (const char *p = at + 1; p < end; p++) {
		if (*p == '\0' || *p == '@' || *p == ' ')
			return false;
		c->domain[used++] = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
	}
	c->domain[used] = '\0';
	return true;
}

static void read_path(struct smtp_cmd *c, const char *keyword)
{
	const char *p = c->arg, *end = c->arg + c->arg_len, *close;
	size_t n = strlen(keyword);

	if (c->arg_len < n || strncasecmp(p, keyword, n))
		return;
	for (p += n; p < end && *p == ' '; p++)
		; /* a space after the colon is tolerated by all */
	if (p == end || *p != '<')
		return;
	close = path_end(p + 1, end);
	if (!close || (close + 1 < end && close[1] != ' '))
		return;
	c->path = p + 1;
	c->path_len = (size_t)(close - c->path);
	c->params = close + 1;
	c->params_len = (size_t)(end - c->params);
	for (size_t i = 0; i < c->path_len; i++)
		c->is_utf8 |= (unsigned char)c->path[i] > 127;
	c->path_empty = !c->path_len;
	c->path_ok = c->path_empty ? c->verb == VERB_MAIL : split_mailbox(c);
}

void smtp_cmd_read(struct smtp_cmd *c, const uint8_t *line, size_t n)
{
	const char *text = (const char *)line;
	size_t word = 0;

	memset(c, 0, sizeof *c);
	while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		n--;
	while (word < n && text[word] != ' ')
		word++;
	read_word(c, text, word);
	while (word < n && text[word] == ' ')
		word++;
	c->arg = text + word;
	c->arg_len = n - word;
	if (c->verb == VERB_MAIL)
		read_path(c, "FROM:");
	else if (c->verb == VERB_RCPT)
		read_path(c, "TO:");
}

bool smtp_cmd_param(const struct smtp_cmd *c, size_t i, const char **text, size_t *n)
{
	const char *p = c->params, *end = c->params + c->params_len;

	while (p < end) {
		const char *from;
		while (p < end && *p == ' ')
			p++;
		for (from = p; p < end && *p != ' '; p++)
			;
		if (p > from && !i--) {
			*text = from;
			*n = (size_t)(p - from);
			return true;
		}
	}
	return false;
}
