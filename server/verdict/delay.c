/* The delay that a reply states: "in 5 minutes", "for 300 seconds", "00:10:00", "1 hr 30 min", "dans 5 minutes". */
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "server/verdict/said.h"

#define DELAY_MAX 86400
#define NEAR 60 /* bytes on either side in which a word must say that the time is one to wait */

struct unit {
	const char *starts;
	bool whole; /* nothing may follow */
	uint32_t seconds;
};
static const struct unit UNITS[] = {
	{ "s", true, 1 },
	{ "sec", false, 1 },
	{ "sek", false, 1 },
	{ "seg", false, 1 },
	{ "сек", false, 1 },
	{ "m", true, 60 },
	{ "min", false, 60 },
	{ "мин", false, 60 },
	{ "h", true, 3600 },
	{ "hr", false, 3600 },
	{ "hour", false, 3600 },
	{ "stund", false, 3600 },
	{ "heure", false, 3600 },
	{ "hora", false, 3600 },
	{ "ora", true, 3600 },
	{ "ore", true, 3600 },
	{ "uur", true, 3600 },
	{ "godz", false, 3600 },
	{ "час", false, 3600 },
	{ "d", true, 86400 },
	{ "day", false, 86400 },
	{ "tag", false, 86400 },
	{ "jour", false, 86400 },
	{ "dia", false, 86400 },
};
static const struct {
	const char *word;
	uint32_t n;
} NUMBERS[] = { { "a ", 1 }, { "an ", 1 }, { "one ", 1 }, { "two ", 2 }, { "three ", 3 }, { "five ", 5 },
	{ "ten ", 10 }, { "fifteen ", 15 }, { "twenty ", 20 }, { "thirty ", 30 } };

/* Words that make a time near them a time to wait. */
static const char *const WAITS[] = { "again", "later", "retry", "retries", "back", "wait", "greylist", "graylist",
	"grey-list", "gray-list", "grey list", "defer", "delay", "resend", "resubmit", "throttl", "temporar", "erneut",
	"spater", "nochmal", "reess", "ressay", "plus tard", "intent", "tente", "riprov", "ponown", "позже", "повтор" };
/* Words that make it something else: "100 messages in the last 60 minutes". */
static const char *const COUNTS[] = { "last ", "past ", "per ", "every ", "previous ", "each ", "older than " };

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool starts(const char *s, size_t n, size_t i, const char *word)
{
	size_t len = strlen(word);
	return n - i >= len && strncasecmp(s + i, word, len) == 0;
}

/* Digits at s[*i]; 0 for none or too many. */
static uint32_t number(const char *s, size_t n, size_t *i)
{
	uint32_t v = 0;
	size_t from = *i;
	while (*i < n && digit(s[*i]) && *i - from < 7)
		v = v * 10 + (uint32_t)(s[(*i)++] - '0');
	return *i < n && digit(s[*i]) ? 0 : v;
}

static uint32_t unit(const char *s, size_t n, size_t *i)
{
	size_t k = *i;
	while (k < n && s[k] == ' ')
		k++;
	size_t end = k;
	while (end < n && letter(s[end]))
		end++;
	for (size_t u = 0; u < sizeof UNITS / sizeof *UNITS; u++) {
		size_t len = strlen(UNITS[u].starts);
		if (end - k < len || strncasecmp(s + k, UNITS[u].starts, len) != 0)
			continue;
		/* "30s" may run on as "5m30s" */
		if (UNITS[u].whole && end - k != len)
			continue;
		*i = end;
		return UNITS[u].seconds;
	}
	return 0;
}

/* "00:10:00" or "10:00" whose first number ended at *i. */
static uint32_t by_colons(const char *s, size_t n, size_t *i, uint32_t first)
{
	uint32_t v = first;
	unsigned parts = 1;
	size_t k = *i;
	while (parts < 3 && k + 2 < n && s[k] == ':' && digit(s[k + 1]) && digit(s[k + 2])) {
		v = v * 60 + (uint32_t)((s[k + 1] - '0') * 10 + (s[k + 2] - '0'));
		k += 3;
		parts++;
	}
	if (parts == 1)
		return 0;
	*i = k;
	return v;
}

