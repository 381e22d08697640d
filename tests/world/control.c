/* The control port: HTTP/1.0 with JSON answers, one request a connection. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/world/world.h"

#define REQUEST_MAX 16384
#define ANSWER_MAX (256 * 1024 * 1024)
#define RECORDS_AT_ONCE 20000
#define CLIENT_US 30000000

struct client {
	struct control *control;
	struct watch watch;
	struct timer timer;
	struct buf in, out;
	size_t sent;
	bool is_answered, is_ended;
	TAILQ_ENTRY(client) link;
};

struct control {
	struct world *world;
	struct watch watch;
	struct addr addr;
	const char *path; /* of a socket in the file system; NULL: TCP, or none at all if there is no descriptor */
	TAILQ_HEAD(, client) open, ended;
};

#define OWNER(ptr, type, field) ((type *)((char *)(ptr)-offsetof(type, field)))

static void end(struct client *c)
{
	struct loop *loop = c->control->world->loop;

	if (c->is_ended)
		return;
	c->is_ended = true;
	loop_timer_clear(loop, &c->timer);
	loop_close(loop, &c->watch);
	TAILQ_REMOVE(&c->control->open, c, link);
	TAILQ_INSERT_TAIL(&c->control->ended, c, link);
}

static void on_timer(struct timer *t)
{
	end(OWNER(t, struct client, timer));
}

/* --- the answers --- */

static const char *host_name(void *ctx, unsigned host)
{
	return ((struct world *)ctx)->desc->host[host].name;
}

static void get_counts(struct world *w, const char *query, struct buf *out)
{
	(void)query;
	counts_json(&w->counts, out, host_name, w);
}

static void get_connections(struct world *w, const char *query, struct buf *out)
{
	(void)query;
	smtpd_connections_json(w->smtpd, out);
}

static void get_record(struct world *w, const char *query, struct buf *out)
{
	uint64_t since = 0;

	if (!strncmp(query, "since=", 6))
		since = strtoull(query + 6, NULL, 10);
	record_since(w->record, since, RECORDS_AT_ONCE, out);
}

static void post_reset(struct world *w, const char *query, struct buf *out)
{
	(void)query;
	counts_reset(&w->counts);
	smtpd_reset(w->smtpd);
	buf_printf(out, "{\"seq\":%llu}\n", (unsigned long long)record_last(w->record));
}

static void post_forget(struct world *w, const char *query, struct buf *out)
{
	(void)query;
	smtpd_forget(w->smtpd);
	dnsd_forget(w->dnsd);
	buf_puts(out, "{}\n");
}

static void post_quit(struct world *w, const char *query, struct buf *out)
{
	(void)query;
	loop_stop(w->loop);
	buf_puts(out, "{}\n");
}

static const struct {
	const char *method, *path, *type;
	void (*answer)(struct world *, const char *query, struct buf *out);
} ROUTE[] = {
	{ "GET", "/counts", "application/json", get_counts },
	{ "GET", "/connections", "application/json", get_connections },
	{ "GET", "/record", "application/x-ndjson", get_record },
	{ "POST", "/reset", "application/json", post_reset },
	{ "POST", "/forget", "application/json", post_forget },
	{ "POST", "/quit", "application/json", post_quit },
};

static void answer(struct client *c, const char *method, const char *path, const char *query)
{
	struct buf body = BUF_INIT(ANSWER_MAX);
	const char *status = "404 Not Found", *type = "application/json";

	for (size_t i = 0; i < sizeof ROUTE / sizeof *ROUTE; i++) {
		if (strcmp(ROUTE[i].path, path) || strcmp(ROUTE[i].method, method))
			continue;
		status = "200 OK";
		type = ROUTE[i].type;
		ROUTE[i].answer(c->control->world, query, &body);
	}
	if (*status == '4') {
		buf_puts(&body, "{\"error\":\"no such thing\",\"allowed\":[");
		for (size_t i = 0; i < sizeof ROUTE / sizeof *ROUTE; i++)
			buf_printf(&body, "%s\"%s %s\"", i ? "," : "", ROUTE[i].method, ROUTE[i].path);
		buf_puts(&body, "]}\n");
	}
	buf_printf(&c->out, "HTTP/1.0 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		status, type, body.len);
	buf_append(&c->out, body.data, body.len);
	buf_free(&body);
	c->is_answered = true;
}

/* --- the connection --- */

static void write_out(struct client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->watch.fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			loop_change(c->control->world->loop, &c->watch, EPOLLOUT);
			return;
		}
		if (n < 0)
			break;
		c->sent += (size_t)n;
	}
	end(c);
}

