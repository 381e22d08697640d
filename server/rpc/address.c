#include "server/rpc/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/base/ip.h"

static const char UNIX_PREFIX[] = "unix:";

static bool is_unix(const char *address)
{
	return strncmp(address, UNIX_PREFIX, sizeof UNIX_PREFIX - 1) == 0;
}

/* Core reads a URI: what is special in one is written as %XX. */
static void put_unix_target(struct buf *target, const char *path)
{
	buf_puts(target, UNIX_PREFIX);
	for (const char *c = path; *c; c++) {
		if (isalnum((unsigned char)*c) || strchr("/._-", *c))
			buf_putc(target, *c);
		else
			buf_printf(target, "%%%02X", (unsigned char)*c);
	}
}

static bool parse_port(const char *text, uint16_t *port)
{
	size_t len = strlen(text);
	if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
		return false;
	unsigned long n = strtoul(text, NULL, 10);
	*port = (uint16_t)n;
	return n <= 65535;
}

/* "1.2.3.4:5" or "[::1]:5". */
static bool parse_ip_port(const char *text, struct ip *ip, uint16_t *port)
{
	char host[IP_TEXT_MAX];
	const char *colon = strrchr(text, ':');
	if (!colon || !parse_port(colon + 1, port))
		return false;
	bool bracketed = text[0] == '[';
	const char *start = text + bracketed;
	const char *end = colon - bracketed;
	if (end <= start || (size_t)(end - start) >= sizeof host || (bracketed && *end != ']'))
		return false;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	return ip_parse(host, ip) && ip->v6 == bracketed;
}

static void put_ip_port(struct buf *target, const struct ip *ip, uint16_t port)
{
	char text[IP_TEXT_MAX];
	buf_printf(target, ip->v6 ? "[%s]:%u" : "%s:%u", ip_text(ip, text), port);
}

/* Whether someone listens on the socket file. */
static err_t probe_unix(const char *address, const char *path, struct buf *why)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	if (len == 0 || path[0] != '/' || len >= sizeof sun.sun_path) {
		buf_printf(
			why, "%s: an absolute path of at most %zu bytes is needed", address, sizeof sun.sun_path - 1);
		return ERR_INVALID;
	}
	memcpy(sun.sun_path, path, len);
	struct stat st;
	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return ERR_OK; /* a missing folder shows when core binds */
		buf_printf(why, "%s: %s", address, strerror(errno));
		return ERR_IO;
	}
	if (!S_ISSOCK(st.st_mode)) {
		buf_printf(why, "%s exists and is not a socket", address);
		return ERR_INVALID;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		buf_printf(why, "%s: %s", address, strerror(errno));
		return ERR_IO;
	}
	int failed = connect(fd, (const struct sockaddr *)&sun, sizeof sun);
	int error = failed ? errno : 0;
	close(fd);
	if (error != ECONNREFUSED) { /* also EAGAIN: it is there, its backlog is full */
		buf_printf(why, "%s is in use: another process listens there", address);
		return ERR_IN_USE;
	}
	if (unlink(path)) { /* left behind by a process that was killed */
		buf_printf(why, "%s: cannot remove the stale socket: %s", address, strerror(errno));
		return ERR_IO;
	}
	return ERR_OK;
}

static err_t probe_ip(const char *address, const struct ip *ip, uint16_t port, struct buf *why)
{
	struct sockaddr_storage ss;
	socklen_t len = ip_sockaddr(ip, port, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		buf_printf(why, "%s: %s", address, strerror(errno));
		return ERR_IO;
	}
	int on = 1; /* as core does: connections in TIME_WAIT do not count */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	int failed = bind(fd, (const struct sockaddr *)&ss, len);
	int error = failed ? errno : 0;
	close(fd);
	switch (error) {
	case 0: return ERR_OK;
	case EADDRINUSE: buf_printf(why, "%s is in use: another process listens there", address); return ERR_IN_USE;
	case EADDRNOTAVAIL: buf_printf(why, "%s is not an address of this machine", address); return ERR_INVALID;
	case EACCES: buf_printf(why, "%s: not allowed to listen on this port", address); return ERR_DENIED;
	default: buf_printf(why, "%s: %s", address, strerror(error)); return ERR_IO;
	}
}

err_t address_to_listen(const char *address, struct buf *target, struct buf *why)
{
	if (is_unix(address)) {
		const char *path = address + sizeof UNIX_PREFIX - 1;
		err_t err = probe_unix(address, path, why);
		if (err)
			return err;
		put_unix_target(target, path);
		return target->err;
	}
	struct ip ip;
	uint16_t port;
	if (!parse_ip_port(address, &ip, &port)) {
		buf_printf(why, "%s: write 127.0.0.1:50051, [::1]:50051 or unix:/path", address);
		return ERR_INVALID;
	}
	err_t err = probe_ip(address, &ip, port, why);
	if (err)
		return err;
	put_ip_port(target, &ip, port); /* for listening core knows no ipv4: */
	return target->err;
}

err_t address_to_dial(const char *address, struct buf *target)
{
	struct ip ip;
	uint16_t port;
	if (is_unix(address)) {
		put_unix_target(target, address + sizeof UNIX_PREFIX - 1);
		return target->err;
	}
	if (parse_ip_port(address, &ip, &port)) {
		buf_puts(target, ip.v6 ? "ipv6:" : "ipv4:");
		put_ip_port(target, &ip, port);
		return target->err;
	}
	const char *colon = strrchr(address, ':');
	if (!colon || colon == address || !parse_port(colon + 1, &port))
		return ERR_INVALID;
	for (const char *c = address; c < colon; c++)
		if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-' && *c != '_')
			return ERR_INVALID;
	buf_printf(target, "dns:///%s", address);
	return target->err;
}
