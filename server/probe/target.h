#pragma once
/* One address that somebody asked about, on its way through the shards. Owned by whoever has it: the caller until
 * engine_submit(), the engine until the caller's answered(), the caller again from then on. It moves between threads by
 * mail, never by sharing. */
#include <stdatomic.h>
#include <sys/queue.h>

#include "server/loop/loop.h"
#include "server/probe/answer.h"

struct target;
struct plan;
struct shard;

/* Who asked: a call, later a list. Shared by its targets, hence counted. */
struct caller {
	atomic_uint refs;
	atomic_bool cancelled; /* set by engine_cancel() alone; what was not yet asked then never is */
	struct loop *loop;
	void (*answered)(struct target *); /* on loop, once for each target; takes it over */
	void *ctx;			   /* for answered(); the engine does not look at it */
};
/* One reference, the creator's. NULL: out of memory. */
struct caller *caller_new(struct loop *, void (*answered)(struct target *), void *ctx);
struct caller *caller_ref(struct caller *);
void caller_unref(struct caller *);

struct target {
	struct mail mail;
	TAILQ_ENTRY(target) link;
	struct shard *to;      /* while it moves */
	struct caller *caller; /* counted */
	struct plan *plan;     /* on its way from the domain's shard to the operator's; counted */
	struct address address;
	uint64_t id; /* the caller's */
	/* Facts and verdicts learned before this (wall clock) do not count. INT64_MIN: all that are valid count. */
	int64_t not_before_ms;
	bool missed;	       /* no remembered verdict; a remembered route or fact may still answer */
	struct answer *answer; /* set when it is answered; target_free() frees it */
};
TAILQ_HEAD(targets, target);

/* NULL: out of memory. Takes a reference to the caller. */
struct target *target_new(struct caller *, const struct address *, uint64_t id, int64_t not_before_ms);
void target_free(struct target *);
/* Sends it home with a copy of the answer, or without one if memory ran out: the caller then reports TEMPORARY_FAILURE.
 */
void target_answer(struct target *, const struct answer *);
/* The same for an answer that is nothing but a reason and a phase. */
void target_answer_plainly(struct target *, enum reason, enum phase);
static inline bool target_is_wanted(const struct target *t)
{
	return !atomic_load_explicit(&t->caller->cancelled, memory_order_relaxed);
}
