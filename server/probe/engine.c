#include "server/probe/engine.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/text.h"
#include "server/probe/host.h"
#include "server/probe/permit.h"
#include "server/probe/session.h"
#include "server/stats/stats.h"

#define DESCRIPTORS_KEPT 512u /* of the open-file limit, for everything but sessions */

struct engine {
	const struct config *config;
	const struct rules *rules;
	struct store *store;
	unsigned count;
	struct shard *shard;
	bool started;
	atomic_uint draining; /* shards that still drain */
	void (*drained)(void *ctx);
	void *drained_ctx;
	struct mail drain_done;
};

/* ---- who owns what ---- */

static struct shard *shard_of(struct engine *e, const char *name)
{
	return &e->shard[text_hash(name) % e->count];
}

struct shard *engine_home(struct engine *e, const char *domain)
{
	return shard_of(e, domain);
}

struct shard *engine_ip_shard(struct engine *e, const struct ip *key)
{
	char text[IP_TEXT_MAX];
	return shard_of(e, ip_text(key, text));
}

struct shard *engine_operator_shard(struct engine *e, const char *operator_name)
{
	return shard_of(e, operator_name);
}

const struct config *engine_config(const struct engine *e)
{
	return e->config;
}

const struct rules *engine_rules(const struct engine *e)
{
	return e->rules;
}

struct store *engine_store(const struct engine *e)
{
	return e->store;
}

unsigned engine_shards(const struct engine *e)
{
	return e->count;
}

struct loop *engine_loop(const struct engine *e, unsigned shard)
{
	return e->shard[shard].loop;
}

bool engine_is_exempt(const struct engine *e, unsigned shard, const char *domain)
{
	return guard_is_exempt(e->shard[shard].guard, domain);
}

/* ---- taking in ---- */

static bool answer_from_store(struct engine *e, struct target *t)
{
	struct buf canonical = BUF_INIT(2 * ADDRESS_MAX);
	struct verdict_fact f;
	uint8_t key[STORE_KEY_BYTES];
	address_text(&t->address, &canonical);
	bool usable = !canonical.err;
	if (usable)
		store_address_hash(e->store, canonical.data, canonical.len, key);
	buf_free(&canonical);
	if (!usable || store_verdict_get(e->store, t->address.domain, key, &f) || f.learned_ms < t->not_before_ms)
		return false;
	struct answer a = {
		.reason = f.reason,
		.catch_all = f.catch_all,
		.from_cache = true,
		.attempts = (uint16_t)f.attempts,
		.age_ms = clock_wall_ms() - f.learned_ms,
		.retry_after_ms = -1,
		.evidence = {
			.phase = f.phase,
			.random = (enum control)f.random_control,
			.postmaster = (enum control)f.postmaster_control,
			.code = f.code,
			.attempt = (uint16_t)f.attempt,
			.time_ms = f.learned_ms,
		},
	};
	text_copy(a.operator_name, sizeof a.operator_name, f.operator_name);
	text_copy(a.evidence.mail_host, sizeof a.evidence.mail_host, f.mail_host);
	text_copy(a.evidence.mail_ip, sizeof a.evidence.mail_ip, f.mail_ip);
	text_copy(a.evidence.source_ip, sizeof a.evidence.source_ip, f.source_ip);
	text_copy(a.evidence.enhanced, sizeof a.evidence.enhanced, f.enhanced);
	text_copy(a.evidence.rule, sizeof a.evidence.rule, f.rule);
	text_copy(a.evidence.text, sizeof a.evidence.text, f.text);
	a.evidence.tls = f.tls;
	target_answer(t, &a);
	return true;
}

static void come_to_home(struct mail *m)
{
	struct target *t = (struct target *)m;
	domain_take(t->to, t);
}

