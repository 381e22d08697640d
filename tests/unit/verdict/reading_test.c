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
	PLAIN(BANNER, 521, "Host does not accept mail", NO_MAIL_HOST, CLEAR),
	PLAIN(BANNER, 521, "5.3.2 Service currently unavailable", SOURCE_REFUSED, AMBIGUOUS), /* postscreen */
	PLAIN(BANNER, 521, "5.5.1 Protocol error", SOURCE_REFUSED, AMBIGUOUS),
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

/* Every rule's own words and every row at every 4yz: nothing undeliverable, no stop. */
static void row_at_4yz(const char *line)
{
	static const int CODE[] = { 421, 450, 451, 452, 454, 456, 499 };
	char text[2048];
	snprintf(
		text, sizeof text, "%.*s", (int)strcspn(line + 3, "\t"), line + 3 + (line[3] == ' ' || line[3] == '-'));
	static const char *const OPERATORS[] = { "", "google", "outlook", "yahoo", "mimecast", "proofpoint",
		"barracuda", "gmx", "qq", "mailru", "yandex", "cisco" };
	for (size_t c = 0; c < sizeof CODE / sizeof *CODE; c++)
		for (size_t o = 0; o < sizeof OPERATORS / sizeof *OPERATORS; o++)
			for (int p = PHASE_BANNER; p < PHASES; p++) {
				struct reading r = read_at((enum phase)p, OPERATORS[o], CODE[c], text);
				assert_true(reason_verdict(r.reason) != VERDICT_UNDELIVERABLE);
				assert_true(reason_verdict(r.reason) != VERDICT_DELIVERABLE);
				assert_int_equal(r.stop, STOP_NONE);
			}
}

/* And before RCPT no words and no code speak of a mailbox. */
static void row_before_rcpt(const char *line)
{
	char text[2048];
	snprintf(
		text, sizeof text, "%.*s", (int)strcspn(line + 3, "\t"), line + 3 + (line[3] == ' ' || line[3] == '-'));
	for (int p = PHASE_BANNER; p < PHASE_RCPT; p++) {
		struct reading r = read_at((enum phase)p, "", 550, text);
		assert_true(reason_verdict(r.reason) == VERDICT_UNKNOWN);
		assert_int_not_equal(r.reason, REASON_REFUSED_UNCLEAR);
	}
}

static void each_row(const char *path, void (*check)(const char *line))
{
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	char line[2048];
	while (fgets(line, sizeof line, f))
		if (*line >= '0' && *line <= '9')
			check(line);
	fclose(f);
}

static void never_undeliverable_at_4yz(void **state)
{
	(void)state;
	each_row("tests/data/replies.tsv", row_at_4yz);
	each_row("tests/data/replies_more.tsv", row_at_4yz);
}

static void nothing_of_mailboxes_before_rcpt(void **state)
{
	(void)state;
	each_row("tests/data/replies.tsv", row_before_rcpt);
	each_row("tests/data/replies_more.tsv", row_before_rcpt);
}

static void delays(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint32_t delay;
	} ROW[] = {
		{ "Greylisted for 5 minutes", 300 },
		{ "Greylisted for 5 min\nutes", 300 },
		{ "Greylisted for 30\n0 seconds", 300 },
		{ "Greylisted for\n300 seconds", 300 },
		{ "Greylisted, try again in 300s", 300 },
		{ "Greylisted, try again in 5m", 300 },
		{ "Greylisted, retry in 00:10:00", 600 },
		{ "Greylisted, retry in 10:00", 600 },
		{ "Greylisted. Retry in 1 hour and 30 minutes", 5400 },
		{ "Greylisted. Retry in 1 day", 86400 },
		{ "Greylisted. Retry in 99 days", 86400 },
		{ "Greylisted. Retry in 9999999 days", 86400 },
		{ "Greylisted. Retry in 99999999999999999999 seconds", 0 },
		{ "Greylisted. Retry after 900", 900 },
		{ "Greylisted. Retry after 900.", 900 },
		{ "Liste grise, reessayez dans 5 minutes", 300 },
		{ "Please wait 120 seconds, you are greylisted", 120 },
		{ "Try again in an hour", 3600 },
		{ "Greylisted, error 451", 0 },
		{ "Try later: more than 100 messages in the last 60 minutes", 0 },
		{ "Try again later", 0 },
	};
	for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
		uint32_t got = rcpt(451, ROW[i].text).delay_s;
		if (got != ROW[i].delay)
			fail_msg("%s: %u", ROW[i].text, got);
	}
	assert_int_equal(rcpt(550, "No such user. Sent 5 minutes ago, try again in 5 minutes").delay_s, 0);
}

