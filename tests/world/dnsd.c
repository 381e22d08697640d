/* The sockets of the DNS server: UDP and TCP on each address of the description. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "tests/world/dns.h"
#include "tests/world/world.h"

#define PORT_TRIES 64
#define DATAGRAMS_A_TURN 512
#define TCP_CONNECTIONS_MAX 4096
#define TCP_IDLE_US 30000000
#define TCP_OUTPUT_MAX (1024 * 1024)

struct conn;

/* An answer on its way: at the end of the turn, or when its delay is over. */
struct answer_out {
	struct dnsd *dnsd;
	struct timer timer;
	struct buf bytes;
	struct place *place;
	struct addr peer;
	struct conn *conn; /* NULL: by UDP */
	bool from_other_port;
	LIST_ENTRY(answer_out) of_conn, of_dnsd;
	TAILQ_ENTRY(answer_out) link; /* in `ready` while has no timer */
};

struct conn {
	struct place *place;
	struct watch watch;
	struct timer idle;
	struct addr peer;
	struct buf in, out;
	bool is_ended, is_peer_done;
	LIST_HEAD(, answer_out) answers;
	TAILQ_ENTRY(conn) link;
};

struct place {
	struct dnsd *dnsd;
	struct watch udp, tcp;
	int other; /* a socket on another port of the address, for answers that are not to be believed; -1: not yet */
	struct addr addr;
};

struct dnsd {
	struct world *world;
	struct place *place;
	struct dns_memory *memory;
	size_t places, conns;
	TAILQ_HEAD(, answer_out) ready;
	LIST_HEAD(, answer_out) answers; /* all of them, also those that wait for their time */
	TAILQ_HEAD(, conn) open, ended;
};

#define OWNER(ptr, type, field) ((type *)((char *)(ptr)-offsetof(type, field)))

/* --- answers --- */

static void drop_answer(struct answer_out *a)
{
	if (a->timer.slot)
		loop_timer_clear(a->dnsd->world->loop, &a->timer);
	else
		TAILQ_REMOVE(&a->dnsd->ready, a, link);
	if (a->conn)
		LIST_REMOVE(a, of_conn);
	LIST_REMOVE(a, of_dnsd);
	buf_free(&a->bytes);
	free(a);
}

static void on_due(struct timer *t)
{
	struct answer_out *a = OWNER(t, struct answer_out, timer);

	TAILQ_INSERT_TAIL(&a->dnsd->ready, a, link);
}

static void note(struct dnsd *d, const struct dns_query *q, const struct dns_outcome *o, const struct answer_out *a)
{
	struct buf *line = record_begin(d->world->record, "dns");
	char type[16], text[ADDR_TEXT_MAX];

	record_text(line, "name", q->name);
	record_text(line, "type", q->question_len ? dns_type_text(q->type, type) : "");
	record_text(line, "transport", a->conn ? "tcp" : "udp");
	record_text(line, "rcode", o->dropped ? "DROPPED" : dns_rcode_text(o->rcode));
	record_number(line, "answers", o->answers);
	record_number(line, "truncated", o->truncated);
	record_number(line, "delay_ms", o->delay_ms);
	if (o->wrong) {
		struct buf words = BUF_INIT(256);
		dns_wrong_text(o->wrong, &words);
		record_text(line, "wrong", buf_str(&words));
		buf_free(&words);
	}
	record_text(line, "local", addr_text(&a->place->addr, text));
	record_text(line, "peer", addr_text(&a->peer, text));
	record_end(d->world->record);
	if (q->question_len)
		counts_dns(&d->world->counts, q->name, q->type, a->conn);
	else
		d->world->counts.dns_bad++;
}

static void end_conn(struct conn *);

static struct answer_out *new_answer(struct place *p, struct conn *conn, const struct addr *peer)
{
	struct answer_out *a = calloc(1, sizeof *a);

	if (!a)
		abort();
	*a = (struct answer_out){ .dnsd = p->dnsd,
		.place = p,
		.peer = *peer,
		.conn = conn,
		.timer = { .fire = on_due },
		.bytes = BUF_INIT(DNS_MESSAGE_MAX) };
	if (conn)
		LIST_INSERT_HEAD(&conn->answers, a, of_conn);
	LIST_INSERT_HEAD(&p->dnsd->answers, a, of_dnsd);
	return a;
}

static void schedule(struct answer_out *a, const struct dns_outcome *o)
{
	struct dnsd *d = a->dnsd;

	a->from_other_port = o->wrong & 1u << WRONG_PORT;
	if (o->delay_ms)
		loop_timer(d->world->loop, &a->timer, (int64_t)o->delay_ms * 1000);
	else
		TAILQ_INSERT_TAIL(&d->ready, a, link);
	if (o->dropped)
		drop_answer(a);
}

