#include "cli/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistr.h>
#include <uniwidth.h>

/* One character of n > 0 bytes; its length in bytes. */
static size_t decode(const uint8_t *s, size_t n, ucs4_t *c)
{
	int len = u8_mbtoucr(c, s, n);
	if (len > 0)
		return (size_t)len;
	*c = 0xFFFD;
	return 1;
}

static bool is_control(ucs4_t c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

/* Controls, and what has no shape of its own but changes how its surroundings look. */
static bool is_hidden(ucs4_t c)
{
	return is_control(c) || c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
	       (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
	       (c >= 0xFFF9 && c <= 0xFFFB);
}

static bool is_plain(uint8_t b)
{
	return b >= 0x20 && b < 0x7F && b != '"' && b != '\\' && b != ',';
}

static size_t plain_run(const uint8_t *s, size_t n)
{
	size_t i = 0;
	while (i < n && is_plain(s[i]))
		i++;
	return i;
}

static void json_escape(struct buf *out, ucs4_t c)
{
	switch (c) {
	case '"': buf_puts(out, "\\\""); break;
	case '\\': buf_puts(out, "\\\\"); break;
	case '\n': buf_puts(out, "\\n"); break;
	case '\r': buf_puts(out, "\\r"); break;
	case '\t': buf_puts(out, "\\t"); break;
	default: buf_printf(out, "\\u%04x", (unsigned)c);
	}
}

static void put(struct buf *out, ucs4_t c, const uint8_t *s, size_t len)
{
	if (c == 0xFFFD)
		buf_puts(out, "\xEF\xBF\xBD"); /* also where the bytes were none of UTF-8 */
	else
		buf_append(out, s, len);
}

void text_json(struct buf *out, const void *bytes, size_t n)
{
	const uint8_t *s = bytes;
	buf_putc(out, '"');
	while (n) {
		size_t len = plain_run(s, n);
		if (len) {
			buf_append(out, s, len);
		} else {
			ucs4_t c;
			len = decode(s, n, &c);
			if (is_hidden(c) || c == '"' || c == '\\')
				json_escape(out, c);
			else
				put(out, c, s, len);
		}
		s += len;
		n -= len;
	}
	buf_putc(out, '"');
}

void text_csv(struct buf *out, const void *bytes, size_t n)
{
	const uint8_t *s = bytes;
	bool quote =
		n && (s[0] == ' ' || s[n - 1] == ' ' || memchr(s, ',', n) || memchr(s, '"', n) || memchr(s, ';', n));
	if (quote)
		buf_putc(out, '"');
	while (n) {
		size_t len = plain_run(s, n);
		if (len) {
			buf_append(out, s, len);
		} else {
			ucs4_t c;
			len = decode(s, n, &c);
			if (c == '"')
				buf_putc(out, '"');
			put(out, is_control(c) ? 0xFFFD : c, s, len);
		}
		s += len;
		n -= len;
	}
	if (quote)
		buf_putc(out, '"');
}

void text_csv_kept(struct buf *out, const void *bytes, size_t n)
{
	const uint8_t *s = bytes, *stop = s + n;
	bool quote = n && (s[0] == ' ' || s[0] == '\t' || s[n - 1] == ' ' || s[n - 1] == '\t');
	for (size_t i = 0; i < n && !quote; i++)
		quote = s[i] == ',' || s[i] == '"' || s[i] == ';' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r';
	if (!quote) {
		buf_append(out, s, n);
		return;
	}
	buf_putc(out, '"');
	while (s < stop) {
		const uint8_t *mark = memchr(s, '"', (size_t)(stop - s));
		const uint8_t *end = mark ? mark + 1 : stop;
		buf_append(out, s, (size_t)(end - s));
		if (mark)
			buf_putc(out, '"');
		s = end;
	}
	buf_putc(out, '"');
}

/* How a character is shown, and how wide that is. */
static size_t shown(ucs4_t c, const uint8_t *s, size_t len, char out[16], uint32_t *width)
{
	int w = uc_width(c, "UTF-8");
	if (is_hidden(c) || w < 0) {
		int n = snprintf(out, 16, c < 0x100 ? "\\x%02X" : "\\u%04X", (unsigned)c);
		*width = (uint32_t)n;
		return (size_t)n;
	}
	*width = (uint32_t)w;
	if (c == 0xFFFD) {
		s = (const uint8_t *)"\xEF\xBF\xBD";
		len = 3;
	}
	memcpy(out, s, len);
	return len;
}

/* Appends to out (NULL: only measures) until `columns` are full; *all tells whether everything found room. */
static uint32_t walk(struct buf *out, const uint8_t *s, size_t n, uint32_t columns, bool *all)
{
	uint32_t used = 0;
	while (n) {
		ucs4_t c;
		char form[16];
		uint32_t width;
		size_t len = decode(s, n, &c), form_len = shown(c, s, len, form, &width);
		if (width > columns - used)
			break;
		if (out)
			buf_append(out, form, form_len);
		used += width;
		s += len;
		n -= len;
	}
	*all = n == 0;
	return used;
}

uint32_t text_terminal(struct buf *out, const void *bytes, size_t n, uint32_t columns)
{
	bool all;
	walk(NULL, bytes, n, columns, &all);
	if (all)
		return walk(out, bytes, n, columns, &all);
	if (columns == 0)
		return 0;
	uint32_t used = walk(out, bytes, n, columns - 1, &all);
	buf_puts(out, "\xE2\x80\xA6");
	return used + 1;
}