static void take_request(struct client *c)
{
	char method[8], target[512];
	char *query;

	if (!strstr(buf_str(&c->in), "\r\n\r\n")) {
		if (c->in.err)
			end(c);
		return;
	}
	if (sscanf((char *)c->in.data, "%7s %511s", method, target) != 2) {
		end(c);
		return;
	}
	query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	answer(c, method, target, query ? query : "");
	loop_change(c->control->world->loop, &c->watch, EPOLLOUT);
}

static void on_client(struct watch *w, uint32_t events)
{
	struct client *c = OWNER(w, struct client, watch);
	char chunk[4096];
	ssize_t n;

	if (c->is_answered) {
		write_out(c);
		return;
	}
	(void)events;
	n = recv(w->fd, chunk, sizeof chunk, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		end(c);
		return;
	}
	buf_append(&c->in, chunk, (size_t)n);
	take_request(c);
}

static void on_accept(struct watch *w, uint32_t events)
{
	struct control *k = OWNER(w, struct control, watch);
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c;

	(void)events;
	if (fd < 0)
		return;
	c = calloc(1, sizeof *c);
	if (!c)
		abort();
	*c = (struct client){ .control = k,
		.watch = { on_client, fd },
		.timer = { .fire = on_timer },
		.in = BUF_INIT(REQUEST_MAX),
		.out = BUF_INIT(ANSWER_MAX + 4096) };
	TAILQ_INSERT_TAIL(&k->open, c, link);
	loop_timer(k->world->loop, &c->timer, CLIENT_US);
	if (!loop_watch(k->world->loop, &c->watch, EPOLLIN))
		end(c);
}

void control_turn_end(struct control *k)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&k->ended))) {
		TAILQ_REMOVE(&k->ended, c, link);
		buf_free(&c->in);
		buf_free(&c->out);
		free(c);
	}
}

/* --- start and end --- */

static int listen_on_path(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof un.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* A socket left by a run that was killed answers nobody: it may go. */
	if (!connect(fd, (struct sockaddr *)&un, sizeof un)) {
		close(fd);
		errno = EADDRINUSE;
		return -1;
	}
	if (errno == ECONNREFUSED)
		unlink(path);
	if (!bind(fd, (struct sockaddr *)&un, sizeof un) && !listen(fd, 64))
		return fd;
	close(fd);
	return -1;
}

struct control *control_start(struct world *w)
{
	struct control *k = calloc(1, sizeof *k);
	const char *where = w->desc->control;

	if (!k)
		abort();
	k->world = w;
	k->watch = (struct watch){ on_accept, -1 };
	TAILQ_INIT(&k->open);
	TAILQ_INIT(&k->ended);
	if (!where)
		return k;
	if (where[0] == '/') {
		k->watch.fd = listen_on_path(k->path = where);
	} else if (addr_parse_port(&k->addr, where) && addr_is_loopback(&k->addr)) {
		k->watch.fd = listen_on(&k->addr, SOCK_STREAM);
	} else {
		fprintf(stderr, "world: control %s: a loopback ADDRESS:PORT, or a path from / on, is expected\n",
			where);
		free(k);
		return NULL;
	}
	if (k->watch.fd < 0 || !loop_watch(w->loop, &k->watch, EPOLLIN)) {
		listen_failed("control", where);
		free(k);
		return NULL;
	}
	if (!k->path)
		k->addr.port = bound_port(k->watch.fd);
	return k;
}

void control_stop(struct control *k)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&k->open))) {
		if (c->is_answered)
			write_out(c); /* the answer to POST /quit */
		end(c);
	}
	control_turn_end(k);
	if (k->path && k->watch.fd >= 0)
		unlink(k->path);
	loop_close(k->world->loop, &k->watch);
	free(k);
}

void control_address(const struct control *k, struct buf *out)
{
	char text[ADDR_TEXT_MAX];

	buf_puts(out, k->watch.fd < 0 ? "none" : k->path ? k->path : addr_text(&k->addr, text));
}
