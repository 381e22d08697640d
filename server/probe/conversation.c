#include "server/probe/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/text.h"
#include "server/probe/host.h"
#include "server/probe/outcome.h"
#include "server/stats/stats.h"

#define CROWDED_MAX 2		    /* sessions in a row that took nobody */
#define SOFT_SHARE(ms) ((ms)*4 / 5) /* of a session's time; then no new visit is begun */

static void go_on(struct mail *);

/* ---- a reply, read ---- */

static enum phase phase_of(enum dlg_state state)
{
	switch (state) {
	case DLG_BANNER: return PHASE_BANNER;
	case DLG_EHLO:
	case DLG_HELO: return PHASE_EHLO;
	case DLG_STARTTLS:
	case DLG_TLS: return PHASE_TLS;
	case DLG_MAIL: return PHASE_MAIL;
	default: return PHASE_RCPT;
	}
}

/* Could TLS be had here, and is it not in use? Not where STARTTLS was offered, said and refused: a server that then
 * demands it would have us come again for ever. */
static bool may_secure(const struct session *s)
{
	return s->shard->tls && s->offered.starttls && !s->asked_tls && !host_is_clear(s->shard, s->hop.host);
}

static bool wants_tls(const struct session *s)
{
	bool when_required = engine_config(s->shard->engine)->tls == CONFIG_TLS_WHEN_REQUIRED;
	return may_secure(s) && (!when_required || host_requires_tls(s->shard, s->hop.host));
}

static enum dlg_event event_of(const struct session *s, const struct reply *r, const struct reading *reading)
{
	enum dlg_state state = s->dlg.state;
	bool asked_something = state == DLG_MAIL || state == DLG_RCPT || state == DLG_RSET;
	if (reading->kind == MEANS_SESSION_QUARREL && r->code >= 400)
		return DLG_QUARREL;
	if (reading->kind == MEANS_PIPELINE_QUARREL && s->piped && asked_something)
		return DLG_QUARREL;
	if (reading->kind == MEANS_STARTTLS_FIRST && asked_something && may_secure(s))
		return DLG_QUARREL;
	if (r->code >= 400 && reading->about_us && reading->scope != SCOPE_RECIPIENT &&
		reading->strength == STRENGTH_CLEAR)
		return DLG_US;
	if (r->code == 421)
		return DLG_BYE;
	switch (r->code / 100) {
	case 2: return DLG_YES;
	case 4: return DLG_TEMP;
	case 5: return DLG_PERM;
	default: return DLG_ODD;
	}
}

struct heard {
	struct reading_context context;
	struct buf recipient;
	const struct reply *reply;
	struct reading reading;
	enum phase phase;
};

static void recipient_of(const struct session *s, int tag, struct buf *out)
{
	const struct ask *a = visit_ask(&s->visit, tag);
	if (a) {
		address_text(&a->address, out);
	} else {
		buf_puts(out, tag == VISIT_TAG_POSTMASTER ? POSTMASTER : s->visit.work->control);
		buf_putc(out, '@');
		buf_puts(out, s->visit.work->domain);
	}
}

static const char *sender_of(const struct session *s, struct buf *out)
{
	address_text(&engine_config(s->shard->engine)->mail_from, out);
	return buf_str(out);
}

/* ---- what an event asks of us ---- */

static struct answer *evidence_of(const struct session *s, const struct heard *h)
{
	return evidence_new(s, h->phase, &h->context, h->reply, &h->reading);
}

/* One session after the other took nobody: the next would fare no better. */
static bool is_crowded_out(const struct session *s)
{
	return s->visit.work->crowded >= CROWDED_MAX;
}

