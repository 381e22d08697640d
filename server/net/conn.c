#include "server/net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 4096
#define READS_A_TURN 4 /* then others have their turn */

enum conn_state { CONN_OPENING, CONN_OPEN, CONN_SHAKING, CONN_GONE, CONN_CLOSED };

struct conn {
	struct loop *loop;
	const struct conn_events *events;
	void *ctx;
	enum conn_state state;
	int fd;
	struct watch *watch;
	struct ip source;
	SSL *ssl;	       /* NULL: in clear */
	struct tls_info *info; /* of the handshake */
	size_t pinned;	       /* bytes of out that TLS has begun to write and must be given again */
	bool read_wants_write; /* TLS has to write before it can read on */
	struct buf out;
	size_t begun; /* bytes of out's first line that the kernel has had already, 0 between lines */
	bool shake_due;
	struct mail first_shake, end;
};

static void free_conn(struct mail *m)
{
	struct conn *c = (struct conn *)((char *)m - offsetof(struct conn, end));
	buf_free(&c->out);
	free(c->info);
	free(c);
}

static void gone(struct conn *c, int errnum)
{
	c->state = CONN_GONE;
	watch_want(c->watch, 0);
	c->events->on_closed(c->ctx, errnum);
}

static void want(struct conn *c)
{
	bool write = c->out.len || c->read_wants_write;
	watch_want(c->watch, c->state == CONN_OPENING ? WATCH_WRITE : WATCH_READ | (write ? WATCH_WRITE : 0));
}

/* After n bytes of out went: how far into a line is the kernel now? */
static void note_sent(struct conn *c, size_t n)
{
	const uint8_t *last = memrchr(c->out.data, '\n', n);
	c->begun = last ? (size_t)(c->out.data + n - (last + 1)) : c->begun + n;
	buf_consume(&c->out, n);
	if (!c->out.len)
		buf_free(&c->out); /* buffers only while used */
}

/* As send(): bytes taken, or -1 with errno. */
static ssize_t put(struct conn *c)
{
	if (!c->ssl)
		return send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
	ERR_clear_error();
	size_t n = 0;
	if (SSL_write_ex(c->ssl, c->out.data, c->out.len, &n) == 1) {
		c->pinned = 0;
		return (ssize_t)n;
	}
	c->pinned = c->out.len;
	int why = SSL_get_error(c->ssl, 0);
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
	return -1;
}

/* As recv(): bytes, 0 at the end, or -1 with errno. */
static ssize_t get(struct conn *c, uint8_t *bytes, size_t room)
{
	if (!c->ssl)
		return recv(c->fd, bytes, room, 0);
	ERR_clear_error();
	size_t n = 0;
	int done = SSL_read_ex(c->ssl, bytes, room, &n);
	if (done == 1)
		return (ssize_t)n;
	int why = SSL_get_error(c->ssl, done);
	c->read_wants_write = why == SSL_ERROR_WANT_WRITE;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
	return -1;
}

static void flush(struct conn *c)
{
	while (c->state == CONN_OPEN && c->out.len) {
		ssize_t n = put(c);
		if (n > 0) {
			note_sent(c, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			/* What the peer said before it went is still to be read: it may be the reason. */
			buf_free(&c->out);
		}
		break;
	}
	if (c->state == CONN_OPEN)
		want(c);
}

static void read_some(struct conn *c)
{
	uint8_t bytes[READ_BYTES];
	for (int i = 0; i < READS_A_TURN && c->state == CONN_OPEN; i++) {
		ssize_t n = get(c, bytes, sizeof bytes);
		if (n > 0) {
			c->events->on_bytes(c->ctx, bytes, (size_t)n);
			if ((size_t)n < sizeof bytes && !c->ssl)
				return;
		} else if (n == 0) {
			gone(c, 0);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			gone(c, errno);
		}
	}
}

static void shake(struct conn *c)
{
	ERR_clear_error();
	int done = SSL_connect(c->ssl);
	if (done == 1) {
		c->info = malloc(sizeof *c->info);
		if (c->info)
			tls_read_info(c->ssl, c->info);
		c->state = CONN_OPEN;
		c->read_wants_write = false;
		want(c);
		c->events->on_secured(c->ctx);
		return;
	}
	int why = SSL_get_error(c->ssl, done);
	c->read_wants_write = why == SSL_ERROR_WANT_WRITE;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		want(c);
	else
		gone(c, EPROTO);
}

static void on_shake_due(struct mail *m)
{
	struct conn *c = (struct conn *)((char *)m - offsetof(struct conn, first_shake));
	c->shake_due = false;
	if (c->state == CONN_SHAKING)
		shake(c);
	else if (c->state == CONN_CLOSED)
		free_conn(&c->end);
}

static void connected(struct conn *c)
{
	int errnum = 0;
	socklen_t n = sizeof errnum;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &errnum, &n))
		errnum = errno;
	if (errnum) {
		gone(c, errnum);
		return;
	}
	struct sockaddr_storage local;
	socklen_t local_len = sizeof local;
	if (getsockname(c->fd, (struct sockaddr *)&local, &local_len) == 0)
		(void)ip_from_sockaddr((struct sockaddr *)&local, &c->source, NULL);
	c->state = CONN_OPEN;
	want(c);
	c->events->on_connected(c->ctx);
}

