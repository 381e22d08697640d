#include "store/writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "store/internal.h"

#define QUEUE_BYTES_MAX (16u << 20) /* of facts; beyond it they are dropped */
#define GROUP_OPS 1000
#define GROUP_BYTES (4u << 20)
#define GROUP_DELETES 20000 /* records; a long deletion goes on in the next round, so that others get their turn */
#define SWEEP_RECORDS 200   /* a round, and two for each op of it: faster than the ops can add */
#define SWEEP_IDLE_RECORDS 10000
#define IDLE_S 60
#define RETRY_S 1
#define READER_CHECK_ROUNDS 256
#define COMPLAIN_MS 60000

struct group {
	struct ops keep, known;
	unsigned known_count;
};

/* At most one line a minute: a full disk fails every round. */
static void complain(struct store *s, const struct env *env, err_t err)
{
	struct writer *w = &s->writer;
	int64_t now = clock_mono_ms();
	int64_t *last = env == &s->keep ? &w->complained_keep_ms : &w->complained_known_ms;
	uint64_t lost = atomic_load_explicit(&w->lost, memory_order_relaxed);
	if ((!err && (lost == w->lost_told || env == &s->keep)) || (*last && now - *last < COMPLAIN_MS))
		return;
	*last = now ? now : 1;
	w->lost_told = lost;
	log_error("event=store_write_failed environment=%s error=\"%s\" facts_lost=%" PRIu64, env->name,
		err ? err_text(err) : "the queue is full", lost);
}

void writer_lost(struct store *s)
{
	atomic_fetch_add_explicit(&s->writer.lost, 1, memory_order_relaxed);
}

/* ---- the end of an op ---- */

static void end_on_loop(struct mail *m)
{
	struct op *op = (struct op *)((char *)m - offsetof(struct op, mail));
	op->end(op);
}

/* With mu held if others queue too: the order here is the queue's. */
static void enter(struct writer *w, struct op *op)
{
	if (!op->put && !op->deletion)
		return;
	pthread_mutex_lock(&w->queued_mu);
	if (op->put)
		queued_put_enter(&w->queued, op->put);
	if (op->deletion)
		op->deletion = queued_deletion_enter(&w->queued, op->deletion);
	pthread_mutex_unlock(&w->queued_mu);
}

/* After the commit, for else a read in between would find neither; in the order of queueing, for a put that outlived a
 * newer deletion would come back. */
static void leave(struct writer *w, struct op *op)
{
	if (!op->put && !op->deletion)
		return;
	pthread_mutex_lock(&w->queued_mu);
	if (op->put)
		queued_put_leave(&w->queued, op->put);
	if (op->deletion)
		queued_deletion_leave(&w->queued, op->deletion);
	pthread_mutex_unlock(&w->queued_mu);
	op->deletion = NULL;
}

static void finish(struct store *s, struct op *op)
{
	leave(&s->writer, op);
	if (op->loop)
		loop_send(op->loop, &op->mail, end_on_loop);
	else
		op->end(op);
}

static void succeeded(struct store *s, struct op *op)
{
	if (!op->err && op->committed)
		op->committed(op, s);
	if (op->err || !op->again) {
		finish(s, op);
		return;
	}
	STAILQ_INSERT_TAIL(&s->writer.pending, op, link);
	s->writer.more = true;
}

static void failed(struct store *s, struct op *op, err_t err)
{
	if (op->fate == OP_RETRY) {
		STAILQ_INSERT_TAIL(&s->writer.pending, op, link);
		return;
	}
	if (op->fate == OP_DROP)
		writer_lost(s);
	op->err = err;
	finish(s, op);
}

/* ---- groups ---- */

static void run(struct op *op, struct round *r)
{
	op->err = ERR_OK;
	op->again = false;
	op->run(op, r);
}

static err_t commit(const struct env *env, struct txn *txn, bool awaited)
{
	err_t err = txn_end(txn);
	if (!err && awaited && txn->dirty && env->first != TABLE_EXEMPTION)
		err = err_from_mdb(mdb_env_sync(env->mdb, 1)); /* MDB_NOMETASYNC leaves the last step out */
	return err;
}

static err_t run_one(struct store *s, const struct env *env, struct op *op, struct txn *keep)
{
	struct txn txn;
	struct round r = { s, &txn, keep, GROUP_DELETES };
	txn_begin_write(&txn, env);
	run(op, &r);
	return commit(env, &txn, op->fate == OP_TELL);
}

static err_t run_all(struct store *s, const struct env *env, struct ops *ops, struct txn *keep, uint64_t sweep_records)
{
	struct txn txn;
	struct round r = { s, &txn, keep, GROUP_DELETES };
	struct op *op;
	bool awaited = false;
	txn_begin_write(&txn, env);
	STAILQ_FOREACH(op, ops, link)
	{
		run(op, &r);
		awaited |= op->fate == OP_TELL;
	}
	if (sweep_records)
		sweep(s, &txn, sweep_records);
	return commit(env, &txn, awaited);
}

/* One transaction for all; when it fails, one each for those that must not be dropped. */
static void run_group(struct store *s, const struct env *env, struct ops *ops, struct txn *keep, uint64_t sweep_records)
{
	struct op *op;
	err_t err = run_all(s, env, ops, keep, sweep_records);
	while ((op = STAILQ_FIRST(ops))) {
		STAILQ_REMOVE_HEAD(ops, link);
		err_t own = err && op->fate != OP_DROP ? run_one(s, env, op, keep) : err;
		if (own)
			failed(s, op, own);
		else
			succeeded(s, op);
	}
	complain(s, env, err);
	if (err && sweep_records) { /* room may come from what has expired */
		struct txn txn;
		txn_begin_write(&txn, env);
		sweep(s, &txn, sweep_records);
		(void)txn_end(&txn); /* fails as the group did, which was complained about */
	}
}

