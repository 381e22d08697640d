#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/world/world.h"

#define BACKLOG 4096

int listen_on(const struct addr *a, int type)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sock(a, &ss);
	int fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, error;

	if (fd < 0)
		return -1;
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (!bind(fd, (struct sockaddr *)&ss, n) && (type != SOCK_STREAM || !listen(fd, BACKLOG)))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

uint16_t bound_port(int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof ss;
	struct addr a;

	if (getsockname(fd, (struct sockaddr *)&ss, &n))
		return 0;
	addr_from_sock(&a, &ss);
	return a.port;
}

void listen_failed(const char *what, const char *address)
{
	fprintf(stderr, "world: %s cannot listen on %s: %s\n", what, address,
		errno == EADDRINUSE ? "the port is in use" : strerror(errno));
}
