#pragma once
/* One thread's event loop: descriptors, deadlines, and one call at the end of each turn. Owner: main(). A watch or a
 * timer lives in the struct it belongs to; that struct is freed only in the call at the end of a turn (events of the
 * same turn may still name it). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct watch {
	void (*ready)(struct watch *, uint32_t events);
	int fd; /* -1: not watched */
};
struct timer {
	void (*fire)(struct timer *);
	int64_t at_us;
	size_t slot; /* 0: not set */
};

struct loop *loop_new(void (*turn_end)(void *ctx), void *ctx);
void loop_free(struct loop *);
void loop_run(struct loop *); /* until loop_stop() */
void loop_stop(struct loop *);

bool loop_watch(struct loop *, struct watch *, uint32_t events); /* false: errno says why */
void loop_change(struct loop *, struct watch *, uint32_t events);
void loop_close(struct loop *, struct watch *); /* closes the descriptor too */

void loop_timer(struct loop *, struct timer *, int64_t in_us); /* sets it, or moves it */
void loop_timer_clear(struct loop *, struct timer *);

int64_t loop_now_us(void); /* monotonic */
