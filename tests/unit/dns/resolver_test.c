#include "server/base/clock.h"
#include "tests/unit/dns/fixture.h"

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
	/* c-ares would wait 3 s. Routes join the query in flight until it is given up, then another is sent. */
	while (double_asked(w.server[0], "a.test", MX) < 2)
		assert_int_equal(route_of("a.test")->status, ROUTE_FAILURE);
	double_release(w.server[0]);
	while (route_of("a.test")->status != ROUTE_FOUND)
		;
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
		cmocka_unit_test(silence_is_a_failure),
		cmocka_unit_test(a_lookup_ends_at_its_limit_and_a_late_answer_is_dropped),
		cmocka_unit_test(the_second_server_answers_for_a_dead_first),
		cmocka_unit_test(a_closed_port_moves_queries_to_the_second_server),
		cmocka_unit_test(a_truncated_answer_is_asked_for_over_tcp),
		cmocka_unit_test(an_answer_with_a_wrong_id_is_ignored),
		cmocka_unit_test(formerr_is_a_failure),
		cmocka_unit_test(what_is_no_name_is_not_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
