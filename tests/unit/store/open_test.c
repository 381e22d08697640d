/* What a store refuses to start on, and that it says why and changes nothing. */
#include "tests/unit/store/help.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_refused(struct place *p, err_t expect, const char *says)
{
	err_t err = place_open(p);
	if (err != expect || !strstr(buf_str(&p->why), says))
		fail_msg("%s: %s (wanted: %s, \"%s\")", err_text(err), buf_str(&p->why), err_text(expect), says);
}

static void write_file(const char *path, const void *bytes, size_t n, off_t at, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

/* A sum over the file, to see that nothing in it was touched. */
static uint64_t sum_of(const char *path)
{
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	uint64_t sum = 14695981039346656037u;
	for (int c; (c = getc(f)) != EOF;)
		sum = (sum ^ (unsigned)c) * 1099511628211u;
	fclose(f);
	return sum;
}

static void a_locked_store_names_the_process_that_has_it(void **state)
{
	struct place *p = *state;
	int ready[2], leave[2];
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(leave), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child) {
		char c;
		close(leave[1]);
		bool ok = place_open(p) == ERR_OK;
		if (ok && write(ready[1], "y", 1) == 1)
			(void)!read(leave[0], &c, 1);
		_exit(!ok);
	}
	close(ready[1]);
	close(leave[0]);
	char c, pid[64];
	assert_int_equal(read(ready[0], &c, 1), 1);
	snprintf(pid, sizeof pid, "is used by rcptd, process %ld on ", (long)child);
	expect_refused(p, ERR_LOCKED, pid);
	close(leave[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ready[0]);
	place_must_open(p); /* the lock went with its process */
	assert_int_equal(exempt(p, "example.com"), ERR_OK);
}

static void nothing_is_inherited_by_a_program_started(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	for (int fd = 3; fd < 256; fd++) {
		char link[64], target[512];
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, target, sizeof target - 1);
		target[n > 0 ? n : 0] = 0;
		if (strncmp(target, p->path, strlen(p->path)) == 0 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			fail_msg("%s is inherited", target);
	}
}

static void fill(struct place *p)
{
	place_must_open(p);
	assert_int_equal(exempt(p, "example.com"), ERR_OK);
	put_verdict(p, "example.net", "a");
	flush(p);
	place_close(p);
}

static void the_key_file_is_made_private_and_never_replaced(void **state)
{
	struct place *p = *state;
	struct stat st;
	fill(p);
	assert_int_equal(stat(p->key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(chmod(p->key, 0644), 0);
	expect_refused(p, ERR_DENIED, "chmod 600");
	assert_int_equal(chmod(p->key, 0600), 0);
	assert_int_equal(truncate(p->key, 31), 0);
	expect_refused(p, ERR_DENIED, "not the size of a key");
	write_file(p->key, "0123456789abcdef0123456789abcdefg", 33, 0, 0600);
	expect_refused(p, ERR_DENIED, "not the size of a key");
	assert_int_equal(unlink(p->key), 0);
	expect_refused(p, ERR_DENIED, "is missing, but the store holds data");
	assert_int_equal(stat(p->key, &st), -1);
	assert_int_equal(mkdir(p->key, 0700), 0);
	expect_refused(p, ERR_DENIED, "no regular file");
	assert_int_equal(rmdir(p->key), 0);
	write_file(p->key, "0123456789abcdef0123456789abcdef", 32, 0, 0600);
	place_must_open(p);
	assert_int_equal(get_verdict(p, "example.net", "a"), ERR_NOT_FOUND); /* another key, another hash */
}

static void set_schema(struct place *p, bool known, const char *version)
{
	struct key k = { .len = 6, .bytes = "schema" };
	struct txn t;
	place_must_open(p);
	txn_begin_write(&t, known ? &p->store->known : &p->store->keep);
	txn_put(&t, TABLE_META, &k, version, strlen(version));
	assert_int_equal(txn_end(&t), ERR_OK);
	place_close(p);
}

static void what_a_newer_version_wrote_is_left_alone(void **state)
{
	struct place *p = *state;
	for (int known = 0; known < 2; known++) {
		const char *file = known ? "known/data.mdb" : "keep/data.mdb";
		fill(p);
		set_schema(p, known, "7");
		uint64_t sum = sum_of(place_file(p, file));
		expect_refused(p, ERR_VERSION, known ? "/known was written by a newer rcptd (schema 7" : "/keep was");
		assert_true(sum_of(place_file(p, file)) == sum);
		remove_tree(p->path);
	}
}

static void a_schema_record_that_is_no_number_is_damage(void **state)
{
	struct place *p = *state;
	set_schema(p, false, "x");
	expect_refused(p, ERR_CORRUPT, "/keep is damaged");
}

static void a_damaged_header_is_named_and_left_alone(void **state)
{
	struct place *p = *state;
	static const uint8_t rubbish[8192] = { 0xa5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5,
		0xa5 };
	for (int known = 0; known < 2; known++) {
		const char *file = known ? "known/data.mdb" : "keep/data.mdb";
		fill(p);
		write_file(place_file(p, file), rubbish, sizeof rubbish, 0, 0600);
		uint64_t sum = sum_of(place_file(p, file));
		expect_refused(p, ERR_CORRUPT, known ? "/known is damaged" : "/keep is damaged");
		assert_non_null(strstr(buf_str(&p->why), known ? "move that folder away" : "restore it from a backup"));
		assert_true(sum_of(place_file(p, file)) == sum);
		remove_tree(p->path);
	}
}

static void a_file_cut_short_is_named_and_left_alone(void **state)
{
	struct place *p = *state;
	static const off_t LEFT[] = { 1, 4095, 4096, 8192, 12288 };
	for (size_t i = 0; i < 2 * sizeof LEFT / sizeof *LEFT; i++) {
		const char *file = i % 2 ? "known/data.mdb" : "keep/data.mdb";
		fill(p);
		assert_int_equal(truncate(place_file(p, file), LEFT[i / 2]), 0);
		uint64_t sum = sum_of(place_file(p, file));
		expect_refused(p, ERR_CORRUPT, i % 2 ? "/known is damaged" : "/keep is damaged");
		assert_true(sum_of(place_file(p, file)) == sum);
		remove_tree(p->path);
	}
}

/* Each page of keep in turn becomes rubbish: refused, unless it was one that nothing leads to any more. */
static void a_page_of_rubbish_is_found_or_was_not_in_use(void **state)
{
	struct place *p = *state;
	static uint8_t rubbish[4096];
	unsigned refused = 0;
	fill(p);
	struct stat st;
	assert_int_equal(stat(place_file(p, "keep/data.mdb"), &st), 0);
	remove_tree(p->path);
	for (int kind = 0; kind < 3; kind++)
		for (off_t page = 2; page < st.st_size / 4096; page++) {
			for (size_t i = 0; i < sizeof rubbish; i++)
				rubbish[i] = kind == 0	 ? 0
					     : kind == 1 ? 0xff
							 : (uint8_t)(i * 197 + i / 7 + (size_t)page);
			fill(p);
			write_file(place_file(p, "keep/data.mdb"), rubbish, sizeof rubbish, page * 4096, 0600);
			err_t err = place_open(p);
			struct exemption x;
			if (err)
				assert_int_equal(err, ERR_CORRUPT);
			else
				assert_int_equal(store_exemption_covering(p->store, "example.com", &x), ERR_OK);
			refused += err == ERR_CORRUPT;
			place_close(p);
			remove_tree(p->path);
		}
	assert_true(refused >= 3 * 2); /* at least the pages of the root and of the exemption */
}

static void a_lost_keep_is_not_taken_for_an_empty_one(void **state)
{
	struct place *p = *state;
	fill(p);
	remove_tree(place_file(p, "keep"));
	expect_refused(p, ERR_CORRUPT, "the exemptions are lost");
	remove_tree(place_file(p, "keep"));
	assert_int_equal(mkdir(place_file(p, "keep"), 0700), 0);
	write_file(place_file(p, "keep/data.mdb"), "", 0, 0, 0600);
	expect_refused(p, ERR_CORRUPT, "the exemptions are lost");
}

static void a_lost_known_is_learned_again(void **state)
{
	struct place *p = *state;
	struct exemption x;
	fill(p);
	remove_tree(place_file(p, "known"));
	place_must_open(p);
	assert_int_equal(get_verdict(p, "example.net", "a"), ERR_NOT_FOUND);
	assert_int_equal(store_exemption_covering(p->store, "example.com", &x), ERR_OK);
}

static void a_damaged_exemption_or_revocation_refuses_to_start(void **state)
{
	struct place *p = *state;
	struct key k;
	for (int revocation = 0; revocation < 2; revocation++) {
		fill(p);
		place_must_open(p);
		k.len = EXEMPTION_ID_MAX - 1;
		memcpy(k.bytes, p->x.id, k.len);
		if (!revocation) {
			assert_int_equal(key_of_domain(&k, "example.com"), ERR_OK);
			key_append(&k, p->x.id, EXEMPTION_ID_MAX - 1);
		}
		struct txn t;
		txn_begin_write(&t, &p->store->keep);
		txn_put(&t, revocation ? TABLE_REVOCATION : TABLE_EXEMPTION, &k, "\xff\xff", 2);
		assert_int_equal(txn_end(&t), ERR_OK);
		struct exemption x;
		if (!revocation) /* while running: still in force, by its key */
			assert_int_equal(store_exemption_covering(p->store, "example.com", &x), ERR_CORRUPT);
		put_verdict(p, "example.com", "a");
		flush(p);
		place_close(p);
		expect_refused(p, ERR_CORRUPT, revocation ? "table revocation" : "table exemption");
		remove_tree(p->path);
	}
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
	struct place *p = *state;
	char was[sizeof p->path];
	memcpy(was, p->path, sizeof was);
	snprintf(p->path, sizeof p->path, "%.200s/no/such", was);
	expect_refused(p, ERR_IO, "/no/such: No such file");
	memcpy(p->path, was, sizeof was);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_new, place_end)
	const struct CMUnitTest tests[] = {
		T(a_locked_store_names_the_process_that_has_it),
		T(nothing_is_inherited_by_a_program_started),
		T(the_key_file_is_made_private_and_never_replaced),
		T(what_a_newer_version_wrote_is_left_alone),
		T(a_schema_record_that_is_no_number_is_damage),
		T(a_damaged_header_is_named_and_left_alone),
		T(a_file_cut_short_is_named_and_left_alone),
		T(a_page_of_rubbish_is_found_or_was_not_in_use),
		T(a_lost_keep_is_not_taken_for_an_empty_one),
		T(a_lost_known_is_learned_again),
		T(a_damaged_exemption_or_revocation_refuses_to_start),
		T(a_folder_that_cannot_be_made_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
