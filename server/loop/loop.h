#pragma once
/* One event loop and the thread that runs it (libuv underneath; nobody above sees it).
 *
 * Everything here runs on the loop's own thread, except loop_send(), loop_post() and loop_stop(), which any thread may
 * call. Callbacks never run before the function that set them up has returned.
 *
 * Life: loop_new(), set things up, loop_run() (returns after loop_stop() or when loop_stop() was called before),
 * loop_free() when no deadline is armed and no watch is open. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"

struct loop;

MUST_CHECK err_t loop_new(struct loop **);
void loop_run(struct loop *);
void loop_stop(struct loop *);		   /* any thread; what was posted before is still run */
void loop_free(struct loop *);		   /* after loop_run() has returned; drops what was posted since */
bool loop_is_current(const struct loop *); /* is the caller the loop's thread (or is it not running yet)? */

/* The mailbox: fn(arg) runs on the loop's thread, in the order of posting. Any thread. ERR_NOMEM: nothing was posted,
 * arg is still the caller's. A message that must not be lost embeds a struct mail, which needs no memory and cannot
 * fail. */
struct mail {
	struct mail *next;
	void (*fn)(struct mail *);
};
void loop_send(struct loop *, struct mail *, void (*fn)(struct mail *));
MUST_CHECK err_t loop_post(struct loop *, void (*fn)(void *arg), void *arg);

/* Runs fn(mail) at the end of this turn, or in the next: for freeing what is still on the stack. Loop's thread. */
void loop_defer(struct loop *, struct mail *, void (*fn)(struct mail *));

/* A deadline: one shot. Zeroed memory is a disarmed one; memory may go as soon as it is disarmed. */
struct deadline {
	size_t place; /* in the heap, from 1; 0: not armed */
	int64_t at_ms;
	void (*fn)(struct deadline *);
};
/* Armed anew if it was armed. Disarmed before fn runs. ERR_NOMEM only when it was not armed. */
MUST_CHECK err_t deadline_arm(struct loop *, struct deadline *, int64_t in_ms, void (*fn)(struct deadline *));
void deadline_disarm(struct loop *, struct deadline *);
static inline bool deadline_armed(const struct deadline *d)
{
	return d->place != 0;
}

/* Watching a descriptor, level-triggered. The descriptor stays the caller's: close it after watch_close(). */
#define WATCH_READ 1u
#define WATCH_WRITE 2u
struct watch;
/* events: what is ready; WATCH_READ | WATCH_WRITE also on an error, so that the next call on the descriptor tells. */
typedef void (*watch_fn)(void *ctx, unsigned events);
MUST_CHECK err_t watch_open(struct loop *, int fd, watch_fn, void *ctx, struct watch **);
void watch_want(struct watch *, unsigned events); /* 0: nothing for now */
void watch_close(struct watch *);		  /* no callback after it; NULL is fine */