static void recipient_answered(struct session *s, int tag, const struct heard *h)
{
	struct visit *v = &s->visit;
	struct ask *a = visit_ask(v, tag);
	if (h->reading.kind != MEANS_TOO_MANY_RECIPIENTS || s->heard)
		v->work->crowded = 0;
	if (h->reading.kind == MEANS_TOO_MANY_RECIPIENTS) {
		s->full = true;
		if (s->heard) {
			s->takes = s->heard;
		} else { /* not even one in this transaction: the rest in the next session */
			v->work->crowded += a && !s->winding;
			s->winding = true;
			v->may_ask = v->may_ask_controls = false;
		}
		if (!a || !is_crowded_out(s)) {
			visit_unsaid(v, tag);
			return;
		}
	}
	s->heard++;
	struct rcpt_answer answer = {
		.code = (uint16_t)h->reply->code,
		.reading = h->reading,
		.fingerprint = h->reply->code >= 400 ? reading_fingerprint(&h->context, h->reply) : 0,
	};
	visit_answered(v, tag, answer);
	s->unknown_used = v->unknown_used;
	s->unknown_targets = v->unknown_targets;
	if (!a)
		return;
	free(a->best);
	a->best = evidence_of(s, h);
	if (a->best)
		a->best->evidence.attempt = a->attempts;
}

/* The random control has its answer: what it tells of the domain is remembered, once. */
static void learn(struct session *s)
{
	struct visit *v = &s->visit;
	enum catch_all learned = v->learned ? CATCH_ALL_NOT_KNOWN : learned_catch_all(&v->view);
	if (learned == CATCH_ALL_NOT_KNOWN)
		return;
	v->learned = true;
	const struct config *config = engine_config(s->shard->engine);
	struct catch_all_fact fact = { .accepts_all = learned == CATCH_ALL_YES, .learned_ms = clock_wall_ms() };
	fact.expires_ms = fact.learned_ms + (fact.accepts_all ? config->facts.yes_ms : config->facts.no_ms);
	text_copy(fact.host, sizeof fact.host, s->hop.host);
	v->work->fact = fact;
	v->work->has_fact = true;
	domain_learn(s->shard, v->work->domain, &fact);
}

static void refused_at_rcpt(struct session *s, const struct heard *h)
{
	free(s->refusal);
	s->refusal = evidence_of(s, h);
	visit_refused(&s->visit, &h->reading);
	outcome_refused(s);
}

/* STARTTLS was said and TLS did not come of it. Once more in clear, where that is enough; but never after plaintext
 * that was slipped in behind the 220 (DLG_ODD): somebody in between may have put it there. */
static void tls_failed(struct session *s, enum dlg_event event)
{
	struct reading none = { .rule = "", .reason = REASON_TLS_FAILED };
	if (event == DLG_ODD || host_requires_tls(s->shard, s->hop.host)) {
		outcome_sender_refused(s, REASON_TLS_FAILED, evidence_new(s, PHASE_TLS, NULL, NULL, &none));
		return;
	}
	host_spoils_tls(s->shard, s->hop.host);
	outcome_again(s);
}

static void greeting_failed(
	struct session *s, enum dlg_state met, enum dlg_event event, const struct heard *h, enum reason why)
{
	enum host_failure how = HOST_FAILED;
	if (event == DLG_US)
		how = h->reply->code >= 500 ? HOST_REFUSED_US : HOST_PUT_US_OFF;
	struct reading none = { .rule = "", .reason = why };
	struct answer *evidence = h ? evidence_of(s, h) : evidence_new(s, phase_of(met), NULL, NULL, &none);
	outcome_host_failed(s, how, h ? h->reading.reason : why, evidence);
}

/* The conversation failed at the state `met`, by a reply (h), or for `why`. */
static void failed(struct session *s, enum dlg_state met, enum dlg_event event, const struct heard *h, enum reason why)
{
	if (!s->visiting)
		return;
	bool by_reply = h && (event == DLG_US || event == DLG_BYE);
	if (met == DLG_TLS || (met == DLG_STARTTLS && !by_reply)) {
		tls_failed(s, event);
	} else if (met == DLG_BANNER || met == DLG_EHLO || met == DLG_HELO || met == DLG_STARTTLS) {
		greeting_failed(s, met, event, h, why);
	} else if (met == DLG_IDLE || met == DLG_OPEN) {
		if (event == DLG_QUARREL)
			outcome_out_of_step(s);
		else
			outcome_lost(s, why, PHASE_RCPT);
	} else if (event == DLG_QUARREL && h && h->reading.kind == MEANS_STARTTLS_FIRST) {
		host_demands_tls(s->shard, s->hop.host);
		outcome_again(s);
	} else if (event == DLG_QUARREL && s->piped && h && h->reading.kind == MEANS_PIPELINE_QUARREL) {
		host_spoils_pipelining(s->shard, s->hop.host);
		outcome_again(s);
	} else if (met == DLG_MAIL && h && event != DLG_QUARREL) {
		outcome_sender_refused(s, h->reading.reason, evidence_of(s, h));
	} else {
		outcome_lost(s, why, phase_of(met));
	}
}

