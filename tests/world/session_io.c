/* One SMTP connection's socket: reads lines, writes replies, counts and records both. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/world/smtpd.h"

#define READS_A_TURN 4

/* --- record and counts --- */

struct buf *session_note(struct session *s, const char *event)
{
	struct buf *line = record_begin(session_world(s)->record, event);

	record_number(line, "conn", s->id);
	record_text(line, "host", s->host->name);
	return line;
}

static void note_connect(struct session *s)
{
	char text[ADDR_TEXT_MAX];
	struct buf *line = session_note(s, "connect");

	record_text(line, "local", addr_text(&s->local, text));
	record_text(line, "peer", addr_text(&s->peer, text));
	record_end(session_world(s)->record);
	counts_open(&session_world(s)->counts, s->host->number);
}

static void note_close(struct session *s)
{
	struct buf *line = session_note(s, "close");

	record_text(line, "by", s->closed_by ? s->closed_by : "server");
	record_number(line, "bytes_in", s->bytes_in);
	record_number(line, "bytes_out", s->bytes_out);
	record_number(line, "round_trips", s->round_trips);
	record_number(line, "round_trips_rcpt", s->round_trips_rcpt);
	record_end(session_world(s)->record);
	counts_close(&session_world(s)->counts, s->host->number);
}

static enum verb note_line(struct session *s, const uint8_t *bytes, size_t n, size_t text_len)
{
	struct smtp_cmd cmd;
	struct buf *line = session_note(s, "line");

	smtp_cmd_read(&cmd, bytes, text_len);
	record_text(line, "verb", cmd.word);
	record_bytes(line, "arg", cmd.arg, cmd.arg_len);
	record_bytes(line, "raw", bytes, n);
	if (session_is_tls(s))
		record_number(line, "tls", 1);
	record_number(line, "round_trip", s->round_trips);
	record_end(session_world(s)->record);
	session_world(s)->counts.all.verbs[cmd.verb]++;
	session_world(s)->counts.host[s->host->number].verbs[cmd.verb]++;
	return cmd.verb;
}

void session_count_rcpt(struct session *s, const char *domain, int code)
{
	counts_rcpt(&session_world(s)->counts, s->host->number, domain, code);
	if (code)
		s->round_trips_rcpt = s->round_trips;
}

const struct desc *session_desc(const struct session *s)
{
	return session_world(s)->desc;
}

int64_t session_now_ms(const struct session *s)
{
	(void)s;
	return loop_now_us() / 1000;
}

/* --- the end of a connection --- */

void session_end(struct session *s)
{
	struct smtpd *d = s->site->smtpd;

	if (s->state == SESSION_CLOSED)
		return;
	if (s->tls && !session_is_tls(s))
		session_tls_lost(s);
	s->state = SESSION_CLOSED;
	note_close(s);
	loop_timer_clear(d->world->loop, &s->timer);
	loop_timer_clear(d->world->loop, &s->pump);
	if (s->is_dirty)
		TAILQ_REMOVE(&d->dirty, s, dirty);
	s->is_dirty = false;
	TAILQ_REMOVE(&d->all, s, all);
	TAILQ_INSERT_TAIL(&d->ended, s, all);
	if (s->is_reset) {
		struct linger now = { .l_onoff = 1, .l_linger = 0 };
		setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	}
	/* The descriptor closes at the end of the turn, behind the record. */
}

void session_free(struct session *s)
{
	loop_close(s->site->smtpd->world->loop, &s->watch);
	buf_free(&s->in);
	buf_free(&s->out);
	buf_free(&s->endless);
	session_tls_free(s);
	free(s->helo);
	free(s->sender);
	free(s);
}

/* --- reading --- */

/* The length of the line at `from`, its end included; 0: none is complete. */
static size_t line_at(const struct session *s, size_t from)
{
	const uint8_t *lf;

	if (from >= s->in.len)
		return 0;
	lf = memchr(s->in.data + from, '\n', s->in.len - from);
	return lf ? (size_t)(lf - (s->in.data + from)) + 1 : 0;
}

