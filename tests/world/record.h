#pragma once
/* The record: one JSON object a line, in the order of what happened. Owner: struct world. Lines are gathered during a
 * turn of the loop and written before anything that the turn sends: what a peer has seen is in the file already. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/buf.h"

struct record;

/* `file` is appended to, made if need be; NULL: a file without a name. NULL and errno when it cannot be opened. */
struct record *record_open(const char *file);
void record_close(struct record *);

/* Starts a line `{"seq":N,"t":MS,"event":"…"`; the caller appends `,"key":value` pairs and ends it. */
struct buf *record_begin(struct record *, const char *event);
void record_end(struct record *);
void record_text(struct buf *, const char *key, const char *text);
void record_bytes(struct buf *, const char *key, const void *bytes, size_t n);
void record_number(struct buf *, const char *key, uint64_t value);
void record_flush(struct record *);

uint64_t record_last(const struct record *); /* the number of the newest line; 0: none */
/* Appends the lines after number `since` to out, as they are in the file; at most `most` of them. */
void record_since(struct record *, uint64_t since, size_t most, struct buf *out);
