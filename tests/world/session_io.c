/* One SMTP connection's socket: reads lines, writes replies, counts and records both. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/world/smtpd.h"

#define READS_A_TURN 4
#define LINGER_US 1000000

static struct world *world_of(const struct session *s)
{
	return s->site->smtpd->world;
}

/* --- record and counts --- */

static struct buf *begin(struct session *s, const char *event)
{
	struct buf *line = record_begin(world_of(s)->record, event);

	record_number(line, "conn", s->id);
	record_text(line, "host", s->host->name);
	return line;
}

static void note_connect(struct session *s)
{
	char text[ADDR_TEXT_MAX];
	struct buf *line = begin(s, "connect");

	record_text(line, "local", addr_text(&s->local, text));
	record_text(line, "peer", addr_text(&s->peer, text));
	record_end(world_of(s)->record);
	counts_open(&world_of(s)->counts, s->host->number);
}

static void note_close(struct session *s)
{
	struct buf *line = begin(s, "close");

	record_text(line, "by", s->closed_by ? s->closed_by : "server");
	record_number(line, "bytes_in", s->bytes_in);
	record_number(line, "bytes_out", s->bytes_out);
	record_number(line, "round_trips", s->round_trips);
	record_number(line, "round_trips_rcpt", s->round_trips_rcpt);
	record_end(world_of(s)->record);
	counts_close(&world_of(s)->counts, s->host->number);
}

static void note_line(struct session *s, const uint8_t *bytes, size_t n, size_t text_len)
{
	struct smtp_cmd cmd;
	struct buf *line = begin(s, "line");

	smtp_cmd_read(&cmd, bytes, text_len);
	record_text(line, "verb", cmd.word);
	record_bytes(line, "arg", cmd.arg, cmd.arg_len);
	record_bytes(line, "raw", bytes, n);
	record_number(line, "round_trip", s->round_trips);
	record_end(world_of(s)->record);
	world_of(s)->counts.all.verbs[cmd.verb]++;
	world_of(s)->counts.host[s->host->number].verbs[cmd.verb]++;
}

void session_count_rcpt(struct session *s, const char *domain, int code)
{
	counts_rcpt(&world_of(s)->counts, s->host->number, domain, code);
	if (code)
		s->round_trips_rcpt = s->round_trips;
}

const struct desc *session_desc(const struct session *s)
{
	return world_of(s)->desc;
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
	s->state = SESSION_CLOSED;
	note_close(s);
	loop_timer_clear(d->world->loop, &s->timer);
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
	free(s->helo);
	free(s->sender);
	free(s);
}

/* --- writing --- */

static void mark_dirty(struct session *s)
{
	if (s->is_dirty || s->state == SESSION_CLOSED)
		return;
	s->is_dirty = true;
	TAILQ_INSERT_TAIL(&s->site->smtpd->dirty, s, dirty);
}

void session_tell(struct session *s, const char *text, size_t n)
{
	struct buf *line;
	size_t shown = n;

	if (s->state == SESSION_CLOSED || s->state == SESSION_CLOSING)
		return;
	buf_append(&s->out, text, n);
	if (s->out.err) { /* it never reads: no more for it */
		s->is_reset = true;
		session_end(s);
		return;
	}
	while (shown && (text[shown - 1] == '\n' || text[shown - 1] == '\r'))
		shown--;
	line = begin(s, "reply");
	record_text(line, "verb", s->cmd ? s->cmd->word : "");
	record_bytes(line, "text", text, shown);
	record_end(world_of(s)->record);
	mark_dirty(s);
}

void session_close(struct session *s)
{
	if (s->state == SESSION_CLOSED || s->state == SESSION_CLOSING)
		return;
	s->state = SESSION_CLOSING;
	if (!s->closed_by)
		s->closed_by = "server";
	mark_dirty(s);
}

void session_reset(struct session *s)
{
	s->is_reset = true;
	session_end(s);
}

void session_silent(struct session *s)
{
	if (s->state != SESSION_CLOSED && s->state != SESSION_CLOSING)
		s->state = SESSION_SILENT;
}

static void want_events(struct session *s)
{
	uint32_t events = s->is_blocked ? EPOLLOUT : 0;

	if (s->in.len < SESSION_INPUT_MAX && !s->is_peer_done)
		events |= EPOLLIN;
	loop_change(world_of(s)->loop, &s->watch, events);
}

