#include "server/dns/resolver.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/base/clock.h"
#include "server/stats/stats.h"
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
static const struct line *zone;

static void put_line(struct message *m, const struct line *l, const char *name)
{
	unsigned ttl = l->ttl ? l->ttl : 600;
	if (l->type == MX)
		message_mx(m, name, ttl, l->preference, l->data);
	else if (l->type == CNAME)
		message_cname(m, name, ttl, l->data);
	else
		message_a(m, name, ttl, l->data);
}

static void from_zone(struct message *m, unsigned id, const char *name, unsigned type)
{
	unsigned code = NXDOMAIN, found = 0;
	for (const struct line *l = zone; l->name; l++)
		if (!strcmp(l->name, name))
			code = l->code && (!l->type || l->type == type) ? l->code : code == NXDOMAIN ? NOERROR : code;
	message_start(m, id, code, name, type);
	if (code == SILENCE)
		m->len = 0;
	for (const struct line *l = zone; l->name && code == NOERROR; l++) {
		if (strcmp(l->name, name) || l->code || (l->type != type && l->type != CNAME))
			continue;
		put_line(m, l, name);
		found++;
	}
	if (!found && (code == NOERROR || code == NXDOMAIN))
		message_soa(m, "test", 120, 120);
}

/* One loop, one resolver, up to two servers; waiters that note what they got. */
struct waiter {
	struct route_wait wait;
	struct world *world;
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
static struct world w;

static void on_route(struct route_wait *wait, struct route *route)
{
	struct waiter *me = (struct waiter *)wait;
	me->calls++;
	me->route = route;
	if (me->then)
		me->then(me);
	if (--w.expected == 0)
		loop_stop(w.loop);
}

static void open_world(const struct line *lines, unsigned servers, int limit_ms)
{
	zone = lines;
	struct resolver_server at[2] = { 0 };
	memset(&w, 0, sizeof w);
	assert_int_equal(loop_new(&w.loop), ERR_OK);
	for (unsigned i = 0; i < servers; i++) {
		w.server[i] = double_open(w.loop, from_zone);
		assert_true(ip_parse("127.0.0.1", &at[i].ip));
		at[i].port = (uint16_t)double_port(w.server[i]);
	}
	struct resolver_options options = { .servers = at,
		.server_count = servers,
		.timeout_ms = limit_ms ? 50 : 20000,
		.tries = 2,
		.limit_ms = limit_ms };
	assert_int_equal(resolver_new(w.loop, &options, &w.resolver), ERR_OK);
}

/* Another resolver, asking the first server. */
static void with_options(struct resolver_options *options)
{
	struct resolver_server at = { .port = (uint16_t)double_port(w.server[0]) };
	assert_true(ip_parse("127.0.0.1", &at.ip));
	options->servers = &at;
	options->server_count = 1;
	resolver_free(w.resolver);
	assert_int_equal(resolver_new(w.loop, options, &w.resolver), ERR_OK);
}

static void close_world(void)
{
	resolver_free(w.resolver);
	for (int i = 0; i < 2; i++)
		if (w.server[i])
			double_close(w.server[i]);
	loop_free(w.loop);
	for (int i = 0; i < 1000; i++)
		free(w.waiter[i].route);
}

static struct waiter *ask(unsigned i, const char *domain)
{
	struct waiter *me = &w.waiter[i];
	me->wait = (struct route_wait){ .done = on_route };
	assert_int_equal(resolver_route(w.resolver, domain, &me->wait), ERR_OK);
	assert_int_equal(me->calls, 0);
	w.expected++;
	return me;
}

static struct route *route_of(const char *domain)
{
	struct waiter *me = &w.waiter[999];
	free(me->route);
	me->route = NULL;
	me->calls = 0;
	ask(999, domain);
	loop_run(w.loop);
	assert_int_equal(me->calls, 1);
	assert_non_null(me->route);
	return me->route;
}

static const char *address(const struct route *route, unsigned host, unsigned i)
{
	static char text[IP_TEXT_MAX];
	assert_true(host < route->host_count && i < route->host[host].address_count);
	return ip_text(&route->host[host].address[i], text);
}

/* ---- routes ---- */

static void hosts_by_preference_with_addresses_of_both_families(void **state)
{
	(void)state;
	open_world((const struct line[]){ MAIL("a.test", 20, "MX2.test"), MAIL("a.test", 10, "mx1.test"),
			   MAIL("a.test", 20, "v4.test"), HAS("mx1.test", A, "127.0.0.1"),
			   HAS("mx1.test", A, "127.0.0.2"), HAS("mx1.test", A, "127.0.0.3"),
			   HAS("mx1.test", A, "127.0.0.4"), HAS("mx1.test", AAAA, "::1"), HAS("mx1.test", AAAA, "::2"),
			   HAS("mx2.test", AAAA, "::3"), HAS("v4.test", A, "127.0.0.5"), END },
		1, 0);
	const struct route *r = route_of("a.test");
	assert_int_equal(r->status, ROUTE_FOUND);
	assert_false(r->implicit);
	assert_int_equal(r->host_count, 3);
	assert_string_equal(r->host[0].name, "mx1.test");
	assert_string_equal(r->host[1].name, "mx2.test");
	assert_string_equal(r->host[2].name, "v4.test");
	assert_int_equal(r->host[0].preference, 10);
	assert_int_equal(r->host[0].address_count, 5);
	static const char *const ORDER[] = { "::1", "127.0.0.1", "::2", "127.0.0.2", "127.0.0.3" };
	for (unsigned i = 0; i < 5; i++)
		assert_string_equal(address(r, 0, i), ORDER[i]);
	assert_string_equal(address(r, 1, 0), "::3");
	assert_int_equal(r->host[2].address_count, 1);
	assert_string_equal(address(r, 2, 0), "127.0.0.5");
	close_world();
}

static void what_is_there_decides_the_status(void **state)
{
	static const struct {
		const char *domain;
		enum route_status status;
		unsigned hosts;
		bool implicit;
	} CASES[] = {
		{ "none.test", ROUTE_NOT_FOUND, 0, false },
		{ "null.test", ROUTE_NULL_MX, 0, false },
		{ "null-beside.test", ROUTE_FOUND, 1, false },
		{ "implicit.test", ROUTE_FOUND, 1, true },
		{ "empty.test", ROUTE_NO_MAIL_HOST, 1, true },
		{ "servfail.test", ROUTE_FAILURE, 0, false },
		{ "refused.test", ROUTE_FAILURE, 0, false },
		{ "notimp.test", ROUTE_FAILURE, 0, false },
		{ "gone-host.test", ROUTE_NO_MAIL_HOST, 1, false },
		{ "literal.test", ROUTE_NO_MAIL_HOST, 1, false },
		{ "failing-host.test", ROUTE_FAILURE, 2, false },
		{ "implicit-failing.test", ROUTE_FAILURE, 1, true },
		{ "secret.onion", ROUTE_NOT_FOUND, 0, false },
	};
	(void)state;
	open_world((const struct line[]){ MAIL("null.test", 0, ""), MAIL("null-beside.test", 0, ""),
			   MAIL("null-beside.test", 10, "mx.test"), HAS("mx.test", A, "127.0.0.1"),
			   HAS("implicit.test", A, "127.0.0.1"), HAS("empty.test", 99, ""),
			   FAILS("servfail.test", MX, SERVFAIL),
			   HAS("servfail.test", A, "127.0.0.1"), /* never the fallback */
			   FAILS("refused.test", 0, REFUSED), FAILS("notimp.test", 0, NOTIMP),
			   MAIL("gone-host.test", 10, "gone.test"), MAIL("literal.test", 10, "127.0.0.1"),
			   MAIL("failing-host.test", 10, "bad.test"), MAIL("failing-host.test", 20, "gone.test"),
			   FAILS("bad.test", 0, SERVFAIL), FAILS("implicit-failing.test", A, SERVFAIL), END },
		1, 0);
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		const struct route *r = route_of(CASES[i].domain);
		assert_int_equal(r->status, CASES[i].status);
		assert_int_equal(r->host_count, CASES[i].hosts);
		assert_int_equal(r->implicit, CASES[i].implicit);
		if (r->status == ROUTE_FAILURE)
			assert_true(r->expires_ms == r->learned_ms);
	}
	assert_int_equal(double_asked(w.server[0], "127.0.0.1", A), 0);
	assert_int_equal(double_asked(w.server[0], "servfail.test", A), 0);
	close_world();
}

