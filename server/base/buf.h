#pragma once
/* A growable byte buffer that declares its maximum. Owner: whoever holds the struct; buf_free() ends it. Not shared
 * between threads. struct buf b = BUF_INIT(64 * 1024); A failed append changes nothing but `err`, which stays (first
 * error wins), so that a row of appends is checked once. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"

struct buf {
	uint8_t *data; /* NULL while nothing was appended */
	size_t len, cap;
	size_t max; /* bytes; never grows beyond */
	err_t err;  /* ERR_OK, ERR_LIMIT or ERR_NOMEM */
};
#define BUF_INIT(maximum)                                                                                              \
	{                                                                                                              \
		.max = (maximum)                                                                                       \
	}

void buf_append(struct buf *, const void *bytes, size_t n);
void buf_puts(struct buf *, const char *text);
void buf_putc(struct buf *, char c);
void buf_printf(struct buf *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_reserve(struct buf *, size_t more); /* room for that many bytes beyond len, by data + len */
void buf_consume(struct buf *, size_t n);    /* drops the first n bytes (n <= len) */
void buf_reset(struct buf *);		     /* empty, no error, memory kept */
void buf_free(struct buf *);		     /* empty, no error, memory given back; usable again */
const char *buf_str(struct buf *);	     /* the content with a NUL behind it; "" on error */