static void on_reply_due(struct deadline *d)
{
	struct session *s = (struct session *)((char *)d - offsetof(struct session, reply_due));
	conversation_event(s, DLG_SILENT, REASON_TIMEOUT);
}

void conversation_expect_reply(struct session *s)
{
	struct loop *loop = s->shard->loop;
	const struct config *config = engine_config(s->shard->engine);
	bool owed = s->dlg.owed || s->dlg.state == DLG_BANNER || s->dlg.state == DLG_TLS;
	if (s->closing || s->dlg.state == DLG_QUIT || s->dlg.state == DLG_CLOSED)
		return;
	if (!owed) {
		deadline_disarm(loop, &s->reply_due);
		return;
	}
	int64_t ms = s->dlg.state == DLG_BANNER ? config->timeouts.banner_ms : config->timeouts.reply_ms;
	if (deadline_arm(loop, &s->reply_due, ms, on_reply_due))
		session_stop(s, REASON_TEMPORARY_FAILURE); /* no memory to bound it: better no session */
}

/* What is said next is decided when all that came in this turn was read: a reply that was there before its command is
 * found out by that. */
static void go_on_later(struct session *s)
{
	if (s->go_on_due)
		return;
	s->go_on_due = true;
	loop_defer(s->shard->loop, &s->go_on, go_on);
}

static void act(struct session *s, struct dlg_result r, enum dlg_event event, const struct heard *h, enum reason why)
{
	switch (r.act) {
	case DLG_SAY_HELO: s->said_helo = true; /* fall through */
	case DLG_SAY_EHLO:
	case DLG_START_TLS:
	case DLG_GO_ON: go_on_later(s); break;
	case DLG_READY:
		if (h && r.met == DLG_EHLO)
			s->offered = ehlo_of(h->reply);
		s->dlg.pipelining = s->offered.pipelining && !s->lockstep;
		go_on_later(s);
		break;
	case DLG_ANSWER:
		recipient_answered(s, r.tag, h);
		if (is_crowded_out(s)) {
			refused_at_rcpt(s, h);
			session_quit(s);
		} else {
			go_on_later(s);
		}
		break;
	case DLG_ANSWER_END:
		recipient_answered(s, r.tag, h);
		if (event == DLG_US)
			refused_at_rcpt(s, h);
		else
			outcome_lost(s, REASON_TEMPORARY_FAILURE, PHASE_RCPT);
		session_quit(s);
		break;
	case DLG_FAIL:
	case DLG_CUT:
	case DLG_END:
		failed(s, r.met, event, h, why);
		/* Before the greeting nothing may be said, and to nobody nothing can. */
		if (r.act == DLG_CUT || (r.met == DLG_BANNER && !h))
			session_close(s);
		else
			session_quit(s);
		break;
	case DLG_CLOSE: session_close(s); break;
	case DLG_WAIT:
	case DLG_UNSET: break;
	}
}

/* 220 greets (or starts TLS), and keywords of RFC 5321 4.1.1.1 answer EHLO; whatever else they came for, the replies
 * have lost their commands. */
static bool answers_another(const struct session *s, const struct reply *reply)
{
	switch (s->dlg.state) {
	case DLG_BANNER:
	case DLG_STARTTLS: return false;
	case DLG_RCPT: break; /* a 220 there is odd, and one recipient's */
	default:
		if (reply->code == 220)
			return true;
	}
	struct ehlo offered = reply->code == 250 ? ehlo_of(reply) : (struct ehlo){ 0 };
	bool may_offer = s->dlg.state == DLG_EHLO || s->dlg.state == DLG_HELO;
	return !may_offer && (offered.pipelining || offered.smtputf8 || offered.starttls);
}

