#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/status.h"
#include "google/protobuf/any.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

static char seen[256];
static size_t violations;

static void note(const char *field, const char *description)
{
	violations++;
	snprintf(seen, sizeof seen, "%.60s=%.60s", field, description);
}

/* A Status with an ErrorInfo and a BadRequest. */
static size_t pack(uint8_t *bytes, char *reason)
{
	uint8_t info_bytes[512], bad_bytes[512];
	Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
	Google__Rpc__BadRequest__FieldViolation violation = GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT,
						*all[] = { &violation };
	Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
	Google__Protobuf__Any any[2] = { GOOGLE__PROTOBUF__ANY__INIT, GOOGLE__PROTOBUF__ANY__INIT };
	Google__Protobuf__Any *details[] = { &any[1], &any[0] };
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	info.reason = reason;
	violation.field = "by";
	violation.description = "is required";
	bad.n_field_violations = 1;
	bad.field_violations = all;
	any[0].type_url = "type.googleapis.com/google.rpc.ErrorInfo";
	any[0].value = (ProtobufCBinaryData){ google__rpc__error_info__pack(&info, info_bytes), info_bytes };
	any[1].type_url = "type.googleapis.com/google.rpc.BadRequest";
	any[1].value = (ProtobufCBinaryData){ google__rpc__bad_request__pack(&bad, bad_bytes), bad_bytes };
	status.n_details = 2;
	status.details = details;
	return google__rpc__status__pack(&status, bytes);
}

static void reads_both(void **state)
{
	(void)state;
	uint8_t bytes[1024];
	char room[STATUS_REASON_MAX];
	size_t len = pack(bytes, "MISSING_FIELD");
	seen[0] = 0;
	violations = 0;
	assert_string_equal(status_reason(bytes, len, room), "MISSING_FIELD");
	status_violations(bytes, len, note);
	assert_int_equal(violations, 1);
	assert_string_equal(seen, "by=is required");
}

static void a_long_reason_is_cut(void **state)
{
	(void)state;
	uint8_t bytes[1024];
	char room[STATUS_REASON_MAX], reason[201];
	memset(reason, 'A', 200);
	reason[200] = 0;
	size_t len = pack(bytes, reason);
	assert_int_equal(strlen(status_reason(bytes, len, room)), STATUS_REASON_MAX - 1);
}

static void nothing_and_nonsense(void **state)
{
	(void)state;
	uint8_t bytes[1024], cut[1024];
	char room[STATUS_REASON_MAX];
	size_t len = pack(bytes, "MISSING_FIELD");
	assert_string_equal(status_reason(NULL, 0, room), "");
	status_violations(NULL, 0, note);
	for (size_t n = 0; n < len; n++) { /* every cut, and every byte turned */
		uint8_t *exact = malloc(n + 1);
		memcpy(exact, bytes, n);
		status_reason(exact, n, room);
		status_violations(exact, n, note);
		free(exact);
		memcpy(cut, bytes, len);
		cut[n] ^= 0xFF;
		status_reason(cut, len, room);
		status_violations(cut, len, note);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_both),
		cmocka_unit_test(a_long_reason_is_cut),
		cmocka_unit_test(nothing_and_nonsense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