void session_flush(struct session *s)
{
	while (s->sent < s->out.len) {
		ssize_t n = send(s->watch.fd, s->out.data + s->sent, s->out.len - s->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			s->is_blocked = true;
			want_events(s);
			return;
		}
		if (n < 0) {
			s->closed_by = "reset";
			session_end(s);
			return;
		}
		s->sent += (size_t)n;
		s->bytes_out += (uint64_t)n;
		world_of(s)->counts.all.bytes_out += (uint64_t)n;
		world_of(s)->counts.host[s->host->number].bytes_out += (uint64_t)n;
	}
	buf_free(&s->out);
	s->sent = 0;
	if (s->is_blocked) {
		s->is_blocked = false;
		want_events(s);
	}
	if (s->state != SESSION_CLOSING || s->is_shut)
		return;
	/* The peer closes second, so that what is on its way to it is not cut off by a reset. */
	s->is_shut = true;
	shutdown(s->watch.fd, SHUT_WR);
	if (s->is_peer_done)
		session_end(s);
	else
		loop_timer(world_of(s)->loop, &s->timer, LINGER_US);
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

static void note_lines(struct session *s)
{
	size_t n;

	while ((n = line_at(s, s->noted)) > 0) {
		const uint8_t *line = s->in.data + s->noted;
		note_line(s, line, n, without_end(line, n));
		s->noted += n;
	}
	if (s->in.len - s->noted > SESSION_LINE_MAX) {
		note_line(s, s->in.data + s->noted, s->in.len - s->noted, s->in.len - s->noted);
		s->noted = s->in.len;
		session_tell(s, "500 5.5.2 Error: line too long\r\n", 32);
		session_close(s);
	}
}

static bool is_listening(const struct session *s)
{
	return s->state != SESSION_SILENT && s->state != SESSION_CLOSING && s->state != SESSION_CLOSED;
}

/* Answers every line that is in the record: they came together. */
static void answer_burst(struct session *s)
{
	size_t done = 0, n;

	s->is_early = false;
	while (is_listening(s) && done < s->noted && (n = line_at(s, done)) > 0) {
		session_line(s, s->in.data + done, without_end(s->in.data + done, n));
		s->is_early = true;
		done += n;
	}
	if (!is_listening(s))
		done = s->noted;
	buf_consume(&s->in, done);
	s->noted -= done;
	if (!s->in.len)
		buf_free(&s->in);
}

static void arrange_answer(struct session *s)
{
	bool has_line = s->noted > 0;

	if (!is_listening(s)) {
		answer_burst(s);
	} else if (s->state != SESSION_BANNER && has_line && !s->timer.slot) {
		if (s->host->latency_ms)
			loop_timer(world_of(s)->loop, &s->timer, (int64_t)s->host->latency_ms * 1000);
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
	if (s->in.len > s->noted) { /* half a line is seen too */
		note_line(s, s->in.data + s->noted, s->in.len - s->noted, s->in.len - s->noted);
		buf_consume(&s->in, s->in.len - s->noted);
	}
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
		want_events(s);
}

static void count_bytes(struct session *s, size_t n)
{
	struct counts *c = &world_of(s)->counts;

	s->bytes_in += n;
	c->all.bytes_in += n;
	c->host[s->host->number].bytes_in += n;
	/* A round trip begins with bytes that come while nothing is owed: all before them is answered and sent. */
	if (s->in.len || s->out.len || !is_listening(s))
		return;
	s->round_trips++;
	c->all.round_trips++;
	c->host[s->host->number].round_trips++;
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
		buf_append(&s->in, chunk, (size_t)n);
		note_lines(s);
		if (!is_listening(s))
			answer_burst(s);
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
		mark_dirty(s);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	for (int i = 0; i < READS_A_TURN && s->in.len < SESSION_INPUT_MAX; i++)
		if (!read_some(s, events & (EPOLLHUP | EPOLLERR)))
			break;
	if (s->state == SESSION_CLOSED)
		return;
	arrange_answer(s);
	end_when_answered(s);
	if (s->state != SESSION_CLOSED && (s->in.len >= SESSION_INPUT_MAX || s->is_peer_done != was_done))
		want_events(s);
}

/* --- the beginning --- */

void session_start(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	struct smtpd *d = l->site->smtpd;
	struct session *s = calloc(1, sizeof *s);

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
	TAILQ_INSERT_TAIL(&d->all, s, all);
	note_connect(s);
	if (!loop_watch(d->world->loop, &s->watch, EPOLLIN))
		session_end(s);
	else if (s->host->latency_ms)
		loop_timer(d->world->loop, &s->timer, (int64_t)s->host->latency_ms * 1000);
	else
		session_greet(s);
}