static size_t without_end(const uint8_t *line, size_t n)
{
	if (n && line[n - 1] == '\n')
		n--;
	if (n && line[n - 1] == '\r')
		n--;
	return n;
}

static bool is_listening(const struct session *s)
{
	return s->state != SESSION_SILENT && s->state != SESSION_CLOSING && s->state != SESSION_CLOSED;
}

static void note_lines(struct session *s)
{
	size_t n;

	while (!s->is_starting && (n = line_at(s, s->noted)) > 0) {
		const uint8_t *line = s->in.data + s->noted;
		bool is_starttls = note_line(s, line, n, without_end(line, n)) == VERB_STARTTLS;
		s->noted += n;
		s->is_starting = is_starttls && s->host->traits.tls && !s->tls && is_listening(s);
	}
	if (!s->is_starting && s->in.len - s->noted > SESSION_LINE_MAX) {
		note_line(s, s->in.data + s->noted, s->in.len - s->noted, s->in.len - s->noted);
		s->noted = s->in.len;
		session_tell(s, "500 5.5.2 Error: line too long\r\n", 32);
		session_close(s);
	}
}

/* What the peer left in the middle, when it says no more, is seen too, but not answered. */
static void note_half_line(struct session *s)
{
	if (!s->is_peer_done || s->is_starting || s->in.len == s->noted)
		return;
	note_line(s, s->in.data + s->noted, s->in.len - s->noted, s->in.len - s->noted);
	s->in.len = s->noted;
}

/* STARTTLS, the last line in the record, was answered: what follows is a handshake, or lines after all. */
static void starttls_answered(struct session *s)
{
	s->is_starting = false;
	if (s->tls)
		return;
	note_lines(s);
	note_half_line(s);
}

/* Answers every line that is in the record: they came together. */
static void answer_burst(struct session *s)
{
	size_t done = 0, n;

	if (!s->has_waited)
		s->is_early = false;
	while (is_listening(s) && done < s->noted && (n = line_at(s, done)) > 0) {
		if (!session_line(s, s->in.data + done, without_end(s->in.data + done, n)))
			break;
		s->is_early = true;
		done += n;
		if (s->is_starting && done == s->noted)
			starttls_answered(s);
	}
	if (!is_listening(s)) {
		starttls_answered(s);
		done = s->noted;
	}
	buf_consume(&s->in, done);
	s->noted -= done;
	if (s->in.len && s->tls && !session_is_tls(s))
		session_tls_take_back(s);
	if (!s->in.len)
		buf_free(&s->in);
}

void session_wait(struct session *s, uint32_t ms)
{
	loop_timer(session_world(s)->loop, &s->timer, (int64_t)ms * 1000);
}

static void arrange_answer(struct session *s)
{
	bool has_line = s->noted > 0;

	if (!is_listening(s)) {
		answer_burst(s);
	} else if (s->state != SESSION_BANNER && has_line && !s->timer.slot) {
		if (s->host->latency_ms)
			loop_timer(session_world(s)->loop, &s->timer, (int64_t)s->host->latency_ms * 1000);
		else
			answer_burst(s);
	}
}

/* The peer sends no more. What it sent before is still answered, as by any server, so that a test may be a pipe. */
static void peer_done(struct session *s)
{
	s->is_peer_done = true;
	if (!s->closed_by)
		s->closed_by = "client";
	if (s->tls && !session_is_tls(s))
		session_tls_lost(s);
	note_half_line(s);
	if (s->is_shut)
		session_end(s);
}

/* The last answer is out, or will be with this turn. */
static void end_when_answered(struct session *s)
{
	if (s->is_peer_done && !s->timer.slot)
		session_close(s);
}

static void on_timer(struct timer *t)
{
	struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));

	if (s->state == SESSION_CLOSING) {
		session_end(s);
	} else if (s->state == SESSION_BANNER) {
		session_greet(s);
		arrange_answer(s);
	} else {
		answer_burst(s);
	}
	end_when_answered(s);
	if (s->state != SESSION_CLOSED)
		session_want_events(s);
}

