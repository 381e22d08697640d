#include "server/verdict/verdict.h"

#include <string.h>

static const struct {
	const char *name;
	enum verdict verdict;
} REASON[REASONS] = {
#define REASON_ROW(name, verdict) [REASON_##name] = { #name, VERDICT_##verdict },
	REASON_MAP(REASON_ROW)
#undef REASON_ROW
};

enum verdict reason_verdict(enum reason r)
{
	return REASON[r].verdict;
}

const char *reason_name(enum reason r)
{
	return REASON[r].name;
}

const char *phase_name(enum phase p)
{
	static const char *const NAME[PHASES] = {
		[PHASE_NONE] = "",
		[PHASE_DNS] = "dns",
		[PHASE_CONNECT] = "connect",
		[PHASE_BANNER] = "banner",
		[PHASE_EHLO] = "ehlo",
		[PHASE_TLS] = "tls",
		[PHASE_MAIL] = "mail",
		[PHASE_RCPT] = "rcpt",
	};
	return NAME[p];
}

enum reason reason_named(const char *name)
{
	for (int r = REASON_NONE + 1; r < REASONS; r++)
		if (strcmp(REASON[r].name, name) == 0)
			return (enum reason)r;
	return REASON_NONE;
}
