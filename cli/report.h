#pragma once
/* What the small commands print: lines of a name and a value for people, one JSON object for programs. Main thread. */
#include <jansson.h>
#include <stdbool.h>

#include "cli/args.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

/* A line "name:   value". NULL or an empty value: nothing is printed. */
void report_line(const char *name, const char *value);
void report_number(const char *name, uint64_t value);			    /* 1,234 */
void report_time(const char *name, const Google__Protobuf__Timestamp *);    /* NULL: nothing */
void report_duration(const char *name, const Google__Protobuf__Duration *); /* NULL: nothing */
/* Text of anybody, made fit for a terminal; no line end. Returns its width. */
uint32_t report_text(const char *text);

/* JSON values; null for NULL and "". Times are RFC 3339, durations whole seconds. */
json_t *report_json_text(const char *text);
json_t *report_json_time(const Google__Protobuf__Timestamp *);
json_t *report_json_seconds(const Google__Protobuf__Duration *);
/* Prints it on one line and frees it. */
enum exit_code report_json(json_t *);
/* code, or EXIT_FAILED with a complaint if standard output could not take it all. */
enum exit_code report_end(enum exit_code code);
