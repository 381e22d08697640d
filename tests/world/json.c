#include "tests/world/json.h"

#include <string.h>

void json_bytes(struct buf *out, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	buf_putc(out, '"');
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '"' || p[i] == '\\') {
			buf_putc(out, '\\');
			buf_putc(out, (char)p[i]);
		} else if (p[i] == '\r') {
			buf_append(out, "\\r", 2);
		} else if (p[i] == '\n') {
			buf_append(out, "\\n", 2);
		} else if (p[i] < 0x20 || p[i] > 0x7E) {
			buf_printf(out, "\\u%04x", p[i]);
		} else {
			buf_putc(out, (char)p[i]);
		}
	}
	buf_putc(out, '"');
}

void json_text(struct buf *out, const char *text)
{
	json_bytes(out, text, strlen(text));
}