static void a_failed_host_is_marked_beside_one_that_works(void **state)
{
	(void)state;
	open_world((const struct line[]){ MAIL("a.test", 10, "bad.test"), MAIL("a.test", 20, "half.test"),
			   MAIL("a.test", 30, "gone.test"), FAILS("bad.test", 0, SERVFAIL),
			   HAS("half.test", A, "127.0.0.1"), FAILS("half.test", AAAA, SERVFAIL), END },
		1, 0);
	const struct route *r = route_of("a.test");
	assert_int_equal(r->status, ROUTE_FOUND);
	assert_int_equal(r->host[0].status, ROUTE_FAILURE);
	assert_int_equal(r->host[1].status, ROUTE_FOUND);
	assert_string_equal(address(r, 1, 0), "127.0.0.1");
	assert_int_equal(r->host[2].status, ROUTE_NO_MAIL_HOST);
	assert_int_equal(r->expires_ms - r->learned_ms, 60000); /* soon asked again */
	close_world();
}

static void an_alias_is_followed_for_domain_and_host(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("a.test", CNAME, "b.test"), HAS("b.test", CNAME, "c.test"),
			   MAIL("c.test", 10, "mx.test"), HAS("mx.test", CNAME, "real.test"),
			   HAS("real.test", A, "127.0.0.1"), HAS("dangling.test", CNAME, "nowhere.test"), END },
		1, 0);
	const struct route *r = route_of("a.test");
	assert_int_equal(r->status, ROUTE_FOUND);
	assert_string_equal(r->host[0].name, "mx.test"); /* as the MX names it */
	assert_string_equal(address(r, 0, 0), "127.0.0.1");
	assert_int_equal(route_of("dangling.test")->status, ROUTE_NOT_FOUND);
	close_world();
}

