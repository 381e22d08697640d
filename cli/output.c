#include "cli/output.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/text.h"
#include "google/protobuf/timestamp.pb-c.h"

#define VERDICT_WIDTH 13u
#define REASON_WIDTH 21u
#define PREFIXED_MAX 512u /* bytes of a column's name with its prefixes */

bool output_format_named(const char *name, enum output_format *format)
{
	static const char *const NAME[] = { [OUTPUT_TABLE] = "table", [OUTPUT_CSV] = "csv", [OUTPUT_JSONL] = "jsonl" };
	for (int i = 0; i <= OUTPUT_JSONL; i++)
		if (strcmp(name, NAME[i]) == 0) {
			*format = (enum output_format)i;
			return true;
		}
	return false;
}

/* ---- words ---- */

static const char *word(const ProtobufCEnumDescriptor *d, int value, size_t prefix)
{
	const ProtobufCEnumValue *v = value ? protobuf_c_enum_descriptor_get_value(d, value) : NULL;
	return v ? v->name + prefix : NULL;
}

const char *output_verdict(Rcptd__V1__Verdict v)
{
	return word(&rcptd__v1__verdict__descriptor, (int)v, strlen("VERDICT_"));
}

const char *output_reason(Rcptd__V1__Reason r)
{
	return word(&rcptd__v1__reason__descriptor, (int)r, strlen("REASON_"));
}

const char *output_phase(Rcptd__V1__Phase p)
{
	static const char *const NAME[] = { NULL, "dns", "connect", "banner", "ehlo", "tls", "mail", "rcpt" };
	return (unsigned)p < sizeof NAME / sizeof NAME[0] ? NAME[p] : NULL;
}

const char *output_catch_all(Rcptd__V1__CatchAll c)
{
	return c == RCPTD__V1__CATCH_ALL__CATCH_ALL_YES	 ? "yes"
	       : c == RCPTD__V1__CATCH_ALL__CATCH_ALL_NO ? "no"
							 : "unknown";
}

const char *output_verdict_colour(Rcptd__V1__Verdict v)
{
	static const char *const COLOUR[] = { "", "\033[32m", "\033[31m", "\033[33m", "\033[36m" };
	return (unsigned)v < sizeof COLOUR / sizeof COLOUR[0] ? COLOUR[v] : "";
}

void output_seconds(struct buf *out, int64_t s)
{
	if (s < 120)
		buf_printf(out, "%lld s", (long long)s);
	else if (s < 120 * 60)
		buf_printf(out, "%lld min", (long long)(s / 60));
	else if (s < 48 * 3600)
		buf_printf(out, "%lld h", (long long)(s / 3600));
	else
		buf_printf(out, "%lld d", (long long)(s / 86400));
}

int64_t output_duration(const Google__Protobuf__Duration *d, bool up)
{
	return d->seconds + (up && d->nanos > 0 && d->seconds < INT64_MAX);
}

void output_time(struct buf *out, const Google__Protobuf__Timestamp *t)
{
	struct tm tm;
	char text[64];
	time_t at = (time_t)t->seconds;
	if (gmtime_r(&at, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm))
		buf_puts(out, text);
	else
		buf_printf(out, "%lld", (long long)t->seconds);
}

/* ---- csv and jsonl: the same columns, written by one of two writers ---- */

struct row {
	struct buf *out;
	bool json, begun;
};

static void key(struct row *r, const char *name)
{
	if (r->begun)
		buf_putc(r->out, ',');
	r->begun = true;
	if (r->json) {
		buf_putc(r->out, '"');
		buf_puts(r->out, name);
		buf_append(r->out, "\":", 2);
	}
}

static void null(struct row *r, const char *name)
{
	key(r, name);
	if (r->json)
		buf_append(r->out, "null", 4);
}

static void bytes(struct row *r, const char *name, const void *s, size_t n)
{
	if (!n) {
		null(r, name);
		return;
	}
	key(r, name);
	(r->json ? text_json : text_csv)(r->out, s, n);
}

