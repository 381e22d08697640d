#include "cli/heading.h"

#include <string.h>
#include <strings.h>

static bool contains(const uint8_t *s, size_t n, const char *word)
{
	size_t len = strlen(word);
	for (size_t i = 0; i + len <= n; i++)
		if (strncasecmp((const char *)s + i, word, len) == 0)
			return true;
	return false;
}

struct heading heading_read(const uint8_t *line, size_t n)
{
	static const char DELIMITER[] = { ',', ';', '\t' };
	size_t count[sizeof DELIMITER] = { 0 }, most = 0;
	bool quoted = false;
	for (size_t i = 0; i < n; i++) {
		if (line[i] == '"')
			quoted = !quoted;
		for (size_t d = 0; d < sizeof DELIMITER && !quoted; d++)
			count[d] += line[i] == (uint8_t)DELIMITER[d];
	}
	for (size_t d = 1; d < sizeof DELIMITER; d++)
		if (count[d] > count[most])
			most = d;
	/* Without a delimiter it is a lone cell: "a b"@example.org and nonsense are rows of a list. */
	bool lone_heading = !memchr(line, '@', n) &&
			    (memchr(line, '"', n) || contains(line, n, "mail") || contains(line, n, "address"));
	return (struct heading){ .is = count[most] || lone_heading, .delimiter = DELIMITER[most] };
}

bool heading_names_address(const char *column)
{
	static const char *const NAME[] = { "email", "e-mail", "mail", "address" };
	for (size_t i = 0; i < sizeof NAME / sizeof NAME[0]; i++)
		if (strcasecmp(column, NAME[i]) == 0)
			return true;
	return false;
}
