#include "server/smtp/reply.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/buf.h"

/* Text kept between replies; a bigger one is given back, since most of a connection's life is waiting. */
#define TEXT_KEPT 1024

struct reply_parser {
	struct buf text;  /* of the lines so far, joined by '\n' */
	size_t bytes;	  /* of this reply, line ends apart */
	size_t line;	  /* bytes of this line, its end apart */
	unsigned lines;	  /* finished ones of this reply */
	int code;	  /* of this line */
	bool last;	  /* this line ends the reply */
	bool cr;	  /* a CR that the next byte makes a line end or text */
	bool handed_over; /* the caller has seen this reply: start anew */
	err_t err;	  /* stays */
};

err_t reply_parser_new(struct reply_parser **out)
{
	struct reply_parser *p = calloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	p->text = (struct buf)BUF_INIT(REPLY_BYTES_MAX + 1);
	*out = p;
	return ERR_OK;
}

void reply_parser_free(struct reply_parser *p)
{
	if (!p)
		return;
	buf_free(&p->text);
	free(p);
}

static void start_reply(struct reply_parser *p)
{
	if (p->text.cap > TEXT_KEPT)
		buf_free(&p->text);
	else
		buf_reset(&p->text);
	p->bytes = 0;
	p->lines = 0;
	p->handed_over = false;
}

/* One byte of a line that is not its end. */
static err_t eat(struct reply_parser *p, uint8_t c)
{
	if (p->line == REPLY_LINE_MAX || p->bytes == REPLY_BYTES_MAX)
		return ERR_LIMIT;
	if (!p->line) {
		p->code = 0;
		p->last = true;
	}
	if (p->line < 3) {
		if (c < '0' || c > '9')
			return ERR_INVALID;
		p->code = p->code * 10 + (c - '0');
	} else if (p->line == 3) {
		if (c != ' ' && c != '-')
			return ERR_INVALID;
		p->last = c == ' ';
	} else {
		buf_putc(&p->text, (char)c);
	}
	p->line++;
	p->bytes++;
	return p->text.err;
}

/* ERR_OK: that was the reply's last line. */
static err_t end_line(struct reply_parser *p)
{
	if (p->line < 3)
		return ERR_INVALID;
	p->line = 0;
	p->lines++;
	if (p->last)
		return ERR_OK;
	if (p->lines == REPLY_LINES_MAX)
		return ERR_LIMIT;
	if (p->bytes == REPLY_BYTES_MAX)
		return ERR_LIMIT;
	p->bytes++;
	buf_putc(&p->text, '\n');
	return p->text.err ? p->text.err : ERR_AGAIN;
}

static err_t step(struct reply_parser *p, uint8_t c)
{
	if (c == '\n') {
		p->cr = false;
		return end_line(p);
	}
	if (p->cr) {
		p->cr = false;
		err_t err = eat(p, '\r');
		if (err)
			return err;
	}
	if (c == '\r') {
		p->cr = true;
		return ERR_AGAIN;
	}
	err_t err = eat(p, c);
	return err ? err : ERR_AGAIN;
}

err_t reply_parser_feed(struct reply_parser *p, const uint8_t *bytes, size_t n, size_t *used, struct reply *out)
{
	*used = 0;
	if (p->err)
		return p->err;
	while (*used < n) {
		if (p->handed_over || (!p->lines && !p->line && !p->cr))
			start_reply(p);
		err_t err = step(p, bytes[(*used)++]);
		if (err == ERR_AGAIN)
			continue;
		if (err == ERR_OK) {
			size_t len = p->text.len;
			const char *text = buf_str(&p->text);
			if (!p->text.err) {
				*out = (struct reply){ p->code, p->lines, text, len };
				p->handed_over = true;
				return ERR_OK;
			}
			err = p->text.err;
		}
		buf_free(&p->text);
		p->err = err;
		return err;
	}
	return ERR_AGAIN;
}

/* Length of the enhanced code of class `class` that s starts with, 0 when there is none. */
static size_t enhanced_at(const char *s, size_t n, char class)
{
	if (!n || s[0] != class)
		return 0;
	size_t i = 1;
	for (int part = 0; part < 2; part++) {
		if (i >= n || s[i] != '.')
			return 0;
		size_t first = ++i;
		while (i < n && s[i] >= '0' && s[i] <= '9')
			i++;
		if (i == first || i - first > 3)
			return 0;
	}
	if (i == n)
		return i;
	char next = s[i], after = i + 1 < n ? s[i + 1] : ' ';
	bool word = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || next == '_' || next == '/';
	bool more = (next == '.' || next == '-') && after >= '0' && after <= '9';
	return word || more ? 0 : i;
}

void reply_enhanced(const struct reply *r, char out[12])
{
	out[0] = 0;
	char class = (char)('0' + r->code / 100 % 10);
	if (class != '2' && class != '4' && class != '5')
		return;
	const char *end = r->text + r->text_len;
	for (const char *line = r->text; line && line < end;) {
		const char *nl = memchr(line, '\n', (size_t)(end - line));
		const char *stop = nl ? nl : end;
		const char *s = line;
		while (s < stop && (*s == ' ' || *s == '\t'))
			s++;
		size_t n = enhanced_at(s, (size_t)(stop - s), class);
		if (n) { /* as with basic codes, the last one decides */
			memcpy(out, s, n);
			out[n] = 0;
		}
		line = nl ? nl + 1 : NULL;
	}
}
