#include "server/loop/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/base/clock.h"

struct seen {
	struct deadline d;
	struct loop *loop;
	int n, order[64];
	int id;
	struct seen *all;
};

static void note(struct deadline *d)
{
	struct seen *s = (struct seen *)d, *all = s->all;
	all->order[all->n++] = s->id;
	if (all->n == 20)
		loop_stop(s->loop);
}

static void deadlines_fire_by_time_and_a_disarmed_one_never(void **state)
{
	(void)state;
	struct loop *l;
	assert_int_equal(loop_new(&l), ERR_OK);
	struct seen all = { 0 }, s[40] = { 0 };
	for (int i = 0; i < 40; i++) {
		s[i] = (struct seen){ .loop = l, .id = (i * 7) % 40, .all = &all };
		assert_int_equal(deadline_arm(l, &s[i].d, 10 + s[i].id, note), ERR_OK);
	}
	for (int i = 0; i < 40; i++)
		if (s[i].id % 2)
			deadline_disarm(l, &s[i].d);
	loop_run(l);
	assert_int_equal(all.n, 20);
	for (int i = 0; i < 20; i++)
		assert_int_equal(all.order[i], 2 * i);
	loop_free(l);
}

struct letter {
	struct mail mail;
	struct loop *loop;
	int from, seq;
};
static int last_seq[4], letters;

static void read_letter(struct mail *m)
{
	struct letter *letter = (struct letter *)m;
	assert_true(loop_is_current(letter->loop));
	assert_int_equal(letter->seq, last_seq[letter->from] + 1);
	last_seq[letter->from] = letter->seq;
	if (++letters == 4000)
		loop_stop(letter->loop);
	free(letter);
}

struct sender {
	struct loop *loop;
	int from;
};

static void *send_letters(void *arg)
{
	struct sender *s = arg;
	for (int i = 1; i <= 1000; i++) {
		struct letter *letter = malloc(sizeof *letter);
		*letter = (struct letter){ .loop = s->loop, .from = s->from, .seq = i };
		loop_send(s->loop, &letter->mail, read_letter);
	}
	return NULL;
}

static void mail_of_four_threads_arrives_whole_and_in_order(void **state)
{
	(void)state;
	struct loop *l;
	assert_int_equal(loop_new(&l), ERR_OK);
	pthread_t t[4];
	struct sender s[4];
	for (int i = 0; i < 4; i++) {
		s[i] = (struct sender){ l, i };
		pthread_create(&t[i], NULL, send_letters, &s[i]);
	}
	loop_run(l);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(letters, 4000);
	loop_free(l);
}

struct reader {
	struct loop *loop;
	struct watch *w;
	struct mail after;
	int fd, got;
	bool freed_later;
};

static void after_turn(struct mail *m)
{
	struct reader *r = (struct reader *)((char *)m - offsetof(struct reader, after));
	r->freed_later = true;
	loop_stop(r->loop);
}

static void on_ready(void *ctx, unsigned events)
{
	struct reader *r = ctx;
	assert_true(events & WATCH_READ);
	char c;
	if (read(r->fd, &c, 1) == 1) {
		r->got++;
		return;
	}
	watch_close(r->w);
	loop_defer(r->loop, &r->after, after_turn);
	assert_false(r->freed_later); /* not before we return */
}

static void a_watch_reads_until_its_end(void **state)
{
	(void)state;
	struct reader r = { 0 };
	int p[2];
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "abc", 3), 3);
	close(p[1]);
	r.fd = p[0];
	assert_int_equal(loop_new(&r.loop), ERR_OK);
	assert_int_equal(watch_open(r.loop, r.fd, on_ready, &r, &r.w), ERR_OK);
	watch_want(r.w, WATCH_READ);
	loop_run(r.loop);
	assert_int_equal(r.got, 3);
	assert_true(r.freed_later);
	close(r.fd);
	loop_free(r.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines_fire_by_time_and_a_disarmed_one_never),
		cmocka_unit_test(mail_of_four_threads_arrives_whole_and_in_order),
		cmocka_unit_test(a_watch_reads_until_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
