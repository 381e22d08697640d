#include "server/api/status.h"

#include <string.h>

#include "google/protobuf/any.pb-c.h"
#include "proto/google/rpc/error_details.pb-c.h"
#include "proto/google/rpc/status.pb-c.h"

#define REASON_MAX 64
#define MESSAGE_MAX 512
#define FIELD_MAX 128
#define TYPE_PREFIX "type.googleapis.com/"

/* A copy that any protobuf parser takes as a string, whatever got into the text. */
static char *clean(char *to, size_t size, const char *text)
{
	size_t n = 0;
	for (; text && n < size - 1 && text[n]; n++)
		to[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	to[n] = '\0';
	return to;
}

/* The packed message as an Any. Its bytes are appended to `scratch`, which has room for them. */
static void wrap(Google__Protobuf__Any *any, const char *type, const ProtobufCMessage *message, struct buf *scratch)
{
	google__protobuf__any__init(any);
	any->type_url = (char *)type;
	any->value.len = protobuf_c_message_get_packed_size(message);
	any->value.data = scratch->data + scratch->len;
	scratch->len += protobuf_c_message_pack(message, any->value.data);
}

void status_details(struct buf *out, enum rpc_code code, const char *reason, const char *message, const char *field,
	const char *field_description)
{
	char texts[4][MESSAGE_MAX];
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
	Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
	Google__Rpc__BadRequest__FieldViolation violation = GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
	Google__Rpc__BadRequest__FieldViolation *violations[] = { &violation };
	Google__Protobuf__Any any[2];
	Google__Protobuf__Any *details[] = { &any[0], &any[1] };
	uint8_t room[REASON_MAX + FIELD_MAX + MESSAGE_MAX + 64];
	struct buf scratch = { .data = room, .cap = sizeof room, .max = sizeof room };

	info.reason = clean(texts[0], REASON_MAX, reason);
	info.domain = (char *)STATUS_DOMAIN;
	wrap(&any[0], TYPE_PREFIX "google.rpc.ErrorInfo", &info.base, &scratch);
	status.n_details = 1;
	if (field) {
		violation.field = clean(texts[1], FIELD_MAX, field);
		violation.description = clean(texts[2], MESSAGE_MAX, field_description);
		bad.n_field_violations = 1;
		bad.field_violations = violations;
		wrap(&any[1], TYPE_PREFIX "google.rpc.BadRequest", &bad.base, &scratch);
		status.n_details = 2;
	}
	status.code = (int32_t)code;
	status.message = clean(texts[3], MESSAGE_MAX, message);
	status.details = details;
	size_t len = google__rpc__status__get_packed_size(&status);
	buf_reserve(out, len);
	if (!out->err)
		out->len += google__rpc__status__pack(&status, out->data + out->len);
}

void status_finish(struct rpc_call *call, enum rpc_code code, const char *reason, const char *message,
	const char *field, const char *field_description)
{
	struct buf details = BUF_INIT(STATUS_DETAILS_MAX);
	status_details(&details, code, reason, message, field, field_description);
	/* Out of memory: the code and the message still arrive. */
	rpc_call_finish(call, code, message, details.err ? NULL : details.data, details.len);
	buf_free(&details);
}