void conversation_reply(struct session *s, const struct reply *reply)
{
	/* Were a surplus reply taken for an answer, each recipient from then on would get its neighbour's. */
	bool asked_for = s->dlg.owed || s->dlg.state == DLG_BANNER;
	bool bye = reply->code == 421; /* a server may say that at any time: RFC 5321 3.8 */
	if ((!asked_for && !bye) || answers_another(s, reply)) {
		conversation_event(s, DLG_QUARREL, REASON_PROTOCOL_ERROR);
		return;
	}
	struct heard h = { .recipient = BUF_INIT(2 * ADDRESS_MAX), .reply = reply, .phase = phase_of(s->dlg.state) };
	struct buf sender = BUF_INIT(2 * ADDRESS_MAX);
	if (s->dlg.state == DLG_RCPT && s->dlg.owed)
		recipient_of(s, s->dlg.ring[s->dlg.first].tag, &h.recipient);
	h.context = (struct reading_context){
		.phase = h.phase,
		.operator_name = s->hop.operator_name,
		.recipient = buf_str(&h.recipient),
		.sender = sender_of(s, &sender),
		.source_ip = s->source_ip,
		.source_name = s->hop.source->name,
	};
	h.reading = reading_of(engine_rules(s->shard->engine), &h.context, reply);
	if (h.reading.unclassified)
		stat_add(STAT_UNCLASSIFIED_REPLIES, 1);
	enum dlg_event event = event_of(s, reply, &h.reading);
	/* What ends a session without an answer: it is asked again, and then this is why. */
	enum reason why = event == DLG_ODD ? REASON_PROTOCOL_ERROR : REASON_TEMPORARY_FAILURE;
	act(s, dlg_on(&s->dlg, event), event, &h, why);
	buf_free(&sender);
	buf_free(&h.recipient);
}

void conversation_event(struct session *s, enum dlg_event event, enum reason why)
{
	act(s, dlg_on(&s->dlg, event), event, NULL, why);
}

/* ---- asking ---- */

static bool start_transaction(struct session *s, bool utf8)
{
	struct buf sender = BUF_INIT(2 * ADDRESS_MAX);
	err_t err = dlg_say_mail(&s->dlg, &s->out, sender_of(s, &sender), utf8);
	buf_free(&sender);
	if (err)
		return false;
	s->rcpts = s->heard = 0;
	s->utf8 = utf8;
	s->full = false;
	return true;
}

/* Names a recipient (ask NULL: the control that is due). False: a reply must come first. */
static bool name(struct session *s, struct ask *a)
{
	bool utf8 = a && a->address.utf8;
	unsigned most = s->takes && s->takes < s->op->recipients ? s->takes : s->op->recipients;
	if (s->dlg.tail == DLG_OPEN && (s->rcpts >= most || s->full || (utf8 && !s->utf8)))
		if (dlg_say_rset(&s->dlg, &s->out))
			return false;
	if (s->dlg.tail == DLG_IDLE && !start_transaction(s, utf8))
		return false;
	if (!dlg_may_rcpt(&s->dlg))
		return false;
	int tag = visit_said(&s->visit, a);
	struct buf mailbox = BUF_INIT(2 * ADDRESS_MAX);
	recipient_of(s, tag, &mailbox);
	s->piped |= s->dlg.owed > 0;
	err_t err = dlg_say_rcpt(&s->dlg, &s->out, buf_str(&mailbox), tag);
	buf_free(&mailbox);
	if (err) { /* nothing was said */
		visit_unsaid(&s->visit, tag);
		return false;
	}
	s->rcpts++;
	stat_add(STAT_RECIPIENTS, 1);
	return true;
}

static void drop_unwanted(struct session *s, struct ask *a)
{
	visit_drop(&s->visit, a);
	work_remove(a->work, a);
	ask_free(a);
}

void conversation_begin_visit(struct session *s, struct work *w)
{
	s->visiting = true;
	w->serving++;
	visit_begin(&s->visit, w, s->op->unknown_per_session, s->unknown_used, s->unknown_targets, clock_wall_ms());
	while (visit_take(&s->visit))
		;
	work_ready_changed(s->shard, w);
}

/* The next work for this connection, or none: the session may have given all that courtesy allows. before: the domain
 * that had its turn. */
