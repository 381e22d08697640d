#pragma once
/* Answers as messages. Private to server/api. */
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "proto/rcptd/v1/verdict.pb-c.h"
#include "server/address/hints.h"
#include "server/probe/answer.h"

/* A Result and everything it points to; result_fill() borrows from its arguments, which must stay. */
struct result {
	Rcptd__V1__Result message;
	Rcptd__V1__Evidence evidence;
	Rcptd__V1__TlsSession tls;
	Google__Protobuf__Timestamp time;
	Google__Protobuf__Duration age, retry_after;
	struct hints hints;
};
/* given: the address as it came; address: parsed, NULL if it is none. */
void result_fill(struct result *, uint64_t id, const uint8_t *given, size_t given_len, const struct address *address,
	const struct answer *);

Rcptd__V1__Verdict result_verdict(enum verdict);
Rcptd__V1__CatchAll result_catch_all(enum catch_all);
/* Each fills and returns its first argument. */
Google__Protobuf__Timestamp *result_time(Google__Protobuf__Timestamp *, int64_t wall_ms);
Google__Protobuf__Duration *result_duration(Google__Protobuf__Duration *, int64_t ms);
