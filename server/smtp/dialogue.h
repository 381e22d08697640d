#pragma once
/* The conversation of RFC 5321 as a total table: every state and every event have a step. Pure: no socket, no clock, no
 * memory of its own; a value that its session holds. What to ask next is the session's to decide; what may be said now,
 * and what an answer belongs to, is decided here.
 *
 * Replies belong to commands by order alone. With PIPELINING (RFC 2920) several commands are owed a reply; `state` is
 * that of the oldest. */
#include <stdint.h>

#include "server/smtp/command.h"

enum dlg_state {
	DLG_BANNER, /* connected, the greeting is owed */
	DLG_EHLO,
	DLG_HELO,
	DLG_STARTTLS,
	DLG_TLS,  /* the handshake; DLG_YES: done */
	DLG_IDLE, /* greeted, no transaction, nothing owed */
	DLG_MAIL,
	DLG_RCPT,
	DLG_OPEN, /* in a transaction, nothing owed */
	DLG_RSET,
	DLG_QUIT, /* said, or about to be: whatever comes is not looked at */
	DLG_CLOSED,
	DLG_STATES
};

enum dlg_event {
	DLG_YES,     /* 2yz */
	DLG_ODD,     /* 3yz, a code outside 200–599, or no reply at all but other bytes */
	DLG_TEMP,    /* 4yz */
	DLG_PERM,    /* 5yz */
	DLG_US,	     /* a 4yz or 5yz that refuses us, in a scope wider than one recipient */
	DLG_BYE,     /* 421 */
	DLG_QUARREL, /* a refusal of how it was asked (pipelining, order, number): it answers nothing */
	DLG_LOST,    /* the connection */
	DLG_SILENT,  /* a deadline passed */
	DLG_STOP,    /* of ours: nothing more may be asked */
	DLG_EVENTS
};

/* What the session has to do. */
enum dlg_act {
	DLG_UNSET, /* never in the table: a forgotten cell */
	DLG_WAIT,  /* nothing */
	DLG_SAY_EHLO,
	DLG_SAY_HELO,
	DLG_START_TLS,	/* shake hands (RFC 3207), then EHLO anew */
	DLG_READY,	/* greeted: open a transaction or quit */
	DLG_GO_ON,	/* MAIL or RSET went well: more may be asked */
	DLG_ANSWER,	/* a recipient has its answer: more may be asked */
	DLG_ANSWER_END, /* a recipient has its answer, and it ends the session: quit */
	DLG_FAIL,	/* the session ends without an answer to what is owed: quit */
	DLG_END,	/* stopped: quit */
	DLG_CUT,	/* the connection is gone before its end */
	DLG_CLOSE,	/* the end */
};

struct dlg_step {
	enum dlg_state next; /* DLG_STATES: that of the oldest command still owed a reply */
	enum dlg_act act;
};
struct dlg_step dlg_step(enum dlg_state, enum dlg_event);

#define DLG_OWED_MAX 16 /* commands in flight: RSET, MAIL and recipients */
#define DLG_NO_TAG (-1)

struct dialogue {
	enum dlg_state state; /* what the oldest command owed a reply waits for */
	enum dlg_state tail; /* where all commands said so far lead when each is answered yes: DLG_IDLE or DLG_OPEN once
				greeted */
	bool pipelining;     /* offered, and not spoiled before */
	uint8_t owed, first;
	struct {
		enum dlg_state state;
		int tag;
	} ring[DLG_OWED_MAX];
};

void dlg_init(struct dialogue *);

/* What came of an event: the act, and for DLG_ANSWER… whose answer it is. `state` in the result is the state the event
 * met. */
struct dlg_result {
	enum dlg_act act;
	enum dlg_state met;
	int tag;
};
struct dlg_result dlg_on(struct dialogue *, enum dlg_event);

/* Saying things: each appends to `out` and returns ERR_AGAIN when it may not be said now (wait for the next reply), or
 * command_put()'s error. */
MUST_CHECK err_t dlg_say_hello(
	struct dialogue *, struct commands *out, const char *name); /* EHLO or HELO, by the state */
MUST_CHECK err_t dlg_say_starttls(struct dialogue *, struct commands *out);
MUST_CHECK err_t dlg_say_mail(struct dialogue *, struct commands *out, const char *sender, bool smtputf8);
MUST_CHECK err_t dlg_say_rcpt(struct dialogue *, struct commands *out, const char *mailbox, int tag);
MUST_CHECK err_t dlg_say_rset(struct dialogue *, struct commands *out);
MUST_CHECK err_t dlg_say_quit(struct dialogue *, struct commands *out); /* always may */

/* Could a recipient be named now? */
bool dlg_may_rcpt(const struct dialogue *);