static void round_of(struct store *s, struct group *g, uint64_t sweep_records)
{
	struct writer *w = &s->writer;
	if (!STAILQ_EMPTY(&g->keep))
		run_group(s, &s->keep, &g->keep, NULL, 0);
	STAILQ_CONCAT(&g->known, &w->pending); /* purges of the exemptions just made */
	struct txn keep;
	txn_begin_read(&keep, &s->keep);
	run_group(s, &s->known, &g->known, &keep, sweep_records);
	(void)txn_end(&keep); /* read only: nothing to fail */
	if (++w->rounds % READER_CHECK_ROUNDS == 0) {
		int dead;
		(void)mdb_reader_check(s->keep.mdb, &dead);
		(void)mdb_reader_check(s->known.mdb, &dead);
	}
}

/* ---- the thread ---- */

static void sort_in(struct group *g, struct op *op)
{
	if (op->on_keep) {
		STAILQ_INSERT_TAIL(&g->keep, op, link);
		return;
	}
	STAILQ_INSERT_TAIL(&g->known, op, link);
	g->known_count++;
}

/* Takes what is queued; waits for something, the idle time or the end. False: stopping, and all was tried. */
static bool take(struct writer *w, struct group *g)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STAILQ_EMPTY(&w->pending) ? IDLE_S : RETRY_S;
	pthread_mutex_lock(&w->mu);
	while (STAILQ_EMPTY(&w->queue) && !w->stopping && !w->more)
		if (pthread_cond_timedwait(&w->wake, &w->mu, &until))
			break;
	size_t bytes = 0;
	struct op *op;
	for (int n = 0; n < GROUP_OPS && bytes < GROUP_BYTES && (op = STAILQ_FIRST(&w->queue)); n++) {
		STAILQ_REMOVE_HEAD(&w->queue, link);
		bytes += op->bytes;
		sort_in(g, op);
	}
	w->queued_bytes -= bytes;
	bool go_on = !w->stopping || w->more || !STAILQ_EMPTY(&g->keep) || !STAILQ_EMPTY(&g->known);
	w->more = false;
	pthread_mutex_unlock(&w->mu);
	return go_on;
}

static void *writer_main(void *arg)
{
	struct store *s = arg;
	for (;;) {
		struct group g = { .keep = STAILQ_HEAD_INITIALIZER(g.keep), .known = STAILQ_HEAD_INITIALIZER(g.known) };
		if (!take(&s->writer, &g))
			break;
		bool idle = STAILQ_EMPTY(&g.keep) && STAILQ_EMPTY(&g.known);
		round_of(s, &g, idle ? SWEEP_IDLE_RECORDS : SWEEP_RECORDS + 2 * g.known_count);
	}
	struct op *op;
	while ((op = STAILQ_FIRST(&s->writer.pending))) { /* the next start makes up for purges left undone */
		STAILQ_REMOVE_HEAD(&s->writer.pending, link);
		op->err = ERR_CANCELLED;
		finish(s, op);
	}
	return NULL;
}

err_t writer_start(struct store *s)
{
	struct writer *w = &s->writer;
	pthread_condattr_t attr;
	STAILQ_INIT(&w->queue);
	STAILQ_INIT(&w->pending);
	w->sweep_table = s->known.first;
	struct op *purge = purge_all_new();
	if (!purge)
		return ERR_NOMEM;
	STAILQ_INSERT_TAIL(&w->queue, purge, link);
	w->queued_bytes = purge->bytes;
	pthread_mutex_init(&w->mu, NULL);
	pthread_mutex_init(&w->queued_mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&w->thread, NULL, writer_main, s)) {
		purge_free(purge);
		pthread_cond_destroy(&w->wake);
		pthread_mutex_destroy(&w->mu);
		pthread_mutex_destroy(&w->queued_mu);
		return ERR_NOMEM;
	}
	w->started = true;
	return ERR_OK;
}

void writer_stop(struct store *s)
{
	struct writer *w = &s->writer;
	if (!w->started)
		return;
	pthread_mutex_lock(&w->mu);
	w->stopping = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->mu);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->mu);
	pthread_mutex_destroy(&w->queued_mu);
}

void writer_add(struct store *s, struct op *op)
{
	struct writer *w = &s->writer;
	pthread_mutex_lock(&w->mu);
	bool full = op->fate == OP_DROP && w->queued_bytes + op->bytes > QUEUE_BYTES_MAX;
	if (!full) {
		enter(w, op);
		STAILQ_INSERT_TAIL(&w->queue, op, link);
		w->queued_bytes += op->bytes;
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->mu);
	if (!full)
		return;
	writer_lost(s);
	op->end(op);
}

void writer_add_own(struct store *s, struct op *op)
{
	struct writer *w = &s->writer;
	enter(w, op);
	STAILQ_INSERT_TAIL(&w->pending, op, link);
}

enum queued_answer writer_find(
	struct store *s, enum table table, const struct key *k, size_t domain_len, uint8_t *value, size_t *n)
{
	struct writer *w = &s->writer;
	const struct queued_put *p = NULL;
	unsigned hash = queued_hash(k);
	pthread_mutex_lock(&w->queued_mu);
	enum queued_answer a = queued_find(&w->queued, table, k, hash, domain_len, &p);
	if (a == QUEUED_PUT) {
		memcpy(value, p->value, p->n);
		*n = p->n;
	}
	pthread_mutex_unlock(&w->queued_mu);
	return a;
}
