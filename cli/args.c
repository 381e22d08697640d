#include "cli/args.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

static void complain_v(const char *fmt, va_list ap)
{
	char line[2048];
	int n = vsnprintf(line, sizeof line, fmt, ap);
	if (n < 0)
		return;
	struct buf out = BUF_INIT(16 * 1024);
	text_terminal(&out, line, strlen(line), UINT32_MAX);
	fprintf(stderr, "rcptctl: %s\n", buf_str(&out));
	buf_free(&out);
}

void complain(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	complain_v(fmt, ap);
	va_end(ap);
}

enum exit_code usage_error(const struct command *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	complain_v(fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try 'rcptctl %s --help'.\n", c->name);
	return EXIT_USAGE;
}

/* The long name of `arg` without dashes and value, to suggest one that exists. */
static enum exit_code unknown_option(const struct command *c, const char *arg, const struct option *options)
{
	char word[64];
	const char *names[32];
	size_t count = 0;
	while (options[count].name && count < 32) {
		names[count] = options[count].name;
		count++;
	}
	if (optopt > ' ')
		snprintf(word, sizeof word, "-%c", optopt);
	else
		snprintf(word, sizeof word, "%.*s", (int)strcspn(arg, "="), arg);
	const char *near = strncmp(word, "--", 2) == 0 ? args_nearest(word + 2, names, count) : NULL;
	if (near)
		return usage_error(c, "there is no option %s; did you mean --%s?", word, near);
	return usage_error(c, "there is no option %s", word);
}

static bool has_option(const struct option *options, int value)
{
	while (options->name && options->val != value)
		options++;
	return options->name != NULL;
}

int args_next(const struct command *c, int argc, char **argv, const struct option *options, const char **server,
	enum exit_code *code)
{
	opterr = 0;
	for (;;) {
		int o = getopt_long(argc, argv, ":hqwf:o:", options, NULL);
		switch (o) {
		case -1: return ARGS_END;
		case 'h':
		case OPTION_HELP:
			fputs(c->help, stdout);
			*code = EXIT_DONE;
			return ARGS_EXIT;
		case OPTION_SERVER: *server = optarg; continue;
		case ':': *code = usage_error(c, "%s needs a value", argv[optind - 1]); return ARGS_EXIT;
		case '?': *code = unknown_option(c, argv[optind - 1], options); return ARGS_EXIT;
		default:
			if (has_option(options, o))
				return o;
			optopt = o; /* a letter that only other commands have */
			*code = unknown_option(c, "", options);
			return ARGS_EXIT;
		}
	}
}

bool args_duration(const char *text, int64_t *seconds)
{
	static const struct {
		char unit;
		int64_t seconds;
	} UNIT[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	if (strcmp(text, "0") == 0) {
		*seconds = 0;
		return true;
	}
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 9 || strlen(text) != digits + 1)
		return false;
	for (size_t i = 0; i < sizeof UNIT / sizeof UNIT[0]; i++)
		if (text[digits] == UNIT[i].unit) {
			*seconds = strtoll(text, NULL, 10) * UNIT[i].seconds;
			return true;
		}
	return false;
}

bool args_json(const char *text, bool *json)
{
	*json = strcmp(text, "json") == 0;
	return *json || strcmp(text, "text") == 0;
}

/* Levenshtein's distance; words over 31 bytes are far from everything. */
static unsigned distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	if (n > 31 || m > 31)
		return 99;
	unsigned row[32];
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}

const char *args_nearest(const char *word, const char *const *names, size_t count)
{
	const char *near = NULL;
	unsigned least = 3;
	for (size_t i = 0; i < count; i++) {
		unsigned d = distance(word, names[i]);
		if (d < least) {
			least = d;
			near = names[i];
		}
	}
	return near;
}
