/* What is made of a reply: its meaning, its fingerprint, the evidence, which never names anybody. */
#include <ctype.h>
#include <string.h>
#include <unistr.h>

#include "server/smtp/reply.h"
#include "server/verdict/reading.h"
#include "tests/fuzz/fuzz.h"

#define RECIPIENT "alice.smith@shop.example"
#define REPLIES_MAX 3

static struct rules *rules;

/* A local part in clear text: a letter or a digit right before an at sign. */
static bool names_somebody(const struct buf *evidence)
{
	for (size_t i = 1; i < evidence->len; i++)
		if (evidence->data[i] == '@' && isalnum(evidence->data[i - 1]))
			return true;
	return false;
}

static void read_in_phase(const struct reply *r, enum phase phase, const char *operator_name)
{
	struct reading_context context = {
		.phase = phase,
		.operator_name = operator_name,
		.recipient = phase == PHASE_RCPT ? RECIPIENT : "",
		.sender = "probe@check.example",
		.source_ip = "192.0.2.7",
		.source_name = "mx1.check.example",
	};
	struct reading reading = reading_of(rules, &context, r);
	MUST(reading.rule && reading.reason < REASONS);
	MUST(reading.kind <= MEANS_SESSION_QUARREL && reading.scope <= SCOPE_OPERATOR && reading.stop <= STOP_30D);
	MUST(reading.delay_s <= 86400);
	if (r->code >= 400)
		MUST(reading.reason != REASON_NONE);
	if (r->code >= 400 && r->code < 500) {
		MUST(reason_verdict(reading.reason) != VERDICT_UNDELIVERABLE);
		MUST(reading.stop == STOP_NONE);
	}
	MUST(reading_fingerprint(&context, r) == reading_fingerprint(&context, r));
	struct buf evidence = BUF_INIT(4096);
	reading_mask(&context, r, &evidence);
	MUST(!evidence.err && evidence.len <= 512);
	MUST(!evidence.len || !u8_check(evidence.data, evidence.len));
	MUST(!has_control(evidence.data, evidence.len));
	MUST(!names_somebody(&evidence));
	buf_free(&evidence);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return rules_load_builtin(&rules) != ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reply_parser *p;
	struct reply r;
	size_t used;
	if (reply_parser_new(&p))
		abort();
	for (unsigned n = 0; n < REPLIES_MAX && reply_parser_feed(p, data, len, &used, &r) == ERR_OK; n++) {
		char *text = copied(r.text, r.text_len + 1);
		r.text = text;
		read_in_phase(&r, PHASE_BANNER + n % (PHASES - PHASE_BANNER), "outlook");
		read_in_phase(&r, PHASE_RCPT, "shop.example");
		free(text);
		data += used;
		len -= used;
	}
	reply_parser_free(p);
	return 0;
}
