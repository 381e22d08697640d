#include "server/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "server/base/clock.h"

#define LINE_MAX_BYTES 1024

static enum log_level least_level = LOG_INFO;

void log_set_level(enum log_level least)
{
	least_level = least;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const NAME[] = { "debug", "info", "warn", "error" };
	if (level < least_level)
		return;
	int64_t now = clock_wall_ms();
	time_t seconds = now / 1000;
	struct tm tm;
	gmtime_r(&seconds, &tm);
	char line[LINE_MAX_BYTES];
	size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, sizeof line - n, ".%03dZ %s ", (int)(now % 1000), NAME[level]);
	va_list ap;
	va_start(ap, fmt);
	int more = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
	va_end(ap);
	if (more < 0)
		return;
	n += (size_t)more;
	if (n > sizeof line - 2)
		n = sizeof line - 2;   /* cut, and say so by its end */
	for (size_t i = 0; i < n; i++) /* a peer's text may be in it: one event stays one line */
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, n);
	(void)written; /* a log that cannot be written has nowhere to complain */
}
