#include "cli/status.h"

#include <stdio.h>
#include <string.h>

#include "google/protobuf/any.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

static ProtobufCMessage *unpack(const uint8_t *details, size_t len)
{
	if (!details)
		return NULL;
	return protobuf_c_message_unpack(&google__rpc__status__descriptor, NULL, len, details);
}

/* The detail as a message of that type; NULL if it is another. */
static void *detail(const Google__Protobuf__Any *any, const ProtobufCMessageDescriptor *type)
{
	const char *name = strrchr(any->type_url, '/');
	if (!name || strcmp(name + 1, type->name) != 0)
		return NULL;
	return protobuf_c_message_unpack(type, NULL, any->value.len, any->value.data);
}

const char *status_reason(const uint8_t *details, size_t len, char room[STATUS_REASON_MAX])
{
	Google__Rpc__Status *status = (Google__Rpc__Status *)unpack(details, len);
	room[0] = 0;
	for (size_t i = 0; status && i < status->n_details && !room[0]; i++) {
		Google__Rpc__ErrorInfo *info = detail(status->details[i], &google__rpc__error_info__descriptor);
		if (info)
			snprintf(room, STATUS_REASON_MAX, "%s", info->reason);
		google__rpc__error_info__free_unpacked(info, NULL);
	}
	google__rpc__status__free_unpacked(status, NULL);
	return room;
}

void status_violations(const uint8_t *details, size_t len, void (*fn)(const char *field, const char *description))
{
	Google__Rpc__Status *status = (Google__Rpc__Status *)unpack(details, len);
	for (size_t i = 0; status && i < status->n_details; i++) {
		Google__Rpc__BadRequest *bad = detail(status->details[i], &google__rpc__bad_request__descriptor);
		for (size_t j = 0; bad && j < bad->n_field_violations; j++)
			fn(bad->field_violations[j]->field, bad->field_violations[j]->description);
		google__rpc__bad_request__free_unpacked(bad, NULL);
	}
	google__rpc__status__free_unpacked(status, NULL);
}
