#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "cli/output.h"
#include "cli/text.h"
#include "google/protobuf/duration.pb-c.h"

static const char *const KEY[] = { "address", "verdict", "reason", "domain", "operator", "catch_all", "role",
	"disposable", "free", "suggestion", "phase", "code", "enhanced", "text", "rule", "mail_host", "mail_ip",
	"source", "from_cache", "age_s", "retry_after_s", "attempts" };
#define KEYS (sizeof KEY / sizeof KEY[0])

static ProtobufCBinaryData data(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)s };
}

static const char *row(const struct output_style *style, const Rcptd__V1__Result *a)
{
	static struct buf out = BUF_INIT(64 * 1024);
	buf_reset(&out);
	output_row(style, a, NULL, &out);
	assert_int_equal(out.err, ERR_OK);
	return buf_str(&out);
}

static const char *full(enum output_format format, const char *text)
{
	Rcptd__V1__Result a = RCPTD__V1__RESULT__INIT;
	Rcptd__V1__Evidence e = RCPTD__V1__EVIDENCE__INIT;
	Google__Protobuf__Duration age = GOOGLE__PROTOBUF__DURATION__INIT, retry = GOOGLE__PROTOBUF__DURATION__INIT;
	struct output_style style = { .format = format, .address_width = 20 };
	age.seconds = 7201;
	age.nanos = 999;
	retry.seconds = 300;
	retry.nanos = 1;
	a.address = data("ann@gmial.com");
	a.verdict = RCPTD__V1__VERDICT__VERDICT_UNDELIVERABLE;
	a.reason = RCPTD__V1__REASON__REASON_MAILBOX_UNKNOWN;
	a.domain = "gmial.com";
	a.operator_ = "google";
	a.catch_all = RCPTD__V1__CATCH_ALL__CATCH_ALL_NO;
	a.role = a.free_provider = a.from_cache = 1;
	a.suggestion = "gmail.com";
	a.evidence = &e;
	a.age = &age;
	a.retry_after = &retry;
	a.attempts = 2;
	e.phase = RCPTD__V1__PHASE__PHASE_RCPT;
	e.code = 550;
	e.enhanced = "5.1.1";
	e.text = data(text);
	e.rule = "unknown-user";
	e.mail_host = "mx.gmial.com";
	e.mail_ip = "127.0.0.9";
	e.source_ip = "127.0.0.1";
	return row(&style, &a);
}

static const char *empty(enum output_format format)
{
	Rcptd__V1__Result a = RCPTD__V1__RESULT__INIT;
	struct output_style style = { .format = format, .address_width = 20 };
	return row(&style, &a);
}

static void jsonl(void **state)
{
	(void)state;
	assert_string_equal(full(OUTPUT_JSONL, "no \"such\" user"),
		"{\"address\":\"ann@gmial.com\",\"verdict\":\"UNDELIVERABLE\",\"reason\":\"MAILBOX_UNKNOWN\","
		"\"domain\":\"gmial.com\",\"operator\":\"google\",\"catch_all\":\"no\",\"role\":true,\"disposable\":"
		"false,"
		"\"free\":true,\"suggestion\":\"gmail.com\",\"phase\":\"rcpt\",\"code\":550,\"enhanced\":\"5.1.1\","
		"\"text\":\"no \\\"such\\\" user\",\"rule\":\"unknown-user\",\"mail_host\":\"mx.gmial.com\","
		"\"mail_ip\":\"127.0.0.9\",\"source\":\"127.0.0.1\",\"from_cache\":true,\"age_s\":7201,"
		"\"retry_after_s\":301,\"attempts\":2}\n");
	assert_string_equal(empty(OUTPUT_JSONL),
		"{\"address\":\"\",\"verdict\":null,\"reason\":null,\"domain\":null,\"operator\":null,"
		"\"catch_all\":\"unknown\",\"role\":false,\"disposable\":false,\"free\":false,\"suggestion\":null,"
		"\"phase\":null,\"code\":null,\"enhanced\":null,\"text\":null,\"rule\":null,\"mail_host\":null,"
		"\"mail_ip\":null,\"source\":null,\"from_cache\":false,\"age_s\":null,\"retry_after_s\":null,"
		"\"attempts\":0}\n");
}

static void jsonl_keys_in_order(void **state)
{
	(void)state;
	json_t *j = json_loads(full(OUTPUT_JSONL, "x"), 0, NULL);
	const char *key;
	json_t *value;
	size_t i = 0;
	assert_non_null(j);
	json_object_foreach(j, key, value)
	{
		assert_true(i < KEYS);
		assert_string_equal(key, KEY[i++]);
	}
	assert_int_equal(i, KEYS);
	json_decref(j);
}