static void echoes(void **state)
{
	(void)state;
	struct reading_context ctx = CONTEXT;
	static const char *const WHO[] = { "alice@unblocked.dev", "blocked@spamhaus.example", "user@x.example",
		"\"mailbox full\"@x.example", "quota@relay-denied.example", "spam@blacklist.example",
		"greylisted@blocked.example", "temporarily-disabled@x.example", "blacklisted@rbl.example" };
	static const char *const SAYS[] = { "5.1.1 <%s>: Recipient address rejected: User unknown",
		"5.1.1 %s... User unknown", "User unknown: %s", "No such user (%s)", "mailbox %s does not exist",
		"5.1.1 RCPT TO:<%s> User unknown" };
	for (size_t w = 0; w < sizeof WHO / sizeof *WHO; w++)
		for (size_t s = 0; s < sizeof SAYS / sizeof *SAYS; s++) {
			char text[256];
			snprintf(text, sizeof text, SAYS[s], WHO[w]);
			struct reply r = { 550, 1, text, strlen(text) };
			ctx.recipient = WHO[w];
			struct reading got = reading_of(rules, &ctx, &r);
			if (got.reason != REASON_MAILBOX_UNKNOWN || got.strength != STRENGTH_CLEAR)
				fail_msg("%s: %s by %s", text, reason_name(got.reason), got.rule);
		}
	assert_int_equal(rcpt(550, "Unknown user, go away 198.51.100.77").reason, REASON_SOURCE_REFUSED);
	assert_int_equal(rcpt(550, "5.1.1 <callerqz@probe.example>: User unknown").reason, REASON_IDENTITY_REFUSED);
	assert_int_equal(rcpt(550, "5.1.1 <ALICEZQ@recv.example>: User unknown").reason, REASON_MAILBOX_UNKNOWN);
	assert_int_equal(rcpt(550, "user un\nknown").reason, REASON_MAILBOX_UNKNOWN);
	assert_int_equal(rcpt(550, "5.1.1 user un\n5.1.1 known").reason, REASON_MAILBOX_UNKNOWN);
	assert_int_equal(rcpt(550, "Envelope blocked").reason, REASON_SOURCE_REFUSED);
	/* Postfix: the rate of our address, and the size of a transaction */
	assert_int_equal(
		rcpt(450, "4.7.1 Error: too many recipients from 198.51.100.77").reason, REASON_SOURCE_REFUSED);
	assert_int_equal(rcpt(452, "4.5.3 Error: too many recipients").kind, MEANS_TOO_MANY_RECIPIENTS);
}

static void masks_as(const char *recipient, const char *text, const char *want)
{
	struct reading_context ctx = CONTEXT;
	ctx.recipient = recipient;
	struct reply r = { 550, 1, text, strlen(text) };
	struct buf out = BUF_INIT(4096);
	reading_mask(&ctx, &r, &out);
	assert_string_equal(buf_str(&out), want);
	buf_free(&out);
}

