#include "server/base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

bool ip_parse(const char *text, struct ip *out)
{
	struct ip ip = { 0 };
	ip.v6 = strchr(text, ':') != NULL;
	if (inet_pton(ip.v6 ? AF_INET6 : AF_INET, text, ip.bytes) != 1)
		return false;
	*out = ip;
	return true;
}

const char *ip_text(const struct ip *ip, char out[IP_TEXT_MAX])
{
	if (!inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->bytes, out, IP_TEXT_MAX))
		out[0] = 0; /* cannot be: the room fits every address */
	return out;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4) == 0;
}

/* Do the first `bits` bits of a and b agree? */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(a, b, whole) != 0)
		return false;
	return !rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* One to three digits, no sign, no leading zero; -1 otherwise. */
static int prefix_parse(const char *text)
{
	size_t n = strlen(text);
	if (n < 1 || n > 3 || (n > 1 && text[0] == '0'))
		return -1;
	int value = 0;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
	}
	return value;
}

bool ip_net_parse(const char *text, struct ip_net *out)
{
	char address[IP_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	if (n >= sizeof address)
		return false;
	memcpy(address, text, n);
	address[n] = 0;

	struct ip_net net = { 0 };
	if (!ip_parse(address, &net.ip))
		return false;
	int most = net.ip.v6 ? 128 : 32;
	int prefix = slash ? prefix_parse(slash + 1) : most;
	if (prefix < 0 || prefix > most)
		return false;
	net.prefix = (unsigned)prefix;
	for (int bit = prefix; bit < most; bit++)
		if (net.ip.bytes[bit / 8] & 0x80 >> bit % 8)
			return false;
	*out = net;
	return true;
}

bool ip_net_contains(const struct ip_net *net, const struct ip *ip)
{
	return net->ip.v6 == ip->v6 && same_bits(net->ip.bytes, ip->bytes, net->prefix);
}

socklen_t ip_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (ip->v6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, ip->bytes, 16);
		return sizeof *in6;
	}
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	memcpy(&in->sin_addr, ip->bytes, 4);
	return sizeof *in;
}

bool ip_from_sockaddr(const struct sockaddr *sa, struct ip *out, uint16_t *port)
{
	struct ip ip = { 0 };
	in_port_t network_port;
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
		ip.v6 = true;
		memcpy(ip.bytes, &in6->sin6_addr, 16);
		network_port = in6->sin6_port;
	} else if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
		memcpy(ip.bytes, &in->sin_addr, 4);
		network_port = in->sin_port;
	} else {
		return false;
	}
	*out = ip;
	if (port)
		*port = ntohs(network_port);
	return true;
}
