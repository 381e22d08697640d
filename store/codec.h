#pragma once
/* Routes and verdicts to and from their stored records. The encoders fill structs that point into what is encoded and
 * give the message to pack; the decoders copy, and find damage (ERR_CORRUPT). Pure; any thread. */
#include <lmdb.h>

#include "rcptd/store/v1/records.pb-c.h"
#include "store/facts.h"

struct route_parts {
	Rcptd__Store__V1__RouteRecord record;
	Rcptd__Store__V1__RouteHost host[ROUTE_HOSTS_MAX], *hosts[ROUTE_HOSTS_MAX];
	ProtobufCBinaryData address[ROUTE_HOSTS_MAX][ROUTE_ADDRESSES_MAX];
};
const ProtobufCMessage *route_encode(const struct route *, struct route_parts *);
err_t route_decode(const MDB_val *, void *route); /* struct route ** */

const ProtobufCMessage *verdict_encode(const struct verdict_fact *, Rcptd__Store__V1__VerdictRecord *);
/* ERR_NOT_FOUND: a reason that this program does not know, so the verdict means nothing to it. */
err_t verdict_decode(const MDB_val *, void *fact); /* struct verdict_fact * */

/* Copies; false when it does not fit. */
bool codec_text(char *to, size_t size, const char *from);
