#pragma once
/* What was counted: per host and in all, per domain of RCPT, per DNS question. Owner: struct world. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "server/base/buf.h"
#include "tests/world/smtp_cmd.h"

#define COUNT_KEYS_MAX 200000 /* distinct domains or names; more are counted under "(others)" */

struct tally {
	uint64_t connections, open, peak;
	uint64_t bytes_in, bytes_out;
	uint64_t round_trips;
	uint64_t verbs[VERBS];
	uint64_t tls, tls_resumed, tls_failed; /* handshakes done, of them resumed; and those that came to nothing */
	uint64_t plaintext;		       /* connections where text came instead of a handshake */
	uint64_t accepted, deferred, refused;  /* RCPTs by answer: 2yz, 4yz, 5yz */
};

struct count_domain {
	const char *domain;
	uint64_t rcpt, accepted, deferred, refused;
	UT_hash_handle hh;
};

enum { COUNT_TYPES = 8 };
struct count_query {
	const char *name;
	uint64_t udp[COUNT_TYPES], tcp[COUNT_TYPES];
	UT_hash_handle hh;
};

struct counts {
	struct tally all;
	struct tally *host; /* by host number */
	size_t hosts;
	struct count_domain *domains;
	struct count_query *queries;
	uint64_t dns_udp, dns_tcp, dns_bad; /* bad: not readable, so of no name */
};

void counts_init(struct counts *, size_t hosts);
void counts_free(struct counts *);
void counts_reset(struct counts *); /* all zero, but for open connections; the peak starts at these */
void counts_open(struct counts *, unsigned host);
void counts_close(struct counts *, unsigned host);
/* `code`: the first digit of the reply, or 0 while there is none. */
void counts_rcpt(struct counts *, unsigned host, const char *domain, int code);
void counts_dns(struct counts *, const char *name, uint16_t type, bool tcp);
/* All of it as one JSON object; `name_of` gives a host's name. */
void counts_json(struct counts *, struct buf *out, const char *(*name_of)(void *ctx, unsigned host), void *ctx);
