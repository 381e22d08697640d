/* The SMTP farm: one listener per address of a host that is not dead, all on one port. */
#include "tests/world/smtpd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/world/persona.h"

#define PORT_TRIES 64
#define ACCEPTS_A_TURN 256
#define RETRY_ACCEPT_US 100000

/* --- accepting --- */

static void on_accept(struct watch *w, uint32_t events)
{
	struct listener *l = (struct listener *)((char *)w - offsetof(struct listener, watch));

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t n = sizeof peer;
		int fd = accept4(w->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			session_start(l, fd, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE) { /* waits a little instead of being woken for ever */
			perror("world: accept");
			loop_change(l->site->smtpd->world->loop, w, 0);
			loop_timer(l->site->smtpd->world->loop, &l->retry, RETRY_ACCEPT_US);
		}
		return;
	}
}

static void on_retry(struct timer *t)
{
	struct listener *l = (struct listener *)((char *)t - offsetof(struct listener, retry));

	loop_change(l->site->smtpd->world->loop, &l->watch, EPOLLIN);
}

/* --- start and end --- */

static size_t count_listeners(const struct desc *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->hosts; i++)
		for (size_t k = 0; k < d->host[i].dns->addrs; k++)
			n += !d->host[i].dead && addr_is_loopback(&d->host[i].dns->addr[k]);
	return n;
}

static void add_listeners(struct smtpd *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->world->desc->hosts; i++) {
		const struct host *h = &d->world->desc->host[i];
		d->site[i] = (struct site){ .smtpd = d, .host = h };
		for (size_t k = 0; k < h->dns->addrs; k++) {
			if (h->dead || !addr_is_loopback(&h->dns->addr[k]))
				continue;
			d->listener[n++] = (struct listener){ .watch = { on_accept, -1 },
				.retry = { .fire = on_retry },
				.site = &d->site[i],
				.addr = h->dns->addr[k] };
		}
	}
}

/* Binds all to one port; with port 0 to the one that the first gets. */
static bool bind_all(struct smtpd *d, int port)
{
	for (size_t i = 0; i < d->listeners; i++) {
		struct listener *l = &d->listener[i];
		l->addr.port = (uint16_t)port;
		l->watch.fd = listen_on(&l->addr, SOCK_STREAM);
		if (l->watch.fd < 0) {
			int error = errno;
			while (i--) {
				close(d->listener[i].watch.fd);
				d->listener[i].watch.fd = -1;
			}
			errno = error;
			return false;
		}
		if (!port)
			port = bound_port(l->watch.fd);
		l->addr.port = (uint16_t)port;
	}
	d->port = port;
	return true;
}

static void say_failed(struct smtpd *d)
{
	char text[ADDR_TEXT_MAX], what[300];
	int error = errno;

	for (size_t i = 0; i < d->listeners; i++) {
		struct listener *l = &d->listener[i];
		int fd = listen_on(&l->addr, SOCK_STREAM);
		if (fd < 0) {
			snprintf(what, sizeof what, "host %s", l->site->host->name);
			listen_failed(what, addr_text(&l->addr, text));
			return;
		}
		close(fd);
	}
	errno = error;
	listen_failed("a mail host", "its address");
}

struct smtpd *smtpd_start(struct world *w)
{
	struct smtpd *d = calloc(1, sizeof *d);
	int tries = w->desc->smtp_port ? 1 : PORT_TRIES;

	if (!d)
		abort();
	d->world = w;
	TAILQ_INIT(&d->all);
	TAILQ_INIT(&d->dirty);
	TAILQ_INIT(&d->ended);
	d->listeners = count_listeners(w->desc);
	d->site = calloc(w->desc->hosts + 1, sizeof *d->site);
	d->listener = calloc(d->listeners + 1, sizeof *d->listener);
	if (!d->site || !d->listener)
		abort();
	add_listeners(d);
	for (size_t i = 0; i < w->desc->hosts && !d->key; i++)
		if (w->desc->host[i].traits.tls)
			d->key = tls_key_new();
	while (tries-- > 0 && !d->port)
		if (!bind_all(d, w->desc->smtp_port) && !tries)
			say_failed(d);
	for (size_t i = 0; i < d->listeners; i++)
		if (d->listener[i].watch.fd < 0 || !loop_watch(w->loop, &d->listener[i].watch, EPOLLIN)) {
			smtpd_stop(d);
			return NULL;
		}
	return d;
}

void smtpd_turn_end(struct smtpd *d)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&d->dirty))) {
		TAILQ_REMOVE(&d->dirty, s, dirty);
		s->is_dirty = false;
		session_flush(s);
	}
	record_flush(d->world->record);
	while ((s = TAILQ_FIRST(&d->ended))) {
		TAILQ_REMOVE(&d->ended, s, all);
		session_free(s);
	}
}

void smtpd_stop(struct smtpd *d)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&d->all))) {
		s->closed_by = "world";
		session_end(s);
	}
	smtpd_turn_end(d);
	for (size_t i = 0; i < d->listeners; i++)
		loop_close(d->world->loop, &d->listener[i].watch);
	smtpd_forget(d);
	for (size_t i = 0; i < d->world->desc->hosts; i++)
		tls_context_free(d->site[i].tls);
	tls_key_free(d->key);
	free(d->site);
	free(d->listener);
	free(d);
}

int smtpd_port(const struct smtpd *d)
{
	return d->port;
}

void smtpd_reset(struct smtpd *d)
{
	for (size_t i = 0; i < d->world->desc->hosts; i++)
		d->site[i].connections = 0;
}

void smtpd_forget(struct smtpd *d)
{
	for (size_t i = 0; i < d->world->desc->hosts; i++) {
		greylist_forget(&d->site[i]);
		unknown_forget(&d->site[i]);
	}
}

void smtpd_connections_json(struct smtpd *d, struct buf *out)
{
	char text[ADDR_TEXT_MAX];
	struct session *s;
	const char *comma = "";

	buf_putc(out, '[');
	TAILQ_FOREACH (s, &d->all, all) {
		buf_printf(out, "%s{\"conn\":%llu", comma, (unsigned long long)s->id);
		record_text(out, "host", s->host->name);
		record_text(out, "local", addr_text(&s->local, text));
		record_text(out, "peer", addr_text(&s->peer, text));
		record_number(out, "age_ms", (uint64_t)(loop_now_us() - s->since_us) / 1000);
		record_number(out, "bytes_in", s->bytes_in);
		record_number(out, "bytes_out", s->bytes_out);
		record_number(out, "round_trips", s->round_trips);
		record_number(out, "rcpts", s->seen[PHASE_RCPT]);
		buf_putc(out, '}');
		comma = ",";
	}
	buf_puts(out, "]\n");
}
