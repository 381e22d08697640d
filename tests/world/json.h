#pragma once
/* Writes JSON into a buffer. */
#include <stddef.h>

#include "server/base/buf.h"

/* A string with its quotes. Each byte becomes the character of its number (Latin-1), so that a reader gets every byte
 * back: in JavaScript, Buffer.from(text, "latin1"). */
void json_bytes(struct buf *, const void *bytes, size_t n);
void json_text(struct buf *, const char *text);