void engine_submit(struct engine *e, unsigned shard, struct target *t)
{
	stat_add(STAT_ADDRESSES, 1);
	stat_add(STAT_ADDRESSES_WAITING, 1);
	if (guard_is_exempt(e->shard[shard].guard, t->address.domain)) {
		target_answer_plainly(t, REASON_EXEMPT, PHASE_NONE);
		return;
	}
	if (answer_from_store(e, t))
		return;
	t->missed = true;
	t->to = engine_home(e, t->address.domain);
	loop_send(t->to->loop, &t->mail, come_to_home);
}

/* ---- to all shards ---- */

struct order;
struct order_part {
	struct mail mail;
	struct order *order;
	struct shard *shard;
};

struct order {
	void (*carry_out)(struct shard *, struct order *);
	char domain[DOMAIN_SIZE];
	bool below;
	struct loop *loop;
	void (*done)(void *ctx);
	void *ctx;
	atomic_uint left;
	struct mail all_done;
	struct order_part part[];
};

static void order_done(struct mail *m)
{
	struct order *o = (struct order *)((char *)m - offsetof(struct order, all_done));
	if (o->done)
		o->done(o->ctx);
	free(o);
}

static void order_arrives(struct mail *m)
{
	struct order_part *p = (struct order_part *)m;
	struct order *o = p->order;
	o->carry_out(p->shard, o);
	if (atomic_fetch_sub(&o->left, 1) == 1)
		loop_send(o->loop, &o->all_done, order_done);
}

static err_t order_all(struct engine *e, void (*carry_out)(struct shard *, struct order *), const char *domain,
	bool below, struct loop *loop, void (*done)(void *ctx), void *ctx)
{
	struct order *o = calloc(1, sizeof *o + e->count * sizeof *o->part);
	if (!o)
		return ERR_NOMEM;
	o->carry_out = carry_out;
	text_copy(o->domain, sizeof o->domain, domain);
	o->below = below;
	o->loop = loop;
	o->done = done;
	o->ctx = ctx;
	atomic_init(&o->left, e->count);
	for (unsigned i = 0; i < e->count; i++) {
		o->part[i].order = o;
		o->part[i].shard = &e->shard[i];
		loop_send(e->shard[i].loop, &o->part[i].mail, order_arrives);
	}
	return ERR_OK;
}

static bool covers(void *ctx, const char *domain)
{
	return domain_is_within(domain, ((struct order *)ctx)->domain);
}

static bool covers_target(void *ctx, struct target *t)
{
	return covers(ctx, t->address.domain);
}

static bool covers_ask(void *ctx, struct ask *a)
{
	return covers(ctx, a->address.domain);
}

/* It cannot be remembered, and nobody may be asked without it. The store has it: a restart will know. */
static void cannot_exempt(void)
{
	log_error("out of memory for an exemption: stopping");
	kill(getpid(), SIGTERM); /* the process: in this thread it is blocked */
}

static void exempt_here(struct shard *s, struct order *o)
{
	if (guard_exempt(s->guard, o->domain))
		cannot_exempt();
	domain_answer_waiting(s, covers_target, o, REASON_EXEMPT);
	operator_answer_waiting(s, covers_ask, o, REASON_EXEMPT);
	domain_forget(s, o->domain, true);
	struct session *session, *next;
	for (session = TAILQ_FIRST(&s->sessions); session; session = next) {
		next = TAILQ_NEXT(session, link);
		session_exempt(session, covers, o);
	}
}

static void unexempt_here(struct shard *s, struct order *o)
{
	guard_unexempt(s->guard, o->domain);
}

static void forget_here(struct shard *s, struct order *o)
{
	domain_forget(s, o->domain, o->below);
}

err_t engine_exempt(struct engine *e, const char *domain, struct loop *loop, void (*done)(void *ctx), void *ctx)
{
	err_t err = order_all(e, exempt_here, domain, true, loop, done, ctx);
	if (err)
		cannot_exempt();
	return err;
}

