#pragma once
/* How a service says no: google.rpc.Status with ErrorInfo, and BadRequest when a field is to blame.
 *
 * The texts are ours, English and ASCII (anything else in them becomes '?'), and are cut at their limits.
 * status_finish() runs on the call's loop; status_details() anywhere. */
#include "server/base/buf.h"
#include "server/rpc/call.h"

#define STATUS_DOMAIN "rcptd"	/* whose reasons they are */
#define STATUS_DETAILS_MAX 2048 /* bytes; status_details() never makes more */

/* reason: UPPER_SNAKE_CASE. field: the path of the bad field, "items[3].address"; NULL: no BadRequest. */
void status_finish(struct rpc_call *, enum rpc_code, const char *reason, const char *message, const char *field,
	const char *field_description);

/* Appends the serialised google.rpc.Status; failure is in out->err. */
void status_details(struct buf *out, enum rpc_code, const char *reason, const char *message, const char *field,
	const char *field_description);
