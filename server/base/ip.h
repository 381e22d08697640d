#pragma once
/* IP addresses and networks as plain values. Any thread. An IPv4-mapped IPv6 address (::ffff:1.2.3.4) stays IPv6:
 * whoever decides whether it may be contacted must see it as it came. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define IP_TEXT_MAX 46 /* bytes, with the NUL */

struct ip {
	bool v6;
	uint8_t bytes[16]; /* network order; 4 used for IPv4, the rest 0 */
};

/* "192.0.2.1" or "2001:db8::1"; no zone, no brackets, no port, no white space. False: *out is untouched. */
bool ip_parse(const char *text, struct ip *out);
const char *ip_text(const struct ip *, char out[IP_TEXT_MAX]); /* returns out */
bool ip_equal(const struct ip *, const struct ip *);

struct ip_net {
	struct ip ip; /* bits behind the prefix are 0 */
	unsigned prefix;
};

/* "192.0.2.0/24", "2001:db8::/32"; without a slash the one address. Bits set behind the prefix are an error (what was
 * meant is not known). False: *out is untouched. */
bool ip_net_parse(const char *text, struct ip_net *out);
bool ip_net_contains(const struct ip_net *, const struct ip *); /* false across families */

/* Port in host order. Returns the length of the address family's struct. */
socklen_t ip_sockaddr(const struct ip *, uint16_t port, struct sockaddr_storage *out);
/* False: neither AF_INET nor AF_INET6. port may be NULL. */
bool ip_from_sockaddr(const struct sockaddr *, struct ip *out, uint16_t *port);