err_t engine_unexempt(struct engine *e, const char *domain, struct loop *loop, void (*done)(void *ctx), void *ctx)
{
	return order_all(e, unexempt_here, domain, true, loop, done, ctx);
}

err_t engine_forget(
	struct engine *e, const char *domain, bool below, struct loop *loop, void (*done)(void *ctx), void *ctx)
{
	return order_all(e, forget_here, domain, below, loop, done, ctx);
}

/* ---- callers that go away ---- */

static bool unwanted_target(void *ctx, struct target *t)
{
	(void)ctx;
	return !target_is_wanted(t);
}

static bool unwanted_ask(void *ctx, struct ask *a)
{
	(void)ctx;
	return !ask_is_wanted(a);
}

static void sweep(struct mail *m)
{
	struct shard *s = (struct shard *)((char *)m - offsetof(struct shard, sweep));
	atomic_store(&s->sweep_due, false);
	domain_answer_waiting(s, unwanted_target, NULL, REASON_CANCELLED);
	operator_answer_waiting(s, unwanted_ask, NULL, REASON_CANCELLED);
	struct session *session, *next;
	for (session = TAILQ_FIRST(&s->sessions); session; session = next) {
		next = TAILQ_NEXT(session, link);
		session_sweep(session);
	}
}

void engine_cancel(struct engine *e, struct caller *caller)
{
	if (atomic_exchange(&caller->cancelled, true))
		return;
	for (unsigned i = 0; i < e->count; i++)
		if (!atomic_exchange(&e->shard[i].sweep_due, true))
			loop_send(e->shard[i].loop, &e->shard[i].sweep, sweep);
}

/* ---- draining ---- */

static bool every_target(void *ctx, struct target *t)
{
	(void)ctx, (void)t;
	return true;
}

static bool every_ask(void *ctx, struct ask *a)
{
	(void)ctx, (void)a;
	return true;
}

static void all_drained(struct mail *m)
{
	struct engine *e = (struct engine *)((char *)m - offsetof(struct engine, drain_done));
	e->drained(e->drained_ctx);
}

static void shard_drained(struct shard *s)
{
	struct engine *e = s->engine;
	s->drained = NULL;
	if (atomic_fetch_sub(&e->draining, 1) == 1)
		loop_send(e->shard[0].loop, &e->drain_done, all_drained);
}

void shard_check_drained(struct shard *s)
{
	if (s->drained && !s->session_count && !s->asking)
		s->drained(s);
}

static void drain_here(struct shard *s, struct order *o)
{
	(void)o;
	s->draining = true;
	s->drained = shard_drained;
	domain_answer_waiting(s, every_target, NULL, REASON_CANCELLED);
	struct session *session, *next;
	for (session = TAILQ_FIRST(&s->sessions); session; session = next) {
		next = TAILQ_NEXT(session, link);
		session_wind_down(session);
	}
	operator_answer_waiting(s, every_ask, NULL, REASON_CANCELLED);
	shard_check_drained(s);
}

void engine_drain(struct engine *e, void (*drained)(void *ctx), void *ctx)
{
	e->drained = drained;
	e->drained_ctx = ctx;
	atomic_store(&e->draining, e->count);
	if (order_all(e, drain_here, "", false, e->shard[0].loop, NULL, NULL))
		loop_send(e->shard[0].loop, &e->drain_done, all_drained); /* no memory to be gentle */
}

static void hurry_here(struct shard *s, struct order *o)
{
	(void)o;
	struct session *session, *next;
	for (session = TAILQ_FIRST(&s->sessions); session; session = next) {
		next = TAILQ_NEXT(session, link);
		session_stop(session, REASON_CANCELLED);
	}
}

void engine_hurry(struct engine *e)
{
	if (order_all(e, hurry_here, "", false, e->shard[0].loop, NULL, NULL))
		log_warn("out of memory: sessions are cut, not ended");
}

/* ---- life ---- */

