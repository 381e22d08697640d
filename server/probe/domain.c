/* Home of the domains: how mail for them is routed, whether they accept everybody, who waits for DNS. */
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/text.h"
#include "server/probe/shard.h"

#define IDLE_MAX 20000				       /* domains remembered in memory with nobody waiting, a shard */
#define CONTROL_REDRAWN_MS ((int64_t)48 * 3600 * 1000) /* a greylisted control must be able to mature */
#define PLAN_KEPT_MS 60000			       /* then equal preferences are shuffled anew */

struct domain {
	UT_hash_handle hh;
	TAILQ_ENTRY(domain) idle;
	bool is_idle, resolving;
	struct shard *shard;
	struct route_wait wait;
	struct targets waiting;
	struct route *route; /* NULL: not known */
	bool has_fact;
	struct catch_all_fact fact;
	struct plan *plan; /* of this route and fact; NULL: to be made */
	int64_t plan_ms;
	char control[CONTROL_SIZE];
	int64_t control_ms;
	char name[DOMAIN_SIZE];
};

static void free_domain(struct domain *d)
{
	struct shard *s = d->shard;
	if (d->is_idle)
		TAILQ_REMOVE(&s->idle, d, idle);
	route_wait_cancel(&d->wait);
	HASH_DEL(s->domains, d);
	s->domain_count--;
	plan_unref(d->plan);
	free(d->route);
	free(d);
}

static void be_idle(struct domain *d, bool idle)
{
	struct shard *s = d->shard;
	if (d->is_idle)
		TAILQ_REMOVE(&s->idle, d, idle);
	d->is_idle = idle;
	if (idle)
		TAILQ_INSERT_TAIL(&s->idle, d, idle);
	struct domain *oldest = TAILQ_FIRST(&s->idle);
	if (s->domain_count > IDLE_MAX && oldest && oldest != d)
		free_domain(oldest);
}

/* The same random mailbox for a domain as long as a greylist may want to see it again; letters and digits, like no name
 * and no trap. */
static void draw_control(struct domain *d, int64_t now)
{
	static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz234567"; /* 32: a byte's low bits are even */
	uint8_t random[25];
	if (d->control_ms && now - d->control_ms < CONTROL_REDRAWN_MS)
		return;
	if (RAND_bytes(random, sizeof random) != 1)
		return; /* the old one, or an empty one that is never asked: see make_plan() */
	size_t n = 20 + random[0] % 5u;
	for (size_t i = 0; i < n; i++)
		d->control[i] = LETTERS[random[i + 1] & 31u];
	d->control[n] = 0;
	d->control_ms = now;
	struct control_fact fact = { .drawn_ms = now };
	text_copy(fact.local, sizeof fact.local, d->control);
	store_control_put(engine_store(d->shard->engine), d->name, &fact);
}

static struct domain *domain_get(struct shard *s, const char *name)
{
	struct domain *d;
	HASH_FIND_STR(s->domains, name, d);
	if (d)
		return d;
	d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->shard = s;
	TAILQ_INIT(&d->waiting);
	text_copy(d->name, sizeof d->name, name);
	HASH_ADD_STR(s->domains, name, d);
	if (!d->hh.tbl) {
		free(d);
		return NULL;
	}
	s->domain_count++;
	struct store *store = engine_store(s->engine);
	if (store_route_get(store, name, &d->route))
		d->route = NULL;
	d->has_fact = store_catch_all_get(store, name, &d->fact) == ERR_OK;
	struct control_fact control;
	if (store_control_get(store, name, &control) == ERR_OK) {
		text_copy(d->control, sizeof d->control, control.local);
		d->control_ms = control.drawn_ms;
	}
	return d;
}

/* ---- what follows from DNS alone ---- */

static enum reason of_route(enum route_status status)
{
	switch (status) {
	case ROUTE_NOT_FOUND: return REASON_DOMAIN_NOT_FOUND;
	case ROUTE_NULL_MX: return REASON_NULL_MX;
	case ROUTE_NO_MAIL_HOST: return REASON_NO_MAIL_HOST;
	case ROUTE_FOUND:
	case ROUTE_UNSET:
	case ROUTE_FAILURE: break;
	}
	return REASON_DNS_FAILURE;
}

static void answer_by_dns(struct domain *d, struct target *t, enum reason reason, bool remembered)
{
	struct answer a = { .reason = reason, .retry_after_ms = -1, .from_cache = remembered };
	a.evidence.phase = PHASE_DNS;
	a.evidence.time_ms = d->route->learned_ms;
	if (remembered)
		a.age_ms = clock_wall_ms() - d->route->learned_ms;
	if (d->route->host_count)
		text_copy(a.evidence.mail_host, sizeof a.evidence.mail_host, d->route->host[0].name);
	target_answer(t, &a);
}

static void answer_by_fact(struct domain *d, struct target *t)
{
	struct answer a = {
		.reason = REASON_ACCEPT_ALL, .catch_all = CATCH_ALL_YES, .from_cache = true, .retry_after_ms = -1
	};
	a.evidence.phase = PHASE_NONE;
	a.evidence.random = CONTROL_ACCEPTED;
	a.evidence.time_ms = d->fact.learned_ms;
	a.age_ms = clock_wall_ms() - d->fact.learned_ms;
	text_copy(a.evidence.mail_host, sizeof a.evidence.mail_host, d->fact.host);
	rules_operator(engine_rules(d->shard->engine), d->fact.host, a.operator_name, sizeof a.operator_name);
	target_answer(t, &a);
}

/* ---- on to the operator ---- */

