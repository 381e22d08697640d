#pragma once
/* What the tests of the resolver share: a loop, DNS doubles that answer from a zone, a resolver that asks them, and
 * waiters that note what they got. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/dns/resolver.h"
#include "tests/unit/dns/double.h"

enum { A = 1, CNAME = 5, MX = 15, AAAA = 28 };
enum {
	NOERROR = 0x8400,
	FORMERR = 0x8401,
	SERVFAIL = 0x8402,
	NXDOMAIN = 0x8403,
	NOTIMP = 0x8404,
	REFUSED = 0x8405,
	SILENCE = 0xffff
};

/* What the double knows: a zone as lines of text; a name that has no line is NXDOMAIN, a type without one NODATA. */
struct line {
	const char *name;
	unsigned type; /* 0: whatever is asked is answered with code */
	const char *data;
	unsigned preference, ttl, code;
};
#define HAS(n, t, d, ...)                                                                                              \
	{                                                                                                              \
		.name = n, .type = t, .data = d, ##__VA_ARGS__                                                         \
	}
#define MAIL(n, p, d, ...)                                                                                             \
	{                                                                                                              \
		.name = n, .type = MX, .preference = p, .data = d, ##__VA_ARGS__                                       \
	}
#define FAILS(n, t, c)                                                                                                 \
	{                                                                                                              \
		.name = n, .type = t, .code = c                                                                        \
	}
#define END                                                                                                            \
	{                                                                                                              \
		.name = NULL                                                                                           \
	}

struct waiter {
	struct route_wait wait;
	struct route *route;
	unsigned calls;
	void (*then)(struct waiter *);
};

struct world {
	struct loop *loop;
	struct double_server *server[2];
	struct resolver *resolver;
	unsigned expected;
	struct waiter waiter[1000];
};
extern struct world w;

/* A world of one or two servers that answer from lines, which the caller keeps. limit_ms: 0: no test of time: nothing
 * is asked twice within 20 s. */
void open_world(const struct line *lines, unsigned servers, int limit_ms);
void with_options(struct resolver_options *); /* another resolver, asking the first server */
void close_world(void);

void on_route(struct route_wait *, struct route *); /* of a struct waiter; the last expected one stops the loop */
struct waiter *ask(unsigned i, const char *domain); /* waiter i */
const struct route *route_of(const char *domain);   /* asks and runs the loop; lives until the next call */
const char *address(const struct route *, unsigned host, unsigned i);
