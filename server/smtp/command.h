#pragma once
/* The commands that exist. This enum is closed and command_put() is the only maker of bytes for a probe connection
 * (server/net/conn.h takes nothing else): no DATA, BDAT, AUTH, VRFY, EXPN or TURN can be said. Pure. */
#include "server/base/buf.h"

enum smtp_verb {
	SMTP_EHLO,
	SMTP_HELO,
	SMTP_STARTTLS,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_RSET,
	SMTP_NOOP,
	SMTP_QUIT,
	SMTP_VERBS
};

/* Whole command lines, in order. Filled by command_put() alone. */
struct commands {
	struct buf lines;
};
#define COMMANDS_MAX (64u * 1024u)
#define COMMANDS_INIT                                                                                                  \
	{                                                                                                              \
		BUF_INIT(COMMANDS_MAX)                                                                                 \
	}

/* EHLO and HELO: argument is our name. MAIL and RCPT: the mailbox without brackets; smtputf8 adds that parameter to
 * MAIL (RFC 6531). Others: NULL. ERR_INVALID, nothing put: an argument with a control character or a bracket that would
 * end the path. ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK err_t command_put(struct commands *, enum smtp_verb, const char *argument, bool smtputf8);
const char *smtp_verb_name(enum smtp_verb);
