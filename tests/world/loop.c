#include "tests/world/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_A_TURN 512

struct loop {
	int epoll;
	bool stopped;
	void (*turn_end)(void *);
	void *ctx;
	struct timer **heap; /* from 1; the earliest first */
	size_t timers, room;
};

struct loop *loop_new(void (*turn_end)(void *), void *ctx)
{
	struct loop *l = calloc(1, sizeof *l);

	if (!l)
		abort();
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->turn_end = turn_end;
	l->ctx = ctx;
	return l;
}

void loop_free(struct loop *l)
{
	close(l->epoll);
	free(l->heap);
	free(l);
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
}

int64_t loop_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

bool loop_watch(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return !epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &ev);
}

void loop_change(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (w->fd >= 0)
		epoll_ctl(l->epoll, EPOLL_CTL_MOD, w->fd, &ev);
}

void loop_close(struct loop *l, struct watch *w)
{
	if (w->fd < 0)
		return;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	close(w->fd);
	w->fd = -1;
}

static void put(struct loop *l, size_t slot, struct timer *t)
{
	l->heap[slot] = t;
	t->slot = slot;
}

/* Moves t, which has no place yet, to where it belongs, starting at the free slot. */
static void settle(struct loop *l, size_t slot, struct timer *t)
{
	while (slot > 1 && l->heap[slot / 2]->at_us > t->at_us) {
		put(l, slot, l->heap[slot / 2]);
		slot /= 2;
	}
	for (;;) {
		size_t child = slot * 2;
		if (child > l->timers)
			break;
		if (child < l->timers && l->heap[child + 1]->at_us < l->heap[child]->at_us)
			child++;
		if (l->heap[child]->at_us >= t->at_us)
			break;
		put(l, slot, l->heap[child]);
		slot = child;
	}
	put(l, slot, t);
}

void loop_timer_clear(struct loop *l, struct timer *t)
{
	struct timer *last;
	size_t slot = t->slot;

	if (!slot)
		return;
	last = l->heap[l->timers--];
	t->slot = 0;
	if (last != t)
		settle(l, slot, last);
}

void loop_timer(struct loop *l, struct timer *t, int64_t in_us)
{
	loop_timer_clear(l, t);
	t->at_us = loop_now_us() + in_us;
	if (l->timers + 1 >= l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->heap = realloc(l->heap, l->room * sizeof *l->heap);
		if (!l->heap)
			abort();
	}
	l->timers++;
	settle(l, l->timers, t);
}

static int wait_ms(struct loop *l)
{
	int64_t left;

	if (!l->timers)
		return -1;
	left = l->heap[1]->at_us - loop_now_us();
	if (left <= 0)
		return 0;
	return left > 1000000 ? 1000 : (int)((left + 999) / 1000);
}

static void fire_due(struct loop *l)
{
	int64_t now = loop_now_us();

	while (l->timers && l->heap[1]->at_us <= now) {
		struct timer *t = l->heap[1];
		loop_timer_clear(l, t);
		t->fire(t);
	}
}

void loop_run(struct loop *l)
{
	struct epoll_event ev[EVENTS_A_TURN];

	while (!l->stopped) {
		int n = epoll_wait(l->epoll, ev, EVENTS_A_TURN, wait_ms(l));
		if (n < 0 && errno != EINTR)
			abort();
		for (int i = 0; i < n; i++) {
			struct watch *w = ev[i].data.ptr;
			if (w->fd >= 0)
				w->ready(w, ev[i].events);
		}
		fire_due(l);
		l->turn_end(l->ctx);
	}
}