static void csv(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(1024), header = BUF_INIT(1024);
	struct output_style style = { .format = OUTPUT_CSV };
	for (size_t i = 0; i < KEYS; i++)
		buf_printf(&header, "%s%s", KEY[i], i + 1 < KEYS ? "," : "\n");
	output_header(&style, "", NULL, NULL, &out);
	assert_string_equal(buf_str(&out), buf_str(&header));
	assert_string_equal(full(OUTPUT_CSV, "no \"such\" user, sorry"),
		"ann@gmial.com,UNDELIVERABLE,MAILBOX_UNKNOWN,gmial.com,google,no,true,false,true,gmail.com,rcpt,550,5."
		"1.1,"
		"\"no \"\"such\"\" user, sorry\",unknown-user,mx.gmial.com,127.0.0.9,127.0.0.1,true,7201,301,2\n");
	assert_string_equal(empty(OUTPUT_CSV), ",,,,,unknown,false,false,false,,,,,,,,,,false,,,0\n");
	assert_non_null(strstr(full(OUTPUT_CSV, "=HYPERLINK(1)"), ",'=HYPERLINK(1),"));
	assert_non_null(strstr(full(OUTPUT_CSV, "a\r\n\033[31m"), ",a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD[31m,"));
	buf_free(&out);
	buf_free(&header);
}

static void table(void **state)
{
	(void)state;
	assert_string_equal(full(OUTPUT_TABLE, "no such user"), "ann@gmial.com        UNDELIVERABLE MAILBOX_UNKNOWN    "
								"   550 no such user from mx.gmial.com; did you "
								"mean gmail.com?; again in 5 min; known for 2 h\n");
	assert_string_equal(empty(OUTPUT_TABLE), "                     ?             ?\n");
	const char *hostile = full(OUTPUT_TABLE, "\033]0;x\007\r\n\xE2\x80\xAE"
						 "abc\xC2\x9B");
	assert_non_null(strstr(hostile, "\\x1B]0;x\\x07\\x0D\\x0A\\u202Eabc\\x9B"));
	for (const char *c = hostile; c[1]; c++)
		assert_true((unsigned char)*c >= 0x20 && *c != 0x7F);
}

static void table_fits_the_line(void **state)
{
	(void)state;
	Rcptd__V1__Result a = RCPTD__V1__RESULT__INIT;
	Rcptd__V1__Evidence e = RCPTD__V1__EVIDENCE__INIT;
	struct output_style style = { .format = OUTPUT_TABLE, .address_width = 10, .line_width = 60, .colour = true };
	a.address =
		data("\xE4\xBC\x9A\xE8\xAD\xB0\xE5\xAE\xA4\xE4\xBC\x9A\xE8\xAD\xB0@example.org"); /* 2 columns each */
	a.verdict = RCPTD__V1__VERDICT__VERDICT_RISKY;
	a.reason = RCPTD__V1__REASON__REASON_ACCEPT_ALL;
	a.evidence = &e;
	e.code = 250;
	e.text = data("recipient ok and more words than there is room for");
	assert_string_equal(row(&style, &a),
		"\xE4\xBC\x9A\xE8\xAD\xB0\xE5\xAE\xA4\xE4\xBC\x9A\xE2\x80\xA6  \033[33mRISKY         \033[0mACCEPT_ALL"
		"            250 recipien\xE2\x80\xA6\n");
	style.line_width = 12; /* narrower than the fixed columns */
	row(&style, &a);
}

static void words_of_a_newer_server(void **state)
{
	(void)state;
	Rcptd__V1__Result a = RCPTD__V1__RESULT__INIT;
	Rcptd__V1__Evidence e = RCPTD__V1__EVIDENCE__INIT;
	struct output_style style = { .format = OUTPUT_JSONL };
	a.verdict = (Rcptd__V1__Verdict)77;
	a.reason = (Rcptd__V1__Reason)777;
	a.evidence = &e;
	e.phase = (Rcptd__V1__Phase)-1;
	const char *text = row(&style, &a);
	assert_non_null(strstr(text, "\"verdict\":null,\"reason\":null"));
	assert_non_null(strstr(text, "\"phase\":null"));
	assert_string_equal(output_verdict_colour((Rcptd__V1__Verdict)-1), "");
}

/* Whatever the bytes, a JSON reader gets valid UTF-8 back and a terminal nothing to act on. */
static void any_bytes(void **state)
{
	(void)state;
	uint32_t seed = 1;
	for (int round = 0; round < 3000; round++) {
		uint8_t bytes[64];
		struct buf json = BUF_INIT(4096), csv_cell = BUF_INIT(4096), terminal = BUF_INIT(4096);
		size_t n = (seed >> 8) % sizeof bytes;
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525u + 1013904223u;
			bytes[i] = (uint8_t)(seed >> 24);
		}
		seed = seed * 1664525u + 1013904223u;
		text_json(&json, bytes, n);
		text_csv(&csv_cell, bytes, n);
		uint32_t columns = round % 40, used = text_terminal(&terminal, bytes, n, columns);
		assert_true(used <= columns);
		json_t *j = json_loads(buf_str(&json), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert_non_null(j);
		json_decref(j);
		for (size_t i = 0; i < terminal.len; i++)
			assert_true(terminal.data[i] >= 0x20 && terminal.data[i] != 0x7F);
		for (size_t i = 0; i < csv_cell.len; i++)
			assert_true(csv_cell.data[i] >= 0x20 && csv_cell.data[i] != 0x7F);
		buf_free(&json);
		buf_free(&csv_cell);
		buf_free(&terminal);
	}
}

