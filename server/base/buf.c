#include "server/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_reserve(struct buf *b, size_t more)
{
	if (b->err || b->cap - b->len >= more)
		return;
	if (more > b->max - b->len) {
		b->err = ERR_LIMIT;
		return;
	}
	size_t cap = b->cap ? b->cap : 64;
	while (cap < b->len + more)
		cap *= 2;
	if (cap > b->max)
		cap = b->max;
	uint8_t *data = realloc(b->data, cap);
	if (!data) {
		b->err = ERR_NOMEM;
		return;
	}
	b->data = data;
	b->cap = cap;
}

void buf_append(struct buf *b, const void *bytes, size_t n)
{
	if (!n)
		return;
	buf_reserve(b, n);
	if (b->err)
		return;
	memcpy(b->data + b->len, bytes, n);
	b->len += n;
}

void buf_puts(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void buf_putc(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0) {
		buf_reserve(b, (size_t)n + 1); /* vsnprintf writes a NUL too */
		if (!b->err) {
			vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
			b->len += (size_t)n;
		}
	}
	va_end(again);
}

void buf_consume(struct buf *b, size_t n)
{
	b->len -= n;
	if (b->len)
		memmove(b->data, b->data + n, b->len);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->err = ERR_OK;
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

const char *buf_str(struct buf *b)
{
	buf_reserve(b, 1);
	if (b->err)
		return "";
	b->data[b->len] = 0;
	return (const char *)b->data;
}
