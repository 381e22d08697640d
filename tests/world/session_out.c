/* What a connection says: replies on their way, dripping, without end, and the end of it all. */
#include <errno.h>
#include <string.h>

#include "tests/world/smtpd.h"

#define LINGER_US 1000000
#define ENDLESS_MS 100

void session_mark_dirty(struct session *s)
{
	if (s->is_dirty || s->state == SESSION_CLOSED)
		return;
	s->is_dirty = true;
	TAILQ_INSERT_TAIL(&s->site->smtpd->dirty, s, dirty);
}

/* False: it never reads, and there is no more for it. */
static bool put(struct session *s, const void *bytes, size_t n)
{
	if (session_is_tls(s))
		session_tls_write(s, bytes, n);
	else
		buf_append(&s->out, bytes, n);
	session_mark_dirty(s);
	if (!s->out.err)
		return true;
	s->is_reset = true;
	session_end(s);
	return false;
}

void session_tell(struct session *s, const char *bytes, size_t n)
{
	struct buf *line;
	size_t shown = n;

	if (s->state == SESSION_CLOSED || s->state == SESSION_CLOSING || !put(s, bytes, n))
		return;
	while (shown && (bytes[shown - 1] == '\n' || bytes[shown - 1] == '\r'))
		shown--;
	line = session_note(s, "reply");
	record_text(line, "verb", s->cmd ? s->cmd->word : "");
	record_bytes(line, "text", bytes, shown);
	if (session_is_tls(s))
		record_number(line, "tls", 1);
	record_end(session_world(s)->record);
}

void session_close(struct session *s)
{
	if (s->state == SESSION_CLOSED || s->state == SESSION_CLOSING)
		return;
	s->state = SESSION_CLOSING;
	if (!s->closed_by)
		s->closed_by = "server";
	if (session_is_tls(s))
		session_tls_bye(s);
	session_mark_dirty(s);
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

/* --- the pump --- */

void session_endless(struct session *s, const char *bytes, size_t n, uint32_t every_ms)
{
	session_tell(s, bytes, n);
	session_silent(s);
	buf_append(&s->endless, bytes, n);
	s->endless_ms = every_ms ? every_ms : ENDLESS_MS;
	loop_timer(session_world(s)->loop, &s->pump, (int64_t)s->endless_ms * 1000);
}

static void on_pump(struct timer *t)
{
	struct session *s = (struct session *)((char *)t - offsetof(struct session, pump));

	session_mark_dirty(s); /* a drip's next byte */
	if (!s->endless.len || s->state != SESSION_SILENT)
		return;
	/* Said once is recorded once; as long as the peer does not read, nothing is added. */
	if (!s->out.len && !put(s, s->endless.data, s->endless.len))
		return;
	if (!s->host->traits.drip_ms) /* else the next byte sets it */
		loop_timer(session_world(s)->loop, &s->pump, (int64_t)s->endless_ms * 1000);
}

void session_out_init(struct session *s)
{
	s->pump.fire = on_pump;
}

/* --- the socket --- */

void session_want_events(struct session *s)
{
	uint32_t events = s->is_blocked ? EPOLLOUT : 0;

	if (s->in.len < SESSION_INPUT_MAX && !s->is_peer_done)
		events |= EPOLLIN;
	loop_change(session_world(s)->loop, &s->watch, events);
}

static void count_sent(struct session *s, size_t n)
{
	struct counts *c = &session_world(s)->counts;

	s->sent += n;
	s->bytes_out += n;
	c->all.bytes_out += n;
	c->host[s->host->number].bytes_out += n;
}

/* False: not all of it is gone. */
static bool write_out(struct session *s)
{
	uint32_t drip_ms = s->host->traits.drip_ms;

	while (s->sent < s->out.len) {
		size_t most = drip_ms ? 1 : s->out.len - s->sent;
		ssize_t n;
		if (drip_ms && s->pump.slot)
			return false; /* not yet time */
		n = send(s->watch.fd, s->out.data + s->sent, most, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			s->is_blocked = true;
			session_want_events(s);
			return false;
		}
		if (n < 0) {
			s->closed_by = "reset";
			session_end(s);
			return false;
		}
		count_sent(s, (size_t)n);
		if (drip_ms)
			loop_timer(session_world(s)->loop, &s->pump, (int64_t)drip_ms * 1000);
	}
	return true;
}

void session_flush(struct session *s)
{
	if (!write_out(s))
		return;
	buf_free(&s->out);
	s->sent = s->not_owed = 0;
	if (s->is_blocked) {
		s->is_blocked = false;
		session_want_events(s);
	}
	if (s->state != SESSION_CLOSING || s->is_shut)
		return;
	/* The peer closes second, so that what is on its way to it is not cut off by a reset. */
	s->is_shut = true;
	shutdown(s->watch.fd, SHUT_WR);
	if (s->is_peer_done)
		session_end(s);
	else
		loop_timer(session_world(s)->loop, &s->timer, LINGER_US);
}
