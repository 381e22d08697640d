#include "tests/unit/store/help.h"

#include <stdio.h>

#include "server/base/clock.h"
#include "store/ulid.h"

struct page {
	size_t n, stop; /* stop: after that many; 0 never */
	char domain[32][DOMAIN_SIZE], position[KEY_TOKEN_MAX];
};

static bool turn(void *ctx, const struct exemption *x, const char *position)
{
	struct page *page = ctx;
	assert_true(page->n < 32);
	memcpy(page->domain[page->n++], x->domain, sizeof x->domain);
	snprintf(page->position, sizeof page->position, "%s", position);
	return page->n != page->stop;
}

static struct page walk(struct place *p, const char *after, const char *within, size_t stop)
{
	struct page page = { .stop = stop };
	assert_int_equal(store_exemption_walk(p->store, after, within, turn, &page), ERR_OK);
	return page;
}

static void an_exemption_covers_its_domain_and_all_below_it(void **state)
{
	struct place *p = *state;
	struct exemption x;
	place_must_open(p);
	assert_int_equal(exempt(p, "a.example.com"), ERR_OK);
	assert_true(ulid_valid(p->x.id));
	assert_int_equal(p->x.created_ms, NOW_MS);
	assert_string_equal(p->x.by, "desk");
	assert_string_equal(p->x.note, "asked by mail");
	assert_int_equal(store_exemption_covering(p->store, "example.com", &x), ERR_NOT_FOUND);
	assert_int_equal(exempt(p, "example.com"), ERR_OK);
	for (int restarted = 0; restarted < 2; restarted++) {
		static const char *const COVERED[] = { "example.com", "a.example.com", "b.a.example.com",
			"x.y.z.example.com" };
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(store_exemption_covering(p->store, COVERED[i], &x), ERR_OK);
			assert_string_equal(x.domain, "example.com"); /* the widest */
			assert_int_equal(x.revoked_ms, 0);
		}
		static const char *const OTHER[] = { "com", "example.org", "notexample.com", "example.com.au",
			"example.com-x", "example-x.com", "a.example", "xexample.com" };
		for (size_t i = 0; i < sizeof OTHER / sizeof *OTHER; i++)
			assert_int_equal(store_exemption_covering(p->store, OTHER[i], &x), ERR_NOT_FOUND);
		place_close(p);
		place_must_open(p);
	}
}

static void revoking_adds_a_record_and_ends_the_cover(void **state)
{
	struct place *p = *state;
	struct exemption x;
	place_must_open(p);
	assert_int_equal(exempt(p, "a.example.com"), ERR_OK);
	struct exemption narrow = p->x;
	clock_fake_advance(1);
	assert_int_equal(exempt(p, "example.com"), ERR_OK);
	struct exemption wide = p->x;
	assert_true(strcmp(narrow.id, wide.id) < 0);
	assert_int_equal(exempt(p, "example.com"), ERR_EXISTS);
	assert_string_equal(p->x.id, wide.id);
	clock_fake_advance(1);
	assert_int_equal(lift(p, wide.id), ERR_OK);
	assert_string_equal(p->x.domain, "example.com");
	assert_int_equal(p->x.revoked_ms, NOW_MS + 2);
	assert_string_equal(p->x.revoked_by, "chief");
	assert_string_equal(p->x.by, "desk");
	assert_int_equal(lift(p, wide.id), ERR_DENIED);
	assert_int_equal(p->x.revoked_ms, NOW_MS + 2);
	assert_int_equal(store_exemption_covering(p->store, "example.com", &x), ERR_NOT_FOUND);
	assert_int_equal(store_exemption_covering(p->store, "a.example.com", &x), ERR_OK);
	assert_string_equal(x.id, narrow.id);
	place_close(p);
	place_must_open(p);
	assert_int_equal(store_exemption_covering(p->store, "example.com", &x), ERR_NOT_FOUND);
	assert_int_equal(exempt(p, "example.com"), ERR_OK); /* a new record beside the old one */
	assert_string_not_equal(p->x.id, wide.id);
	assert_int_equal(store_exemption_covering(p->store, "b.example.com", &x), ERR_OK);
	assert_int_equal(walk(p, "", "", 0).n, 3);
	assert_int_equal(lift(p, "01ARZ3NDEKTSV4RRFFQ69G5FAV"), ERR_NOT_FOUND);
	assert_int_equal(lift(p, ""), ERR_NOT_FOUND);
	assert_int_equal(lift(p, "../../../etc/passwd"), ERR_NOT_FOUND);
}

