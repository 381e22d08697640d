#include "tests/unit/store/help.h"

#include <stdio.h>

#include "server/base/clock.h"

static struct route *a_route(int64_t expires_ms)
{
	struct route *r = calloc(1, route_size(2));
	r->status = ROUTE_FOUND;
	r->implicit = true;
	r->learned_ms = NOW_MS - 5;
	r->expires_ms = expires_ms;
	r->host_count = 2;
	snprintf(r->host[0].name, DOMAIN_SIZE, "mx1.example.com");
	r->host[0].preference = 10;
	r->host[0].status = ROUTE_FOUND;
	r->host[0].address_count = 2;
	assert_true(ip_parse("2001:db8::1", &r->host[0].address[0]));
	assert_true(ip_parse("192.0.2.7", &r->host[0].address[1]));
	snprintf(r->host[1].name, DOMAIN_SIZE, "mx2.example.com");
	r->host[1].preference = 65535;
	r->host[1].status = ROUTE_FAILURE;
	return r;
}

static void facts_come_back_as_they_were_put_and_survive_a_restart(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	struct route *r = a_route(NOW_MS + 1000), *got;
	struct catch_all_fact c = { true, "mx1.example.com", NOW_MS, NOW_MS + DAY_MS }, c2;
	struct verdict_fact v = a_verdict(NOW_MS + DAY_MS), v2;
	uint8_t hash[STORE_KEY_BYTES];
	store_address_hash(p->store, "a@example.com", 13, hash);
	assert_int_equal(store_route_get(p->store, "example.com", &got), ERR_NOT_FOUND);
	store_route_put(p->store, "example.com", r);
	store_catch_all_put(p->store, "example.com", &c);
	store_host_lockstep_put(p->store, "mx1.example.com", NOW_MS + 7);
	store_verdict_put(p->store, "example.com", hash, &v);
	struct control_fact control = { "q7w3e9r2t5", NOW_MS - DAY_MS }, control2;
	store_control_put(p->store, "example.com", &control);
	flush(p);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(store_route_get(p->store, "example.com", &got), ERR_OK);
		assert_memory_equal(got, r, route_size(2));
		free(got);
		assert_int_equal(store_catch_all_get(p->store, "example.com", &c2), ERR_OK);
		assert_true(c2.accepts_all && c2.learned_ms == c.learned_ms && c2.expires_ms == c.expires_ms);
		assert_string_equal(c2.host, c.host);
		assert_int_equal(store_host_lockstep_until(p->store, "mx1.example.com"), NOW_MS + 7);
		assert_int_equal(store_verdict_get(p->store, "example.com", hash, &v2), ERR_OK);
		assert_int_equal(v2.reason, v.reason);
		assert_int_equal(v2.phase, v.phase);
		assert_int_equal(v2.catch_all, v.catch_all);
		assert_int_equal(v2.random_control, 3);
		assert_int_equal(v2.postmaster_control, 1);
		assert_int_equal(v2.code, 550);
		assert_int_equal(v2.attempts, 2);
		assert_string_equal(v2.operator_name, v.operator_name);
		assert_string_equal(v2.mail_ip, v.mail_ip);
		assert_string_equal(v2.enhanced, v.enhanced);
		assert_string_equal(v2.rule, v.rule);
		assert_string_equal(v2.text, v.text);
		assert_string_equal(v2.tls.version, v.tls.version);
		assert_string_equal(v2.tls.cipher, v.tls.cipher);
		assert_true(v2.tls.resumed);
		assert_string_equal(v2.tls.certificate_sha256, v.tls.certificate_sha256);
		assert_string_equal(v2.tls.certificate_subject, v.tls.certificate_subject);
		assert_int_equal(v2.expires_ms, v.expires_ms);
		assert_int_equal(store_control_get(p->store, "example.com", &control2), ERR_OK);
		assert_string_equal(control2.local, "q7w3e9r2t5");
		assert_int_equal(control2.drawn_ms, NOW_MS - DAY_MS);
		place_close(p);
		place_must_open(p);
	}
	free(r);
}

