#include "server/smtp/command.h"

#include <string.h>

static const char *const VERB[SMTP_VERBS] = {
	[SMTP_EHLO] = "EHLO",
	[SMTP_HELO] = "HELO",
	[SMTP_STARTTLS] = "STARTTLS",
	[SMTP_MAIL] = "MAIL",
	[SMTP_RCPT] = "RCPT",
	[SMTP_RSET] = "RSET",
	[SMTP_NOOP] = "NOOP",
	[SMTP_QUIT] = "QUIT",
};

const char *smtp_verb_name(enum smtp_verb verb)
{
	return VERB[verb];
}

/* A line that holds what we mean and nothing more, whoever made the argument. A quoted local part may hold '>' and
 * spaces. */
static bool is_safe(const char *argument)
{
	bool quoted = false;
	for (const char *p = argument; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (c < 0x20 || c == 0x7f)
			return false;
		if (quoted && c == '\\' && p[1]) {
			p++;
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				return false;
		} else if (c == '"') {
			quoted = !quoted;
		} else if (!quoted && (c == '<' || c == '>' || c == ' ')) {
			return false;
		}
	}
	return !quoted && *argument; /* no null sender: a probe comes from a real mailbox of ours */
}

err_t command_put(struct commands *out, enum smtp_verb verb, const char *argument, bool smtputf8)
{
	size_t before = out->lines.len;
	if (argument && !is_safe(argument))
		return ERR_INVALID;
	buf_puts(&out->lines, VERB[verb]);
	if (verb == SMTP_MAIL || verb == SMTP_RCPT) {
		buf_puts(&out->lines, verb == SMTP_MAIL ? " FROM:<" : " TO:<");
		buf_puts(&out->lines, argument);
		buf_puts(&out->lines, verb == SMTP_MAIL && smtputf8 ? "> SMTPUTF8" : ">");
	} else if (argument) {
		buf_putc(&out->lines, ' ');
		buf_puts(&out->lines, argument);
	}
	buf_puts(&out->lines, "\r\n");
	err_t err = out->lines.err;
	if (err) { /* no half a line */
		out->lines.len = before;
		out->lines.err = ERR_OK;
	}
	return err;
}