static bool next_visit(struct session *s, const char *before)
{
	const struct config *config = engine_config(s->shard->engine);
	bool spent = s->unknown_used + 1 >= s->op->unknown_per_session; /* one slot is the random control's */
	bool late = clock_mono_ms() - s->begun_ms > SOFT_SHARE(config->timeouts.session_ms);
	if (s->winding || s->shard->draining || spent || late)
		return false;
	struct work *w = operator_work_at(s->op, &s->hop);
	if (!w || guard_is_exempt(s->shard->guard, w->domain))
		return false;
	s->full |= strcmp(w->domain, before) != 0; /* servers dislike several domains in a transaction */
	s->hop = w->hop;
	conversation_begin_visit(s, w);
	return true;
}

/* False: no other follows. */
static bool visit_over(struct session *s)
{
	char domain[DOMAIN_SIZE]; /* the work may be gone with the visit */
	text_copy(domain, sizeof domain, s->visit.work->domain);
	outcome_visit_over(s);
	return next_visit(s, domain);
}

static void advance(struct session *s)
{
	bool waits = false;
	while (!waits && !s->closing && s->visiting) {
		struct ask *a = NULL;
		learn(s);
		if (!s->dlg.owed) /* as many replies as commands: they belong together */
			outcome_settle(s, false);
		if (guard_is_exempt(s->shard->guard, s->visit.work->domain)) {
			session_stop(s, REASON_EXEMPT);
			return;
		}
		switch (visit_next(&s->visit, &a)) {
		case VISIT_TARGET:
			if (!ask_is_wanted(a))
				drop_unwanted(s, a);
			else if (a->address.utf8 && !s->offered.smtputf8)
				outcome_not_offered(
					s, a, s->said_helo ? REASON_PROTOCOL_ERROR : REASON_SMTPUTF8_UNSUPPORTED);
			else
				waits = !name(s, a);
			break;
		case VISIT_CONTROL: waits = !name(s, NULL); break;
		case VISIT_WAIT: waits = true; break;
		case VISIT_OVER:
			if (!visit_over(s)) {
				(void)dlg_on(&s->dlg, DLG_STOP);
				session_quit(s);
				return;
			}
			break;
		}
	}
	bool nothing_said = waits && !s->dlg.owed; /* memory ran out: no reply will come to go on with */
	if (!s->closing && (nothing_said || (s->out.lines.len && conn_send(s->conn, &s->out))))
		session_stop(s, REASON_TEMPORARY_FAILURE);
}

static void say_hello(struct session *s)
{
	err_t err = dlg_say_hello(&s->dlg, &s->out, s->hop.source->name);
	if (!err)
		err = conn_send(s->conn, &s->out);
	if (err)
		session_stop(s, REASON_TEMPORARY_FAILURE);
}

static void say_starttls(struct session *s)
{
	s->asked_tls = true;
	err_t err = dlg_say_starttls(&s->dlg, &s->out);
	if (!err)
		err = conn_send(s->conn, &s->out);
	if (err)
		session_stop(s, REASON_TEMPORARY_FAILURE);
}

static void start_tls(struct session *s)
{
	switch (conn_start_tls(s->conn, s->shard->tls, s->hop.host)) {
	case ERR_OK: break;
	case ERR_INVALID: conversation_event(s, DLG_ODD, REASON_TLS_FAILED); break;
	default: session_stop(s, REASON_TEMPORARY_FAILURE);
	}
}

static void go_on(struct mail *m)
{
	struct session *s = (struct session *)((char *)m - offsetof(struct session, go_on));
	s->go_on_due = false;
	if (s->closing)
		return;
	switch (s->dlg.state) {
	case DLG_EHLO:
	case DLG_HELO:
		if (!s->dlg.owed)
			say_hello(s);
		break;
	case DLG_TLS: start_tls(s); break;
	case DLG_IDLE:
		if (!s->asked_tls && wants_tls(s))
			say_starttls(s);
		else
			advance(s);
		break;
	case DLG_MAIL:
	case DLG_RCPT:
	case DLG_OPEN:
	case DLG_RSET: advance(s); break;
	case DLG_BANNER:
	case DLG_STARTTLS:
	case DLG_QUIT:
	case DLG_CLOSED:
	case DLG_STATES: break;
	}
	conversation_expect_reply(s);
}
