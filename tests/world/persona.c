#include "tests/world/persona.h"

#include <string.h>

#define FAULT(phase, text, and_then)                                                                                   \
	.fault = { .is_set = true, .at = PHASE_##phase, .reply = text, .then = THEN_##and_then }

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
