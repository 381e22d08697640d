#include "cli/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/text.h"

#define NAME_WIDTH 23

uint32_t report_text(const char *text)
{
	struct buf out = BUF_INIT(64 * 1024);
	uint32_t width = text_terminal(&out, text, strlen(text), UINT32_MAX);
	fputs(buf_str(&out), stdout);
	buf_free(&out);
	return width;
}

void report_line(const char *name, const char *value)
{
	if (!value || !*value)
		return;
	printf("%s:%*s", name, (int)(strlen(name) < NAME_WIDTH ? NAME_WIDTH - strlen(name) : 1), "");
	report_text(value);
	putchar('\n');
}

void report_number(const char *name, uint64_t value)
{
	struct buf text = BUF_INIT(64);
	progress_number(&text, value);
	report_line(name, buf_str(&text));
	buf_free(&text);
}

void report_time(const char *name, const Google__Protobuf__Timestamp *t)
{
	struct buf text = BUF_INIT(128);
	if (t)
		output_time(&text, t);
	report_line(name, buf_str(&text));
	buf_free(&text);
}

void report_duration(const char *name, const Google__Protobuf__Duration *d)
{
	struct buf text = BUF_INIT(64);
	if (d)
		output_seconds(&text, output_duration(d, false));
	report_line(name, buf_str(&text));
	buf_free(&text);
}

json_t *report_json_text(const char *text)
{
	if (!text || !*text)
		return json_null();
	json_t *s = json_string(text);
	return s ? s : json_string("\xEF\xBF\xBD"); /* a server whose strings are not UTF-8 */
}

json_t *report_json_time(const Google__Protobuf__Timestamp *t)
{
	char text[64];
	struct tm tm;
	time_t at = t ? (time_t)t->seconds : 0;
	if (!t || !gmtime_r(&at, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

json_t *report_json_seconds(const Google__Protobuf__Duration *d)
{
	return d ? json_integer(output_duration(d, false)) : json_null();
}

enum exit_code report_json(json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!text) {
		complain("%s", err_text(ERR_NOMEM));
		return EXIT_FAILED;
	}
	puts(text);
	free(text);
	return report_end(EXIT_DONE);
}

enum exit_code report_end(enum exit_code code)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno != EPIPE)
		complain("standard output: %s", strerror(errno));
	return EXIT_FAILED;
}