static void string(struct row *r, const char *name, const char *s)
{
	bytes(r, name, s, s ? strlen(s) : 0);
}

static void boolean(struct row *r, const char *name, bool value)
{
	key(r, name);
	buf_puts(r->out, value ? "true" : "false");
}

static void number(struct row *r, const char *name, int64_t value)
{
	char digits[24];
	size_t at = sizeof digits;
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
	do
		digits[--at] = (char)('0' + left % 10);
	while (left /= 10);
	if (value < 0)
		digits[--at] = '-';
	key(r, name);
	buf_append(r->out, digits + at, sizeof digits - at);
}

static void seconds(struct row *r, const char *name, const Google__Protobuf__Duration *d, bool up)
{
	if (d)
		number(r, name, output_duration(d, up));
	else
		null(r, name);
}

/* The peer chose these words. A spreadsheet takes a cell that begins like this for a formula. */
static void reply_text(struct row *r, const ProtobufCBinaryData *text)
{
	if (r->json || !text->len || !memchr("=+-@", text->data[0], 4)) {
		bytes(r, "text", text->data, text->len);
		return;
	}
	struct buf guarded = BUF_INIT(4096);
	buf_putc(&guarded, '\'');
	buf_append(&guarded, text->data, text->len);
	bytes(r, "text", guarded.data, guarded.len);
	buf_free(&guarded);
}

static const char *const COLUMN[] = { "address", "verdict", "reason", "domain", "operator", "catch_all", "role",
	"disposable", "free", "suggestion", "phase", "code", "enhanced", "text", "rule", "mail_host", "mail_ip",
	"source", "from_cache", "age_s", "retry_after_s", "attempts" };

static void csv_header(
	const char *kept, bool (*taken)(const void *ctx, const char *name), const void *ctx, struct buf *out)
{
	buf_puts(out, kept);
	for (size_t i = 0; i < sizeof COLUMN / sizeof COLUMN[0]; i++) {
		struct buf name = BUF_INIT(PREFIXED_MAX);
		buf_puts(&name, COLUMN[i]);
		while (taken && taken(ctx, buf_str(&name))) {
			char longer[PREFIXED_MAX];
			int n = snprintf(longer, sizeof longer, OUTPUT_PREFIX "%s", buf_str(&name));
			if (n < 0 || (size_t)n >= sizeof longer - 1)
				break;
			buf_reset(&name);
			buf_puts(&name, longer);
		}
		if (i)
			buf_putc(out, ',');
		buf_append(out, name.data, name.len);
		buf_free(&name);
	}
	buf_putc(out, '\n');
}

static void evidence_columns(struct row *r, const Rcptd__V1__Evidence *given)
{
	static const Rcptd__V1__Evidence NONE = RCPTD__V1__EVIDENCE__INIT;
	const Rcptd__V1__Evidence *e = given ? given : &NONE;
	string(r, "phase", output_phase(e->phase));
	if (e->code)
		number(r, "code", e->code);
	else
		null(r, "code");
	string(r, "enhanced", e->enhanced);
	reply_text(r, &e->text);
	string(r, "rule", e->rule);
	string(r, "mail_host", e->mail_host);
	string(r, "mail_ip", e->mail_ip);
	string(r, "source", e->source_ip);
}

static void columns(struct row *r, const Rcptd__V1__Result *a)
{
	key(r, "address"); /* present even where it is empty */
	(r->json ? text_json : text_csv)(r->out, a->address.data, a->address.len);
	string(r, "verdict", output_verdict(a->verdict));
	string(r, "reason", output_reason(a->reason));
	string(r, "domain", a->domain);
	string(r, "operator", a->operator_);
	string(r, "catch_all", output_catch_all(a->catch_all));
	boolean(r, "role", a->role);
	boolean(r, "disposable", a->disposable);
	boolean(r, "free", a->free_provider);
	string(r, "suggestion", a->suggestion);
	evidence_columns(r, a->evidence);
	boolean(r, "from_cache", a->from_cache);
	seconds(r, "age_s", a->age, false);
	seconds(r, "retry_after_s", a->retry_after, true);
	number(r, "attempts", a->attempts);
}