static void take_query(struct place *p, struct conn *conn, const struct addr *peer, const uint8_t *message, size_t n)
{
	struct dnsd *d = p->dnsd;
	struct dns_query q;
	struct dns_outcome o;
	struct answer_out *a;

	if (!dns_read(&q, message, n)) {
		d->world->counts.dns_bad++;
		return;
	}
	a = new_answer(p, conn, peer);
	dns_answer(d->world->desc, d->memory, &q, message, conn, &a->bytes, &o);
	note(d, &q, &o, a);
	if (conn && o.wrong & 1u << WRONG_TCP_CLOSED)
		o.dropped = true;
	schedule(a, &o);
	if (conn && o.wrong & 1u << WRONG_TCP_CLOSED) {
		end_conn(conn);
	} else if (o.then_right && !o.dropped) {
		q.wants_right = true;
		a = new_answer(p, conn, peer);
		dns_answer(d->world->desc, d->memory, &q, message, conn, &a->bytes, &o);
		schedule(a, &o);
	}
}

/* --- UDP --- */

static void on_udp(struct watch *w, uint32_t events)
{
	struct place *p = OWNER(w, struct place, udp);
	static uint8_t message[DNS_MESSAGE_MAX];

	(void)events;
	for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
		struct sockaddr_storage ss = { 0 };
		socklen_t ss_len = sizeof ss;
		struct addr peer;
		ssize_t n = recvfrom(w->fd, message, sizeof message, 0, (struct sockaddr *)&ss, &ss_len);
		if (n < 0)
			return;
		addr_from_sock(&peer, &ss);
		take_query(p, NULL, &peer, message, (size_t)n);
	}
}

/* --- TCP --- */

static void end_conn(struct conn *c)
{
	struct dnsd *d = c->place->dnsd;

	if (c->is_ended)
		return;
	c->is_ended = true;
	while (!LIST_EMPTY(&c->answers))
		drop_answer(LIST_FIRST(&c->answers));
	loop_timer_clear(d->world->loop, &c->idle);
	loop_close(d->world->loop, &c->watch);
	d->conns--;
	TAILQ_REMOVE(&d->open, c, link);
	TAILQ_INSERT_TAIL(&d->ended, c, link);
}

static void on_idle(struct timer *t)
{
	end_conn(OWNER(t, struct conn, idle));
}

static void write_conn(struct conn *c)
{
	while (c->out.len) {
		ssize_t n = send(c->watch.fd, c->out.data, c->out.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			loop_change(c->place->dnsd->world->loop, &c->watch, EPOLLOUT | (c->is_peer_done ? 0 : EPOLLIN));
			return;
		}
		if (n < 0) {
			end_conn(c);
			return;
		}
		buf_consume(&c->out, (size_t)n);
	}
	buf_free(&c->out);
	loop_change(c->place->dnsd->world->loop, &c->watch, c->is_peer_done ? 0 : EPOLLIN);
	if (c->is_peer_done && LIST_EMPTY(&c->answers))
		end_conn(c);
}

static void take_messages(struct conn *c)
{
	for (;;) {
		size_t n = c->in.len < 2 ? 0 : (size_t)(c->in.data[0] << 8 | c->in.data[1]);
		if (c->in.len < 2 || c->in.len < n + 2)
			return;
		take_query(c->place, c, &c->peer, c->in.data + 2, n);
		if (c->is_ended)
			return;
		buf_consume(&c->in, n + 2);
	}
}

