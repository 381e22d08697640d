#pragma once
/* Reads the google.rpc.Status that comes with an error. Pure; any thread. */
#include <stddef.h>
#include <stdint.h>

#define STATUS_REASON_MAX 64 /* bytes, with the NUL */

/* The reason of its ErrorInfo; "" if there is none. Returns room. */
const char *status_reason(const uint8_t *details, size_t len, char room[STATUS_REASON_MAX]);
/* Calls fn for each field that its BadRequest names; the strings live during that call. */
void status_violations(const uint8_t *details, size_t len, void (*fn)(const char *field, const char *description));
