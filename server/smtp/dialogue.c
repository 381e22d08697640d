#include "server/smtp/dialogue.h"

/* Where the next state is that of the oldest command still owed a reply. */
#define OWED DLG_STATES

/* clang-format off */
#define SAY_EHLO { DLG_EHLO, DLG_SAY_EHLO }
#define SAY_HELO { DLG_HELO, DLG_SAY_HELO }
#define START_TLS { DLG_TLS, DLG_START_TLS }
#define READY { DLG_IDLE, DLG_READY }
#define GO_ON { OWED, DLG_GO_ON }
#define ANSWER { OWED, DLG_ANSWER }
#define ANSWER_END { DLG_QUIT, DLG_ANSWER_END }
#define FAIL { DLG_QUIT, DLG_FAIL }
#define END { DLG_QUIT, DLG_END }
#define CUT { DLG_CLOSED, DLG_CUT }
#define CLOSE { DLG_CLOSED, DLG_CLOSE }
#define WAIT_QUIT { DLG_QUIT, DLG_WAIT }
#define WAIT_CLOSED { DLG_CLOSED, DLG_WAIT }

static const struct dlg_step STEP[DLG_STATES][DLG_EVENTS] = {
/*               YES          ODD          TEMP         PERM         US           BYE          QUARREL      LOST         SILENT       STOP */
[DLG_BANNER] = { SAY_EHLO,    FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        CUT,         FAIL,        END },
[DLG_EHLO]   = { READY,       FAIL,        SAY_HELO,    SAY_HELO,    FAIL,        FAIL,        FAIL,        CUT,         FAIL,        END },
[DLG_HELO]   = { READY,       FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        CUT,         FAIL,        END },
[DLG_STARTTLS] = { START_TLS, FAIL,        READY,       READY,       FAIL,        FAIL,        FAIL,        CUT,         FAIL,        END },
/* in the middle of a handshake nothing can be said */
[DLG_TLS]    = { SAY_EHLO,    CUT,         CUT,         CUT,         CUT,         CUT,         CUT,         CUT,         CUT,         CUT },
/* a reply that nothing asked for */
[DLG_IDLE]   = { FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        CUT,         FAIL,        END },
[DLG_MAIL]   = { GO_ON,       FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        CUT,         FAIL,        END },
[DLG_RCPT]   = { ANSWER,      ANSWER,      ANSWER,      ANSWER,      ANSWER_END,  ANSWER_END,  FAIL,        CUT,         FAIL,        END },
[DLG_OPEN]   = { FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        CUT,         FAIL,        END },
[DLG_RSET]   = { GO_ON,       FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        FAIL,        CUT,         FAIL,        END },
/* whatever is still said is not looked at */
[DLG_QUIT]   = { WAIT_QUIT,   WAIT_QUIT,   WAIT_QUIT,   WAIT_QUIT,   WAIT_QUIT,   WAIT_QUIT,   WAIT_QUIT,   CLOSE,       CLOSE,       WAIT_QUIT },
[DLG_CLOSED] = { WAIT_CLOSED, WAIT_CLOSED, WAIT_CLOSED, WAIT_CLOSED, WAIT_CLOSED, WAIT_CLOSED, WAIT_CLOSED, WAIT_CLOSED, WAIT_CLOSED, WAIT_CLOSED },
};
/* clang-format on */

struct dlg_step dlg_step(enum dlg_state state, enum dlg_event event)
{
	return STEP[state][event];
}

void dlg_init(struct dialogue *d)
{
	*d = (struct dialogue){ .state = DLG_BANNER, .tail = DLG_BANNER };
}

static bool is_reply(enum dlg_event event)
{
	return event <= DLG_QUARREL;
}

struct dlg_result dlg_on(struct dialogue *d, enum dlg_event event)
{
	struct dlg_step step = STEP[d->state][event];
	struct dlg_result result = { step.act, d->state, DLG_NO_TAG };
	if (is_reply(event) && d->owed) {
		result.tag = d->ring[d->first].tag;
		d->first = (d->first + 1) % DLG_OWED_MAX;
		d->owed--;
	}
	if (step.next == OWED)
		d->state = d->owed ? d->ring[d->first].state : d->tail;
	else
		d->state = step.next;
	if (step.act == DLG_READY)
		d->tail = DLG_IDLE;
	return result;
}

static void owe(struct dialogue *d, enum dlg_state state, enum dlg_state tail, int tag)
{
	unsigned last = (d->first + d->owed) % DLG_OWED_MAX;
	d->ring[last].state = state;
	d->ring[last].tag = tag;
	if (!d->owed++)
		d->state = state;
	d->tail = tail;
}

/* May a command be said that belongs behind `tail`? */
static bool may_say(const struct dialogue *d, enum dlg_state tail)
{
	if (d->state == DLG_QUIT || d->state == DLG_CLOSED || d->tail != tail)
		return false;
	return d->pipelining ? d->owed < DLG_OWED_MAX : !d->owed;
}

err_t dlg_say_hello(struct dialogue *d, struct commands *out, const char *name)
{
	if ((d->state != DLG_EHLO && d->state != DLG_HELO) || d->owed)
		return ERR_AGAIN;
	err_t err = command_put(out, d->state == DLG_EHLO ? SMTP_EHLO : SMTP_HELO, name, false);
	if (!err)
		owe(d, d->state, d->tail, DLG_NO_TAG);
	return err;
}

err_t dlg_say_starttls(struct dialogue *d, struct commands *out)
{
	if (d->owed || !may_say(d, DLG_IDLE)) /* never in a pipeline: RFC 3207 4 */
		return ERR_AGAIN;
	err_t err = command_put(out, SMTP_STARTTLS, NULL, false);
	if (!err)
		owe(d, DLG_STARTTLS, DLG_STARTTLS, DLG_NO_TAG); /* nothing may be said behind it */
	return err;
}

err_t dlg_say_mail(struct dialogue *d, struct commands *out, const char *sender, bool smtputf8)
{
	if (!may_say(d, DLG_IDLE))
		return ERR_AGAIN;
	err_t err = command_put(out, SMTP_MAIL, sender, smtputf8);
	if (!err)
		owe(d, DLG_MAIL, DLG_OPEN, DLG_NO_TAG);
	return err;
}

bool dlg_may_rcpt(const struct dialogue *d)
{
	return may_say(d, DLG_OPEN);
}

err_t dlg_say_rcpt(struct dialogue *d, struct commands *out, const char *mailbox, int tag)
{
	if (!may_say(d, DLG_OPEN))
		return ERR_AGAIN;
	err_t err = command_put(out, SMTP_RCPT, mailbox, false);
	if (!err)
		owe(d, DLG_RCPT, DLG_OPEN, tag);
	return err;
}

err_t dlg_say_rset(struct dialogue *d, struct commands *out)
{
	if (!may_say(d, DLG_OPEN))
		return ERR_AGAIN;
	err_t err = command_put(out, SMTP_RSET, NULL, false);
	if (!err)
		owe(d, DLG_RSET, DLG_IDLE, DLG_NO_TAG);
	return err;
}

err_t dlg_say_quit(struct dialogue *d, struct commands *out)
{
	d->state = DLG_QUIT;
	return command_put(out, SMTP_QUIT, NULL, false);
}
