/* Preloaded into the daemon: writes each address that it hands to the system to SOCKET_LOG, a line each, before the
 * call. What is not in there went nowhere: no packet leaves a process but through these. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *call, const struct sockaddr *to)
{
	static int fd = -1;
	char ip[INET6_ADDRSTRLEN], line[128];
	unsigned port;

	if (!to)
		return;
	if (to->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)to;
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
		port = ntohs(in->sin_port);
	} else if (to->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)to;
		inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof ip);
		port = ntohs(in->sin6_port);
	} else {
		return;
	}
	if (fd < 0)
		fd = open(getenv("SOCKET_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	int n = snprintf(line, sizeof line, "%s %s %u\n", call, ip, port);
	/* A contact that cannot be counted must not be made. */
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		abort();
}

#define REAL(name)                                                                                                     \
	static __typeof__(&name) real;                                                                                 \
	if (!real)                                                                                                     \
	real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
	REAL(connect);
	note("connect", to);
	return real(fd, to, n);
}

ssize_t sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t to_len)
{
	REAL(sendto);
	note("sendto", to);
	return real(fd, bytes, n, flags, to, to_len);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	REAL(sendmsg);
	note("sendmsg", m->msg_name);
	return real(fd, m, flags);
}

int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	REAL(sendmmsg);
	for (unsigned i = 0; i < n; i++)
		note("sendmmsg", m[i].msg_hdr.msg_name);
	return real(fd, m, n, flags);
}