static void on_conn(struct watch *w, uint32_t events)
{
	struct conn *c = OWNER(w, struct conn, watch);
	static uint8_t chunk[16384];
	ssize_t n;

	if (events & EPOLLOUT)
		write_conn(c);
	if (c->is_ended || !(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return;
	n = recv(w->fd, chunk, sizeof chunk, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0 || (!n && events & (EPOLLERR | EPOLLHUP))) {
		end_conn(c);
		return;
	}
	if (!n) { /* it may wait for answers still */
		c->is_peer_done = true;
		write_conn(c);
		return;
	}
	loop_timer(c->place->dnsd->world->loop, &c->idle, TCP_IDLE_US);
	buf_append(&c->in, chunk, (size_t)n);
	take_messages(c);
}

static void on_tcp(struct watch *w, uint32_t events)
{
	struct place *p = OWNER(w, struct place, tcp);
	struct sockaddr_storage ss = { 0 };
	socklen_t ss_len = sizeof ss;
	int fd = accept4(w->fd, (struct sockaddr *)&ss, &ss_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c;

	(void)events;
	if (fd < 0)
		return;
	c = p->dnsd->conns < TCP_CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	c->place = p;
	c->watch = (struct watch){ on_conn, fd };
	c->idle.fire = on_idle;
	addr_from_sock(&c->peer, &ss);
	c->in.max = 2 * DNS_MESSAGE_MAX;
	c->out.max = TCP_OUTPUT_MAX;
	LIST_INIT(&c->answers);
	TAILQ_INSERT_TAIL(&p->dnsd->open, c, link);
	p->dnsd->conns++;
	loop_timer(p->dnsd->world->loop, &c->idle, TCP_IDLE_US);
	if (!loop_watch(p->dnsd->world->loop, &c->watch, EPOLLIN))
		end_conn(c);
}

/* --- the end of a turn --- */

static int other_port(struct place *p)
{
	struct addr addr = p->addr;

	addr.port = 0;
	if (p->other < 0)
		p->other = listen_on(&addr, SOCK_DGRAM);
	return p->other;
}

static void send_answer(struct answer_out *a)
{
	struct sockaddr_storage ss;

	if (a->conn) {
		uint8_t len[2] = { (uint8_t)(a->bytes.len >> 8), (uint8_t)a->bytes.len };
		buf_append(&a->conn->out, len, 2);
		buf_append(&a->conn->out, a->bytes.data, a->bytes.len);
		return;
	}
	socklen_t n = addr_to_sock(&a->peer, &ss);
	/* What does not fit the socket is lost, as datagrams are. */
	(void)!sendto(a->from_other_port ? other_port(a->place) : a->place->udp.fd, a->bytes.data, a->bytes.len,
		MSG_NOSIGNAL, (struct sockaddr *)&ss, n);
}

void dnsd_turn_end(struct dnsd *d)
{
	struct answer_out *a;
	struct conn *c;

	while ((a = TAILQ_FIRST(&d->ready))) {
		struct conn *conn = a->conn;
		send_answer(a);
		drop_answer(a);
		if (conn && conn->out.err)
			end_conn(conn); /* asks and never reads */
		else if (conn)
			write_conn(conn);
	}
	while ((c = TAILQ_FIRST(&d->ended))) {
		TAILQ_REMOVE(&d->ended, c, link);
		buf_free(&c->in);
		buf_free(&c->out);
		free(c);
	}
}

/* --- start and end --- */

static bool bind_place(struct place *p, uint16_t port)
{
	p->addr.port = port;
	p->tcp.fd = listen_on(&p->addr, SOCK_STREAM);
	if (p->tcp.fd < 0)
		return false;
	p->addr.port = bound_port(p->tcp.fd);
	p->udp.fd = listen_on(&p->addr, SOCK_DGRAM);
	if (p->udp.fd >= 0)
		return true;
	int error = errno;
	close(p->tcp.fd);
	p->tcp.fd = -1;
	p->addr.port = port;
	errno = error;
	return false;
}

static bool start_place(struct dnsd *d, size_t i)
{
	struct place *p = &d->place[i];
	char text[ADDR_TEXT_MAX];
	int room = 4 * 1024 * 1024;

	p->dnsd = d;
	p->udp = (struct watch){ on_udp, -1 };
	p->tcp = (struct watch){ on_tcp, -1 };
	p->other = -1;
	addr_parse_port(&p->addr, d->world->desc->dns.item[i]);
	uint16_t port = p->addr.port;
	for (int tries = port ? 1 : PORT_TRIES; tries && p->udp.fd < 0; tries--)
		if (!bind_place(p, port) && tries == 1)
			listen_failed("DNS", addr_text(&p->addr, text));
	if (p->udp.fd < 0)
		return false;
	setsockopt(p->udp.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	setsockopt(p->udp.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	return loop_watch(d->world->loop, &p->udp, EPOLLIN) && loop_watch(d->world->loop, &p->tcp, EPOLLIN);
}

struct dnsd *dnsd_start(struct world *w)
{
	struct dnsd *d = calloc(1, sizeof *d);

	if (!d)
		abort();
	d->world = w;
	d->memory = dns_memory_new();
	TAILQ_INIT(&d->ready);
	TAILQ_INIT(&d->open);
	TAILQ_INIT(&d->ended);
	d->place = calloc(w->desc->dns.n + 1, sizeof *d->place);
	if (!d->place)
		abort();
	for (; d->places < w->desc->dns.n; d->places++) {
		if (!start_place(d, d->places)) {
			d->places++;
			dnsd_stop(d);
			return NULL;
		}
	}
	return d;
}

void dnsd_stop(struct dnsd *d)
{
	while (!TAILQ_EMPTY(&d->open))
		end_conn(TAILQ_FIRST(&d->open));
	dnsd_turn_end(d);
	while (!LIST_EMPTY(&d->answers))
		drop_answer(LIST_FIRST(&d->answers));
	for (size_t i = 0; i < d->places; i++) {
		loop_close(d->world->loop, &d->place[i].udp);
		loop_close(d->world->loop, &d->place[i].tcp);
		if (d->place[i].other >= 0)
			close(d->place[i].other);
	}
	dns_memory_free(d->memory);
	free(d->place);
	free(d);
}

void dnsd_addresses(const struct dnsd *d, struct buf *out)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < d->places; i++)
		buf_printf(out, "%s%s", i ? "," : "", addr_text(&d->place[i].addr, text));
}

void dnsd_forget(struct dnsd *d)
{
	dns_memory_forget(d->memory);
}