static uint64_t count(struct place *p, enum table table)
{
	struct txn t;
	MDB_stat st;
	txn_begin_read(&t, &p->store->known);
	assert_int_equal(mdb_stat(t.mdb, p->store->known.dbi[table], &st), 0);
	assert_int_equal(txn_end(&t), ERR_OK);
	return st.ms_entries;
}

static void what_has_expired_is_not_found_and_then_removed(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	char local[32];
	for (int i = 0; i < 3000; i++) {
		snprintf(local, sizeof local, "u%d", i);
		put_verdict(p, i % 2 ? "example.com" : "example.net", local);
	}
	struct catch_all_fact c = { false, "mx.example.com", NOW_MS, NOW_MS + 10 };
	struct route *r = a_route(NOW_MS + 10), *got;
	store_catch_all_put(p->store, "example.com", &c);
	store_route_put(p->store, "example.com", r);
	store_host_lockstep_put(p->store, "mx.example.com", NOW_MS + 10);
	struct control_fact control = { "q7w3e9r2t5", NOW_MS + 10 - CONTROL_KEPT_MS };
	store_control_put(p->store, "example.com", &control);
	flush(p);
	assert_int_equal(count(p, TABLE_VERDICT), 3000);
	clock_fake_advance(9);
	assert_int_equal(store_catch_all_get(p->store, "example.com", &c), ERR_OK);
	assert_int_equal(store_host_lockstep_until(p->store, "mx.example.com"), NOW_MS + 10);
	assert_int_equal(store_control_get(p->store, "example.com", &control), ERR_OK);
	clock_fake_advance(1);
	assert_int_equal(store_control_get(p->store, "example.com", &control), ERR_NOT_FOUND);
	assert_int_equal(store_catch_all_get(p->store, "example.com", &c), ERR_NOT_FOUND);
	assert_int_equal(store_route_get(p->store, "example.com", &got), ERR_NOT_FOUND);
	assert_int_equal(store_host_lockstep_until(p->store, "mx.example.com"), 0);
	assert_int_equal(get_verdict(p, "example.com", "u1"), ERR_OK);
	clock_fake_advance(8 * DAY_MS);
	assert_int_equal(get_verdict(p, "example.com", "u1"), ERR_NOT_FOUND);
	uint64_t left = count(p, TABLE_VERDICT);
	for (int rounds = 0; left && rounds < 40; rounds++) { /* a round sweeps at least 200 records */
		flush(p);
		uint64_t now = count(p, TABLE_VERDICT);
		assert_true(now < left);
		left = now;
	}
	assert_int_equal(left, 0);
	for (enum table table = TABLE_ROUTE; table <= TABLE_CONTROL; table++)
		assert_int_equal(count(p, table), 0);
	free(r);
}

static const char *const NAMES[] = { "example.com", "sub.example.com", "a.b.example.com", "example.com-x",
	"example-x.com", "examplea.com", "notexample.com", "com", "example.co", "example.com.au", "x.com" };
#define N_NAMES (sizeof NAMES / sizeof *NAMES)

static void put_everywhere(struct place *p)
{
	struct catch_all_fact c = { true, "mx.example.com", NOW_MS, NOW_MS + DAY_MS };
	struct route *r = a_route(NOW_MS + DAY_MS);
	struct control_fact control = { "q7w3e9r2t5", NOW_MS };
	for (size_t i = 0; i < N_NAMES; i++) {
		store_catch_all_put(p->store, NAMES[i], &c);
		store_route_put(p->store, NAMES[i], r);
		store_control_put(p->store, NAMES[i], &control);
		put_verdict(p, NAMES[i], "a");
		put_verdict(p, NAMES[i], "b");
	}
	free(r);
	flush(p);
}

static void expect_gone(struct place *p, unsigned gone) /* a bit for each of NAMES */
{
	for (size_t i = 0; i < N_NAMES; i++) {
		err_t expect = gone >> i & 1 ? ERR_NOT_FOUND : ERR_OK;
		struct catch_all_fact c;
		struct control_fact control;
		struct route *r;
		err_t got = store_route_get(p->store, NAMES[i], &r);
		assert_int_equal(got, expect);
		if (!got)
			free(r);
		assert_int_equal(store_catch_all_get(p->store, NAMES[i], &c), expect);
		assert_int_equal(store_control_get(p->store, NAMES[i], &control), expect);
		assert_int_equal(get_verdict(p, NAMES[i], "a"), expect);
		assert_int_equal(get_verdict(p, NAMES[i], "b"), expect);
	}
}

