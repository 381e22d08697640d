#include "server/loop/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

#include "server/base/clock.h"
#include "server/loop/heap.h"

struct loop {
	uv_loop_t uv;
	uv_async_t wake;
	uv_timer_t timer;
	uv_check_t after; /* end of a turn */
	uv_idle_t idle;	  /* active while something is deferred, so that the turn ends at once */
	pthread_t thread;
	atomic_bool running;

	pthread_mutex_t mu; /* guards the mailbox and stopping; held for a few instructions */
	struct mail *first, **last;
	bool stopping;

	struct mail *deferred, **deferred_last;
	struct heap deadlines;
};

struct watch {
	uv_poll_t poll;
	watch_fn fn;
	void *ctx;
};

/* ---- mailbox ---- */

static void take_mail(struct loop *l)
{
	pthread_mutex_lock(&l->mu);
	struct mail *m = l->first;
	bool stopping = l->stopping;
	l->first = NULL;
	l->last = &l->first;
	pthread_mutex_unlock(&l->mu);
	while (m) {
		struct mail *next = m->next; /* fn may free it */
		m->fn(m);
		m = next;
	}
	if (stopping)
		uv_stop(&l->uv);
}

static void on_wake(uv_async_t *async)
{
	take_mail(async->data);
}

void loop_send(struct loop *l, struct mail *m, void (*fn)(struct mail *))
{
	m->next = NULL;
	m->fn = fn;
	pthread_mutex_lock(&l->mu);
	bool was_empty = !l->first;
	*l->last = m;
	l->last = &m->next;
	pthread_mutex_unlock(&l->mu);
	if (was_empty)
		uv_async_send(&l->wake);
}

struct posted {
	struct mail mail; /* first: a mail is its posted */
	void (*fn)(void *arg);
	void *arg;
};

static void run_posted(struct mail *m)
{
	struct posted p = *(struct posted *)m;
	free(m);
	p.fn(p.arg);
}

err_t loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct posted *p = malloc(sizeof *p);
	if (!p)
		return ERR_NOMEM;
	p->fn = fn;
	p->arg = arg;
	loop_send(l, &p->mail, run_posted);
	return ERR_OK;
}

/* ---- the end of a turn ---- */

static void on_idle(uv_idle_t *idle)
{
	(void)idle; /* its being active keeps the poll from waiting */
}

static void run_deferred(struct loop *l)
{
	struct mail *m = l->deferred;
	l->deferred = NULL;
	l->deferred_last = &l->deferred;
	uv_idle_stop(&l->idle);
	while (m) {
		struct mail *next = m->next;
		m->fn(m);
		m = next;
	}
}

static void on_turn_end(uv_check_t *check)
{
	run_deferred(check->data);
}

void loop_defer(struct loop *l, struct mail *m, void (*fn)(struct mail *))
{
	m->next = NULL;
	m->fn = fn;
	*l->deferred_last = m;
	l->deferred_last = &m->next;
	uv_idle_start(&l->idle, on_idle);
}

/* ---- deadlines ---- */

static void on_timer(uv_timer_t *timer);

