/* What was acknowledged survives kill -9, and what a full disk does not take is not acknowledged. */
#include "tests/unit/store/help.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS 20
#define ID_BYTES (EXEMPTION_ID_MAX - 1)
#define IN_FLIGHT 8

/* ---- kill -9 ---- */

struct child {
	struct place *p;
	int out;
	unsigned made, kill_round;
};

static void make_another(struct child *);

static void acknowledged(void *ctx, err_t err, const struct exemption *x)
{
	struct child *c = ctx;
	if (err || write(c->out, x->id, ID_BYTES) != ID_BYTES)
		_exit(1);
	make_another(c);
}

static void make_another(struct child *c)
{
	struct exemption x = { .by = "desk", .note = "asked by mail" };
	char other[64];
	unsigned n = c->made++;
	snprintf(x.domain, sizeof x.domain, "d%u.r%u.example", n, c->kill_round);
	snprintf(other, sizeof other, "f%u.r%u.example.net", n, c->kill_round);
	put_verdict(c->p, other, "a");
	put_verdict(c->p, x.domain, "a");
	if (store_exemption_create(c->p->store, &x, c->p->loop, acknowledged, c))
		_exit(1);
}

static void run_child(struct place *p, int out, unsigned kill_round)
{
	struct child c = { .p = p, .out = out, .kill_round = kill_round };
	if (loop_new(&p->loop) || place_open(p)) /* a loop does not survive fork */
		_exit(1);
	for (int i = 0; i < IN_FLIGHT; i++)
		make_another(&c);
	loop_run(p->loop);
	_exit(1);
}

static bool every_id_is_among(void *ctx, const struct exemption *x, const char *position)
{
	(void)position;
	struct buf *missing = ctx;
	for (size_t at = 0; at < missing->len; at += ID_BYTES)
		if (memcmp(missing->data + at, x->id, ID_BYTES) == 0) {
			memmove(missing->data + at, missing->data + at + ID_BYTES, missing->len - at - ID_BYTES);
			missing->len -= ID_BYTES;
			break;
		}
	return true;
}

static void facts_are_whole(struct place *p)
{
	for (enum table table = TABLE_ROUTE; table <= TABLE_CONTROL; table++) {
		struct txn t;
		MDB_val key, value;
		txn_begin_read(&t, &p->store->known);
		MDB_cursor *c = txn_cursor(&t, table);
		while (txn_move(&t, c, &key, &value, MDB_NEXT))
			assert_true(fact_expires_ms(table, &value) > 0);
		mdb_cursor_close(c);
		assert_int_equal(txn_end(&t), ERR_OK);
	}
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
	struct place *p = *state;
	struct buf acked = BUF_INIT(1 << 20), missing = BUF_INIT(1 << 20);
	for (unsigned i = 0; i < KILLS; i++) {
		int pipe_of[2];
		assert_int_equal(pipe(pipe_of), 0);
		pid_t child = fork();
		assert_true(child >= 0);
		if (!child)
			run_child(p, pipe_of[1], i);
		close(pipe_of[1]);
		char id[ID_BYTES];
		ssize_t n;
		for (unsigned seen = 0; (n = read(pipe_of[0], id, sizeof id)) == ID_BYTES; seen++) {
			buf_append(&acked, id, sizeof id);
			if (seen == 3 * i) /* at another point of its work each time */
				assert_int_equal(kill(child, SIGKILL), 0);
		}
		assert_int_equal(n, 0); /* an id is written whole */
		close(pipe_of[0]);
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		place_must_open(p);
		buf_reset(&missing);
		buf_append(&missing, acked.data, acked.len);
		assert_int_equal(store_exemption_walk(p->store, "", "", every_id_is_among, &missing), ERR_OK);
		assert_int_equal(missing.len, 0);
		flush(p);
		facts_are_whole(p);
		char domain[64];
		snprintf(domain, sizeof domain, "d0.r%u.example", i);
		assert_int_equal(get_verdict(p, domain, "a"), ERR_NOT_FOUND); /* exempt: none of it is kept */
		place_close(p);
	}
	assert_int_equal(acked.err, ERR_OK);
	assert_true(acked.len >= KILLS * ID_BYTES);
	buf_free(&acked);
	buf_free(&missing);
}

/* A crash between the commit of an exemption and that of its purge leaves facts behind. */
static void facts_of_the_exempt_left_by_a_crash_go_at_the_start(void **state)
{
	struct place *p = *state;
	place_must_open(p);
	assert_int_equal(exempt(p, "example.com"), ERR_OK);
	flush(p);
	struct key k, k2;
	struct txn t;
	assert_int_equal(key_of_domain(&k, "example.com"), ERR_OK);
	assert_int_equal(key_of_domain(&k2, "example.net"), ERR_OK);
	/* a CatchAllRecord with expires_ms far ahead */
	static const uint8_t RECORD[] = { 0x20, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01 };
	txn_begin_write(&t, &p->store->known);
	txn_put(&t, TABLE_CATCH_ALL, &k, RECORD, sizeof RECORD);
	txn_put(&t, TABLE_CATCH_ALL, &k2, RECORD, sizeof RECORD);
	assert_int_equal(txn_end(&t), ERR_OK);
	struct catch_all_fact c;
	assert_int_equal(store_catch_all_get(p->store, "example.com", &c), ERR_OK);
	place_close(p);
	place_must_open(p);
	flush(p);
	assert_int_equal(store_catch_all_get(p->store, "example.com", &c), ERR_NOT_FOUND);
	assert_int_equal(store_catch_all_get(p->store, "example.net", &c), ERR_OK);
}