static void masks(void **state)
{
	(void)state;
	static const struct {
		const char *recipient, *text, *want;
	} ROW[] = {
		{ RCPT, "5.1.1 <alicezq@recv.example>: no", "5.1.1 <***@recv.example>: no" },
		{ RCPT, "alicezq@recv.example... no", "***@recv.example... no" },
		{ RCPT, "ALICEZQ@RECV.EXAMPLE no", "***@recv.example no" },
		{ RCPT, "bob@other.example no", "***@other.example no" },
		{ RCPT, "from=<callerqz@probe.example> to=<alicezq@recv.example>",
			"from=<***@probe.example> to=<***@recv.example>" },
		{ RCPT, "User alicezq unknown", "User *** unknown" },
		{ RCPT, "User AliceZQ unknown", "User *** unknown" },
		{ RCPT, "alicezqs are fine", "alicezqs are fine" },
		{ RCPT, "alicezq=40recv.example", "***=40recv.example" },
		{ RCPT, "alicezq+40recv.example", "***+40recv.example" },
		{ RCPT, "see http://x.example/?u=alicezq%40recv.example", "see http://x.example/?***%40recv.example" },
		{ RCPT, "bobby%40other.example", "***%40other.example" },
		{ RCPT, "SRS0=ab=cd=recv.example=alicezq@fwd.example", "***@fwd.example" },
		{ RCPT, "prvs=1234=bob@b.example", "***@b.example" },
		{ RCPT, "bounce+alicezq=recv.example@l.example", "***@l.example" },
		{ RCPT, "alicezq+x=bob@b.example", "******@b.example" }, /* what follows a name may be an address */
		{ RCPT,
			"alicezq=b\xdf"
			"alicezq@b.example",
			"******@b.example" },
		{ RCPT, "bob@[192.0.2.1] x", "***@[192.0.2.1] x" },
		{ RCPT, "bob@ x", "***@ x" },
		{ RCPT, "@ x", "@ x" },
		{ RCPT, "<\"a b\"@x.example> no", "<***@x.example> no" },
		{ RCPT, "<\"a\\\"b\"@x.example> no", "<***@x.example> no" },
		{ RCPT, "ali\ncezq@recv.example", "***@recv.example" },
		{ RCPT, "5.1.1 alicezq@re\n5.1.1 cv.example no", "5.1.1 ***@recv.example no" },
		{ RCPT, "j\xc3\xb6rg@x.example", "***@x.example" },
		{ "\"al ice\"@x.example", "al ice@x.example no", "***@x.example no" },
		{ "\"al ice\"@x.example", "user al ice no", "user *** no" },
		{ "alice+news@x.example", "user alice no", "user *** no" },
		{ "bob@x.example", "user <bob> no", "user <***> no" },
		{ "bob@x.example", "user bob no", "user bob no" },
		{ "j\xc3\xb6rgen@x.example", "user j\xc3\xb6rgen no", "user *** no" },
		{ RCPT, "a\xff\x01z", "a\xef\xbf\xbd\xef\xbf\xbdz" },
		{ RCPT, "two\nlines", "two lines" },
		{ RCPT, "", "" },
	};
	for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
		masks_as(ROW[i].recipient, ROW[i].text, ROW[i].want);
	/* cut at a character */
	char text[1200] = "x";
	for (size_t i = 1; i + 2 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xb6", 3);
	struct reply r = { 550, 1, text, strlen(text) };
	struct buf out = BUF_INIT(4096);
	reading_mask(&CONTEXT, &r, &out);
	assert_int_equal(out.len, 511);
	buf_free(&out);
	/* a NUL is a control character */
	struct reply nul = { 550, 1, "a\0b", 3 };
	reading_mask(&CONTEXT, &nul, &out);
	assert_string_equal(buf_str(&out), "a\xef\xbf\xbd"
					   "b");
	buf_free(&out);
}

static uint64_t print_of(const char *recipient, int code, const char *text)
{
	struct reading_context ctx = CONTEXT;
	ctx.recipient = recipient;
	struct reply r = { code, 1, text, strlen(text) };
	return reading_fingerprint(&ctx, &r);
}

static void fingerprints(void **state)
{
	(void)state;
	uint64_t a = print_of("al@x.example", 550, "5.7.1 <al@x.example>: Access denied (id a1b2)");
	assert_true(
		a == print_of("postmaster@x.example", 550, "5.7.1 <postmaster@x.example>:  access\nDENIED (id f9)"));
	assert_true(a != print_of("al@x.example", 550, "5.7.2 <al@x.example>: Access denied"));
	assert_true(a != print_of("al@x.example", 554, "5.7.1 <al@x.example>: Access denied"));
	assert_true(a != print_of("al@x.example", 550, "5.7.1 <al@x.example>: User unknown"));
}

static void operators(void **state)
{
	(void)state;
	static const char *const ROW[][2] = { { "aspmx.l.google.com", "google" }, { "ASPMX.L.GOOGLE.COM.", "google" },
		{ "smtp.goog", "google" }, { "x.mail.protection.outlook.com", "outlook" },
		{ "a.b.mx.microsoft", "outlook" }, { "mta5.am0.yahoodns.net", "yahoo" },
		{ "mx01.mail.icloud.com", "apple" }, { "notgoogle.com", "notgoogle.com" },
		{ "mx1.firm.co.uk", "firm.co.uk" }, { "co.uk", "co.uk" }, { "localhost", "localhost" }, { "", "" } };
	for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
		char name[256];
		rules_operator(rules, ROW[i][0], name, sizeof name);
		assert_string_equal(name, ROW[i][1]);
	}
	char tiny[4];
	rules_operator(rules, "aspmx.l.google.com", tiny, sizeof tiny);
	assert_string_equal(tiny, "goo");
	assert_int_equal(rules_operator_connections(rules, "google"), 10);
	assert_int_equal(rules_operator_connections(rules, "firm.co.uk"), 0);
}

