#include "server/probe/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/text.h"
#include "server/probe/conversation.h"
#include "server/probe/host.h"
#include "server/probe/outcome.h"
#include "server/stats/stats.h"

#define TELL_MS 60000 /* between two lines about a missing source */
#define QUIT_MS 2000  /* for the server to close first: else the TIME_WAIT would be ours */

/* ---- life ---- */

static void free_session(struct mail *m)
{
	struct session *s = (struct session *)((char *)m - offsetof(struct session, end));
	struct shard *shard = s->shard;
	operator_session_ended(shard, s->op);
	reply_parser_free(s->parser);
	buf_free(&s->out.lines);
	permit_return(s->permit);
	free(s->refusal);
	free(s);
	shard->session_count--;
	stat_add(STAT_SESSIONS_OPEN, -1);
	shard_check_drained(shard);
}

void session_close(struct session *s)
{
	if (s->closing)
		return;
	s->closing = true;
	deadline_disarm(s->shard->loop, &s->reply_due);
	deadline_disarm(s->shard->loop, &s->session_due);
	conn_close(s->conn);
	TAILQ_REMOVE(&s->shard->sessions, s, link);
	loop_defer(s->shard->loop, &s->end, free_session);
}

static void on_quit_due(struct deadline *d)
{
	session_close((struct session *)((char *)d - offsetof(struct session, reply_due)));
}

void session_quit(struct session *s)
{
	if (s->connected)
		conn_unsend(s->conn); /* what nobody waits for any more is not asked */
	buf_reset(&s->out.lines);
	err_t err = s->connected ? dlg_say_quit(&s->dlg, &s->out) : ERR_CLOSED;
	if (!err)
		err = conn_send(s->conn, &s->out);
	if (!err)
		err = deadline_arm(s->shard->loop, &s->reply_due, QUIT_MS, on_quit_due);
	if (err)
		session_close(s);
}

/* ---- the connection's events ---- */

static void tell_missing_source(struct session *s)
{
	struct shard *shard = s->shard;
	int64_t now = clock_mono_ms();
	if (shard->source_told_ms && now - shard->source_told_ms < TELL_MS)
		return;
	shard->source_told_ms = now;
	char ip[IP_TEXT_MAX];
	ip_text(&s->hop.source->ip, ip);
	log_warn("event=source_missing source=%s error=\"%s\"", ip, strerror(EADDRNOTAVAIL));
}

static void not_connected(struct session *s, int errnum)
{
	/* Our own address is not on this machine: nothing that a mail host has to do with. */
	enum reason reason = errnum == EADDRNOTAVAIL ? REASON_NO_EGRESS : REASON_NO_CONNECTION;
	if (reason == REASON_NO_EGRESS)
		tell_missing_source(s);
	log_debug("session=%llx host=%s connect: %s", (unsigned long long)s->id, s->hop.host, strerror(errnum));
	struct reading none = { .rule = "", .reason = reason };
	outcome_host_failed(s, HOST_FAILED, reason, evidence_new(s, PHASE_CONNECT, NULL, NULL, &none));
	session_close(s);
}

static void on_connect_due(struct deadline *d)
{
	not_connected((struct session *)((char *)d - offsetof(struct session, reply_due)), ETIMEDOUT);
}

static void on_session_due(struct deadline *d)
{
	struct session *s = (struct session *)((char *)d - offsetof(struct session, session_due));
	conversation_event(s, DLG_SILENT, REASON_TIMEOUT);
}

static void on_connected(void *ctx)
{
	struct session *s = ctx;
	s->connected = true;
	struct ip source = conn_source(s->conn);
	ip_text(&source, s->source_ip);
	conversation_expect_reply(s);
}

static void on_bytes(void *ctx, const uint8_t *bytes, size_t n)
{
	struct session *s = ctx;
	bool heard = false;
	while (n && !s->closing && s->dlg.state != DLG_QUIT) {
		if (s->dlg.state == DLG_TLS) { /* plaintext behind the 220: it is no answer to anything */
			conversation_event(s, DLG_ODD, REASON_TLS_FAILED);
			return;
		}
		struct reply reply;
		size_t used = 0;
		err_t err = reply_parser_feed(s->parser, bytes, n, &used, &reply);
		bytes += used;
		n -= used;
		if (err == ERR_AGAIN)
			break;
		heard = true;
		if (err == ERR_NOMEM) { /* nothing that the server has done */
			session_stop(s, REASON_TEMPORARY_FAILURE);
			return;
		}
		if (err)
			conversation_event(s, DLG_QUARREL, REASON_PROTOCOL_ERROR);
		else
			conversation_reply(s, &reply);
	}
	if (heard) /* a drip renews nothing */
		conversation_expect_reply(s);
}