static void eight_aliases_are_followed_and_no_more(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("c0.test", CNAME, "c1.test"), HAS("c1.test", CNAME, "c2.test"),
			   HAS("c2.test", CNAME, "c3.test"), HAS("c3.test", CNAME, "c4.test"),
			   HAS("c4.test", CNAME, "c5.test"), HAS("c5.test", CNAME, "c6.test"),
			   HAS("c6.test", CNAME, "c7.test"), HAS("c7.test", CNAME, "c8.test"),
			   HAS("c8.test", CNAME, "c9.test"), MAIL("c9.test", 10, "mx.test"),
			   HAS("mx.test", A, "127.0.0.1"), HAS("loop1.test", CNAME, "loop2.test"),
			   HAS("loop2.test", CNAME, "loop1.test"), MAIL("via-loop.test", 10, "loop1.test"), END },
		1, 0);
	assert_int_equal(route_of("c1.test")->status, ROUTE_FOUND);
	assert_int_equal(route_of("c0.test")->status, ROUTE_FAILURE);
	assert_int_equal(route_of("loop1.test")->status, ROUTE_FAILURE);
	const struct route *r = route_of("via-loop.test");
	assert_int_equal(r->status, ROUTE_FAILURE);
	assert_int_equal(r->host[0].status, ROUTE_FAILURE);
	/* Round the circle by what is remembered, not by asking again. */
	assert_int_equal(double_asked(w.server[0], "loop1.test", A), 1);
	close_world();
}

static void lives_are_bounded(void **state)
{
	static const struct {
		const char *domain;
		int64_t life_s;
	} CASES[] = { { "short.test", 60 }, { "long.test", 86400 }, { "mean.test", 500 }, { "none.test", 120 } };
	(void)state;
	open_world((const struct line[]){ MAIL("short.test", 10, "mx.test", .ttl = 1),
			   MAIL("long.test", 10, "mx.test", .ttl = 100000000),
			   MAIL("mean.test", 10, "mx.test", .ttl = 500), HAS("mx.test", A, "127.0.0.1", .ttl = 90000),
			   HAS("mx.test", AAAA, "::1", .ttl = 90000), END },
		1, 0);
	clock_fake(1000000);
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		const struct route *r = route_of(CASES[i].domain);
		assert_true(r->learned_ms == 1000000);
		assert_true(r->expires_ms - r->learned_ms == CASES[i].life_s * 1000);
	}
	close_world();
	clock_real();
}

static void a_route_ends_at_its_limit_with_what_is_known(void **state)
{
	(void)state;
	open_world(
		(const struct line[]){ MAIL("a.test", 10, "slow.test"), MAIL("a.test", 20, "half.test"),
			MAIL("a.test", 30, "mx.test"), FAILS("slow.test", 0, SILENCE), FAILS("half.test", A, SILENCE),
			HAS("half.test", AAAA, "::1"), HAS("mx.test", A, "127.0.0.1"), END },
		1, 1000);
	with_options(&(struct resolver_options){ .limit_ms = 500 });
	const struct route *r = route_of("a.test");
	assert_int_equal(r->status, ROUTE_FOUND);
	assert_int_equal(r->host[0].status, ROUTE_FAILURE);
	assert_string_equal(address(r, 1, 0), "::1");
	assert_string_equal(address(r, 2, 0), "127.0.0.1");
	assert_int_equal(r->expires_ms - r->learned_ms, 60000);
	close_world();
}

