/* What a server says in grpc-status-details-bin, as rcptctl reads it: it can be printed. */
#include <string.h>

#include "server/api/status_read.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text, size_t size)
{
	size_t n = strnlen(text, size);
	MUST(n < size && !has_control(text, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct status_read NOTHING;
	struct status_read s;
	if (!status_read(data, len, &s)) {
		MUST(memcmp(&s, &NOTHING, sizeof s) == 0);
		return 0;
	}
	check_text(s.message, sizeof s.message);
	check_text(s.reason, sizeof s.reason);
	check_text(s.domain, sizeof s.domain);
	check_text(s.field, sizeof s.field);
	check_text(s.description, sizeof s.description);
	return 0;
}