static void count_bytes(struct session *s, size_t n)
{
	struct counts *c = &session_world(s)->counts;

	s->bytes_in += n;
	c->all.bytes_in += n;
	c->host[s->host->number].bytes_in += n;
}

/* A round trip begins with bytes that come while nothing is owed: all before them is answered and sent. */
static void count_round_trip(struct session *s)
{
	struct counts *c = &session_world(s)->counts;

	if (s->in.len || s->out.len > s->not_owed || !is_listening(s))
		return;
	s->round_trips++;
	c->all.round_trips++;
	c->host[s->host->number].round_trips++;
}

void session_take(struct session *s, const uint8_t *bytes, size_t n)
{
	count_round_trip(s);
	buf_append(&s->in, bytes, n);
	note_lines(s);
	if (!is_listening(s))
		answer_burst(s);
}

/* Who speaks before the greeting has no manners, or is a machine that sends mail nobody wants. */
static void punish_early_talker(struct session *s)
{
	if (s->state != SESSION_BANNER || !s->bytes_in || !s->host->traits.early_talker_reply)
		return;
	loop_timer_clear(session_world(s)->loop, &s->timer);
	session_reply(s, s->host->traits.early_talker_reply);
	session_close(s);
	answer_burst(s);
}

/* False: nothing more to read now. */
static bool read_some(struct session *s, bool is_hung_up)
{
	static uint8_t chunk[SESSION_INPUT_MAX];
	ssize_t n = recv(s->watch.fd, chunk, sizeof chunk, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) {
		s->closed_by = "reset";
		session_end(s);
	} else if (!n && s->is_peer_done && is_hung_up) {
		session_end(s);
	} else if (!n) {
		peer_done(s);
	} else {
		count_bytes(s, (size_t)n);
		if (s->tls)
			session_tls_take(s, chunk, (size_t)n);
		else
			session_take(s, chunk, (size_t)n);
		return s->state != SESSION_CLOSED;
	}
	return false;
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct session *s = (struct session *)((char *)w - offsetof(struct session, watch));
	bool was_done = s->is_peer_done;

	if (s->state == SESSION_CLOSED)
		return;
	if (events & EPOLLOUT)
		session_mark_dirty(s);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	for (int i = 0; i < READS_A_TURN && s->in.len < SESSION_INPUT_MAX; i++)
		if (!read_some(s, events & (EPOLLHUP | EPOLLERR)))
			break;
	if (s->state == SESSION_CLOSED)
		return;
	punish_early_talker(s);
	arrange_answer(s);
	end_when_answered(s);
	if (s->state != SESSION_CLOSED && (s->in.len >= SESSION_INPUT_MAX || s->is_peer_done != was_done))
		session_want_events(s);
}

/* --- the beginning --- */

void session_start(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	struct smtpd *d = l->site->smtpd;
	struct session *s = calloc(1, sizeof *s);
	uint32_t delay;

	if (!s) {
		close(fd);
		return;
	}
	s->site = l->site;
	s->host = l->site->host;
	s->id = ++d->last_id;
	s->number = ++l->site->connections;
	s->local = l->addr;
	s->since_us = loop_now_us();
	addr_from_sock(&s->peer, peer);
	s->in.max = SESSION_INPUT_MAX * 2;
	s->out.max = SESSION_OUTPUT_MAX;
	s->watch = (struct watch){ on_ready, fd };
	s->timer.fire = on_timer;
	s->endless.max = s->out.max;
	session_out_init(s);
	TAILQ_INSERT_TAIL(&d->all, s, all);
	note_connect(s);
	if (!loop_watch(d->world->loop, &s->watch, EPOLLIN)) {
		session_end(s);
		return;
	}
	if (s->host->traits.banner_teaser)
		session_reply(s, s->host->traits.banner_teaser);
	delay = session_banner_delay(s);
	if (delay)
		session_wait(s, delay);
	else
		session_greet(s);
}