/* ---- no room ---- */

static err_t exempt_n(struct place *p, unsigned n)
{
	struct exemption x = { .by = "desk" };
	memset(x.note, 'n', EXEMPTION_NOTE_MAX);
	snprintf(x.domain, sizeof x.domain, "d%u.example", n);
	assert_int_equal(store_exemption_create(p->store, &x, p->loop, noted, p), ERR_OK);
	await(p, 1);
	return p->err;
}

static bool is_exempt(struct place *p, unsigned n)
{
	char domain[64];
	struct exemption x;
	snprintf(domain, sizeof domain, "d%u.example", n);
	return store_exemption_covering(p->store, domain, &x) == ERR_OK;
}

static void a_full_map_refuses_and_the_writer_goes_on(void **state)
{
	struct place *p = *state;
	p->map_bytes = 256 << 10;
	place_must_open(p);
	char local[32];
	for (int i = 0; i < 3000; i++) { /* far more than fits */
		snprintf(local, sizeof local, "u%d", i);
		put_verdict(p, "example.net", local);
	}
	unsigned n = 0;
	while (n < 400 && !exempt_n(p, n))
		n++;
	assert_in_range(n, 10, 399);
	assert_int_equal(p->err, ERR_SPACE);
	assert_false(is_exempt(p, n));
	assert_true(is_exempt(p, n - 1));
	assert_int_equal(exempt_n(p, n), ERR_SPACE);
	assert_true(atomic_load(&p->store->writer.lost) > 0);
	place_close(p);
	p->map_bytes = MAP_BYTES;
	place_must_open(p);
	assert_false(is_exempt(p, n));
	assert_int_equal(exempt_n(p, n), ERR_OK);
	for (unsigned i = 0; i <= n; i++)
		assert_true(is_exempt(p, i));
}

static void fill_disk(const char *path)
{
	static char block[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof block) > 0)
		;
	close(fd);
}

static void use_disk(struct place *p)
{
	char filler[512];
	snprintf(filler, sizeof filler, "%s", place_file(p, "filler"));
	place_must_open(p);
	assert_int_equal(exempt_n(p, 0), ERR_OK);
	fill_disk(filler);
	unsigned n = 1;
	while (n < 50 && !exempt_n(p, n)) /* pages given back before may take a few more */
		n++;
	assert_in_range(n, 1, 49);
	assert_int_equal(p->err, ERR_SPACE);
	assert_false(is_exempt(p, n));
	put_verdict(p, "example.net", "a");
	assert_int_equal(exempt_n(p, n), ERR_SPACE);
	place_close(p);
	place_must_open(p); /* a full disk does not keep it from starting */
	assert_true(is_exempt(p, 0));
	assert_false(is_exempt(p, n));
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(exempt_n(p, n), ERR_OK);
	put_verdict(p, "example.net", "b");
	flush(p);
	assert_int_equal(get_verdict(p, "example.net", "b"), ERR_OK);
	place_close(p);
	place_must_open(p);
	assert_true(is_exempt(p, n));
	place_close(p);
	/* a first start on a full disk: refused, and nothing half made keeps the next one from working */
	remove_tree(place_file(p, "keep"));
	remove_tree(place_file(p, "known"));
	unlink(p->key);
	fill_disk(filler);
	err_t err = place_open(p);
	assert_int_equal(err, ERR_SPACE);
	assert_int_equal(unlink(filler), 0);
	place_must_open(p);
	assert_int_equal(exempt_n(p, 0), ERR_OK);
	place_close(p);
}

static void a_full_disk_refuses_and_room_made_is_used(void **state)
{
	struct place *p = *state;
	if (mount("tmpfs", p->path, "tmpfs", 0, "size=512k")) {
		print_message("no right to mount a small disk\n");
		skip();
	}
	use_disk(p);
	umount(p->path);
}

static int end_on_disk(void **state)
{
	struct place *p = *state;
	store_close(p->store);
	p->store = NULL;
	umount2(p->path, MNT_DETACH); /* nothing to do when the test got to its end */
	return place_end(state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_new, place_end)
	const struct CMUnitTest tests[] = {
		T(what_was_acknowledged_survives_kill_9),
		T(facts_of_the_exempt_left_by_a_crash_go_at_the_start),
		T(a_full_map_refuses_and_the_writer_goes_on),
		cmocka_unit_test_setup_teardown(a_full_disk_refuses_and_room_made_is_used, place_new, end_on_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