static void set_timer(struct loop *l)
{
	struct deadline *next = heap_first(&l->deadlines);
	if (!next) {
		uv_timer_stop(&l->timer);
		return;
	}
	int64_t in = next->at_ms - clock_mono_ms();
	uv_update_time(&l->uv); /* or a long turn would be counted twice */
	uv_timer_start(&l->timer, on_timer, in > 0 ? (uint64_t)in : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct loop *l = timer->data;
	int64_t now = clock_mono_ms();
	/* Only what is due now: a deadline armed by a callback waits for the next turn, so that none starves the
	 * sockets. */
	for (size_t due = l->deadlines.count; due > 0; due--) {
		struct deadline *d = heap_first(&l->deadlines);
		if (!d || d->at_ms > now)
			break;
		heap_remove(&l->deadlines, d);
		d->fn(d);
	}
	set_timer(l);
}

err_t deadline_arm(struct loop *l, struct deadline *d, int64_t in_ms, void (*fn)(struct deadline *))
{
	const struct deadline *was = heap_first(&l->deadlines);
	if (d->place)
		heap_remove(&l->deadlines, d);
	d->at_ms = clock_mono_ms() + (in_ms > 0 ? in_ms : 0);
	d->fn = fn;
	err_t err = heap_add(&l->deadlines, d);
	if (!err && (heap_first(&l->deadlines) == d || was == d))
		set_timer(l);
	return err;
}

void deadline_disarm(struct loop *l, struct deadline *d)
{
	if (d->place)
		heap_remove(&l->deadlines, d); /* the timer may fire for nothing: cheaper than setting it anew */
}

/* ---- descriptors ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	if (status < 0) {
		w->fn(w->ctx, WATCH_READ | WATCH_WRITE);
		return;
	}
	w->fn(w->ctx, ((events & UV_READABLE) ? WATCH_READ : 0) | ((events & UV_WRITABLE) ? WATCH_WRITE : 0));
}

err_t watch_open(struct loop *l, int fd, watch_fn fn, void *ctx, struct watch **out)
{
	struct watch *w = malloc(sizeof *w);
	if (!w)
		return ERR_NOMEM;
	w->fn = fn;
	w->ctx = ctx;
	if (uv_poll_init(&l->uv, &w->poll, fd)) {
		free(w);
		return ERR_IO;
	}
	w->poll.data = w;
	*out = w;
	return ERR_OK;
}

void watch_want(struct watch *w, unsigned events)
{
	if (!events) {
		uv_poll_stop(&w->poll);
		return;
	}
	uv_poll_start(&w->poll, ((events & WATCH_READ) ? UV_READABLE : 0) | ((events & WATCH_WRITE) ? UV_WRITABLE : 0),
		on_poll);
}

static void on_watch_closed(uv_handle_t *h)
{
	free(h->data);
}

void watch_close(struct watch *w)
{
	if (!w)
		return;
	uv_poll_stop(&w->poll); /* out of epoll now, so that the caller may close the descriptor */
	uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

/* ---- life ---- */

err_t loop_new(struct loop **out)
{
	struct loop *l = calloc(1, sizeof *l);
	if (!l)
		return ERR_NOMEM;
	if (uv_loop_init(&l->uv)) {
		free(l);
		return ERR_IO;
	}
	l->last = &l->first;
	l->deferred_last = &l->deferred;
	l->thread = pthread_self();
	pthread_mutex_init(&l->mu, NULL);
	if (uv_async_init(&l->uv, &l->wake, on_wake)) { /* takes a descriptor */
		uv_loop_close(&l->uv);
		pthread_mutex_destroy(&l->mu);
		free(l);
		return ERR_IO;
	}
	uv_timer_init(&l->uv, &l->timer);
	uv_check_init(&l->uv, &l->after);
	uv_idle_init(&l->uv, &l->idle);
	l->wake.data = l->timer.data = l->after.data = l->idle.data = l;
	uv_check_start(&l->after, on_turn_end);
	*out = l;
	return ERR_OK;
}

void loop_run(struct loop *l)
{
	l->thread = pthread_self();
	atomic_store(&l->running, true);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	run_deferred(l);
	atomic_store(&l->running, false);
}

void loop_stop(struct loop *l)
{
	pthread_mutex_lock(&l->mu);
	l->stopping = true;
	pthread_mutex_unlock(&l->mu);
	uv_async_send(&l->wake);
}

bool loop_is_current(const struct loop *l)
{
	return !atomic_load(&l->running) || pthread_equal(l->thread, pthread_self());
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	run_deferred(l);
	for (struct mail *m = l->first, *next; m; m = next) { /* what was posted since; sent mail is its owner's */
		next = m->next;
		if (m->fn == run_posted)
			free(m);
	}
	uv_close((uv_handle_t *)&l->wake, NULL);
	uv_close((uv_handle_t *)&l->timer, NULL);
	uv_close((uv_handle_t *)&l->after, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
	uv_run(&l->uv, UV_RUN_DEFAULT); /* lets the handles close, those of watches too */
	uv_loop_close(&l->uv);
	heap_free(&l->deadlines);
	pthread_mutex_destroy(&l->mu);
	free(l);
}
