#pragma once
/* The writer thread: the only one with write transactions. It takes all that is queued (up to a limit), commits what
 * concerns `keep`, then what concerns `known`, so that a fact queued beside an exemption already meets it, and then
 * tells the waiting. Ops are queued by any thread; run() and committed() are the writer thread's. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/base/err.h"
#include "server/loop/loop.h"
#include "store/env.h"
#include "store/queued.h"

struct store;
struct op;

/* What an op's run() works in. */
struct round {
	struct store *store;
	struct txn *txn;     /* of the op's environment */
	struct txn *keep;    /* for ops on `known`: reads the exemptions as of this round */
	uint64_t may_delete; /* how many records may still be deleted in this round */
};

enum op_fate {
	OP_DROP,  /* a fact: lost on a failure, and counted */
	OP_TELL,  /* somebody waits: told of a failure */
	OP_RETRY, /* of the writer's own: tried again until it is done */
};

/* Embedded first in a typed write, allocated with malloc. */
struct op {
	STAILQ_ENTRY(op) link;
	struct mail mail;
	struct loop *loop; /* NULL: end() runs on the writer thread */
	bool on_keep;
	enum op_fate fate;
	size_t bytes;			  /* of memory; counts against the queue's limit */
	struct queued_put *put;		  /* in the op; what reads see of it until its end. NULL: nothing */
	struct queued_deletion *deletion; /* the op's while it is not queued, and one of its own then; or NULL */
	/* Sets op->err for a failure of its own (having written nothing), the transaction's error otherwise. May run
	 * again after a transaction that failed. */
	void (*run)(struct op *, struct round *);
	void (*committed)(struct op *, struct store *); /* NULL, or called after a commit when err is ERR_OK */
	bool again;					/* set by run(): more of it in the next round */
	void (*end)(struct op *);			/* tells the outcome, err, and frees the op */
	err_t err;
};

STAILQ_HEAD(ops, op);

struct writer {
	pthread_t thread;
	bool started;
	pthread_mutex_t mu; /* guards queue, queued_bytes, stopping; held for a few instructions */
	pthread_cond_t wake;
	struct ops queue;
	size_t queued_bytes;
	pthread_mutex_t queued_mu; /* guards queued; taken after mu, so that reads need not wait for take() */
	struct queued queued;	   /* these and what is being committed */
	bool stopping;

	/* the writer thread's own */
	struct ops pending; /* to be run (again) in the next round, before the queue's */
	bool more;	    /* one of them has got on: no need to wait before the next round */
	unsigned rounds;
	int64_t complained_keep_ms, complained_known_ms;
	uint64_t lost_told;
	enum table sweep_table;
	struct key sweep_key;

	atomic_uint_fast64_t lost; /* facts: over the queue's limit, or their transaction failed */
};

MUST_CHECK err_t writer_start(struct store *);
void writer_stop(struct store *);		  /* after all that was queued was tried */
void writer_add(struct store *, struct op *);	  /* takes it; may be gone when it returns */
void writer_add_own(struct store *, struct op *); /* the writer thread: for this round if it is still to come */
void writer_lost(struct store *);

/* What is queued of that key, on any thread. QUEUED_PUT: the record is copied to `value`, QUEUED_VALUE_MAX bytes. */
enum queued_answer writer_find(
	struct store *, enum table, const struct key *, size_t domain_len, uint8_t *value, size_t *n);

/* store/sweep.c: looks at the next n records of `known` and deletes those that have expired. */
void sweep(struct store *, struct txn *, uint64_t n);