static void on_ready(void *ctx, unsigned events)
{
	struct conn *c = ctx;
	if (c->state == CONN_OPENING) {
		connected(c);
		return;
	}
	if (c->state == CONN_SHAKING) {
		shake(c);
		return;
	}
	if (c->state == CONN_OPEN && ((events & WATCH_READ) || c->read_wants_write))
		read_some(c);
	if (c->state == CONN_OPEN && (events & WATCH_WRITE))
		flush(c);
}

static err_t begin(struct conn *c, const struct ip *source, const struct ip *to, uint16_t port)
{
	struct sockaddr_storage sa;
	c->fd = socket(to->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return errno == EMFILE || errno == ENFILE    ? ERR_LIMIT
		       : errno == ENOBUFS || errno == ENOMEM ? ERR_NOMEM
							     : ERR_UNREACHABLE;
	int on = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (source) {
		/* The port is chosen at connect(): else ports run out three times sooner. */
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
		socklen_t n = ip_sockaddr(source, 0, &sa);
		if (bind(c->fd, (struct sockaddr *)&sa, n))
			return ERR_UNREACHABLE;
	}
	socklen_t n = ip_sockaddr(to, port, &sa);
	if (connect(c->fd, (struct sockaddr *)&sa, n) && errno != EINPROGRESS)
		return errno == EADDRNOTAVAIL ? ERR_LIMIT : ERR_UNREACHABLE; /* bound as it is: no port is left */
	err_t err = watch_open(c->loop, c->fd, on_ready, c, &c->watch);
	if (!err)
		want(c);
	return err;
}

err_t conn_open(struct loop *loop, const struct ip *source, const struct ip *to, uint16_t port,
	const struct conn_events *events, void *ctx, struct conn **out)
{
	struct conn *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	*c = (struct conn){ .loop = loop, .events = events, .ctx = ctx, .out = BUF_INIT(2 * COMMANDS_MAX) };
	err_t err = begin(c, source, to, port);
	if (err) {
		int errnum = errno;
		if (c->fd >= 0)
			close(c->fd);
		free(c);
		errno = errnum;
		return err;
	}
	*out = c;
	return ERR_OK;
}

err_t conn_start_tls(struct conn *c, struct tls *tls, const char *host)
{
	uint8_t byte;
	if (c->out.len || recv(c->fd, &byte, 1, MSG_PEEK) > 0)
		return ERR_INVALID;
	c->ssl = tls_begin(tls, c->fd, host);
	if (!c->ssl)
		return ERR_NOMEM;
	c->state = CONN_SHAKING;
	c->shake_due = true;
	loop_defer(c->loop, &c->first_shake, on_shake_due); /* no callback before this has returned */
	return ERR_OK;
}

const struct tls_info *conn_tls(const struct conn *c)
{
	return c->info;
}

err_t conn_send(struct conn *c, struct commands *commands)
{
	buf_append(&c->out, commands->lines.data, commands->lines.len);
	err_t err = c->out.err;
	c->out.err = ERR_OK;
	if (err)
		return err;
	buf_free(&commands->lines);
	if (c->state == CONN_OPEN)
		flush(c);
	return ERR_OK;
}

void conn_unsend(struct conn *c)
{
	const uint8_t *end = c->begun && c->out.len ? memchr(c->out.data, '\n', c->out.len) : NULL;
	size_t keep = end ? (size_t)(end + 1 - c->out.data) : 0;
	c->out.len = c->pinned > keep ? c->pinned : keep;
}

struct ip conn_source(const struct conn *c)
{
	return c->source;
}

void conn_close(struct conn *c)
{
	if (!c)
		return;
	c->state = CONN_CLOSED;
	watch_close(c->watch);
	tls_end(c->ssl);
	close(c->fd);
	if (c->shake_due) /* it frees the conn when it comes */
		return;
	loop_defer(c->loop, &c->end, free_conn);
}
