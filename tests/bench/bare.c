/* The least that asking can cost: an epoll loop that says EHLO, then MAIL and the recipients at once, then one more
 * recipient (where rcptd says its random control), then QUIT, and waits for the server to close. No DNS, no parsing but
 * for the replies' last lines, no deadlines. tools/bench compares rcptd with it on the same servers. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 4096
#define GIVE_UP_MS 10000 /* without any event */

enum stage { BANNER, EHLO, RECIPIENTS, CONTROL, QUIT, STAGES };

struct client {
	int fd;
	enum stage stage;
	unsigned owed; /* replies */
	size_t line;   /* bytes of the line so far */
	bool more;     /* that line is not the last of its reply */
};

struct bench {
	int epoll;
	uint16_t port;
	int host_count;
	char **hosts;
	unsigned sessions, at_once, recipients;
	unsigned begun, ended, failed;
	struct client *clients;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void say(struct client *c, const char *text, size_t n, unsigned owed)
{
	if (send(c->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		fail("bare: send");
	c->owed = owed;
}

static void next_stage(struct bench *b, struct client *c)
{
	char text[ROOM];
	int n = 0;
	c->stage++;
	switch (c->stage) {
	case EHLO: say(c, "EHLO probe.rcptd.test\r\n", 23, 1); break;
	case RECIPIENTS:
		n = snprintf(text, sizeof text, "MAIL FROM:<postal@rcptd.test>\r\n");
		for (unsigned i = 0; i < b->recipients; i++)
			n += snprintf(text + n, sizeof text - (size_t)n, "RCPT TO:<zq-user%u@d%u.bench.test>\r\n", i,
				c->fd % 100u);
		say(c, text, (size_t)n, 1 + b->recipients);
		break;
	case CONTROL:
		n = snprintf(text, sizeof text, "RCPT TO:<qwertyuiopasdfghjklzxcvb@d%u.bench.test>\r\n", c->fd % 100u);
		say(c, text, (size_t)n, 1);
		break;
	default: say(c, "QUIT\r\n", 6, 1); break;
	}
}

static void begin(struct bench *b, struct client *c)
{
	*c = (struct client){ .owed = 1 };
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(b->port) };
	if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on))
		fail("bare: socket");
	if (inet_pton(AF_INET, b->hosts[b->begun++ % (unsigned)b->host_count], &to.sin_addr) != 1)
		fail("bare: address");
	if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
		fail("bare: connect");
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, c->fd, &e))
		fail("bare: epoll_ctl");
}

static void end(struct bench *b, struct client *c)
{
	b->failed += c->stage != QUIT || c->owed;
	b->ended++;
	close(c->fd);
	if (b->begun < b->sessions)
		begin(b, c);
}

static void read_replies(struct bench *b, struct client *c)
{
	char bytes[ROOM];
	ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		end(b, c);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\n') {
			if (c->line++ == 3)
				c->more = bytes[i] == '-';
			continue;
		}
		c->line = 0;
		if (!c->more && c->owed && --c->owed == 0 && c->stage != QUIT)
			next_stage(b, c);
	}
}

static void run(struct bench *b)
{
	struct epoll_event events[256];
	for (unsigned i = 0; i < b->at_once && b->begun < b->sessions; i++)
		begin(b, &b->clients[i]);
	while (b->ended < b->sessions) {
		int n = epoll_wait(b->epoll, events, sizeof events / sizeof *events, GIVE_UP_MS);
		if (n == 0) {
			fprintf(stderr, "bare: no server says anything\n");
			exit(1);
		}
		for (int i = 0; i < n; i++)
			read_replies(b, events[i].data.ptr);
	}
}

int main(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "usage: bare PORT SESSIONS AT_ONCE RECIPIENTS ADDRESS...\n");
		return 2;
	}
	struct bench b = { .port = (uint16_t)strtoul(argv[1], NULL, 10),
		.sessions = (unsigned)strtoul(argv[2], NULL, 10),
		.at_once = (unsigned)strtoul(argv[3], NULL, 10),
		.recipients = (unsigned)strtoul(argv[4], NULL, 10),
		.hosts = argv + 5,
		.host_count = argc - 5 };
	if (b.recipients > 50 || !b.at_once || !b.sessions) {
		fprintf(stderr, "bare: at most 50 recipients, at least one session\n");
		return 2;
	}
	b.epoll = epoll_create1(EPOLL_CLOEXEC);
	b.clients = calloc(b.at_once, sizeof *b.clients);
	if (b.epoll < 0 || !b.clients)
		fail("bare");
	run(&b);
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	double user = (double)used.ru_utime.tv_sec * 1e6 + (double)used.ru_utime.tv_usec;
	double sys = (double)used.ru_stime.tv_sec * 1e6 + (double)used.ru_stime.tv_usec;
	printf("{\"sessions\":%u,\"failed\":%u,\"user_us\":%.0f,\"sys_us\":%.0f}\n", b.ended, b.failed, user, sys);
	free(b.clients);
	return b.failed ? 1 : 0;
}
