#pragma once
/* One SMTP connection and the conversation on it. It belongs to the operator whose host speaks, serves the works that
 * wait for that IP address one after the other, and frees itself when the connection is closed. Lives on its shard's
 * thread. */
#include "server/net/conn.h"
#include "server/probe/permit.h"
#include "server/probe/shard.h"
#include "server/probe/visit.h"
#include "server/smtp/dialogue.h"
#include "server/smtp/ehlo.h"

struct session {
	TAILQ_ENTRY(session) link; /* in shard->sessions */
	struct mail end, go_on;
	bool go_on_due;
	struct shard *shard;
	struct mail_operator *op;
	uint64_t id; /* for the log */
	struct permit *permit;
	struct hop hop;
	char source_ip[IP_TEXT_MAX];
	struct conn *conn;
	struct reply_parser *parser;
	struct dialogue dlg;
	struct commands out;
	struct deadline reply_due, session_due;
	int64_t begun_ms;
	struct ehlo offered;
	bool asked_tls;	     /* STARTTLS was said */
	bool said_helo;	     /* EHLO was refused */
	struct tls_info tls; /* version "": in clear */
	bool connected;
	bool lockstep; /* pipelining was spoiled here before */
	bool piped;    /* commands were in flight together */
	bool winding;  /* no further targets, no further visit */
	bool closing;  /* session_close() was called */
	/* of the transaction */
	unsigned rcpts, heard; /* named; answered by anything but "too many" */
	bool utf8;
	bool full; /* no further recipient goes into it */
	/* of the session, over its visits */
	unsigned takes; /* recipients that a transaction took before "too many"; 0: none was full */
	unsigned unknown_used, unknown_targets;
	bool visiting;
	struct visit visit;
	struct answer *refusal; /* evidence of what refused us */
};

/* Opens a session for a work that waits; the permit is the session's then, and goes back when it ends. ERR_LIMIT,
 * ERR_NOMEM: not now, nothing was changed; any other outcome is the session's. */
MUST_CHECK err_t session_open(struct shard *, struct mail_operator *, struct work *, struct permit *);

/* Says QUIT, then waits shortly for the server to close first. */
void session_quit(struct session *);
/* Ends at once, without a word. */
void session_close(struct session *);
/* An exemption of this domain came into force: if the session talks about it, it says nothing more but QUIT. */
void session_exempt(struct session *, bool (*covers)(void *ctx, const char *domain), void *ctx);
/* Some callers went away: drops what nobody wants, ends when nothing is left. */
void session_sweep(struct session *);
/* Asks no further targets; ends after what is in flight. */
void session_wind_down(struct session *);
/* Ends at once, politely; what it was about to ask gets that reason. */
void session_stop(struct session *, enum reason);