static void what_is_no_exemption_is_refused_at_once(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	static const char *const BAD[] = { "", ".", "example.com.", ".example.com", "a..b", "Example.com",
		"exa mple.com", "m\xc3\xbcller.example", "a/b.example", "a\n.example" };
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
		assert_int_equal(exempt(p, BAD[i]), ERR_INVALID);
	struct exemption x = { .domain = "example.com" };
	assert_int_equal(store_exemption_create(p->store, &x, p->loop, noted, p), ERR_INVALID); /* by nobody */
	memset(x.by, 'x', sizeof x.by); /* not even terminated */
	assert_int_equal(store_exemption_create(p->store, &x, p->loop, noted, p), ERR_INVALID);
	x.by[EXEMPTION_BY_MAX] = 0;
	memset(x.note, 'y', EXEMPTION_NOTE_MAX);
	char longest[DOMAIN_SIZE];
	memset(longest, 'a', sizeof longest);
	for (size_t i = 63; i < 253; i += 64)
		longest[i] = '.';
	longest[253] = 0;
	memcpy(x.domain, longest, sizeof longest);
	assert_int_equal(store_exemption_create(p->store, &x, p->loop, noted, p), ERR_OK);
	await(p, 1);
	assert_int_equal(p->err, ERR_OK);
	assert_int_equal(strlen(p->x.by), EXEMPTION_BY_MAX);
	assert_int_equal(strlen(p->x.note), EXEMPTION_NOTE_MAX);
	struct page page = walk(p, "", longest, 0);
	assert_int_equal(page.n, 1);
	assert_int_equal(walk(p, page.position, "", 0).n, 0);
	memset(x.domain, 'a', sizeof x.domain);
	assert_int_equal(store_exemption_create(p->store, &x, p->loop, noted, p), ERR_INVALID);
}

static void a_walk_goes_in_order_by_pages_and_within_a_domain(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	static const char *const MADE[] = { "example.org", "b.example.com", "example.com-x", "example.com",
		"a.example.com", "com", "examplea.com", "x.a.example.com" };
	static const char *const ORDER[] = { "example.com-x", "com", "example.com", "a.example.com", "x.a.example.com",
		"b.example.com", "examplea.com", "example.org" };
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(exempt(p, MADE[i]), ERR_OK);
	struct page all = walk(p, "", "", 0);
	assert_int_equal(all.n, 8);
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(all.domain[i], ORDER[i]);
	for (size_t size = 1; size < 9; size++) {
		size_t n = 0;
		char after[KEY_TOKEN_MAX] = "";
		for (struct page page; (page = walk(p, after, "", size)).n; memcpy(after, page.position, sizeof after))
			for (size_t i = 0; i < page.n; i++)
				assert_string_equal(page.domain[i], ORDER[n++]);
		assert_int_equal(n, 8);
	}
	struct page in = walk(p, "", "example.com", 0);
	assert_int_equal(in.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(in.domain[i], ORDER[2 + i]);
	in = walk(p, "", "example.com", 2);
	struct page rest = walk(p, in.position, "example.com", 0);
	assert_int_equal(rest.n, 2);
	assert_string_equal(rest.domain[0], "x.a.example.com");
	assert_int_equal(walk(p, all.position, "example.com", 0).n, 0);		       /* a position behind the range */
	assert_int_equal(walk(p, walk(p, "", "", 1).position, "example.com", 0).n, 4); /* and before it */
	assert_int_equal(walk(p, "", "nobody.example", 0).n, 0);
}

static void a_position_from_a_stranger_does_no_harm(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	assert_int_equal(exempt(p, "example.com"), ERR_OK);
	struct page page = { 0 };
	static const char *const BAD[] = { "x", "/", "//", "com.example.", "com.example/01", "..//", "com..example./",
		"COM./x", "./x", "\xff\xfe./x", "com.example./a/b", "com.example./012345678901234567890123456789012",
		"\n./1", "' OR 1=1 --" };
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
		assert_int_equal(store_exemption_walk(p->store, BAD[i], "", turn, &page), ERR_INVALID);
	char big[100000];
	memset(big, 'a', sizeof big);
	big[sizeof big - 1] = 0;
	assert_int_equal(store_exemption_walk(p->store, big, "", turn, &page), ERR_INVALID);
	assert_int_equal(store_exemption_walk(p->store, "", big, turn, &page), ERR_INVALID);
	big[300] = '/';
	assert_int_equal(store_exemption_walk(p->store, big, "", turn, &page), ERR_INVALID);
	assert_int_equal(page.n, 0);
	assert_int_equal(walk(p, "zz./\x01", "", 0).n, 0); /* well formed, never given out */
	assert_int_equal(walk(p, "aa./", "", 0).n, 1);
}

static void ids_sort_by_time_and_never_repeat(void **state)
{
	(void)state;
	char was[ULID_SIZE] = "", id[ULID_SIZE];
	for (int i = 0; i < 5000; i++) {
		int64_t at = i < 4000 ? NOW_MS + i / 1000 : NOW_MS - i; /* then the clock goes back */
		assert_int_equal(ulid_next(at, id), ERR_OK);
		assert_true(ulid_valid(id));
		assert_true(strcmp(was, id) < 0);
		memcpy(was, id, sizeof was);
	}
	assert_false(ulid_valid("01ARZ3NDEKTSV4RRFFQ69G5FAU"));
	assert_false(ulid_valid("01ARZ3NDEKTSV4RRFFQ69G5FAVX"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_new, place_end)
	const struct CMUnitTest tests[] = {
		T(an_exemption_covers_its_domain_and_all_below_it),
		T(revoking_adds_a_record_and_ends_the_cover),
		T(what_is_no_exemption_is_refused_at_once),
		T(a_walk_goes_in_order_by_pages_and_within_a_domain),
		T(a_position_from_a_stranger_does_no_harm),
		cmocka_unit_test(ids_sort_by_time_and_never_repeat),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