static struct plan *make_plan(struct domain *d, int64_t now)
{
	if (d->plan && now - d->plan_ms < PLAN_KEPT_MS)
		return d->plan;
	plan_unref(d->plan);
	draw_control(d, now);
	struct shard *s = d->shard;
	bool fresh = d->has_fact && d->fact.expires_ms > now;
	d->plan = d->control[0] ? plan_new(d->name, d->route, fresh ? &d->fact : NULL, d->control, s->guard,
					  engine_rules(s->engine), engine_config(s->engine),
					  (unsigned)now ^ (unsigned)text_hash(d->name))
				: NULL;
	d->plan_ms = now;
	return d->plan;
}

/* remembered: the route was known before the target came. */
static void dispatch(struct domain *d, struct target *t, bool remembered)
{
	int64_t now = clock_wall_ms();
	if (d->route->status != ROUTE_FOUND) {
		answer_by_dns(d, t, of_route(d->route->status), remembered);
		return;
	}
	if (d->has_fact && d->fact.accepts_all && d->fact.expires_ms > now && d->fact.learned_ms >= t->not_before_ms) {
		answer_by_fact(d, t);
		return;
	}
	struct plan *plan = make_plan(d, now);
	if (!plan) {
		target_answer_plainly(t, REASON_TEMPORARY_FAILURE, PHASE_NONE);
		return;
	}
	if (plan->why_not) {
		answer_by_dns(d, t, plan->why_not, remembered);
		return;
	}
	t->plan = plan_ref(plan);
	shard_route_target(d->shard, t);
}

static void forget_plan(struct domain *d)
{
	plan_unref(d->plan);
	d->plan = NULL;
}

static void on_route(struct route_wait *w, struct route *route)
{
	struct domain *d = (struct domain *)((char *)w - offsetof(struct domain, wait));
	d->resolving = false;
	free(d->route);
	d->route = route;
	forget_plan(d);
	if (route && route->expires_ms > route->learned_ms)
		store_route_put(engine_store(d->shard->engine), d->name, route);
	struct targets waiting = TAILQ_HEAD_INITIALIZER(waiting);
	TAILQ_CONCAT(&waiting, &d->waiting, link);
	for (struct target *t; (t = TAILQ_FIRST(&waiting));) {
		TAILQ_REMOVE(&waiting, t, link);
		if (!target_is_wanted(t))
			target_answer_plainly(t, REASON_CANCELLED, PHASE_DNS);
		else if (route)
			dispatch(d, t, false);
		else
			target_answer_plainly(t, REASON_DNS_FAILURE, PHASE_DNS);
	}
	be_idle(d, true);
}

void domain_take(struct shard *s, struct target *t)
{
	if (s->draining || !target_is_wanted(t)) {
		target_answer_plainly(t, REASON_CANCELLED, PHASE_NONE);
		return;
	}
	if (guard_is_exempt(s->guard, t->address.domain)) {
		target_answer_plainly(t, REASON_EXEMPT, PHASE_NONE);
		return;
	}
	struct domain *d = domain_get(s, t->address.domain);
	if (!d) {
		target_answer_plainly(t, REASON_TEMPORARY_FAILURE, PHASE_NONE);
		return;
	}
	if (d->route && !d->resolving && d->route->expires_ms > clock_wall_ms()) {
		dispatch(d, t, true);
		be_idle(d, true);
		return;
	}
	be_idle(d, false);
	TAILQ_INSERT_TAIL(&d->waiting, t, link);
	if (d->resolving)
		return;
	d->resolving = true;
	d->wait = (struct route_wait){ .done = on_route };
	if (resolver_route(s->resolver, d->name, &d->wait))
		on_route(&d->wait, NULL);
}

void domain_answer_waiting(struct shard *s, bool (*picks)(void *ctx, struct target *), void *ctx, enum reason reason)
{
	struct domain *d, *next_domain;
	HASH_ITER (hh, s->domains, d, next_domain) {
		struct target *next;
		for (struct target *t = TAILQ_FIRST(&d->waiting); t; t = next) {
			next = TAILQ_NEXT(t, link);
			if (!picks(ctx, t))
				continue;
			TAILQ_REMOVE(&d->waiting, t, link);
			target_answer_plainly(t, reason, PHASE_NONE);
		}
	}
}

/* ---- what is learned and forgotten ---- */

struct lesson {
	struct mail mail;
	struct shard *home;
	struct catch_all_fact fact;
	char domain[DOMAIN_SIZE];
};

static void learn(struct mail *m)
{
	struct lesson *l = (struct lesson *)m;
	struct shard *s = l->home;
	if (!guard_is_exempt(s->guard, l->domain)) {
		struct domain *d;
		HASH_FIND_STR(s->domains, l->domain, d);
		if (d) {
			d->fact = l->fact;
			d->has_fact = true;
			forget_plan(d);
		}
		store_catch_all_put(engine_store(s->engine), l->domain, &l->fact);
	}
	free(l);
}

void domain_learn(struct shard *s, const char *domain, const struct catch_all_fact *fact)
{
	struct lesson *l = malloc(sizeof *l);
	if (!l)
		return; /* it will be learned again */
	l->home = engine_home(s->engine, domain);
	l->fact = *fact;
	text_copy(l->domain, sizeof l->domain, domain);
	loop_send(l->home->loop, &l->mail, learn);
}

void domain_forget(struct shard *s, const char *domain, bool below)
{
	struct domain *d, *next;
	HASH_ITER (hh, s->domains, d, next) {
		if (below ? !domain_is_within(d->name, domain) : strcmp(d->name, domain) != 0)
			continue;
		if (d->resolving) {
			d->has_fact = false;
			continue;
		}
		free_domain(d);
	}
}

void domain_free_all(struct shard *s)
{
	struct domain *d, *next;
	HASH_ITER (hh, s->domains, d, next)
		free_domain(d);
}
