/* Reads see what is queued, in its order. The writer is kept from committing by a transaction of the test's own. */
#include "tests/unit/store/help.h"

#include <stdio.h>

static struct key key_of(const char *domain)
{
	struct key k;
	assert_int_equal(key_of_domain(&k, domain), ERR_OK);
	return k;
}

/* ---- the table alone ---- */

static enum queued_answer find(const struct queued *q, const char *domain, const struct queued_put **p)
{
	struct key k = key_of(domain);
	return queued_find(q, TABLE_ROUTE, &k, queued_hash(&k), k.len, p);
}

static struct queued_put a_put(const char *domain)
{
	struct key k = key_of(domain);
	return (struct queued_put){ .table = TABLE_ROUTE, .key = k, .hash = queued_hash(&k) };
}

static struct queued_deletion *delete (struct queued *q, const char *domain, bool with_subdomains)
{
	struct key k = key_of(domain);
	struct queued_deletion *d = queued_deletion_new(&k, with_subdomains);
	assert_non_null(d);
	return queued_deletion_enter(q, d);
}

static void the_end_of_an_older_put_leaves_the_newer_one(void **state)
{
	(void)state;
	struct queued q = { 0 };
	struct queued_put older = a_put("example.com"), newer = a_put("example.com"), other = a_put("example.net");
	const struct queued_put *p;
	assert_int_equal(find(&q, "example.com", &p), QUEUED_NOTHING);
	queued_put_enter(&q, &older);
	queued_put_enter(&q, &other);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_PUT);
	assert_ptr_equal(p, &older);
	queued_put_enter(&q, &newer);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_PUT);
	assert_ptr_equal(p, &newer);
	queued_put_leave(&q, &older);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_PUT);
	assert_ptr_equal(p, &newer);
	queued_put_leave(&q, &newer);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_NOTHING);
	assert_int_equal(find(&q, "example.net", &p), QUEUED_PUT);
	struct key k = key_of("example.net");
	assert_int_equal(queued_find(&q, TABLE_CATCH_ALL, &k, queued_hash(&k), k.len, &p), QUEUED_NOTHING);
	queued_put_leave(&q, &other);
	assert_null(q.put[TABLE_ROUTE]);
}

static void a_deletion_hides_what_came_before_it_and_no_neighbour(void **state)
{
	(void)state;
	static const char *const NAME[] = { "example.com", "sub.example.com", "a.b.example.com", "example.com-x",
		"xexample.com", "com", "example.net" };
	enum { NAMES = sizeof NAME / sizeof *NAME };
	struct queued q = { 0 };
	struct queued_put older[NAMES], newer = a_put("sub.example.com");
	const struct queued_put *p;
	for (int i = 0; i < NAMES; i++) {
		older[i] = a_put(NAME[i]);
		queued_put_enter(&q, &older[i]);
	}
	struct queued_deletion *own = delete (&q, "example.com", false);
	for (int i = 0; i < NAMES; i++)
		assert_int_equal(find(&q, NAME[i], &p), i < 1 ? QUEUED_DELETED : QUEUED_PUT);
	struct queued_deletion *all = delete (&q, "example.com", true);
	for (int i = 0; i < NAMES; i++)
		assert_int_equal(find(&q, NAME[i], &p), i < 3 ? QUEUED_DELETED : QUEUED_PUT);
	assert_int_equal(find(&q, "c.example.com", &p), QUEUED_DELETED); /* what is committed, too */
	assert_int_equal(queued_find(&q, TABLE_HOST, &older[0].key, older[0].hash, 0, &p), QUEUED_NOTHING);
	queued_put_enter(&q, &newer);
	assert_int_equal(find(&q, "sub.example.com", &p), QUEUED_PUT);
	assert_ptr_equal(p, &newer);
	for (int i = 0; i < NAMES; i++)
		queued_put_leave(&q, &older[i]);
	queued_deletion_leave(&q, own);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_DELETED);
	queued_deletion_leave(&q, all);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_NOTHING);
	assert_int_equal(find(&q, "sub.example.com", &p), QUEUED_PUT);
	queued_put_leave(&q, &newer);
	assert_null(q.put[TABLE_ROUTE]);
	assert_null(q.deletion[0]);
	assert_null(q.deletion[1]);
}

static void the_same_deletion_twice_holds_until_both_have_ended(void **state)
{
	(void)state;
	struct queued q = { 0 };
	struct queued_put between = a_put("example.com");
	const struct queued_put *p;
	struct queued_deletion *first = delete (&q, "example.com", true);
	queued_put_enter(&q, &between);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_PUT);
	struct queued_deletion *second = delete (&q, "example.com", true);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_DELETED);
	queued_deletion_leave(&q, first);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_DELETED);
	queued_put_leave(&q, &between);
	queued_deletion_leave(&q, second);
	assert_int_equal(find(&q, "example.com", &p), QUEUED_NOTHING);
	assert_null(q.deletion[1]);
}

