#include "server/smtp/ehlo.h"

#include <string.h>
#include <strings.h>

static bool is(const char *keyword, const char *line, size_t n)
{
	size_t k = strlen(keyword);
	return n >= k && strncasecmp(line, keyword, k) == 0 && (n == k || line[k] == ' ' || line[k] == '=');
}

struct ehlo ehlo_of(const struct reply *r)
{
	struct ehlo offered = { 0 };
	const char *end = r->text + r->text_len;
	const char *line = memchr(r->text, '\n', r->text_len); /* the first line names the server */
	while (line) {
		line++;
		const char *next = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((next ? next : end) - line);
		offered.pipelining |= is("PIPELINING", line, n);
		offered.smtputf8 |= is("SMTPUTF8", line, n);
		offered.starttls |= is("STARTTLS", line, n);
		line = next;
	}
	return offered;
}