static void on_secured(void *ctx)
{
	struct session *s = ctx;
	const struct tls_info *info = conn_tls(s->conn);
	if (info)
		s->tls = *info;
	s->offered = (struct ehlo){ 0 }; /* what was offered in clear does not count (RFC 3207 4.2) */
	conversation_event(s, DLG_YES, REASON_NONE);
	conversation_expect_reply(s);
}

static void on_closed(void *ctx, int errnum)
{
	struct session *s = ctx;
	if (s->closing)
		return;
	if (!s->connected) {
		not_connected(s, errnum);
		return;
	}
	bool early = s->dlg.state == DLG_BANNER || s->dlg.state == DLG_EHLO || s->dlg.state == DLG_HELO;
	conversation_event(s, DLG_LOST, early ? REASON_NO_CONNECTION : REASON_TEMPORARY_FAILURE);
}

/* ---- beginning and ending ---- */

static const struct conn_events EVENTS = { on_connected, on_bytes, on_secured, on_closed };

static err_t connect_session(struct session *s, const char *domain)
{
	const struct config *config = engine_config(s->shard->engine);
	const struct ip *source = s->hop.source->any ? NULL : &s->hop.source->ip;
	if (!guard_may_contact(s->shard->guard, &s->hop.ip) || guard_is_exempt(s->shard->guard, domain))
		return ERR_DENIED;
	err_t err = deadline_arm(s->shard->loop, &s->reply_due, config->timeouts.connect_ms, on_connect_due);
	if (!err)
		err = deadline_arm(s->shard->loop, &s->session_due, config->timeouts.session_ms, on_session_due);
	return err ? err : conn_open(s->shard->loop, source, &s->hop.ip, config->probe_port, &EVENTS, s, &s->conn);
}

/* The guard said no at the last moment, or the system cannot reach such an address. */
static void not_begun(struct session *s, err_t err, int errnum)
{
	if (err == ERR_DENIED && guard_is_exempt(s->shard->guard, s->visit.work->domain)) {
		outcome_all(s, REASON_EXEMPT);
		session_close(s);
	} else {
		not_connected(s, errnum);
	}
}

err_t session_open(struct shard *shard, struct mail_operator *op, struct work *w, struct permit *permit)
{
	struct session *s = calloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->out = (struct commands)COMMANDS_INIT;
	s->shard = shard;
	s->op = op;
	s->hop = w->hop;
	s->begun_ms = clock_mono_ms();
	s->id = ((uint64_t)shard->index << 48) | ++shard->last_session;
	s->lockstep = host_is_lockstep(shard, w->hop.host);
	dlg_init(&s->dlg);
	err_t err = reply_parser_new(&s->parser);
	if (!err)
		err = connect_session(s, w->domain);
	int errnum = err == ERR_DENIED ? EACCES : errno;
	if (err == ERR_NOMEM || err == ERR_LIMIT) {
		deadline_disarm(shard->loop, &s->reply_due);
		deadline_disarm(shard->loop, &s->session_due);
		reply_parser_free(s->parser);
		free(s);
		return err;
	}
	s->permit = permit;
	op->open++;
	shard->session_count++;
	TAILQ_INSERT_TAIL(&shard->sessions, s, link);
	stat_add(STAT_SESSIONS_OPEN, 1);
	conversation_begin_visit(s, w);
	if (err)
		not_begun(s, err, errnum);
	else
		stat_add(STAT_CONNECTIONS, 1);
	return ERR_OK;
}

void session_stop(struct session *s, enum reason reason)
{
	if (s->closing || s->dlg.state == DLG_QUIT)
		return;
	if (s->visiting)
		outcome_all(s, reason);
	if (!s->connected) {
		session_close(s);
		return;
	}
	conversation_event(s, DLG_STOP, reason);
}

void session_exempt(struct session *s, bool (*covers)(void *ctx, const char *domain), void *ctx)
{
	if (s->closing || !s->visiting || !covers(ctx, s->visit.work->domain))
		return;
	session_stop(s, REASON_EXEMPT);
}

static bool is_wanted(struct session *s)
{
	struct asks *lists[] = { &s->visit.taken, &s->visit.flying, &s->visit.answered };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct ask *a;
		TAILQ_FOREACH (a, lists[i], link)
			if (ask_is_wanted(a))
				return true;
	}
	return false;
}

void session_sweep(struct session *s)
{
	if (s->closing || !s->visiting || is_wanted(s))
		return;
	session_stop(s, REASON_CANCELLED);
}

void session_wind_down(struct session *s)
{
	s->winding = true;
	if (s->closing || !s->visiting)
		return;
	s->visit.may_ask = false;
	bool talking = s->dlg.state == DLG_RCPT || s->dlg.state == DLG_MAIL || s->dlg.state == DLG_RSET;
	if (!talking)
		session_stop(s, REASON_CANCELLED);
}