static void forgetting_takes_the_domain_or_its_range_and_no_neighbour(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	put_everywhere(p);
	expect_gone(p, 0);
	assert_int_equal(forget(p, "example.com", false), 5);
	expect_gone(p, 1);
	assert_int_equal(forget(p, "example.com", true), 10);
	expect_gone(p, 7);
	assert_int_equal(forget(p, "example.com", true), 0);
	put_everywhere(p);
	assert_int_equal(forget(p, "com", true), 5 * 8);
	expect_gone(p, 1 | 2 | 4 | 16 | 32 | 64 | 128 | 1024);
	assert_int_equal(store_forget(p->store, "", true, p->loop, NULL, NULL), ERR_INVALID);
	assert_int_equal(store_forget(p->store, "Example.com", true, p->loop, NULL, NULL), ERR_INVALID);
}

static void an_exemption_ends_and_deletes_what_is_known_of_it(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	put_everywhere(p);
	assert_int_equal(exempt(p, "example.com"), ERR_OK);
	flush(p);
	expect_gone(p, 7);
	put_everywhere(p); /* dropped by the writer, for it and below it */
	expect_gone(p, 7);
	place_close(p);
	place_must_open(p);
	put_everywhere(p);
	expect_gone(p, 7);
	char id[EXEMPTION_ID_MAX];
	memcpy(id, p->x.id, sizeof id);
	assert_int_equal(lift(p, id), ERR_OK);
	put_everywhere(p);
	expect_gone(p, 0);
}

/* The writer is kept waiting by a transaction of ours, so that what is queued becomes one group. */
static void in_one_group_the_exemption_comes_first_and_one_failure_spoils_no_other(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	assert_int_equal(exempt(p, "taken.example"), ERR_OK);
	struct txn hold;
	txn_begin_write(&hold, &p->store->keep);
	struct exemption x[3] = { { .domain = "new1.example", .by = "desk" },
		{ .domain = "taken.example", .by = "desk" }, { .domain = "new2.example", .by = "desk" } };
	struct place seen[4];
	for (int i = 0; i < 4; i++)
		seen[i] = (struct place){ .loop = p->loop };
	/* the first is taken alone, perhaps with some of the others */
	struct exemption first = { .domain = "first.example", .by = "desk" };
	assert_int_equal(store_exemption_create(p->store, &first, p->loop, noted, &seen[3]), ERR_OK);
	put_verdict(p, "new1.example", "a");
	put_verdict(p, "new2.example", "a");
	put_verdict(p, "other.example", "a");
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_exemption_create(p->store, &x[i], p->loop, noted, &seen[i]), ERR_OK);
	(void)txn_end(&hold);
	flush(p); /* the queue keeps its order, so all four have been told on the loop */
	assert_int_equal(seen[0].err, ERR_OK);
	assert_int_equal(seen[1].err, ERR_EXISTS);
	assert_string_equal(seen[1].x.domain, "taken.example");
	assert_string_equal(seen[1].x.id, p->x.id);
	assert_int_equal(seen[2].err, ERR_OK);
	assert_int_equal(seen[3].err, ERR_OK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(seen[i].done, 1);
	assert_int_equal(get_verdict(p, "new1.example", "a"), ERR_NOT_FOUND);
	assert_int_equal(get_verdict(p, "new2.example", "a"), ERR_NOT_FOUND);
	assert_int_equal(get_verdict(p, "other.example", "a"), ERR_OK);
}

static void a_long_deletion_goes_on_over_rounds(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	char local[32];
	struct catch_all_fact c = { true, "mx.example.com", NOW_MS, NOW_MS + DAY_MS };
	for (int i = 0; i < 20500; i++) { /* more than one round deletes */
		snprintf(local, sizeof local, "h%d.example.com", i);
		store_catch_all_put(p->store, local, &c);
		if (i % 5000 == 0)
			flush(p); /* the queue is bounded */
	}
	flush(p);
	assert_int_equal(count(p, TABLE_CATCH_ALL), 20500);
	assert_int_equal(forget(p, "example.com", true), 20500);
	assert_int_equal(count(p, TABLE_CATCH_ALL), 0);
}