/* ---- one query for many ---- */

static void a_thousand_waiters_cost_one_query_a_type(void **state)
{
	(void)state;
	open_world((const struct line[]){ MAIL("a.test", 10, "mx.test"), HAS("mx.test", A, "127.0.0.1"), END }, 1, 0);
	int64_t before = stat_get(STAT_DNS_QUERIES);
	for (unsigned i = 0; i < 1000; i++)
		ask(i, "a.test");
	loop_run(w.loop);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(w.waiter[i].calls, 1);
		assert_int_equal(w.waiter[i].route->status, ROUTE_FOUND);
		for (unsigned k = 0; k < i && i < 10; k++)
			assert_ptr_not_equal(w.waiter[i].route, w.waiter[k].route);
	}
	assert_int_equal(double_total(w.server[0]), 3);
	assert_int_equal(double_asked(w.server[0], "a.test", MX), 1);
	assert_int_equal(double_asked(w.server[0], "mx.test", A), 1);
	assert_int_equal(double_asked(w.server[0], "mx.test", AAAA), 1);
	assert_int_equal(stat_get(STAT_DNS_QUERIES) - before, 3);
	close_world();
}

static void domains_share_the_lookup_of_their_host_and_its_memory(void **state)
{
	(void)state;
	open_world((const struct line[]){ MAIL("a.test", 10, "mx.test"), MAIL("b.test", 10, "mx.test"),
			   MAIL("c.test", 10, "mx.test"), HAS("mx.test", A, "127.0.0.1", .ttl = 70), END },
		1, 0);
	clock_fake(1000000);
	ask(0, "a.test");
	ask(1, "b.test");
	loop_run(w.loop);
	assert_int_equal(double_asked(w.server[0], "mx.test", A), 1);
	clock_fake_advance(69 * 1000);
	assert_int_equal(route_of("c.test")->status, ROUTE_FOUND);
	assert_int_equal(double_asked(w.server[0], "mx.test", A), 1);
	assert_int_equal(double_asked(w.server[0], "mx.test", AAAA), 1); /* its absence is remembered too */
	clock_fake_advance(1000);
	assert_int_equal(route_of("c.test")->status, ROUTE_FOUND);
	assert_int_equal(double_asked(w.server[0], "mx.test", A), 2);
	assert_int_equal(double_asked(w.server[0], "mx.test", AAAA), 1);
	assert_int_equal(double_asked(w.server[0], "c.test", MX), 2); /* whole routes are the caller's to keep */
	close_world();
	clock_real();
}

static void memory_is_bounded(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("a.test", A, "127.0.0.1"), HAS("b.test", A, "127.0.0.1"), END }, 1, 0);
	with_options(&(struct resolver_options){ .cache_max = 2 });
	route_of("a.test");
	route_of("a.test");
	assert_int_equal(double_asked(w.server[0], "a.test", A), 1);
	route_of("b.test"); /* drives the two of a.test out */
	route_of("a.test");
	assert_int_equal(double_asked(w.server[0], "a.test", A), 2);
	close_world();
}

/* ---- cancelling ---- */

static void cancel_all_but_two(struct waiter *me)
{
	(void)me;
	for (unsigned i = 0; i < 10; i++)
		if (i != 2 && !w.waiter[i].calls)
			route_wait_cancel(&w.waiter[i].wait);
	w.waiter[2].then = NULL;
}

static void a_waiter_may_cancel_others_from_within_done(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("a.test", A, "127.0.0.1"), END }, 1, 0);
	for (unsigned i = 0; i < 10; i++)
		ask(i, "a.test")->then = cancel_all_but_two;
	w.expected = 2; /* whichever comes first, and 2 */
	w.waiter[2].then = NULL;
	unsigned calls = 0;
	ask(10, "b.test"); /* its answer comes last: nothing more can come for the others */
	loop_run(w.loop);
	for (unsigned i = 0; i < 10; i++)
		calls += w.waiter[i].calls;
	assert_int_equal(w.waiter[2].calls, 1);
	assert_true(calls == 2);
	close_world();
}

