#pragma once
/* The engine: from an address to its answer. It owns the shards (loops, threads, queues, sessions) and nothing of who
 * asked.
 *
 * Life: engine_new(), engine_start(), use it from the shards' loops, engine_drain() or engine_stop(), engine_join(),
 * engine_free(). */
#include "server/config/config.h"
#include "server/probe/target.h"
#include "server/verdict/reading.h"
#include "store/store.h"

struct engine;

/* config, rules and store are borrowed. Loads the exemptions. `why`: a sentence for the operator. */
MUST_CHECK err_t engine_new(
	const struct config *, const struct rules *, struct store *, struct engine **, struct buf *why);
MUST_CHECK err_t engine_start(struct engine *); /* the threads */
unsigned engine_shards(const struct engine *);
struct loop *engine_loop(const struct engine *, unsigned shard);
struct store *engine_store(const struct engine *);
const struct rules *engine_rules(const struct engine *);
const struct config *engine_config(const struct engine *);

/* Takes a target in. On the loop of that shard, which is its caller's too. The answer never comes before this has
 * returned. */
void engine_submit(struct engine *, unsigned shard, struct target *);

/* The caller wants no more answers: what was not asked yet never is, and sessions that serve nobody else end. Its
 * targets still come home. Any thread. */
void engine_cancel(struct engine *, struct caller *);

/* Makes an exemption (or its end) known on every shard. done(ctx) on `loop` once all have it: from then on no RCPT and
 * no connection is begun for the domain. The store has it already. Any thread. ERR_NOMEM: nothing was done. */
MUST_CHECK err_t engine_exempt(
	struct engine *, const char *domain, struct loop *loop, void (*done)(void *ctx), void *ctx);
MUST_CHECK err_t engine_unexempt(
	struct engine *, const char *domain, struct loop *loop, void (*done)(void *ctx), void *ctx);
/* Drops what the shards remember of a domain (and of those below it); the store's part is the caller's. */
MUST_CHECK err_t engine_forget(
	struct engine *, const char *domain, bool below, struct loop *loop, void (*done)(void *ctx), void *ctx);
/* Whether this shard holds the domain exempt. On that shard's loop. */
bool engine_is_exempt(const struct engine *, unsigned shard, const char *domain);

/* No new sessions; what is in flight is heard out, then QUIT; what waits is answered CANCELLED. drained(ctx) on loop 0
 * when the last session has ended. Any thread, once. */
void engine_drain(struct engine *, void (*drained)(void *ctx), void *ctx);
/* Sessions that are still open say QUIT now. Any thread, after engine_drain(). */
void engine_hurry(struct engine *);

void engine_stop(struct engine *); /* the loops; any thread */
void engine_join(struct engine *); /* waits for the threads */
void engine_free(struct engine *);
