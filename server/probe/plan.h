#pragma once
/* In which order the mail hosts of a domain are asked, from where, and what is known of the domain: made from its route
 * by the domain's shard, then immutable and shared (counted) by the work that follows it, on any shard. */
#include <stdatomic.h>

#include "server/config/config.h"
#include "server/dns/route.h"
#include "server/guard/guard.h"
#include "server/probe/answer.h"
#include "server/verdict/reading.h"
#include "store/facts.h"

#define CONTROL_SIZE 33 /* random local part, 20 to 32 letters and digits, and a NUL */

/* One address of one mail host. */
struct hop {
	char host[DOMAIN_SIZE];
	char operator_name[OPERATOR_SIZE];
	struct ip ip;
	const struct config_source *source; /* which of our addresses asks */
	bool best;			    /* no host has a better preference */
};

struct plan {
	atomic_uint refs;
	char domain[DOMAIN_SIZE];
	char control[CONTROL_SIZE]; /* local part of the random control */
	bool has_fact;
	struct catch_all_fact fact;
	enum reason why_not; /* without hops: the reason; with hops: REASON_NONE */
	bool incomplete;     /* a host is left out whose addresses are not known, or not to be reached from here */
	unsigned hop_count;
	struct hop hop[];
};

/* The hops by preference, equal preferences shuffled, a host with a fresh fact NO first among its equals; IPv6 before
 * IPv4 of a host when we have such a source; addresses that the guard forbids left out. The route is ROUTE_FOUND. seed:
 * for the shuffle. NULL: out of memory. */
struct plan *plan_new(const char *domain, const struct route *, const struct catch_all_fact *fact, const char *control,
	const struct guard *, const struct rules *, const struct config *, unsigned seed);
struct plan *plan_ref(struct plan *);
void plan_unref(struct plan *); /* NULL is fine */

/* The first hop behind `at` that is not at the host or (when given) of the operator to skip; hop_count: there is none.
 */
unsigned plan_next(const struct plan *, unsigned at, const char *skip_host, const char *skip_operator);