static void json_keeps_what_it_escapes(void **state)
{
	(void)state;
	static const char TEXT[] = "a\x01\x7F\t\"\\\xE2\x80\xAE\xC2\x85\xF0\x9F\x93\xA7z";
	struct buf out = BUF_INIT(1024);
	text_json(&out, TEXT, strlen(TEXT));
	assert_string_equal(buf_str(&out), "\"a\\u0001\\u007f\\t\\\"\\\\\\u202e\\u0085\xF0\x9F\x93\xA7z\"");
	json_t *j = json_loads(buf_str(&out), JSON_DECODE_ANY, NULL);
	assert_string_equal(json_string_value(j), TEXT);
	json_decref(j);
	buf_free(&out);
}

static void formats(void **state)
{
	(void)state;
	enum output_format f;
	assert_true(output_format_named("csv", &f) && f == OUTPUT_CSV);
	assert_true(output_format_named("jsonl", &f) && f == OUTPUT_JSONL);
	assert_true(output_format_named("table", &f) && f == OUTPUT_TABLE);
	assert_false(output_format_named("json", &f));
}

/* ---- columns of the input ---- */

static bool taken_by(const void *ctx, const char *name)
{
	for (const char *const *n = ctx; *n; n++)
		if (strcasecmp(*n, name) == 0)
			return true;
	return false;
}

static void names_that_clash(void **state)
{
	(void)state;
	static const char *const THEIRS[] = { "Address", "rcptd_address", "RULE", NULL };
	struct output_style style = { .format = OUTPUT_CSV };
	struct buf out = BUF_INIT(4096);
	output_header(&style, "Address,rcptd_address,RULE,", taken_by, THEIRS, &out);
	assert_string_equal(buf_str(&out),
		"Address,rcptd_address,RULE,rcptd_rcptd_address,verdict,reason,domain,operator,catch_all,role,"
		"disposable,free,suggestion,phase,code,enhanced,text,rcptd_rule,mail_host,mail_ip,source,from_cache,"
		"age_s,retry_after_s,attempts\n");
	buf_reset(&out);
	style.format = OUTPUT_JSONL;
	output_header(&style, "Address,", taken_by, THEIRS, &out);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

static void kept_cells_stand_around_ours(void **state)
{
	(void)state;
	Rcptd__V1__Result a = RCPTD__V1__RESULT__INIT;
	const uint8_t under[] = "1,\"x,y\",", beyond[] = ",more,";
	struct output_kept kept = { under, beyond, sizeof under - 1, sizeof beyond - 1 };
	struct buf out = BUF_INIT(4096);
	struct output_style style = { .format = OUTPUT_CSV };
	a.address = data("ann@example.org");
	output_row(&style, &a, &kept, &out);
	assert_string_equal(
		buf_str(&out), "1,\"x,y\",ann@example.org,,,,,unknown,false,false,false,,,,,,,,,,false,,,0,more,\n");
	buf_reset(&out);
	style.format = OUTPUT_JSONL;
	output_row(&style, &a, &kept, &out);
	assert_null(strstr(buf_str(&out), "more"));
	buf_free(&out);
}

static const char *kept_cell(const char *bytes, size_t n)
{
	static struct buf out = BUF_INIT(4096);
	buf_reset(&out);
	text_csv_kept(&out, bytes, n);
	return buf_str(&out);
}

static void kept_cells_are_quoted_where_they_must_be(void **state)
{
	(void)state;
	static const char *const CELL[][2] = { { "", "" }, { "plain", "plain" }, { "a b", "a b" }, { "a,b", "\"a,b\"" },
		{ "a;b", "\"a;b\"" }, { "a\tb", "\"a\tb\"" }, { " a", "\" a\"" }, { "a ", "\"a \"" },
		{ "a\r\nb", "\"a\r\nb\"" }, { "\"", "\"\"\"\"" }, { "say \"yes\"", "\"say \"\"yes\"\"\"" },
		{ "caf\xe9", "caf\xe9" }, { "=1+1", "=1+1" } };
	for (size_t i = 0; i < sizeof CELL / sizeof CELL[0]; i++)
		assert_string_equal(kept_cell(CELL[i][0], strlen(CELL[i][0])), CELL[i][1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jsonl),
		cmocka_unit_test(jsonl_keys_in_order),
		cmocka_unit_test(csv),
		cmocka_unit_test(table),
		cmocka_unit_test(table_fits_the_line),
		cmocka_unit_test(words_of_a_newer_server),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(json_keeps_what_it_escapes),
		cmocka_unit_test(formats),
		cmocka_unit_test(names_that_clash),
		cmocka_unit_test(kept_cells_stand_around_ours),
		cmocka_unit_test(kept_cells_are_quoted_where_they_must_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
