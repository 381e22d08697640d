#include <stdio.h>

#include "server/base/clock.h"
#include "server/stats/stats.h"
#include "tests/unit/dns/fixture.h"

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

static void stop(struct mail *m)
{
	(void)m;
	loop_stop(w.loop);
}

static void queries_leave_in_bursts(void **state)
{
	struct mail end_of_turn;
	(void)state;
	open_world((const struct line[]){ END }, 1, 0);
	double_manner(w.server[0], DOUBLE_HOLDS);
	clock_fake(1000000); /* no tick comes */
	int64_t before = stat_get(STAT_DNS_QUERIES);
	for (unsigned i = 0; i < 1000; i++) {
		char domain[32];
		snprintf(domain, sizeof domain, "d%u.test", i);
		ask(i, domain);
	}
	loop_defer(w.loop, &end_of_turn, stop);
	loop_run(w.loop);
	int64_t sent = stat_get(STAT_DNS_QUERIES) - before;
	assert_true(sent > 0 && sent <= 200); /* what a receiver's usual buffer holds, and some room */
	double_release(w.server[0]);
	loop_run(w.loop);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(w.waiter[i].calls, 1);
	assert_int_equal(double_total(w.server[0]), 1000);
	close_world();
	clock_real();
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_waiters_cost_one_query_a_type),
		cmocka_unit_test(domains_share_the_lookup_of_their_host_and_its_memory),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(many_domains_at_once),
		cmocka_unit_test(queries_leave_in_bursts),
		cmocka_unit_test(a_waiter_may_cancel_others_from_within_done),
		cmocka_unit_test(cancelled_waiters_are_never_called),
		cmocka_unit_test(done_may_ask_again),
		cmocka_unit_test(done_may_free_the_resolver),
		cmocka_unit_test(a_resolver_is_freed_with_queries_in_flight),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
