/* Bytes of a mail server. However the network cuts them, the replies are the same, and what they offer. */
#include <string.h>

#include "server/smtp/ehlo.h"
#include "server/smtp/reply.h"
#include "tests/fuzz/fuzz.h"

/* What came out, in few bytes. */
struct digest {
	uint64_t hash;
	err_t err;
	unsigned replies;
};

static void mix(struct digest *d, const void *bytes, size_t n)
{
	for (const uint8_t *p = bytes; n; n--, p++)
		d->hash = (d->hash ^ *p) * 0x100000001b3u;
}

static void look_at(const struct reply *r, struct digest *d)
{
	MUST(r->code >= 0 && r->code <= 999);
	MUST(r->lines >= 1 && r->lines <= REPLY_LINES_MAX);
	char enhanced[12];
	reply_enhanced(r, enhanced);
	MUST(memchr(enhanced, 0, sizeof enhanced));
	MUST(!enhanced[0] || enhanced[0] - '0' == r->code / 100);
	struct ehlo offered = ehlo_of(r);
	mix(d, &r->code, sizeof r->code);
	mix(d, &r->lines, sizeof r->lines);
	mix(d, r->text, r->text_len);
	mix(d, enhanced, strlen(enhanced));
	mix(d, &offered, sizeof offered);
	d->replies++;
}

/* In pieces of `piece` bytes. */
static struct digest feed(const uint8_t *data, size_t len, size_t piece)
{
	struct reply_parser *p;
	struct digest d = { .hash = 0xcbf29ce484222325u, .err = ERR_AGAIN };
	if (reply_parser_new(&p))
		abort();
	for (size_t at = 0; at < len;) {
		size_t n = len - at < piece ? len - at : piece, used = 0;
		struct reply r;
		d.err = reply_parser_feed(p, data + at, n, &used, &r);
		MUST(used <= n);
		at += used;
		if (d.err == ERR_OK) {
			MUST(used);
			MUST(r.text_len <= REPLY_BYTES_MAX && r.text[r.text_len] == 0);
			char *text = copied(r.text, r.text_len + 1);
			r.text = text;
			look_at(&r, &d);
			free(text);
		} else if (d.err == ERR_AGAIN) {
			MUST(used == n);
		} else {
			MUST(d.err == ERR_INVALID || d.err == ERR_LIMIT);
			MUST(reply_parser_feed(p, data, len, &used, &r) == d.err && used == 0);
			break;
		}
	}
	reply_parser_free(p);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct digest whole = feed(data, len, len);
	for (size_t piece = 1; piece < 8; piece += 3) {
		struct digest cut = feed(data, len, piece);
		MUST(cut.hash == whole.hash && cut.replies == whole.replies && cut.err == whole.err);
	}
	return 0;
}