static unsigned sessions_allowed(unsigned shards)
{
	struct rlimit limit = { .rlim_cur = 1024 };
	getrlimit(RLIMIT_NOFILE, &limit);
	rlim_t kept = limit.rlim_cur > 2 * DESCRIPTORS_KEPT ? DESCRIPTORS_KEPT : limit.rlim_cur / 2;
	rlim_t each = (limit.rlim_cur - kept) / shards;
	return each > 1000000 ? 1000000 : each ? (unsigned)each : 1;
}

static err_t shard_init(struct shard *s, struct engine *e, unsigned index)
{
	s->engine = e;
	s->index = index;
	TAILQ_INIT(&s->idle);
	TAILQ_INIT(&s->dirty);
	TAILQ_INIT(&s->starved);
	TAILQ_INIT(&s->sessions);
	TAILQ_INIT(&s->hosts_by_age);
	s->session_max = sessions_allowed(e->count);
	struct resolver_server servers[CONFIG_DNS_SERVERS];
	for (size_t i = 0; i < e->config->n_dns_servers; i++)
		servers[i] = (struct resolver_server){ e->config->dns_servers[i].ip, e->config->dns_servers[i].port };
	struct resolver_options options = { .servers = servers, .server_count = e->config->n_dns_servers };
	err_t err = loop_new(&s->loop);
	if (!err)
		err = resolver_new(s->loop, &options, &s->resolver);
	if (!err && e->config->tls != CONFIG_TLS_NEVER)
		err = tls_new(&s->tls);
	if (!err)
		err = guard_new(e->config->allow_networks, e->config->n_allow_networks, &s->guard);
	if (!err)
		err = guard_load(s->guard, e->store);
	return err;
}

err_t engine_new(const struct config *config, const struct rules *rules, struct store *store, struct engine **out,
	struct buf *why)
{
	struct engine *e = calloc(1, sizeof *e);
	struct shard *shards = calloc(config->shards, sizeof *shards);
	if (!e || !shards) {
		free(e);
		free(shards);
		return ERR_NOMEM;
	}
	e->config = config;
	e->rules = rules;
	e->store = store;
	e->count = config->shards;
	e->shard = shards;
	for (unsigned i = 0; i < e->count; i++) {
		err_t err = shard_init(&e->shard[i], e, i);
		if (err) {
			buf_printf(why, "shard %u cannot be set up: %s", i, err_text(err));
			engine_free(e);
			return err;
		}
	}
	*out = e;
	return ERR_OK;
}

static void *run_shard(void *arg)
{
	struct shard *s = arg;
	loop_run(s->loop);
	return NULL;
}

err_t engine_start(struct engine *e)
{
	for (unsigned i = 0; i < e->count; i++)
		if (pthread_create(&e->shard[i].thread, NULL, run_shard, &e->shard[i])) {
			for (unsigned j = 0; j < i; j++) {
				loop_stop(e->shard[j].loop);
				pthread_join(e->shard[j].thread, NULL);
			}
			return ERR_NOMEM;
		}
	e->started = true;
	return ERR_OK;
}

void engine_stop(struct engine *e)
{
	for (unsigned i = 0; i < e->count; i++)
		loop_stop(e->shard[i].loop);
}

void engine_join(struct engine *e)
{
	for (unsigned i = 0; e->started && i < e->count; i++)
		pthread_join(e->shard[i].thread, NULL);
	e->started = false;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	for (unsigned i = 0; i < e->count; i++) {
		struct shard *s = &e->shard[i];
		domain_free_all(s);
		host_free_all(s);
		permit_free_all(s);
		resolver_free(s->resolver);
		guard_free(s->guard);
		tls_free(s->tls);
		if (s->loop)
			deadline_disarm(s->loop, &s->retry);
	}
	for (unsigned i = 0; i < e->count; i++)
		loop_free(e->shard[i].loop);
	free(e->shard);
	free(e);
}
