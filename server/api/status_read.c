#include "server/api/status_read.h"

#include <string.h>

#include "google/protobuf/any.pb-c.h"
#include "proto/google/rpc/error_details.pb-c.h"
#include "proto/google/rpc/status.pb-c.h"

#define DETAILS_MAX (16 * 1024)

static void copy(char *to, size_t size, const char *text)
{
	size_t n = 0;
	for (; text && n < size - 1 && text[n]; n++)
		to[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
	to[n] = '\0';
}

static bool is(const Google__Protobuf__Any *any, const char *type)
{
	const char *slash = any->type_url ? strrchr(any->type_url, '/') : NULL;
	return slash && strcmp(slash + 1, type) == 0;
}

static void read_info(const ProtobufCBinaryData *value, struct status_read *out)
{
	Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, value->len, value->data);
	if (!info)
		return;
	copy(out->reason, sizeof out->reason, info->reason);
	copy(out->domain, sizeof out->domain, info->domain);
	google__rpc__error_info__free_unpacked(info, NULL);
}

static void read_violation(const ProtobufCBinaryData *value, struct status_read *out)
{
	Google__Rpc__BadRequest *bad = google__rpc__bad_request__unpack(NULL, value->len, value->data);
	if (!bad)
		return;
	if (bad->n_field_violations > 0) {
		copy(out->field, sizeof out->field, bad->field_violations[0]->field);
		copy(out->description, sizeof out->description, bad->field_violations[0]->description);
	}
	google__rpc__bad_request__free_unpacked(bad, NULL);
}

bool status_read(const uint8_t *details, size_t len, struct status_read *out)
{
	memset(out, 0, sizeof *out);
	if (!details || len > DETAILS_MAX)
		return false;
	Google__Rpc__Status *status = google__rpc__status__unpack(NULL, len, details);
	if (!status)
		return false;
	copy(out->message, sizeof out->message, status->message);
	for (size_t i = 0; i < status->n_details; i++) {
		const Google__Protobuf__Any *any = status->details[i];
		if (is(any, "google.rpc.ErrorInfo") && !out->reason[0])
			read_info(&any->value, out);
		else if (is(any, "google.rpc.BadRequest") && !out->field[0])
			read_violation(&any->value, out);
	}
	google__rpc__status__free_unpacked(status, NULL);
	return true;
}