/* ---- the store ---- */

/* A fact of each table about example.com (that of the host: about mx.example.com); n tells them apart. */
static void put_all(struct place *p, unsigned n)
{
	uint8_t hash[STORE_KEY_BYTES] = { 7 };
	struct route *r = calloc(1, route_size(ROUTE_HOSTS_MAX)); /* the largest there is */
	*r = (struct route){ .status = ROUTE_FOUND, .host_count = ROUTE_HOSTS_MAX, .expires_ms = NOW_MS + n };
	for (int i = 0; i < ROUTE_HOSTS_MAX; i++) {
		memset(r->host[i].name, 'm', DOMAIN_SIZE - 1);
		r->host[i].status = ROUTE_FOUND;
		r->host[i].preference = UINT16_MAX;
		r->host[i].address_count = ROUTE_ADDRESSES_MAX;
		for (int a = 0; a < ROUTE_ADDRESSES_MAX; a++)
			r->host[i].address[a].v6 = true;
	}
	struct catch_all_fact c = { true, "mx.example.com", NOW_MS, NOW_MS + n };
	struct verdict_fact v = a_verdict(NOW_MS + n);
	struct control_fact control = { .drawn_ms = NOW_MS };
	snprintf(control.local, sizeof control.local, "%032u", n); /* as long as it may be */
	store_route_put(p->store, "example.com", r);
	store_catch_all_put(p->store, "example.com", &c);
	store_host_lockstep_put(p->store, "mx.example.com", NOW_MS + n);
	store_verdict_put(p->store, "example.com", hash, &v);
	store_control_put(p->store, "example.com", &control);
	free(r);
}

/* n: those of put_all(); 0: none is found. */
static void expect_domain(struct place *p, unsigned n)
{
	uint8_t hash[STORE_KEY_BYTES] = { 7 };
	struct route *r = NULL;
	struct catch_all_fact c;
	struct verdict_fact v;
	struct control_fact control;
	err_t expect = n ? ERR_OK : ERR_NOT_FOUND;
	assert_int_equal(store_route_get(p->store, "example.com", &r), expect);
	assert_int_equal(store_catch_all_get(p->store, "example.com", &c), expect);
	assert_int_equal(store_verdict_get(p->store, "example.com", hash, &v), expect);
	assert_int_equal(store_control_get(p->store, "example.com", &control), expect);
	if (!n)
		return;
	assert_int_equal(r->expires_ms, NOW_MS + n);
	assert_int_equal(r->host_count, ROUTE_HOSTS_MAX);
	assert_int_equal(r->host[ROUTE_HOSTS_MAX - 1].address_count, ROUTE_ADDRESSES_MAX);
	assert_int_equal(c.expires_ms, NOW_MS + n);
	assert_int_equal(v.expires_ms, NOW_MS + n);
	assert_int_equal(strtoul(control.local, NULL, 10), n);
	free(r);
}

static void expect_host(struct place *p, unsigned n)
{
	assert_int_equal(store_host_lockstep_until(p->store, "mx.example.com"), n ? NOW_MS + n : 0);
}

static void expect_nothing_queued(struct place *p)
{
	const struct queued *q = &p->store->writer.queued;
	for (enum table table = 0; table < TABLES; table++)
		assert_null(q->put[table]);
	assert_null(q->deletion[0]);
	assert_null(q->deletion[1]);
}

static void what_is_put_is_read_at_once_and_the_newest_of_it(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	flush(p);
	struct txn hold;
	txn_begin_write(&hold, &p->store->known);
	expect_domain(p, 0);
	put_all(p, 1);
	expect_domain(p, 1);
	expect_host(p, 1);
	put_all(p, 2);
	expect_domain(p, 2);
	(void)txn_end(&hold);
	flush(p);
	expect_nothing_queued(p);
	expect_domain(p, 2);
	expect_host(p, 2);
	for (unsigned n = 3; n < 1000; n++) { /* with commits in between: an older one's end takes no newer one along */
		put_all(p, n);
		expect_domain(p, n);
		expect_host(p, n);
	}
	place_close(p);
	place_must_open(p);
	expect_domain(p, 999);
}

static void forgotten(void *ctx, err_t err, uint64_t removed)
{
	struct place *p = ctx;
	p->removed = removed;
	p->err = err;
	p->done++;
	loop_stop(p->loop);
}

