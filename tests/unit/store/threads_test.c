/* Four threads read while the writer writes; worth most under the thread sanitizer. */
#include "tests/unit/store/help.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define DOMAINS 50

struct reader {
	struct store *store;
	atomic_bool *stop;
	unsigned reads, wrong;
};

static bool seen_whole(void *ctx, const struct exemption *x, const char *position)
{
	(void)position;
	if (strcmp(x->by, "desk") != 0)
		*(unsigned *)ctx += 1;
	return true;
}

static void *read_on(void *arg)
{
	struct reader *r = arg;
	char domain[64];
	uint8_t hash[STORE_KEY_BYTES];
	store_address_hash(r->store, "a", 1, hash);
	do {
		struct verdict_fact v;
		struct catch_all_fact c;
		struct exemption x;
		snprintf(domain, sizeof domain, "d%u.example.com", r->reads++ % DOMAINS);
		err_t err = store_verdict_get(r->store, domain, hash, &v);
		if (err ? err != ERR_NOT_FOUND : v.code != 550 || strcmp(v.mail_host, "mx.example.net") != 0)
			r->wrong++;
		err = store_catch_all_get(r->store, domain, &c);
		if (err ? err != ERR_NOT_FOUND : strcmp(c.host, domain) != 0)
			r->wrong++;
		err = store_exemption_covering(r->store, domain, &x);
		if (err ? err != ERR_NOT_FOUND : strcmp(x.domain, domain) != 0)
			r->wrong++;
		if (r->reads % 16 == 0 && store_exemption_walk(r->store, "", "", seen_whole, &r->wrong))
			r->wrong++;
	} while (!atomic_load(r->stop) || r->reads < 100);
	return NULL;
}

static void readers_see_what_was_committed_and_nothing_torn(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	atomic_bool stop = false;
	struct reader r[4];
	pthread_t t[4];
	for (int i = 0; i < 4; i++) {
		r[i] = (struct reader){ .store = p->store, .stop = &stop };
		assert_int_equal(pthread_create(&t[i], NULL, read_on, &r[i]), 0);
	}
	char domain[64];
	for (unsigned i = 0; i < 40 * DOMAINS; i++) {
		snprintf(domain, sizeof domain, "d%u.example.com", i % DOMAINS);
		struct catch_all_fact c = { .learned_ms = NOW_MS, .expires_ms = NOW_MS + DAY_MS };
		memcpy(c.host, domain, sizeof domain);
		store_catch_all_put(p->store, domain, &c);
		put_verdict(p, domain, "a");
		if (i % 50 == 17)
			assert_int_equal(exempt(p, domain), i < 50 ? ERR_OK : ERR_EXISTS);
		if (i % 90 == 5)
			flush(p);
	}
	flush(p);
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(r[i].wrong, 0);
		assert_true(r[i].reads >= 100);
	}
	assert_int_equal(get_verdict(p, "d17.example.com", "a"), ERR_NOT_FOUND);
	assert_int_equal(get_verdict(p, "d18.example.com", "a"), ERR_OK);
}

/* Four threads put, read and forget what is their own beside each other. */
struct owner {
	struct store *store;
	unsigned number, wrong;
};

static void *put_and_read(void *arg)
{
	struct owner *o = arg;
	char domain[64];
	snprintf(domain, sizeof domain, "own.t%u.example", o->number);
	for (unsigned n = 1; n <= 2000; n++) {
		struct control_fact put = { .drawn_ms = NOW_MS }, got;
		snprintf(put.local, sizeof put.local, "r%u", n);
		store_control_put(o->store, domain, &put);
		if (store_control_get(o->store, domain, &got) || strcmp(put.local, got.local) != 0)
			o->wrong++;
		if (n % 5)
			continue;
		if (store_forget(o->store, n % 10 ? domain : domain + 4, true, NULL, NULL, NULL) ||
			store_control_get(o->store, domain, &got) != ERR_NOT_FOUND)
			o->wrong++;
	}
	return NULL;
}

static void each_thread_reads_what_it_has_put(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	struct owner o[4];
	pthread_t t[4];
	for (unsigned i = 0; i < 4; i++) {
		o[i] = (struct owner){ .store = p->store, .number = i };
		assert_int_equal(pthread_create(&t[i], NULL, put_and_read, &o[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(o[i].wrong, 0);
	}
}

/* Whatever four threads queue at once is done once each, and closing waits for it. */
struct adder {
	struct store *store;
	unsigned from;
};

static void *add(void *arg)
{
	struct adder *a = arg;
	for (unsigned i = 0; i < 100; i++) {
		struct exemption x = { .by = "desk" };
		snprintf(x.domain, sizeof x.domain, "d%u.t%u.example", i, a->from);
		if (store_exemption_create(a->store, &x, NULL, NULL, NULL))
			return arg;
	}
	return NULL;
}

static bool counted(void *ctx, const struct exemption *x, const char *position)
{
	(void)x, (void)position;
	++*(unsigned *)ctx;
	return true;
}

static void closing_waits_for_what_was_queued(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	struct adder a[4];
	pthread_t t[4];
	for (unsigned i = 0; i < 4; i++) {
		a[i] = (struct adder){ p->store, i };
		assert_int_equal(pthread_create(&t[i], NULL, add, &a[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *bad;
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	place_close(p);
	place_must_open(p);
	unsigned n = 0;
	assert_int_equal(store_exemption_walk(p->store, "", "", counted, &n), ERR_OK);
	assert_int_equal(n, 400);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_new, place_end)
	const struct CMUnitTest tests[] = {
		T(readers_see_what_was_committed_and_nothing_torn),
		T(each_thread_reads_what_it_has_put),
		T(closing_waits_for_what_was_queued),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
