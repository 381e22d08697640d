#pragma once
/* The route of a domain: its ordered mail hosts and their addresses, from DNS (RFC 5321 5.1, RFC 7505). A plain value:
 * copied, stored, sent between shards. Allocated with malloc as one piece of route_size(); free() ends it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/address/address.h"
#include "server/base/ip.h"

#define ROUTE_HOSTS_MAX 10
#define ROUTE_ADDRESSES_MAX 5 /* a host, of each family alternating, IPv6 first */

enum route_status {
	ROUTE_UNSET,
	ROUTE_FOUND,	    /* at least one host with an address */
	ROUTE_NOT_FOUND,    /* NXDOMAIN */
	ROUTE_NULL_MX,	    /* RFC 7505; a null MX beside others is ignored */
	ROUTE_NO_MAIL_HOST, /* no MX and no A/AAAA, or mail hosts without addresses */
	ROUTE_FAILURE, /* SERVFAIL, timeout, loop: of the MX lookup, or of the addresses of every host without which
			  none is known */
};

struct route_host {
	char name[DOMAIN_SIZE]; /* as the MX names it, lower case, no trailing dot */
	uint16_t preference;
	uint8_t address_count;
	enum route_status status; /* ROUTE_FOUND, ROUTE_NO_MAIL_HOST or ROUTE_FAILURE: of its address lookups */
	struct ip address[ROUTE_ADDRESSES_MAX];
};

struct route {
	enum route_status status;
	bool implicit;	    /* no MX: the domain's own addresses */
	int64_t learned_ms; /* wall clock */
	int64_t expires_ms; /* wall clock; the smallest TTL met, within the bounds of docs/VERDICTS.md (60 s to 1 day;
			       negative: SOA minimum, 60 s to 1 hour; failure: not remembered, equals learned_ms) */
	uint8_t host_count;
	struct route_host host[]; /* by preference; order within a preference as DNS gave it */
};

static inline size_t route_size(unsigned hosts)
{
	return sizeof(struct route) + hosts * sizeof(struct route_host);
}