static void what_is_forgotten_is_not_read_from_then_on(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	put_all(p, 1);
	flush(p);
	struct txn hold;
	txn_begin_write(&hold, &p->store->known);
	expect_domain(p, 1);
	assert_int_equal(store_forget(p->store, "example.com", false, p->loop, forgotten, p), ERR_OK);
	expect_domain(p, 0); /* committed ones */
	expect_host(p, 1);   /* of a mail host, which serves others too */
	put_all(p, 2);
	expect_domain(p, 2);
	assert_int_equal(store_forget(p->store, "com", true, p->loop, forgotten, p), ERR_OK);
	expect_domain(p, 0); /* queued ones */
	put_all(p, 3);
	expect_domain(p, 3);
	assert_int_equal(store_forget(p->store, "com", false, p->loop, forgotten, p), ERR_OK);
	expect_domain(p, 3);
	(void)txn_end(&hold);
	await(p, 3);
	flush(p);
	expect_nothing_queued(p);
	expect_domain(p, 3);
	for (unsigned n = 4; n < 500; n++) {
		put_all(p, n);
		expect_domain(p, n);
		assert_int_equal(store_forget(p->store, "example.com", n % 2, NULL, NULL, NULL), ERR_OK);
		expect_domain(p, 0);
		if (n % 3)
			continue;
		put_all(p, n);
		expect_domain(p, n);
	}
	flush(p);
	expect_domain(p, 0); /* 499 is no multiple of 3 */
}

static void an_exemption_hides_what_is_committed_and_what_is_queued(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	put_all(p, 1);
	flush(p);
	struct txn hold;
	txn_begin_write(&hold, &p->store->known); /* the exemption is committed, its purge waits */
	assert_int_equal(exempt(p, "example.com"), ERR_OK);
	expect_domain(p, 0);
	put_all(p, 2); /* the writer will drop them */
	expect_domain(p, 0);
	expect_host(p, 2);
	(void)txn_end(&hold);
	flush(p);
	expect_nothing_queued(p);
	expect_domain(p, 0);
	char id[EXEMPTION_ID_MAX];
	memcpy(id, p->x.id, sizeof id);
	assert_int_equal(lift(p, id), ERR_OK);
	expect_domain(p, 0);
	put_all(p, 3);
	expect_domain(p, 3);
}

/* The put is being committed, so the purge comes a round later: the exemption's record alone must do. */
static void an_exemption_ends_the_reading_of_a_put_queued_before_it(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	flush(p);
	struct txn hold, keep;
	txn_begin_write(&hold, &p->store->known);
	put_all(p, 1);
	expect_domain(p, 1);
	struct key k = key_of("com");
	key_append(&k, "01ARZ3NDEKTSV4RRFFQ69G5FAV", EXEMPTION_ID_MAX - 1);
	txn_begin_write(&keep, &p->store->keep);
	txn_put(&keep, TABLE_EXEMPTION, &k, "", 0);
	expect_domain(p, 1); /* not committed yet */
	assert_int_equal(txn_end(&keep), ERR_OK);
	expect_domain(p, 0);
	expect_host(p, 1);
	(void)txn_end(&hold);
	flush(p);
}

static void what_could_not_be_committed_is_read_no_more(void **state)
{
	struct place *p = *state;
	p->map_bytes = 256 << 10;
	place_must_open(p);
	struct txn hold;
	txn_begin_write(&hold, &p->store->known);
	char local[32];
	for (int i = 0; i < 3000; i++) { /* far more than fits */
		snprintf(local, sizeof local, "u%d", i);
		put_verdict(p, "example.net", local);
	}
	assert_int_equal(get_verdict(p, "example.net", "u1500"), ERR_OK);
	(void)txn_end(&hold);
	assert_int_equal(store_forget(p->store, "nothing.invalid", true, p->loop, forgotten, p), ERR_OK);
	await(p, 1); /* told of the full map or not: the puts before it have ended */
	assert_true(atomic_load(&p->store->writer.lost) > 0);
	expect_nothing_queued(p);
	assert_int_equal(get_verdict(p, "example.net", "u1500"), ERR_NOT_FOUND); /* always in a group of 1,000 */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_new, place_end)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_of_an_older_put_leaves_the_newer_one),
		cmocka_unit_test(a_deletion_hides_what_came_before_it_and_no_neighbour),
		cmocka_unit_test(the_same_deletion_twice_holds_until_both_have_ended),
		T(what_is_put_is_read_at_once_and_the_newest_of_it),
		T(what_is_forgotten_is_not_read_from_then_on),
		T(an_exemption_hides_what_is_committed_and_what_is_queued),
		T(an_exemption_ends_the_reading_of_a_put_queued_before_it),
		T(what_could_not_be_committed_is_read_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
