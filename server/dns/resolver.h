#pragma once
/* Routes from DNS, by c-ares. One resolver per loop, used on that loop's thread alone.
 *
 * Coalescing: however many waiters for a name, one query per type is in flight. Lookups of a mail host's addresses are
 * shared by all domains that name it. Address answers live in a bounded cache of this resolver by their TTL; whole
 * routes are cached by the caller (server/probe). A waiter can be cancelled, a query cannot: its answer is then
 * dropped. */
#include "server/base/buf.h"
#include "server/base/err.h"
#include "server/dns/route.h"
#include "server/loop/loop.h"

struct resolver;
struct resolver_server {
	struct ip ip;
	uint16_t port;
};

/* 0 in a number: its default. */
struct resolver_options {
	const struct resolver_server *servers; /* read by resolver_new() only; none: those of /etc/resolv.conf */
	size_t server_count;
	int timeout_ms;	  /* 3,000: of the first try at each server; doubled from round to round */
	int tries;	  /* 3: at each server */
	int limit_ms;	  /* 20,000: of one route in all: what is not known then is a failure; of one query, too */
	size_t cache_max; /* 50,000 answers about addresses */
};

/* Only DNS is asked, never /etc/hosts: mail is routed by DNS. Servers take turns. The process must ignore SIGPIPE
 * (c-ares writes to TCP with writev). options: NULL: all defaults. */
MUST_CHECK err_t resolver_new(struct loop *, const struct resolver_options *, struct resolver **);
void resolver_free(struct resolver *); /* waiters are dropped without a call; NULL is fine; also from within done() */

/* Waits for one route. The struct is the caller's and stays until done() or route_wait_cancel(). */
struct route_wait {
	struct route_wait *next, **prev; /* the resolver's */
	/* route is the callee's to free(); NULL only when memory ran out. Never called before resolver_route() has
	 * returned. */
	void (*done)(struct route_wait *, struct route *route);
};
/* domain: A-labels, lower case. ERR_INVALID: no name that DNS could be asked for. */
MUST_CHECK err_t resolver_route(struct resolver *, const char *domain, struct route_wait *);
void route_wait_cancel(struct route_wait *); /* also fine when it is not waiting (zeroed), and from within any done() */
