#include "tests/world/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool addr_parse(struct addr *a, const char *ip)
{
	memset(a, 0, sizeof *a);
	if (inet_pton(AF_INET, ip, a->ip) == 1)
		return true;
	a->v6 = 1;
	return inet_pton(AF_INET6, ip, a->ip) == 1;
}

bool addr_parse_port(struct addr *a, const char *text)
{
	const char *colon = strrchr(text, ':');
	char ip[INET6_ADDRSTRLEN], *end;
	size_t n;
	long port;

	if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
		return false;
	n = (size_t)(colon - text);
	if (text[0] == '[') {
		if (text[n - 1] != ']')
			return false;
		text++;
		n -= 2;
	}
	if (n >= sizeof ip)
		return false;
	memcpy(ip, text, n);
	ip[n] = '\0';
	port = strtol(colon + 1, &end, 10);
	if (*end || port > 65535 || !addr_parse(a, ip))
		return false;
	a->port = (uint16_t)port;
	return true;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t ONE[16] = { [15] = 1 };

	return a->v6 ? !memcmp(a->ip, ONE, 16) : a->ip[0] == 127;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->v6 == b->v6 && !memcmp(a->ip, b->ip, a->v6 ? 16 : 4);
}

void addr_from_sock(struct addr *a, const struct sockaddr_storage *ss)
{
	memset(a, 0, sizeof *a);
	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
		a->v6 = 1;
		memcpy(a->ip, &in6->sin6_addr, 16);
		a->port = ntohs(in6->sin6_port);
	} else if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
		memcpy(a->ip, &in->sin_addr, 4);
		a->port = ntohs(in->sin_port);
	}
}

socklen_t addr_to_sock(const struct addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof *ss);
	if (a->v6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
		in6->sin6_family = AF_INET6;
		memcpy(&in6->sin6_addr, a->ip, 16);
		in6->sin6_port = htons(a->port);
		return sizeof *in6;
	}
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	in->sin_family = AF_INET;
	memcpy(&in->sin_addr, a->ip, 4);
	in->sin_port = htons(a->port);
	return sizeof *in;
}

const char *addr_ip_text(const struct addr *a, char *text)
{
	if (!inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->ip, text, ADDR_TEXT_MAX))
		text[0] = '\0';
	return text;
}

const char *addr_text(const struct addr *a, char *text)
{
	char ip[ADDR_TEXT_MAX];

	snprintf(text, ADDR_TEXT_MAX, a->v6 ? "[%.45s]:%u" : "%.45s:%u", addr_ip_text(a, ip), a->port);
	return text;
}
