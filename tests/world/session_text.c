/* The words of a reply: what stands for the names in it, and how its lines end. */
#include <string.h>

#include "tests/world/session.h"

static void put_bytes(struct buf *out, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_putc(out, bytes[i] == '\r' || bytes[i] == '\n' ? ' ' : bytes[i]);
}

static void put_rcpt(struct session *s, struct buf *out)
{
	if (s->cmd && s->cmd->path)
		put_bytes(out, s->cmd->path, s->cmd->path_len);
}

static void put_local(struct session *s, struct buf *out)
{
	if (s->cmd)
		buf_puts(out, s->cmd->local);
}

static void put_domain(struct session *s, struct buf *out)
{
	if (s->cmd)
		buf_puts(out, s->cmd->domain);
}

static void put_sender(struct session *s, struct buf *out)
{
	buf_puts(out, s->sender ? s->sender : "");
}

static void put_client(struct session *s, struct buf *out)
{
	char text[ADDR_TEXT_MAX];

	buf_puts(out, addr_ip_text(&s->peer, text));
}

static void put_host(struct session *s, struct buf *out)
{
	buf_puts(out, s->host->name);
}

static void put_helo(struct session *s, struct buf *out)
{
	buf_puts(out, s->helo ? s->helo : "");
}

static void put_seconds(struct session *s, struct buf *out)
{
	buf_printf(out, "%u", (s->host->after_ms + 999) / 1000);
}

static const struct {
	const char *word;
	void (*put)(struct session *, struct buf *);
} FILL[] = {
	{ "$rcpt", put_rcpt },
	{ "$local", put_local },
	{ "$domain", put_domain },
	{ "$sender", put_sender },
	{ "$client", put_client },
	{ "$host", put_host },
	{ "$helo", put_helo },
	{ "$seconds", put_seconds },
};

static void end_line(struct session *s, struct buf *out, size_t start)
{
	const struct traits *t = &s->host->traits;

	while (out->len - start < t->line_length && !out->err)
		buf_putc(out, 'x');
	buf_puts(out, t->line_end == LINE_LF ? "\n" : "\r\n");
}

void session_fill(struct session *s, const char *text, struct buf *out)
{
	size_t start = out->len;

	while (*text) {
		size_t taken = 0;
		for (size_t i = 0; *text == '$' && i < sizeof FILL / sizeof *FILL && !taken; i++) {
			if (!strncmp(text, FILL[i].word, strlen(FILL[i].word))) {
				FILL[i].put(s, out);
				taken = strlen(FILL[i].word);
			}
		}
		if (*text == '\n') {
			end_line(s, out, start);
			start = out->len;
			taken = 1;
		} else if (!taken) {
			buf_putc(out, *text);
			taken = 1;
		}
		text += taken;
	}
	end_line(s, out, start);
}