/* "5 minutes", "1 hour and 30 min", "00:05:00", at s[*i]. */
static uint32_t duration(const char *s, size_t n, size_t *i)
{
	uint64_t total = 0;
	for (int part = 0; part < 3; part++) {
		size_t k = *i;
		if (part) {
			while (k < n && (s[k] == ' ' || s[k] == ','))
				k++;
			if (starts(s, n, k, "and ") || starts(s, n, k, "und "))
				k += 4;
		}
		if (k >= n || !digit(s[k]))
			break;
		uint32_t v = number(s, n, &k);
		uint32_t clock = part ? 0 : by_colons(s, n, &k, v);
		if (clock) {
			*i = k;
			return clock;
		}
		if (k + 1 < n && (s[k] == '.' || s[k] == ',') && digit(s[k + 1])) /* "1.5 hours" */
			for (k++; k < n && digit(s[k]);)
				k++;
		uint32_t by = unit(s, n, &k);
		if (!by)
			break;
		total += (uint64_t)v * by;
		*i = k;
	}
	return total > DELAY_MAX ? DELAY_MAX : (uint32_t)total;
}

/* "in one hour": only right before its unit. */
static uint32_t in_words(const char *s, size_t n, size_t *i)
{
	for (size_t w = 0; w < sizeof NUMBERS / sizeof *NUMBERS; w++) {
		if (!starts(s, n, *i, NUMBERS[w].word))
			continue;
		size_t k = *i + strlen(NUMBERS[w].word), from = k;
		uint32_t by = unit(s, n, &k);
		if (by && k - from >= 3) {
			*i = k;
			return NUMBERS[w].n * by;
		}
	}
	return 0;
}

/* "retry after 900", "delay=300": seconds, when nothing follows that could be another unit. */
static uint32_t bare(const char *s, size_t n, size_t *i)
{
	static const char *const BEFORE[] = { "after ", "in ", "for ", "after=", "delay=", "retry=", "wait " };
	bool led = false;
	for (size_t b = 0; b < sizeof BEFORE / sizeof *BEFORE; b++) {
		size_t len = strlen(BEFORE[b]);
		led |= *i >= len && strncasecmp(s + *i - len, BEFORE[b], len) == 0;
	}
	size_t k = *i;
	uint32_t v = led && digit(s[k]) ? number(s, n, &k) : 0;
	if (k < n && !strchr(".,;)!]", s[k]))
		return 0;
	if (k + 1 < n && (letter(s[k + 1]) || digit(s[k + 1])))
		return 0;
	*i = k;
	return v > DELAY_MAX ? DELAY_MAX : v;
}

static bool says(const char *s, size_t from, size_t to, const char *const *words, size_t count)
{
	for (size_t i = from; i < to; i++)
		for (size_t w = 0; w < count; w++)
			if (starts(s, to, i, words[w]))
				return true;
	return false;
}

/* The time s[from..to) is one to wait. */
static bool to_wait(const char *s, size_t n, size_t from, size_t to)
{
	size_t before = from > NEAR ? from - NEAR : 0, after = n - to > NEAR ? to + NEAR : n;
	size_t close = from > 12 ? from - 12 : 0;
	return !says(s, close, from, COUNTS, sizeof COUNTS / sizeof *COUNTS) &&
	       (says(s, before, from, WAITS, sizeof WAITS / sizeof *WAITS) ||
		       says(s, to, after, WAITS, sizeof WAITS / sizeof *WAITS));
}

uint32_t said_delay(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i && (letter(s[i - 1]) || digit(s[i - 1]) || s[i - 1] == ':' || s[i - 1] == '.'))
			continue;
		size_t end = i;
		uint32_t v = digit(s[i]) ? duration(s, n, &end) : in_words(s, n, &end);
		if (!v && digit(s[i]))
			v = bare(s, n, &end);
		if (v && to_wait(s, n, i, end))
			return v;
		if (digit(s[i])) /* "300 seconds" is not "00 seconds" */
			while (i + 1 < n && digit(s[i + 1]))
				i++;
	}
	return 0;
}