static void the_hash_is_the_keys_and_the_addresss(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	uint8_t a[32], b[32];
	store_address_hash(p->store, "Ann@example.com", 15, a);
	store_address_hash(p->store, "ann@example.com", 15, b);
	assert_memory_not_equal(a, b, 32);
	place_close(p);
	place_must_open(p);
	store_address_hash(p->store, "Ann@example.com", 15, b);
	assert_memory_equal(a, b, 32);
	place_close(p);
	remove_tree(p->path);
	place_must_open(p);
	store_address_hash(p->store, "Ann@example.com", 15, b);
	assert_memory_not_equal(a, b, 32);
}

static void a_damaged_record_is_as_good_as_none_and_swept(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	struct key k;
	struct catch_all_fact c = { false, "mx.example.com", NOW_MS, NOW_MS + DAY_MS };
	store_catch_all_put(p->store, "example.com", &c);
	flush(p);
	assert_int_equal(key_of_domain(&k, "example.com"), ERR_OK);
	struct txn t;
	txn_begin_write(&t, &p->store->known);
	txn_put(&t, TABLE_CATCH_ALL, &k, "\xff\xff\xff", 3);
	txn_put(&t, TABLE_ROUTE, &k, "\xff\xff\xff", 3);
	txn_put(&t, TABLE_HOST, &k, "\xff\xff\xff", 3);
	/* a ControlRecord with a local part of 33 bytes */
	txn_put(&t, TABLE_CONTROL, &k, "\x0a\x21xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\x10\x01", 37);
	struct control_fact control;
	assert_int_equal(txn_end(&t), ERR_OK);
	struct route *r;
	assert_int_equal(store_catch_all_get(p->store, "example.com", &c), ERR_NOT_FOUND);
	assert_int_equal(store_route_get(p->store, "example.com", &r), ERR_NOT_FOUND);
	assert_int_equal(store_host_lockstep_until(p->store, "example.com"), 0);
	assert_int_equal(store_control_get(p->store, "example.com", &control), ERR_NOT_FOUND);
	flush(p);
	flush(p);
	for (enum table table = TABLE_ROUTE; table <= TABLE_CONTROL; table++)
		assert_int_equal(count(p, table), 0);
}

static void a_queue_over_its_limit_drops_facts_and_no_exemption(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	flush(p);
	struct txn hold;
	txn_begin_write(&hold, &p->store->known); /* the writer waits behind it */
	char local[32];
	int put = 0;
	for (; put < 200000 && !atomic_load(&p->store->writer.lost); put++) {
		snprintf(local, sizeof local, "u%d", put);
		put_verdict(p, "example.com", local);
	}
	assert_in_range(put, 1000, 199999);
	struct exemption x = { .domain = "example.net", .by = "desk" };
	assert_int_equal(store_exemption_create(p->store, &x, p->loop, noted, p), ERR_OK);
	(void)txn_end(&hold);
	await(p, 1);
	assert_int_equal(p->err, ERR_OK);
	flush(p);
	assert_int_equal(get_verdict(p, "example.com", "u0"), ERR_OK);
	assert_int_equal(get_verdict(p, "example.com", local), ERR_NOT_FOUND); /* the one dropped */
	assert_true(atomic_load(&p->store->writer.lost) >= 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_new, place_end)
	const struct CMUnitTest tests[] = {
		T(facts_come_back_as_they_were_put_and_survive_a_restart),
		T(what_has_expired_is_not_found_and_then_removed),
		T(forgetting_takes_the_domain_or_its_range_and_no_neighbour),
		T(an_exemption_ends_and_deletes_what_is_known_of_it),
		T(in_one_group_the_exemption_comes_first_and_one_failure_spoils_no_other),
		T(a_long_deletion_goes_on_over_rounds),
		T(the_hash_is_the_keys_and_the_addresss),
		T(a_queue_over_its_limit_drops_facts_and_no_exemption),
		T(a_damaged_record_is_as_good_as_none_and_swept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
