#pragma once
/* A shard: one loop and what it owns. It is home to the domains hashed to it (routes, facts, who waits for DNS) and
 * runs the operators hashed to it (queues, sessions). Everything here lives on the shard's thread; other shards and
 * callers reach it by mail. Private to server/probe. */
#include <pthread.h>

#include "server/dns/resolver.h"
#include "server/net/tls.h"
#include "server/probe/operator.h"
#include "server/probe/work.h"

struct engine;
struct domain;
TAILQ_HEAD(domains, domain);
struct session;
struct budget;
TAILQ_HEAD(sessions, session);
TAILQ_HEAD(operators, mail_operator);
struct host;
TAILQ_HEAD(hosts, host);

struct shard {
	struct engine *engine;
	unsigned index;
	struct loop *loop;
	pthread_t thread;
	struct resolver *resolver;
	struct guard *guard;
	struct tls *tls; /* NULL: probe.tls is never */

	/* home */
	struct domain *domains; /* by name */
	struct domains idle;	/* those nobody waits for, the longest idle first; bounded */
	unsigned domain_count;

	/* where it is asked */
	struct mail_operator *operators; /* by name */
	struct operators dirty;		 /* to be looked at when this turn ends */
	struct operators starved;	 /* would open a session, were there descriptors */
	struct mail look;
	bool look_due;
	struct work *works; /* by key */
	struct host *hosts; /* by name; what is known of them beside the store */
	struct hosts hosts_by_age;
	unsigned host_count;
	struct sessions sessions;
	unsigned session_count, session_max;
	unsigned asking;	/* permits */
	struct budget *budgets; /* of the destination addresses homed here, by address */
	uint64_t last_session;
	int64_t source_told_ms; /* when the log last said that a source is missing; 0: never */
	struct deadline retry;	/* after the system refused a descriptor or memory */

	bool draining;
	void (*drained)(struct shard *); /* set while a drain waits for the last session */
	struct mail sweep;
	atomic_bool sweep_due;
};

/* ---- home of domains: domain.c ---- */

/* Takes a target in at its home shard. */
void domain_take(struct shard *, struct target *);
/* A catch-all fact was learned: remembered and stored. */
void domain_learn(struct shard *, const char *domain, const struct catch_all_fact *);
/* Drops what is remembered in memory of the domain (and of those below it). */
void domain_forget(struct shard *, const char *domain, bool below);
/* Answers whoever waits for DNS and is picked: with that reason. */
void domain_answer_waiting(struct shard *, bool (*picks)(void *ctx, struct target *), void *ctx, enum reason);
void domain_free_all(struct shard *);

/* ---- where it is asked: operator.c ---- */

/* Queues an ask at the operator of its hop, on the shard that runs it: this one, or another by mail. */
void shard_route_ask(struct shard *, struct ask *);
/* Queues a target (with its plan) likewise. */
void shard_route_target(struct shard *, struct target *);
void work_ready_changed(
	struct shard *, struct work *); /* its waiting asks or sessions changed; frees it when nothing is left */
void operator_look_later(struct shard *, struct mail_operator *);
void operator_session_ended(struct shard *, struct mail_operator *);
/* A work that waits for this IP address to be asked from this source, for a session that is there; NULL: none. */
struct work *operator_work_at(struct mail_operator *, const struct hop *);
/* Answers asks that wait (in no session) and are picked. */
void operator_answer_waiting(struct shard *, bool (*picks)(void *ctx, struct ask *), void *ctx, enum reason);

/* ---- shards among themselves: engine.c ---- */

struct shard *engine_home(struct engine *, const char *domain);
struct shard *engine_ip_shard(struct engine *, const struct ip *key);
struct shard *engine_operator_shard(struct engine *, const char *operator_name);
const struct config *engine_config(const struct engine *);
const struct rules *engine_rules(const struct engine *);
struct store *engine_store(const struct engine *);
void shard_check_drained(struct shard *);
