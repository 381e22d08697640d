/* Reading replies: real ones by the table, what codes alone say, masks, and texts made to hurt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants those before it */
#include <cmocka.h>

#include "server/base/buf.h"
#include "server/smtp/reply.h"
#include "server/verdict/reading.h"

#define RCPT "alicezq@recv.example"
#define SENDER "callerqz@probe.example"
#define IP "198.51.100.77"
#define NAME "scout7.probe.example"

static struct rules *rules;

static int load(void **state)
{
	(void)state;
	return rules_load_builtin(&rules);
}

static int unload(void **state)
{
	(void)state;
	rules_free(rules);
	return 0;
}

static const struct reading_context CONTEXT = { .phase = PHASE_RCPT,
	.operator_name = "",
	.recipient = RCPT,
	.sender = SENDER,
	.source_ip = IP,
	.source_name = NAME };

static struct reading read_at(enum phase phase, const char *operator_name, int code, const char *text)
{
	struct reading_context ctx = CONTEXT;
	struct reply r = { code, 1, text, strlen(text) };
	ctx.phase = phase;
	ctx.operator_name = operator_name;
	return reading_of(rules, &ctx, &r);
}

static struct reading rcpt(int code, const char *text)
{
	return read_at(PHASE_RCPT, "", code, text);
}

static bool word_at(const char *s, size_t i, const char *word)
{
	size_t n = strlen(word);
	bool open = !i || (!strchr("'`.-_@", s[i - 1]) && !((s[i - 1] | 32) >= 'a' && (s[i - 1] | 32) <= 'z') &&
				  (unsigned char)s[i - 1] < 0x80);
	char after = strncmp(s + i, word, n) == 0 ? s[i + n] : 'x';
	return open && !((after | 32) >= 'a' && (after | 32) <= 'z') && !(after >= '0' && after <= '9') &&
	       after != '\'';
}

/* The row's reply with its placeholders filled, as bytes of the wire. */
static void fill(const char *row, struct buf *out)
{
	static const struct {
		const char *word, *is;
	} PLACE[] = { { "u", RCPT }, { "s", SENDER }, { "ip", IP }, { "ourhost", NAME } };
	for (size_t i = 0; row[i];) {
		size_t k = 0;
		while (k < 4 && !word_at(row, i, PLACE[k].word))
			k++;
		if (k < 4) {
			buf_puts(out, PLACE[k].is);
			i += strlen(PLACE[k].word);
		} else if (row[i] == '\\' && row[i + 1] == 'n') {
			buf_puts(out, "\r\n");
			i += 2;
		} else {
			buf_putc(out, row[i++]);
		}
	}
	buf_puts(out, "\r\n");
}

static enum phase phase_called(const char *name)
{
	for (int p = PHASE_NONE; p < PHASES; p++)
		if (strcmp(phase_name((enum phase)p), name) == 0)
			return (enum phase)p;
	fail_msg("no phase %s", name);
	return PHASE_NONE;
}

static const char *meaning_name(const struct reading *r)
{
	return r->kind == MEANS_TOO_MANY_RECIPIENTS ? "TOO_MANY_RECIPIENTS" : reason_name(r->reason);
}

/* "reply TAB operator TAB meaning TAB delay TAB phase" */
static bool row_is_right(char *line)
{
	char *field[5], *rest = line;
	for (int i = 0; i < 5; i++) {
		field[i] = strsep(&rest, "\t");
		assert_non_null(field[i]);
	}
	struct buf bytes = BUF_INIT(4096);
	fill(field[0], &bytes);
	struct reply_parser *p = NULL;
	assert_int_equal(reply_parser_new(&p), ERR_OK);
	struct reply reply;
	size_t used;
	assert_int_equal(reply_parser_feed(p, bytes.data, bytes.len, &used, &reply), ERR_OK);
	assert_int_equal(used, bytes.len);
	struct reading_context ctx = CONTEXT;
	ctx.phase = phase_called(field[4]);
	ctx.operator_name = field[1];
	struct reading r = reading_of(rules, &ctx, &reply);
	uint32_t delay = *field[3] == '-' ? 0 : (uint32_t)strtoul(field[3], NULL, 10);
	bool right = strcmp(meaning_name(&r), field[2]) == 0 && (!delay || r.delay_s == delay) &&
		     (delay || r.delay_s == 0 || r.reason == REASON_MAILBOX_BUSY);
	if (!right)
		print_error("%s, %s: %s (%u s) by %s, not %s (%s): %s\n", field[4], field[1], meaning_name(&r),
			r.delay_s, r.rule, field[2], field[3], field[0]);
	assert_non_null(r.rule);
	/* evidence of it names nobody */
	struct buf masked = BUF_INIT(1024);
	reading_mask(&ctx, &reply, &masked);
	assert_null(strstr(buf_str(&masked), "alicezq"));
	assert_null(strstr(buf_str(&masked), "callerqz"));
	buf_free(&masked);
	reply_parser_free(p);
	buf_free(&bytes);
	return right;
}

