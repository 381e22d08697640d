/* Any sequence of events and of things said: the ring is bounded, each recipient has exactly one outcome, in the order
 * in which they were named, and after the close there is nothing. */
#include <string.h>

#include "server/smtp/dialogue.h"
#include "tests/fuzz/fuzz.h"

#define NAMED_MAX 4096

struct talk {
	struct dialogue d;
	struct commands out;
	int named, answered; /* recipients are numbered as they are named */
	size_t lines;	     /* commands said since the buffer was emptied */
	bool ended;	     /* FAIL, CUT, END or ANSWER_END: what is still owed is lost */
	bool closed;
};

static void check_state(const struct talk *t)
{
	const struct dialogue *d = &t->d;
	MUST(d->state < DLG_STATES && d->tail < DLG_STATES);
	MUST(d->owed <= DLG_OWED_MAX && d->first < DLG_OWED_MAX);
	MUST(dlg_rcpts_owed(d) <= d->owed);
	if (d->state == DLG_MAIL || d->state == DLG_RCPT || d->state == DLG_RSET || d->state == DLG_STARTTLS)
		MUST(d->owed && d->ring[d->first].state == d->state);
	if (d->state == DLG_IDLE || d->state == DLG_OPEN)
		MUST(!d->owed && d->tail == d->state);
	if (!t->ended) /* none is forgotten */
		MUST((int)dlg_rcpts_owed(d) == t->named - t->answered);
}

/* Whole lines, each with one of the verbs that exist. */
static void check_lines(struct talk *t)
{
	const char *s = buf_str(&t->out.lines), *end = s + t->out.lines.len;
	size_t lines = 0;
	for (; s < end; lines++) {
		const char *lf = memchr(s, '\n', (size_t)(end - s));
		MUST(lf && lf > s && lf[-1] == '\r' && !has_control(s, (size_t)(lf - 1 - s)));
		bool known = false;
		for (enum smtp_verb v = 0; v < SMTP_VERBS; v++) {
			size_t n = strlen(smtp_verb_name(v));
			known |= (size_t)(lf - s) > n && memcmp(s, smtp_verb_name(v), n) == 0 &&
				 (s[n] == ' ' || s[n] == '\r');
		}
		MUST(known);
		s = lf + 1;
	}
	MUST(lines == t->lines);
	buf_reset(&t->out.lines);
	t->lines = 0;
}

static void happen(struct talk *t, enum dlg_event event)
{
	enum dlg_state before = t->d.state;
	struct dlg_result r = dlg_on(&t->d, event);
	MUST(r.act != DLG_UNSET && r.met == before);
	if (t->closed)
		MUST(r.act == DLG_WAIT && t->d.state == DLG_CLOSED);
	if (r.act == DLG_ANSWER || r.act == DLG_ANSWER_END) {
		MUST(!t->ended);
		MUST(r.tag == t->answered && r.tag < t->named);
		t->answered++;
	}
	bool ends = r.act == DLG_ANSWER_END || r.act == DLG_FAIL || r.act == DLG_CUT || r.act == DLG_END;
	MUST(!ends || !t->ended); /* it ends once */
	t->ended |= ends;
	MUST(ends || t->ended == (t->d.state == DLG_QUIT || t->d.state == DLG_CLOSED));
	t->closed |= t->d.state == DLG_CLOSED;
}

static void say(struct talk *t, struct choices *c)
{
	static const char *const MAILBOX[] = { "a@d.example", "\"a b\\\"\"@d.example", "a>b@d.example",
		"a\r\nb@d.example", "\xc3\xa4@d.example", "" };
	const char *mailbox = MAILBOX[choose(c, sizeof MAILBOX / sizeof *MAILBOX)];
	struct dialogue before = t->d;
	size_t len = t->out.lines.len;
	bool over = t->d.state == DLG_QUIT || t->d.state == DLG_CLOSED, may = dlg_may_rcpt(&t->d);
	err_t err = ERR_AGAIN;
	switch (choose(c, 6)) {
	case 0: err = dlg_say_hello(&t->d, &t->out, mailbox); break;
	case 1: err = dlg_say_mail(&t->d, &t->out, mailbox, choose(c, 2)); break;
	case 2: err = dlg_say_rset(&t->d, &t->out); break;
	case 5: err = dlg_say_starttls(&t->d, &t->out); break;
	default:
		if (t->named == NAMED_MAX)
			return;
		err = dlg_say_rcpt(&t->d, &t->out, mailbox, t->named);
		MUST(may ? err != ERR_AGAIN : err == ERR_AGAIN);
		t->named += !err;
	}
	MUST(!over || err == ERR_AGAIN);
	if (err) { /* nothing was said */
		MUST(memcmp(&before, &t->d, sizeof before) == 0 && t->out.lines.len == len);
		return;
	}
	t->lines++;
	if (!before.pipelining)
		MUST(t->d.owed == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct choices c = { data, len };
	struct talk t = { .out = COMMANDS_INIT };
	memset(&t.d, 0, sizeof t.d);
	dlg_init(&t.d);
	while (c.left) {
		unsigned what = choose(&c, 32);
		if (what < DLG_EVENTS) {
			happen(&t, what);
		} else if (what == 30) {
			t.d.pipelining = choose(&c, 2) && !t.d.owed;
		} else if (what == 31) {
			check_lines(&t);
		} else if (what == 29 && !t.closed) {
			t.lines += dlg_say_quit(&t.d, &t.out) == ERR_OK;
			t.ended = true;
		} else {
			say(&t, &c);
		}
		check_state(&t);
	}
	check_lines(&t);
	/* Whatever was before, the loss of the connection ends it. */
	happen(&t, DLG_LOST);
	MUST(t.closed && t.ended);
	buf_free(&t.out.lines);
	return 0;
}