/* ---- table ---- */

static void pad(struct buf *out, uint32_t used, uint32_t width)
{
	for (; used < width; used++)
		buf_putc(out, ' ');
}

static void cell(struct buf *out, const void *s, size_t n, uint32_t width)
{
	pad(out, text_terminal(out, s, n, width), width + 1);
}

static void separate(struct buf *out)
{
	if (out->len)
		buf_puts(out, "; ");
}

/* What a person wants to see of the evidence, as one line of any bytes. */
static void detail(struct buf *out, const Rcptd__V1__Result *a)
{
	const Rcptd__V1__Evidence *e = a->evidence;
	if (e && e->code) {
		buf_printf(out, "%u ", e->code);
		buf_append(out, e->text.data, e->text.len);
		while (out->len && out->data[out->len - 1] == ' ')
			out->len--;
	}
	if (e && *e->mail_host)
		buf_printf(out, "%s%s", out->len ? " from " : "", e->mail_host);
	if (*a->suggestion) {
		separate(out);
		buf_printf(out, "did you mean %s?", a->suggestion);
	}
	if (a->retry_after) {
		separate(out);
		buf_puts(out, "again in ");
		output_seconds(out, output_duration(a->retry_after, true));
	}
	if (a->from_cache) {
		separate(out);
		buf_puts(out, "known");
		if (a->age) {
			buf_puts(out, " for ");
			output_seconds(out, output_duration(a->age, false));
		}
	}
}

static void table_row(const struct output_style *style, const Rcptd__V1__Result *a, struct buf *out)
{
	const char *verdict = output_verdict(a->verdict), *reason = output_reason(a->reason);
	uint32_t before = style->address_width + 1 + VERDICT_WIDTH + 1 + REASON_WIDTH + 1;
	uint32_t room = style->line_width ? style->line_width > before ? style->line_width - before : 0 : UINT32_MAX;
	struct buf rest = BUF_INIT(4096);
	verdict = verdict ? verdict : "?";
	reason = reason ? reason : "?";
	detail(&rest, a);
	cell(out, a->address.data, a->address.len, style->address_width);
	if (style->colour)
		buf_puts(out, output_verdict_colour(a->verdict));
	cell(out, verdict, strlen(verdict), VERDICT_WIDTH);
	if (style->colour)
		buf_puts(out, COLOUR_END);
	cell(out, reason, strlen(reason), REASON_WIDTH);
	text_terminal(out, rest.data, rest.len, room);
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	buf_putc(out, '\n');
	buf_free(&rest);
}

void output_header(const struct output_style *style, const char *kept, bool (*taken)(const void *ctx, const char *name),
	const void *ctx, struct buf *out)
{
	if (style->format == OUTPUT_CSV)
		csv_header(kept, taken, ctx, out);
	if (style->format != OUTPUT_TABLE)
		return;
	cell(out, "ADDRESS", 7, style->address_width);
	cell(out, "VERDICT", 7, VERDICT_WIDTH);
	cell(out, "REASON", 6, REASON_WIDTH);
	buf_puts(out, "DETAIL\n");
}

void output_row(
	const struct output_style *style, const Rcptd__V1__Result *a, const struct output_kept *kept, struct buf *out)
{
	struct row r = { .out = out, .json = style->format == OUTPUT_JSONL };
	switch (style->format) {
	case OUTPUT_TABLE: table_row(style, a, out); return;
	case OUTPUT_JSONL:
		buf_putc(out, '{');
		columns(&r, a);
		buf_puts(out, "}\n");
		return;
	case OUTPUT_CSV:
		if (kept)
			buf_append(out, kept->under, kept->under_len);
		columns(&r, a);
		if (kept)
			buf_append(out, kept->beyond, kept->beyond_len);
		buf_putc(out, '\n');
		return;
	}
}
