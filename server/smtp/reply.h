#pragma once
/* SMTP replies (RFC 5321 4.2): from a stream of bytes to whole replies. Pure: no socket, no clock.
 * A parser belongs to one connection and its thread; reply_parser_free() ends it. Any byte sequence gives replies or an
 * error, never more memory than the limits below. */
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"

#define REPLY_LINE_MAX 2048 /* bytes of one line, CRLF apart */
#define REPLY_LINES_MAX 64
#define REPLY_BYTES_MAX (16 * 1024) /* bytes of one reply */

struct reply {
	int code; /* of the last line (several codes in one reply: the last decides); 0–999 as sent */
	unsigned lines;
	const char *text; /* the lines after their code and separator, joined by '\n'; NUL at the end for convenience,
			     but it may hold NULs */
	size_t text_len;  /* bytes of text, without that NUL */
};

struct reply_parser;
MUST_CHECK err_t reply_parser_new(struct reply_parser **);
void reply_parser_free(struct reply_parser *); /* NULL is fine */

/* Eats up to n bytes; *used says how many. ERR_OK: *out is a whole reply, valid until the next call on this parser;
 * call again for what is left. ERR_AGAIN: all eaten, no whole reply yet. ERR_INVALID: a line that is no reply;
 * ERR_LIMIT: over a limit; ERR_NOMEM. After an error the parser stays in it. A line may end with a bare LF (seen in the
 * wild); a lone CR is text. */
MUST_CHECK err_t reply_parser_feed(
	struct reply_parser *, const uint8_t *bytes, size_t n, size_t *used, struct reply *out);

/* The enhanced status code (RFC 3463) that a reply's text starts with, "5.1.1" into out (at most 12 bytes with the
 * NUL); "" when there is none. Each line may start with it; an IP address or version number is none (so "5.7.1.100", or
 * class other than the basic code's). */
void reply_enhanced(const struct reply *, char out[12]);