static void bad_rules(void **state)
{
	(void)state;
	static const char *const ROW[][2] = {
		{ "", "r:1: empty" },
		{ "x: y: z", "r:1: not YAML" },
		{ "x: 1", "r:1: unknown key; allowed: operators, rules" },
		{ "rules:\n  - id: A", "r:2: an id is" },
		{ "rules:\n  - id: a\n    class: nope", "r:3: allowed here: sender" },
		{ "rules:\n  - id: a\n    colour: red", "r:3: unknown key; allowed: id, class" },
		{ "rules:\n  - id: a\n    class: unknown\n    text: '('", "r:4: not a pattern" },
		{ "rules:\n  - id: a\n    class: unknown\n    text:\n    - 'a'\n    - '[z-a]'", "r:6: not a pattern" },
		{ "rules:\n  - id: a\n    code: '250'", "r:3: a code is 4 or 5" },
		{ "rules:\n  - id: a\n    enhanced: five", "r:3: an enhanced code" },
		{ "rules:\n  - id: a\n    meaning: ACCEPTED", "r:3: allowed here: INVALID_SYNTAX" },
		{ "rules:\n  - id: a\n    id: b", "r:3: given twice: id" },
		{ "rules:\n  - id: a\n    class: operator\n    operator: nobody", "r:4: no such operator" },
		{ "rules:\n  - id: a\n    class: unknown\n    meaning: MAILBOX_UNKNOWN",
			"r:2: it would match everything" },
		{ "rules:\n  - id: a\n    class: unknown\n    text: x\n    phase: mail\n    meaning: MAILBOX_UNKNOWN",
			"r:2: only RCPT" },
		{ "rules:\n  - {id: a, class: unknown, text: x, meaning: NULL_MX}\n  - {id: a}", "r:3: another rule" },
		{ "rules:\n  - {id: a, class: unknown, text: x, meaning: NULL_MX}\n  - {id: b, class: sender, text: x, "
		  "meaning: IDENTITY_REFUSED}",
			"r:3: rules stand in the order" },
		{ "operators:\n  a: {hosts: [x]}\n  b: {hosts: [x]}", "r:3: this host name belongs already to a" },
		{ "operators:\n  a: {connections: 0}", "r:2: a number is wanted, 1 to 1000" },
	};
	for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++) {
		struct rules *bad = NULL;
		struct buf why = BUF_INIT(4096);
		assert_int_equal(rules_load(&bad, "r", ROW[i][0], strlen(ROW[i][0]), &why), ERR_INVALID);
		if (strncmp(buf_str(&why), ROW[i][1], strlen(ROW[i][1])) != 0)
			fail_msg("%s: not %s", buf_str(&why), ROW[i][1]);
		buf_free(&why);
	}
}

/* Texts made to hurt: every one is read, in any phase. */
static void hostile(void **state)
{
	(void)state;
	static const char *const UNIT[] = { "mailbox ", "user ", "a", " ", "@", "a@", "\"", "\"\\\"@", "<", "5.",
		"1.1.1.1 ", "recipient is is is ", "\xff", "\xf0\x9f", "\n", "http://", "over over ", "alicezq",
		"alicezq@recv.exampl", "your ip your host ", "4:", "1 ", "in 5 ", "\xc3\xa9", "=40", "'" };
	static char text[16 * 1024 + 1];
	for (size_t u = 0; u < sizeof UNIT / sizeof *UNIT; u++) {
		size_t n = 0, len = strlen(UNIT[u]);
		while (n + len < sizeof text) {
			memcpy(text + n, UNIT[u], len);
			n += len;
		}
		for (int code = 450; code <= 550; code += 100) {
			struct reply r = { code, 1, text, n };
			struct buf out = BUF_INIT(1024);
			assert_non_null(reading_of(rules, &CONTEXT, &r).rule);
			reading_mask(&CONTEXT, &r, &out);
			(void)reading_fingerprint(&CONTEXT, &r);
			assert_true(out.len <= 512);
			buf_free(&out);
		}
	}
	static const char SOUP[] =
		"user unknown@<>\"'.,:;=+%40 5.1.1\n\xc3\xa9\xff\0 mailbox full 198.51.100.77 alicezq";
	uint32_t seed = 7;
	for (int round = 0; round < 500; round++) {
		char soup[200];
		for (size_t i = 0; i < sizeof soup; i++) {
			seed = seed * 1664525 + 1013904223;
			soup[i] = SOUP[(seed >> 16) % sizeof SOUP];
		}
		char *exact = malloc(sizeof soup); /* the sanitizer sees a read beyond it */
		assert_non_null(exact);
		memcpy(exact, soup, sizeof soup);
		struct reply r = { 550, 1, exact, sizeof soup };
		struct buf out = BUF_INIT(1024);
		assert_non_null(reading_of(rules, &CONTEXT, &r).rule);
		reading_mask(&CONTEXT, &r, &out);
		buf_free(&out);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_code),
		cmocka_unit_test(never_undeliverable_at_4yz),
		cmocka_unit_test(nothing_of_mailboxes_before_rcpt),
		cmocka_unit_test(delays),
		cmocka_unit_test(echoes),
		cmocka_unit_test(masks),
		cmocka_unit_test(fingerprints),
		cmocka_unit_test(operators),
		cmocka_unit_test(bad_rules),
		cmocka_unit_test(hostile),
		cmocka_unit_test(sample_rows),
		cmocka_unit_test(more_rows),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