static void cancelled_waiters_are_never_called(void **state)
{
	(void)state;
	open_world((const struct line[]){ MAIL("a.test", 10, "mx.test"), HAS("b.test", A, "127.0.0.1"), END }, 1, 0);
	struct route_wait zeroed = { 0 };
	route_wait_cancel(&zeroed);
	ask(0, "a.test");
	route_wait_cancel(&w.waiter[0].wait);
	route_wait_cancel(&w.waiter[0].wait);
	w.expected = 0;
	assert_int_equal(route_of("b.test")->status, ROUTE_FOUND);
	assert_int_equal(w.waiter[0].calls, 0);
	assert_int_equal(double_asked(w.server[0], "mx.test", A), 0); /* nobody wants to know */
	close_world();
}

static void ask_next(struct waiter *me)
{
	me->then = NULL;
	ask(1, "a.test");
	assert_int_equal(w.waiter[1].calls, 0);
}

static void done_may_ask_again(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("a.test", A, "127.0.0.1"), END }, 1, 0);
	ask(0, "a.test")->then = ask_next;
	loop_run(w.loop);
	assert_int_equal(w.waiter[1].calls, 1);
	assert_int_equal(double_asked(w.server[0], "a.test", MX), 2);
	assert_int_equal(double_asked(w.server[0], "a.test", A), 1);
	close_world();
}

static void free_the_resolver(struct waiter *me)
{
	(void)me;
	resolver_free(w.resolver);
	w.resolver = NULL;
	w.expected = 1;
}

static void done_may_free_the_resolver(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("a.test", A, "127.0.0.1"), END }, 1, 0);
	ask(0, "a.test")->then = free_the_resolver;
	ask(1, "a.test")->then = free_the_resolver;
	loop_run(w.loop);
	assert_int_equal(w.waiter[0].calls + w.waiter[1].calls, 1);
	close_world();
}

static void a_resolver_is_freed_with_queries_in_flight(void **state)
{
	(void)state;
	open_world((const struct line[]){ END }, 1, 0);
	double_manner(w.server[0], DOUBLE_SILENT);
	ask(0, "a.test");
	ask(1, "b.test");
	ask(2, "secret.onion"); /* has its answer, not yet told */
	close_world();
	assert_int_equal(w.waiter[0].calls + w.waiter[1].calls + w.waiter[2].calls, 0);
}

/* ---- the network ---- */

static void silence_is_a_failure(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("a.test", A, "127.0.0.1"), END }, 1, 500);
	double_manner(w.server[0], DOUBLE_SILENT);
	assert_int_equal(route_of("a.test")->status, ROUTE_FAILURE);
	assert_int_equal(double_asked(w.server[0], "a.test", A), 0);
	/* What failed is not remembered. */
	double_manner(w.server[0], DOUBLE_ANSWERS);
	assert_int_equal(route_of("a.test")->status, ROUTE_FOUND);
	close_world();
}

static void a_lookup_ends_at_its_limit_and_a_late_answer_is_dropped(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("a.test", A, "127.0.0.1"), END }, 1, 0);
	with_options(&(struct resolver_options){ .limit_ms = 1 });
	double_manner(w.server[0], DOUBLE_HOLDS);
	assert_int_equal(route_of("a.test")->status, ROUTE_FAILURE); /* c-ares would wait 3 s */
	ask(0, "a.test");
	double_release(w.server[0]);
	loop_run(w.loop);
	assert_int_equal(w.waiter[0].calls, 1);
	close_world();
}

static void the_second_server_answers_for_a_dead_first(void **state)
{
	(void)state;
	open_world((const struct line[]){ MAIL("a.test", 1, "mx.test"), HAS("mx.test", A, "127.0.0.1"), END }, 2, 5000);
	double_manner(w.server[0], DOUBLE_SILENT);
	assert_int_equal(route_of("a.test")->status, ROUTE_FOUND);
	assert_true(double_total(w.server[0]) > 0); /* they take turns */
	assert_int_equal(double_asked(w.server[1], "a.test", MX), 1);
	close_world();
}

static void a_closed_port_moves_queries_to_the_second_server(void **state)
{
	(void)state;
	open_world((const struct line[]){ HAS("a.test", A, "127.0.0.1"), END }, 2, 0);
	double_close(w.server[0]);
	w.server[0] = NULL;
	assert_int_equal(route_of("a.test")->status, ROUTE_FOUND);
	close_world();
}

