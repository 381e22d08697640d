/* load: opens many connections to a mail host of a running world, holds them all, talks on each, and says what that
 * cost the world in memory and in time of its core. Blocking and one by one: it is the other side that is measured. */
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/world/addr.h"

#define USAGE "Usage: load ADDRESS:PORT PID CONNECTIONS clear|tls\nPID is the world's.\n"

struct peer {
	int fd;
	SSL *ssl; /* NULL: in clear */
};

static void fail(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(1);
}

static void say(struct peer *p, const char *text)
{
	size_t n = strlen(text);

	if (p->ssl ? SSL_write(p->ssl, text, (int)n) <= 0 : write(p->fd, text, n) != (ssize_t)n)
		fail("a connection broke");
}

/* Reads until a line that starts with this code and a space is complete. */
static void hear(struct peer *p, const char *code)
{
	char text[8192];
	size_t used = 0;

	for (;;) {
		size_t room = sizeof text - used - 1;
		ssize_t n = p->ssl ? SSL_read(p->ssl, text + used, (int)room) : read(p->fd, text + used, room);
		const char *line = text;
		if (n <= 0)
			fail("a connection broke, or an answer has no end");
		used += (size_t)n;
		text[used] = '\0';
		if (text[used - 1] != '\n')
			continue;
		for (const char *lf; (lf = strchr(line, '\n')) && lf[1]; line = lf + 1)
			;
		if (line[3] != ' ')
			continue;
		if (strncmp(line, code, 3) != 0)
			fail(line);
		return;
	}
}

static void open_peer(struct peer *p, const struct addr *where, SSL_CTX *ctx)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sock(where, &ss);

	p->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&ss, n))
		fail("no connection: see the limit of open files (ulimit -n) on both sides");
	hear(p, "220");
	say(p, "EHLO load.example\r\n");
	hear(p, "250");
	if (!ctx)
		return;
	say(p, "STARTTLS\r\n");
	hear(p, "220");
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, p->fd);
	if (SSL_connect(ssl) != 1)
		fail("no handshake");
	p->ssl = ssl;
	say(p, "EHLO load.example\r\n");
	hear(p, "250");
}

/* Milliseconds of the core that the world has used. */
static double cpu_ms(const char *pid)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		fail("no such process");
	fclose(f);
	return (double)(user + system) * 1000 / (double)sysconf(_SC_CLK_TCK);
}

static double heap_kb(const char *pid)
{
	char path[64], line[256];
	double kb = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%s/status", pid);
	f = fopen(path, "re");
	if (!f)
		fail("no such process");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, "RssAnon:", 8))
			kb = strtod(line + 8, NULL);
	fclose(f);
	return kb;
}

static void report(const char *what, int n, const char *pid, double cpu, double kb)
{
	printf("%-22s %7d  %8.0f ms of core, %6.1f us each  %8.0f KB, %6.2f KB each\n", what, n, cpu_ms(pid) - cpu,
		(cpu_ms(pid) - cpu) * 1000 / n, heap_kb(pid), (heap_kb(pid) - kb) / n);
}

static void run(struct peer *peer, int n, const struct addr *where, const char *pid, SSL_CTX *ctx)
{
	double cpu = cpu_ms(pid), kb = heap_kb(pid);

	for (int i = 0; i < n; i++)
		open_peer(&peer[i], where, ctx);
	report("open, after EHLO", n, pid, cpu, kb);
	cpu = cpu_ms(pid);
	for (int i = 0; i < n; i++)
		say(&peer[i], "MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\n");
	for (int i = 0; i < n; i++)
		hear(&peer[i], "250");
	report("MAIL and RCPT on each", n, pid, cpu, kb);
	cpu = cpu_ms(pid);
	for (int i = 0; i < n; i++) {
		say(&peer[i], "QUIT\r\n");
		close(peer[i].fd);
		SSL_free(peer[i].ssl);
	}
	usleep(500000); /* until the world has seen them go; nothing depends on it but the last line */
	report("after QUIT", n, pid, cpu, kb);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct addr where;
	struct peer *peer;
	SSL_CTX *ctx = NULL;
	int n;

	if (argc != 5 || !addr_parse_port(&where, argv[1]) || (n = (int)strtol(argv[3], NULL, 10)) < 1) {
		fputs(USAGE, stderr);
		return 2;
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!strcmp(argv[4], "tls")) {
		ctx = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	}
	peer = calloc((size_t)n, sizeof *peer);
	if (!peer)
		fail("out of memory");
	run(peer, n, &where, argv[2], ctx);
	free(peer);
	SSL_CTX_free(ctx);
	return 0;
}
