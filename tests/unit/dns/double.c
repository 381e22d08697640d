#include "tests/unit/dns/double.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASKED_MAX 20000
#define STREAMS_MAX 64

struct asked {
	char name[256];
	unsigned type, id;
	struct sockaddr_in from;
};

struct stream {
	struct double_server *server;
	struct watch *watch;
	int fd;
	uint8_t in[1024];
	size_t len;
};

struct double_server {
	struct loop *loop;
	int udp, tcp;
	unsigned port, total, over_tcp, held;
	double_fn answer, liar;
	enum double_manner manner;
	struct watch *udp_watch, *tcp_watch;
	struct stream stream[STREAMS_MAX];
	unsigned streams;
	struct asked asked[ASKED_MAX];
	struct message message;
};

static bool read_question(const uint8_t *in, size_t len, struct asked *a)
{
	size_t at = 12, n = 0;
	if (len < 17)
		return false;
	a->id = (unsigned)in[0] << 8 | in[1];
	while (at < len && in[at] && at + 1 + in[at] < len && n + in[at] + 1 < sizeof(a->name)) {
		if (n)
			a->name[n++] = '.';
		memcpy(a->name + n, in + at + 1, in[at]);
		n += in[at];
		at += 1u + in[at];
	}
	a->name[n] = 0;
	if (at + 3 > len)
		return false;
	a->type = (unsigned)in[at + 1] << 8 | in[at + 2];
	return true;
}

static struct asked *note(struct double_server *d, const uint8_t *in, size_t len)
{
	struct asked *a = &d->asked[d->total];
	if (d->total == ASKED_MAX || !read_question(in, len, a))
		abort();
	d->total++;
	return a;
}

static void send_udp(struct double_server *d, const struct asked *a)
{
	sendto(d->udp, d->message.bytes, d->message.len, 0, (const struct sockaddr *)&a->from, sizeof(a->from));
}

static void answer_udp(struct double_server *d, const struct asked *a)
{
	if (d->manner == DOUBLE_TRUNCATES) {
		message_start(&d->message, a->id, 0x8600, a->name, a->type);
		send_udp(d, a);
		return;
	}
	if (d->manner == DOUBLE_WRONG_ID) {
		d->liar(&d->message, a->id ^ 1, a->name, a->type);
		send_udp(d, a);
	}
	d->answer(&d->message, a->id, a->name, a->type);
	if (d->message.len)
		send_udp(d, a);
}

static void on_udp(void *ctx, unsigned events)
{
	struct double_server *d = ctx;
	(void)events;
	for (;;) {
		uint8_t in[1024];
		struct sockaddr_in from;
		socklen_t size = sizeof from;
		ssize_t n = recvfrom(d->udp, in, sizeof in, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
		if (n < 0)
			return;
		struct asked *a = note(d, in, (size_t)n);
		a->from = from;
		if (d->manner != DOUBLE_SILENT && d->manner != DOUBLE_HOLDS)
			answer_udp(d, a);
	}
}

static void answer_tcp(struct double_server *d, const struct stream *s, const struct asked *a)
{
	d->answer(&d->message, a->id, a->name, a->type);
	uint8_t head[2] = { (uint8_t)(d->message.len >> 8), (uint8_t)d->message.len };
	if (send(s->fd, head, 2, MSG_NOSIGNAL) != 2 ||
		send(s->fd, d->message.bytes, d->message.len, MSG_NOSIGNAL) != (ssize_t)d->message.len)
		abort(); /* 64 KB fit the socket's buffer */
}

static void stream_close(struct stream *s)
{
	watch_close(s->watch);
	s->watch = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static void on_stream(void *ctx, unsigned events)
{
	struct stream *s = ctx;
	(void)events;
	ssize_t n = recv(s->fd, s->in + s->len, sizeof(s->in) - s->len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		stream_close(s);
		return;
	}
	s->len += (size_t)n;
	size_t one;
	while (s->len >= 2 && s->len >= (one = 2 + ((size_t)s->in[0] << 8 | s->in[1]))) {
		const struct asked *a = note(s->server, s->in + 2, one - 2);
		s->server->over_tcp++;
		answer_tcp(s->server, s, a);
		s->len -= one;
		memmove(s->in, s->in + one, s->len);
	}
}

static void on_tcp(void *ctx, unsigned events)
{
	struct double_server *d = ctx;
	(void)events;
	int fd = accept(d->tcp, NULL, NULL);
	if (fd < 0)
		return;
	if (d->streams == STREAMS_MAX)
		abort();
	struct stream *s = &d->stream[d->streams++];
	*s = (struct stream){ .server = d, .fd = fd };
	if (watch_open(d->loop, fd, on_stream, s, &s->watch))
		abort();
	watch_want(s->watch, WATCH_READ);
}

/* UDP and TCP on the same port, which the system chooses. */
static bool bind_both(struct double_server *d)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof at;
	d->tcp = socket(AF_INET, SOCK_STREAM, 0);
	d->udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(d->tcp, (struct sockaddr *)&at, size) || getsockname(d->tcp, (struct sockaddr *)&at, &size) ||
		bind(d->udp, (struct sockaddr *)&at, size) || listen(d->tcp, 16)) {
		close(d->tcp);
		close(d->udp);
		return false;
	}
	d->port = ntohs(at.sin_port);
	return true;
}

struct double_server *double_open(struct loop *loop, double_fn answer)
{
	struct double_server *d = calloc(1, sizeof *d);
	int size = 1 << 20;
	if (!d)
		abort();
	d->loop = loop;
	d->answer = answer;
	for (int tries = 0; !bind_both(d); tries++)
		if (tries == 100)
			abort();
	setsockopt(d->udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (watch_open(loop, d->udp, on_udp, d, &d->udp_watch) || watch_open(loop, d->tcp, on_tcp, d, &d->tcp_watch))
		abort();
	watch_want(d->udp_watch, WATCH_READ);
	watch_want(d->tcp_watch, WATCH_READ);
	return d;
}

unsigned double_port(const struct double_server *d)
{
	return d->port;
}

void double_manner(struct double_server *d, enum double_manner manner)
{
	d->manner = manner;
}

void double_liar(struct double_server *d, double_fn liar)
{
	d->liar = liar;
	d->manner = DOUBLE_WRONG_ID;
}

void double_release(struct double_server *d)
{
	d->manner = DOUBLE_ANSWERS;
	for (; d->held < d->total; d->held++)
		answer_udp(d, &d->asked[d->held]);
}

unsigned double_asked(const struct double_server *d, const char *name, unsigned type)
{
	unsigned n = 0;
	for (unsigned i = 0; i < d->total; i++)
		n += d->asked[i].type == type && !strcasecmp(d->asked[i].name, name);
	return n;
}

unsigned double_total(const struct double_server *d)
{
	return d->total;
}

unsigned double_over_tcp(const struct double_server *d)
{
	return d->over_tcp;
}

void double_close(struct double_server *d)
{
	watch_close(d->udp_watch);
	watch_close(d->tcp_watch);
	for (unsigned i = 0; i < d->streams; i++)
		stream_close(&d->stream[i]);
	close(d->udp);
	close(d->tcp);
	free(d);
}
