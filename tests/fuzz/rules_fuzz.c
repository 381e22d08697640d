/* A file of rules. What is taken can read any reply; what is not is named by FILE:LINE. */
#include <string.h>

#include "server/verdict/reading.h"
#include "tests/fuzz/fuzz.h"

#define NAME "fuzz.yaml"

static void use(const struct rules *rules)
{
	static const struct reply REPLIES[] = {
		{ 550, 1, "5.1.1 <a@d.example>: user unknown", 33 },
		{ 451, 1, "4.7.1 greylisted, try again in 5 minutes", 40 },
		{ 554, 2, "5.7.1 blocked\nsee https://list.example/192.0.2.7", 48 },
		{ 250, 1, "", 0 },
	};
	static const char *const OPERATORS[] = { "google", "d.example" };
	for (size_t i = 0; i < sizeof REPLIES / sizeof *REPLIES * 2; i++) {
		struct reading_context context = { PHASE_RCPT, OPERATORS[i % 2], "a@d.example", "probe@check.example",
			"192.0.2.7", "mx1.check.example" };
		struct reading r = reading_of(rules, &context, &REPLIES[i / 2]);
		MUST(r.rule && r.reason < REASONS && r.delay_s <= 86400);
	}
	char name[32];
	rules_operator(rules, "mx1.mail.d.example", name, sizeof name);
	MUST(name[0] && memchr(name, 0, sizeof name));
	rules_operator_connections(rules, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rules *rules = NULL;
	struct buf why = BUF_INIT(8192);
	err_t err = rules_load(&rules, NAME, (const char *)data, len, &why);
	if (err) {
		MUST(err == ERR_INVALID);
		MUST(why.len > sizeof NAME && memcmp(why.data, NAME ":", sizeof NAME) == 0);
	} else {
		use(rules);
		rules_free(rules);
	}
	buf_free(&why);
	return 0;
}
