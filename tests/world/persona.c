#include "tests/world/persona.h"

#include <string.h>

#define FAULT(phase, text, and_then)                                                                                   \
	.fault = { .is_set = true, .at = PHASE_##phase, .reply = text, .then = THEN_##and_then }

#define RAW(text)                                                                                                      \
	{                                                                                                              \
		text, sizeof text - 1                                                                                  \
	}
#define TLS_BROKEN(how) .traits = { .tls = TLS_OFFERED, .tls_fault = TLS_##how }

static const struct persona PERSONA[] = {
	{ .name = "normal", .what = "some mailboxes exist, the others are refused" },
	{ .name = "accept-all", .what = "every recipient of a domain it serves is accepted", .accepts_all = true },
	{ .name = "greylist",
		.what = "a new (client, sender, recipient) is put off; after after_ms it is normal",
		.hook = { { PHASE_RCPT, greylist_rcpt } } },
	{ .name = "refuses",
		.what = "refuses us, by 5yz, at a phase",
		FAULT(RCPT, "550 5.7.1 Service unavailable; client [$client] blocked using bl.example", GO_ON) },
	{ .name = "tempfail", .what = "4yz at a phase", FAULT(RCPT, "451 4.3.0 Temporary lookup failure", GO_ON) },
	{ .name = "hangup",
		.what = "421 and closes, at a phase or its n-th command",
		FAULT(RCPT, "421 4.3.2 $host Service shutting down, closing channel", CLOSE) },
	{ .name = "closes", .what = "closes at a phase without a word", FAULT(RCPT, NULL, CLOSE) },
	{ .name = "resets", .what = "a TCP reset at a phase", FAULT(RCPT, NULL, RESET) },
	{ .name = "silent", .what = "says nothing from a phase on", FAULT(BANNER, NULL, SILENT) },
	{ .name = "no-pipelining", .what = "does not offer PIPELINING", .no_pipelining = true },
	{ .name = "breaks-pipelining",
		.what = "offers PIPELINING and answers 503 to every command but the first of a group",
		.early_reply = "503 5.5.1 Error: command out of order" },
	{ .name = "no-ehlo",
		.what = "knows HELO only",
		FAULT(EHLO, "502 5.5.2 Error: command not recognized", GO_ON),
		.no_pipelining = true },
	{ .name = "no-helo",
		.what = "refuses EHLO and HELO",
		FAULT(EHLO, "502 5.5.2 Error: command not recognized", GO_ON),
		.no_hello = true,
		.no_pipelining = true },
	{ .name = "smtputf8", .what = "offers SMTPUTF8", .smtputf8 = true },
	{ .name = "one-recipient",
		.what = "takes one recipient a connection, 452 4.5.3 for the others",
		FAULT(RCPT, "452 4.5.3 Error: too many recipients", GO_ON),
		.fault.from = 2 },

	/* What it means to be refused. */
	{ .name = "lists-us",
		.what = "our address is on a block list: 5yz at a phase",
		FAULT(BANNER,
			"554 5.7.1 Service unavailable; Client host [$client] blocked using bl.example; "
			"https://bl.example/query/$client",
			GO_ON) },
	{ .name = "turns-550",
		.what = "from its n-th recipient on a bare 550 for everybody",
		FAULT(RCPT, "550 Requested action not taken: mailbox unavailable", GO_ON),
		.fault.from = 4 },
	{ .name = "turns-accepting",
		.what = "accepts everybody in a connection after after_unknown unknown recipients",
		.hook = { { PHASE_RCPT, turn_accepting } },
		.traits.after_unknown = 3 },
	{ .name = "counts-unknown",
		.what = "blocks a client after after_unknown unknown recipients, over all its connections",
		.hook = { { PHASE_BANNER, block_client }, { PHASE_MAIL, block_client }, { PHASE_RCPT, block_client } },
		.unknown = count_unknown,
		.traits.after_unknown = 5 },

	/* Slow ones. */
	{ .name = "tarpit",
		.what = "holds each reply back, and each to an unknown recipient longer",
		.traits = { .reply_delay_ms = 1000, .unknown_delay_ms = 5000 } },
	{ .name = "drip", .what = "one byte each drip_ms", .traits.drip_ms = 1000 },
	{ .name = "late-banner",
		.what = "greets after banner_delay_ms; who speaks before is refused",
		.traits = { .banner_delay_ms = 30000,
			.early_talker_reply = "554 5.5.1 Protocol error: you must wait for the greeting" } },
	{ .name = "endless-banner",
		.what = "a greeting without end",
		FAULT(BANNER, "220-$host has more to say", ENDLESS) },
	{ .name = "endless-reply",
		.what = "a reply without end at a phase",
		FAULT(EHLO, "250-X-AND-ANOTHER", ENDLESS) },
	{ .name = "hangs-after-quit",
		.what = "QUIT is answered, the connection stays",
		FAULT(QUIT, "221 2.0.0 Bye", SILENT) },

	/* Those that speak another protocol, or none. */
	{ .name = "speaks-ahead",
		.what = "gives the next command's reply with the one at its phase",
		FAULT(EHLO, "250 2.1.0 Ok", ADD) },
	{ .name = "junk",
		.what = "sends what is no reply behind the one at its phase",
		.fault = { .is_set = true,
			.at = PHASE_MAIL,
			.raw = RAW("<html>\r\n250\r\n\r\n25\x00 \xff\r\n"),
			.then = THEN_ADD } },
	{ .name = "mixed-codes",
		.what = "several codes in one reply",
		FAULT(RCPT, "250-2.1.5 Ok\n450-4.2.1 or later\n550 5.1.1 or not at all", GO_ON) },
	{ .name = "bare-lf", .what = "lines end with LF alone", .traits.line_end = LINE_LF },
	{ .name = "binary",
		.what = "NUL and 8-bit bytes in a reply",
		.fault = { .is_set = true, .at = PHASE_RCPT, .raw = RAW("250 2.1.5 \x00\x01\xff\xfe Ok\x00\r\n") } },
	{ .name = "code-3yz",
		.what = "answers with 3yz at a phase",
		FAULT(RCPT, "354 End data with <CR><LF>.<CR><LF>", GO_ON) },
	{ .name = "code-999", .what = "answers with 999 at a phase", FAULT(RCPT, "999 Request denied", GO_ON) },
	{ .name = "long-lines", .what = "lines of line_length characters", .traits.line_length = 8000 },

	/* STARTTLS. Each becomes one that requires it by `tls: required`. */
	{ .name = "tls", .what = "offers STARTTLS", .traits.tls = TLS_OFFERED },
	{ .name = "tls-required", .what = "530 before STARTTLS", .traits.tls = TLS_REQUIRED },
	{ .name = "tls-fails", .what = "an alert instead of a handshake", TLS_BROKEN(FAILS) },
	{ .name = "tls-garbage", .what = "no TLS after the 220", TLS_BROKEN(GARBAGE) },
	{ .name = "tls-closes", .what = "closes after the 220", TLS_BROKEN(CLOSES) },
	{ .name = "tls-silent", .what = "says nothing after the 220", TLS_BROKEN(SILENT) },
	{ .name = "tls-resets", .what = "a TCP reset in the handshake", TLS_BROKEN(RESETS) },
	{ .name = "tls-injects",
		.what = "plaintext in one segment with the 220 (what a man in the middle adds)",
		TLS_BROKEN(INJECTS) },
	{ .name = "tls-old", .what = "TLS 1.0 only", .traits = { .tls = TLS_OFFERED, .tls_min = 10, .tls_max = 10 } },
	{ .name = "tls-other",
		.what = "a certificate of somebody else",
		.traits = { .tls = TLS_OFFERED, .tls_name = "mail.somebody-else.example" } },
	{ .name = "tls-expired",
		.what = "a certificate of last year",
		.traits = { .tls = TLS_OFFERED, .tls_expired = true } },
};

const struct persona *persona_at(size_t i)
{
	return i < sizeof PERSONA / sizeof *PERSONA ? &PERSONA[i] : NULL;
}

const struct persona *persona_find(const char *name)
{
	for (size_t i = 0; i < sizeof PERSONA / sizeof *PERSONA; i++)
		if (!strcmp(PERSONA[i].name, name))
			return &PERSONA[i];
	return NULL;
}
