#pragma once
/* DNS queries of one loop by c-ares: however many wait for a (name, type), one query is in flight. Private to
 * server/dns. Answers to A and AAAA, negative ones too, stay in a bounded table for their TTL; MX answers do not.
 * Does not follow a CNAME from one query to the next: its waiters do, each counting for itself, so that a circle of
 * names cannot wait for itself. Loop's thread. */
#include <sys/queue.h>

#include "server/base/err.h"
#include "server/dns/answer.h"
#include "server/dns/resolver.h"
#include "server/loop/loop.h"

#define RESOLVER_LIMIT_MS 20000 /* unless told */

struct queries;
struct query;

MUST_CHECK err_t queries_new(struct loop *, const struct resolver_options *, struct queries **);
void queries_free(struct queries *); /* not from within a waiter's done() */

struct query_result {
	enum answer_kind kind;
	bool out_of_memory;   /* kind is ANSWER_FAILURE */
	int64_t expires_ms;   /* monotonic; TTL within its bounds; of a failure: nothing */
	unsigned cname_count; /* within the message */
	const char *target;   /* of ANSWER_CNAME */
	bool null_mx;
	unsigned count; /* of address or mx, by the type asked */
	const struct ip *address;
	const struct answer_mx *mx;
};

/* Zeroed: not waiting. The caller's; stays until done() or query_cancel(). */
struct query_wait {
	LIST_ENTRY(query_wait) entry;
	bool waiting;
	/* Never before query_ask() has returned. The result lives until it returns. */
	void (*done)(struct query_wait *, const struct query_result *);
};

/* name: answer_host_name_ok(). */
MUST_CHECK err_t query_ask(struct queries *, const char *name, enum dns_type, struct query_wait *);
void query_cancel(struct query_wait *); /* the query goes on, for others or for the cache */