static void a_truncated_answer_is_asked_for_over_tcp(void **state)
{
	(void)state;
	open_world((const struct line[]){ MAIL("a.test", 10, "mx.test"), HAS("mx.test", A, "127.0.0.1"), END }, 1, 0);
	double_manner(w.server[0], DOUBLE_TRUNCATES);
	const struct route *r = route_of("a.test");
	assert_int_equal(r->status, ROUTE_FOUND);
	assert_string_equal(address(r, 0, 0), "127.0.0.1");
	assert_int_equal(double_over_tcp(w.server[0]), 3);
	close_world();
}

static void lie(struct message *m, unsigned id, const char *name, unsigned type)
{
	message_start(m, id, NOERROR, name, type);
	if (type == MX)
		message_mx(m, name, 600, 1, "evil.test");
}

static void an_answer_with_a_wrong_id_is_ignored(void **state)
{
	(void)state;
	open_world((const struct line[]){ MAIL("a.test", 10, "mx.test"), HAS("mx.test", A, "127.0.0.1"), END }, 1, 0);
	double_liar(w.server[0], lie);
	const struct route *r = route_of("a.test");
	assert_int_equal(r->host_count, 1);
	assert_string_equal(r->host[0].name, "mx.test");
	assert_string_equal(address(r, 0, 0), "127.0.0.1");
	close_world();
}

static void formerr_is_a_failure(void **state)
{
	(void)state;
	open_world((const struct line[]){ FAILS("a.test", 0, FORMERR), HAS("b.test", A, "127.0.0.1"), END }, 1, 0);
	assert_int_equal(route_of("a.test")->status, ROUTE_FAILURE);
	assert_int_equal(route_of("b.test")->status, ROUTE_FOUND); /* without EDNS now */
	close_world();
}

static void what_is_no_name_is_not_asked(void **state)
{
	static const char *const BAD[] = { "", ".", "a..test", "A.test", "127.0.0.1", "a b.test", "a.test." };
	(void)state;
	open_world((const struct line[]){ END }, 1, 0);
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
		assert_int_equal(resolver_route(w.resolver, BAD[i], &w.waiter[0].wait), ERR_INVALID);
	assert_int_equal(double_total(w.server[0]), 0);
	close_world();
}

/* More domains than may be in flight: the others wait their turn. */
static void many_domains_at_once(void **state)
{
	static struct waiter many[6000];
	(void)state;
	open_world((const struct line[]){ END }, 1, 0);
	for (unsigned i = 0; i < 6000; i++) {
		char domain[32];
		snprintf(domain, sizeof domain, "d%u.test", i);
		many[i].wait.done = on_route;
		assert_int_equal(resolver_route(w.resolver, domain, &many[i].wait), ERR_OK);
		w.expected++;
	}
	loop_run(w.loop);
	for (unsigned i = 0; i < 6000; i++) {
		assert_int_equal(many[i].calls, 1);
		free(many[i].route);
	}
	close_world();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_by_preference_with_addresses_of_both_families),
		cmocka_unit_test(what_is_there_decides_the_status),
		cmocka_unit_test(a_failed_host_is_marked_beside_one_that_works),
		cmocka_unit_test(an_alias_is_followed_for_domain_and_host),
		cmocka_unit_test(eight_aliases_are_followed_and_no_more),
		cmocka_unit_test(lives_are_bounded),
		cmocka_unit_test(a_route_ends_at_its_limit_with_what_is_known),
		cmocka_unit_test(a_thousand_waiters_cost_one_query_a_type),
		cmocka_unit_test(domains_share_the_lookup_of_their_host_and_its_memory),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(a_waiter_may_cancel_others_from_within_done),
		cmocka_unit_test(cancelled_waiters_are_never_called),
		cmocka_unit_test(done_may_ask_again),
		cmocka_unit_test(done_may_free_the_resolver),
		cmocka_unit_test(a_resolver_is_freed_with_queries_in_flight),
		cmocka_unit_test(silence_is_a_failure),
		cmocka_unit_test(a_lookup_ends_at_its_limit_and_a_late_answer_is_dropped),
		cmocka_unit_test(the_second_server_answers_for_a_dead_first),
		cmocka_unit_test(a_closed_port_moves_queries_to_the_second_server),
		cmocka_unit_test(a_truncated_answer_is_asked_for_over_tcp),
		cmocka_unit_test(an_answer_with_a_wrong_id_is_ignored),
		cmocka_unit_test(formerr_is_a_failure),
		cmocka_unit_test(what_is_no_name_is_not_asked),
		cmocka_unit_test(many_domains_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