static void all_rows(const char *path, size_t at_least)
{
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	char line[2048];
	size_t rows = 0, right = 0;
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		if (*line == '#' || !*line)
			continue;
		rows++;
		right += row_is_right(line);
	}
	fclose(f);
	print_message("%s: %zu of %zu right\n", path, right, rows);
	assert_true(rows >= at_least);
	assert_int_equal(right, rows);
}

static void sample_rows(void **state)
{
	(void)state;
	all_rows("tests/data/replies.tsv", 80);
}

static void more_rows(void **state)
{
	(void)state;
	all_rows("tests/data/replies_more.tsv", 150);
}

/* "By code" of docs/VERDICTS.md, sentence by sentence. */
struct code_row {
	enum phase phase;
	int code;
	const char *text;
	enum meaning_kind kind;
	enum reason reason;
	enum strength strength;
	enum stop stop;
};
#define AMBIGUOUS STRENGTH_AMBIGUOUS
#define CLEAR STRENGTH_CLEAR
#define PLAIN(phase, code, text, reason, strength)                                                                     \
	{                                                                                                              \
		PHASE_##phase, code, text, MEANS_REASON, REASON_##reason, strength, STOP_NONE                          \
	}
static const struct code_row CODES[] = {
	PLAIN(RCPT, 250, "ok", ACCEPTED, CLEAR),
	PLAIN(RCPT, 251, "will forward", ACCEPTED, CLEAR),
	PLAIN(RCPT, 250, "user unknown", ACCEPTED, CLEAR),
	PLAIN(RCPT, 252, "cannot verify", CATCH_ALL_UNKNOWN, CLEAR),
	PLAIN(RCPT, 221, "x", CATCH_ALL_UNKNOWN, CLEAR),
	PLAIN(RCPT, 299, "x", CATCH_ALL_UNKNOWN, CLEAR),
	PLAIN(BANNER, 220, "x", ACCEPTED, CLEAR),
	PLAIN(EHLO, 250, "x", ACCEPTED, CLEAR),
	PLAIN(TLS, 220, "x", ACCEPTED, CLEAR),
	PLAIN(RCPT, 354, "go ahead", PROTOCOL_ERROR, CLEAR),
	PLAIN(RCPT, 199, "x", PROTOCOL_ERROR, CLEAR),
	PLAIN(RCPT, 600, "user unknown", PROTOCOL_ERROR, CLEAR),
	PLAIN(RCPT, 999, "x", PROTOCOL_ERROR, CLEAR),
	PLAIN(RCPT, 0, "x", PROTOCOL_ERROR, CLEAR),
	PLAIN(BANNER, 300, "x", PROTOCOL_ERROR, CLEAR),
	PLAIN(RCPT, 421, "closing", TEMPORARY_FAILURE, AMBIGUOUS),
	PLAIN(RCPT, 421, "", TEMPORARY_FAILURE, AMBIGUOUS),
	PLAIN(RCPT, 450, "", TEMPORARY_FAILURE, AMBIGUOUS),
	PLAIN(RCPT, 552, "", MAILBOX_FULL, CLEAR),
	PLAIN(RCPT, 552, "hm", MAILBOX_FULL, CLEAR),
	PLAIN(RCPT, 452, "", TEMPORARY_FAILURE, AMBIGUOUS),
	PLAIN(RCPT, 452, "4.3.1 hm", TEMPORARY_FAILURE, CLEAR),
	PLAIN(RCPT, 556, "", NULL_MX, CLEAR),
	PLAIN(BANNER, 521, "", NO_MAIL_HOST, CLEAR),
	PLAIN(RCPT, 551, "", MAILBOX_UNKNOWN, AMBIGUOUS),
	PLAIN(RCPT, 550, "", MAILBOX_UNKNOWN, AMBIGUOUS),
	PLAIN(RCPT, 550, "hm", MAILBOX_UNKNOWN, AMBIGUOUS),
	PLAIN(RCPT, 550, "5.0.0 hm", MAILBOX_UNKNOWN, AMBIGUOUS),
	PLAIN(RCPT, 553, "5.0.0 hm", MAILBOX_UNKNOWN, AMBIGUOUS),
	PLAIN(RCPT, 554, "", REFUSED_UNCLEAR, AMBIGUOUS),
	PLAIN(RCPT, 554, "hm", REFUSED_UNCLEAR, AMBIGUOUS),
	PLAIN(RCPT, 550, "5.7.1 hm", REFUSED_UNCLEAR, AMBIGUOUS),
	PLAIN(RCPT, 550, "5.7.1", REFUSED_UNCLEAR, AMBIGUOUS),
	PLAIN(RCPT, 550, "5.7.0 hm", REFUSED_UNCLEAR, AMBIGUOUS),
	PLAIN(RCPT, 550, "5.7.1.100 hm", MAILBOX_UNKNOWN, AMBIGUOUS), /* an address: 550 alone speaks */
	PLAIN(RCPT, 550, "5.1.1 hm", MAILBOX_UNKNOWN, CLEAR),
	PLAIN(RCPT, 550, "(#5.1.1)", MAILBOX_UNKNOWN, CLEAR),
	PLAIN(RCPT, 550, "5.2.1 hm", MAILBOX_DISABLED, CLEAR),
	PLAIN(RCPT, 550, "5.2.2 hm", MAILBOX_FULL, CLEAR),
	PLAIN(RCPT, 450, "4.2.2 hm", MAILBOX_FULL, CLEAR),
	PLAIN(BANNER, 554, "", SOURCE_REFUSED, AMBIGUOUS),
	PLAIN(BANNER, 554, "hm", SOURCE_REFUSED, AMBIGUOUS),
	PLAIN(EHLO, 550, "hm", SOURCE_REFUSED, AMBIGUOUS),
	PLAIN(EHLO, 502, "hm", SOURCE_REFUSED, AMBIGUOUS),
	PLAIN(MAIL, 550, "hm", SOURCE_REFUSED, AMBIGUOUS),
	PLAIN(MAIL, 550, "5.7.1 hm", SOURCE_REFUSED, AMBIGUOUS),
	PLAIN(MAIL, 552, "hm", SOURCE_REFUSED, AMBIGUOUS),
	PLAIN(MAIL, 550, "5.1.1 hm", SOURCE_REFUSED, AMBIGUOUS),
	PLAIN(BANNER, 421, "hm", TEMPORARY_FAILURE, AMBIGUOUS),
	PLAIN(EHLO, 421, "hm", TEMPORARY_FAILURE, AMBIGUOUS),
	PLAIN(MAIL, 450, "hm", TEMPORARY_FAILURE, AMBIGUOUS),
	PLAIN(TLS, 454, "hm", TLS_FAILED, AMBIGUOUS),
	PLAIN(TLS, 501, "hm", TLS_FAILED, AMBIGUOUS),
	{ PHASE_RCPT, 452, "4.5.3 hm", MEANS_TOO_MANY_RECIPIENTS, REASON_TEMPORARY_FAILURE, CLEAR, STOP_NONE },
	{ PHASE_MAIL, 530, "hm", MEANS_STARTTLS_FIRST, REASON_TLS_FAILED, CLEAR, STOP_NONE },
	{ PHASE_RCPT, 530, "", MEANS_STARTTLS_FIRST, REASON_TLS_FAILED, CLEAR, STOP_NONE },
	{ PHASE_RCPT, 503, "hm", MEANS_PIPELINE_QUARREL, REASON_PROTOCOL_ERROR, AMBIGUOUS, STOP_NONE },
	{ PHASE_MAIL, 503, "hm", MEANS_PIPELINE_QUARREL, REASON_PROTOCOL_ERROR, AMBIGUOUS, STOP_NONE },
	{ PHASE_RCPT, 500, "command not understood", MEANS_PIPELINE_QUARREL, REASON_PROTOCOL_ERROR, AMBIGUOUS,
		STOP_NONE },
	{ PHASE_RCPT, 504, "", MEANS_PIPELINE_QUARREL, REASON_PROTOCOL_ERROR, AMBIGUOUS, STOP_NONE },
	{ PHASE_RCPT, 503, "user unknown", MEANS_REASON, REASON_MAILBOX_UNKNOWN, CLEAR, STOP_NONE },
	{ PHASE_BANNER, 554, "SMTP synchronization error", MEANS_SESSION_QUARREL, REASON_PROTOCOL_ERROR, CLEAR,
		STOP_NONE },
	{ PHASE_RCPT, 554, "blocked using zen.spamhaus.org", MEANS_REASON, REASON_SOURCE_REFUSED, CLEAR, STOP_30D },
	{ PHASE_BANNER, 554, "blocked using zen.spamhaus.org", MEANS_REASON, REASON_SOURCE_REFUSED, CLEAR, STOP_30D },
	{ PHASE_RCPT, 454, "blocked using zen.spamhaus.org", MEANS_REASON, REASON_SOURCE_REFUSED, CLEAR, STOP_NONE },
	{ PHASE_RCPT, 550, "5.7.25 hm", MEANS_REASON, REASON_IDENTITY_REFUSED, CLEAR, STOP_NONE },
	{ PHASE_RCPT, 450, "4.7.25 hm", MEANS_REASON, REASON_IDENTITY_REFUSED, CLEAR, STOP_NONE },
};

static void by_code(void **state)
{
	(void)state;
	size_t wrong = 0;
	for (size_t i = 0; i < sizeof CODES / sizeof *CODES; i++) {
		const struct code_row *want = &CODES[i];
		struct reading r = read_at(want->phase, "", want->code, want->text);
		bool right = r.kind == want->kind && r.reason == want->reason && r.strength == want->strength &&
			     r.stop == want->stop;
		if (!right)
			print_error("%s %d %s: %s, kind %d, strength %d, stop %d by %s\n", phase_name(want->phase),
				want->code, want->text, reason_name(r.reason), r.kind, r.strength, r.stop, r.rule);
		wrong += !right;
		assert_non_null(r.rule);
	}
	assert_int_equal(wrong, 0);
	assert_true(rcpt(550, "hm").unclassified);
	assert_false(rcpt(550, "user unknown").unclassified);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_code),
		cmocka_unit_test(sample_rows),
		cmocka_unit_test(more_rows),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
