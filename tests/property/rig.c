#include "tests/property/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/stats/stats.h"
#include "store/exemptions.h"
#include "store/facts.h"
#include "tests/property/folder.h"

#define MAP_BYTES (16u << 20)
#define ALL_HOME_S 60	/* then something is lost: nothing here takes longer than DNS's 20 seconds and some time-outs */
#define ALL_CLOSED_S 30 /* after the last answer */
#define TIGHT 6		/* descriptors, when they are few */
#define QUIET_MS 150	/* without an answer: the next deed is done */

/* ---- setting up ---- */

static struct config *make_config(const struct rig *rig, struct random *r, unsigned shards, bool timeless)
{
	struct buf text = BUF_INIT(16384), why = BUF_INIT(4096);
	struct config *c;
	buf_printf(&text,
		"store: {path: %s/store}\ndns: {servers: [\"%s\"]}\n"
		"probe:\n  port: %d\n  sources: [{address: 127.0.0.1, name: one.probe.test}%s]\n"
		"  mail_from: postal@probe.test\n  allow_networks: [127.0.0.0/8]\n  shards: %u\n  tls: %s\n"
		"courtesy:\n  ip: {connections: %u}\n"
		"  defaults: {connections: %u, recipients: %u, unknown_per_session: %u}\n"
		"timeouts: {connect: 500ms, banner: 400ms, reply: 400ms, session: 2s}\n",
		rig->folder, rig->world->dns, rig->world->smtp,
		timeless ? "" : ", {address: 127.0.0.2, name: two.probe.test}", shards,
		random_once_in(r, 3) ? "when-required" : "opportunistic", 1 + random_below(r, 3),
		timeless ? 1 : 1 + random_below(r, 3), 1 + random_below(r, 12), 2 + random_below(r, 6));
	err_t err = text.err ? text.err : config_load_text("rig", buf_str(&text), text.len, &c, &why);
	if (err)
		fail_msg("%s", why.len ? buf_str(&why) : err_text(err));
	buf_free(&text);
	buf_free(&why);
	return c;
}

/* ---- what will happen ---- */

static void draw_address(struct rig *rig, struct random *r)
{
	struct slot *s = &rig->slot[rig->slots];
	const char *why;
	if (rig->slots && random_once_in(r, 6)) { /* one that is asked already */
		const struct slot *other = &rig->slot[random_below(r, rig->slots)];
		memcpy(s->text, other->text, sizeof s->text);
		s->domain = other->domain;
	} else {
		internet_address(&rig->internet, r, s->text, sizeof s->text, &s->domain);
	}
	if (address_parse(s->text, strlen(s->text), &s->address, &why))
		fail_msg("%s: %s", s->text, why);
	s->anew = random_once_in(r, 4);
	rig->slots++;
}

static void draw_batches(struct rig *rig, struct random *r, bool timeless)
{
	rig->callers = timeless ? 1 : 1 + random_below(r, CALLERS_MAX);
	rig->batches = timeless ? 1 : 1 + random_below(r, BATCHES_MAX);
	for (unsigned i = 0; i < rig->batches; i++) {
		struct batch *b = &rig->batch[i];
		b->rig = rig;
		b->from = rig->slots;
		unsigned caller = random_below(r, rig->callers);
		unsigned n = timeless ? ADDRESSES_MAX / 2 : 1 + random_below(r, ADDRESSES_MAX / BATCHES_MAX - 1);
		for (unsigned k = 0; k < n; k++) {
			draw_address(rig, r);
			rig->slot[rig->slots - 1].caller = caller;
		}
		b->to = rig->slots;
	}
}

static int by_time(const void *a, const void *b)
{
	unsigned x = ((const struct deed *)a)->after, y = ((const struct deed *)b)->after;
	return (x > y) - (x < y);
}

static void add_deed(struct rig *rig, enum deed_kind kind, unsigned after, unsigned which)
{
	assert_true(rig->deeds < DEEDS_MAX);
	rig->deed[rig->deeds++] = (struct deed){ kind, after, which };
}

static void draw_deeds(struct rig *rig, struct random *r, bool timeless)
{
	for (unsigned i = 0; i < rig->batches; i++)
		add_deed(rig, DEED_ASK, i && random_once_in(r, 2) ? random_below(r, rig->slots) : 0, i);
	if (!timeless) {
		for (unsigned n = random_below(r, rig->callers); n; n--)
			add_deed(rig, DEED_CANCEL, random_below(r, rig->slots), random_below(r, rig->callers));
		for (unsigned n = random_below(r, 4); n; n--)
			add_deed(rig, DEED_EXEMPT, random_below(r, rig->slots), random_below(r, rig->internet.domains));
		if (random_once_in(r, 3))
			add_deed(rig, DEED_FORGET, random_below(r, rig->slots), random_below(r, rig->internet.domains));
		if (random_once_in(r, 8)) {
			unsigned after = random_below(r, rig->slots);
			add_deed(rig, DEED_DRAIN, after, 0);
			if (random_once_in(r, 2))
				add_deed(rig, DEED_HURRY, after + 1, 0);
		}
		rig->tight = random_once_in(r, 5);
	}
	qsort(rig->deed, rig->deeds, sizeof *rig->deed, by_time);
}

/* ---- what comes back ---- */

static void answered(struct target *t)
{
	struct rig *rig = t->caller->ctx;
	pthread_mutex_lock(&rig->mu);
	struct slot *s = &rig->slot[t->id];
	s->answered++;
	s->without_answer = !t->answer;
	if (t->answer)
		s->answer = *t->answer;
	rig->home++;
	pthread_cond_signal(&rig->news);
	pthread_mutex_unlock(&rig->mu);
	target_free(t);
}

static void carried_out(void *ctx)
{
	struct rig *rig = ctx;
	pthread_mutex_lock(&rig->mu);
	rig->done++;
	pthread_cond_signal(&rig->news);
	pthread_mutex_unlock(&rig->mu);
}

static void drained(void *ctx)
{
	struct rig *rig = ctx;
	pthread_mutex_lock(&rig->mu);
	rig->drained++;
	pthread_cond_signal(&rig->news);
	pthread_mutex_unlock(&rig->mu);
}

/* Waits for `*count` to reach n, at most so long. */
static bool await(struct rig *rig, const unsigned *count, unsigned n, int64_t ms)
{
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += ms % 1000 * 1000000;
	if (end.tv_nsec >= 1000000000)
		end.tv_sec++, end.tv_nsec -= 1000000000;
	pthread_mutex_lock(&rig->mu);
	while (*count < n && pthread_cond_timedwait(&rig->news, &rig->mu, &end) != ETIMEDOUT)
		;
	bool there = *count >= n;
	pthread_mutex_unlock(&rig->mu);
	return there;
}

static unsigned count_now(struct rig *rig, const unsigned *count)
{
	pthread_mutex_lock(&rig->mu);
	unsigned n = *count;
	pthread_mutex_unlock(&rig->mu);
	return n;
}

/* ---- the farm ---- */

/* Leaves the process `more` descriptors beside those that are open; 0: all that it may have. */
static void limit_descriptors(unsigned more)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (!more)
		return;
	int next = dup(0);
	assert_true(next >= 0);
	close(next);
	limit.rlim_cur = (rlim_t)next + more;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static const char *open_connections(struct rig *rig)
{
	if (rig->tight)
		limit_descriptors(0);
	const char *answer = control(rig->world, "GET /connections");
	if (rig->tight)
		limit_descriptors(TIGHT);
	return answer;
}

/* ---- what is done ---- */

static bool is_granted(const struct rig *rig, const char *domain)
{
	for (unsigned i = 0; i < rig->internet.domains; i++)
		if (rig->granted[i] && domain_is_within(domain, rig->internet.domain[i].name))
			return true;
	return false;
}

static void submit(void *arg)
{
	struct batch *b = arg;
	struct rig *rig = b->rig;
	for (unsigned i = b->from; i < b->to; i++) {
		struct slot *s = &rig->slot[i];
		struct target *t =
			target_new(rig->caller[s->caller], &s->address, i, s->anew ? clock_wall_ms() : INT64_MIN);
		if (!t)
			abort();
		pthread_mutex_lock(&rig->mu);
		s->must_exempt = is_granted(rig, s->address.domain);
		rig->submitted++;
		pthread_mutex_unlock(&rig->mu);
		engine_submit(rig->engine, rig->shard_of[s->caller], t);
	}
}

static void do_ask(struct rig *rig, unsigned which)
{
	struct batch *b = &rig->batch[which];
	struct loop *loop = engine_loop(rig->engine, rig->shard_of[rig->slot[b->from].caller]);
	assert_int_equal(loop_post(loop, submit, b), ERR_OK);
}

struct grant {
	struct rig *rig;
	char domain[DOMAIN_SIZE];
};

static void granted(void *ctx, err_t err, const struct exemption *x)
{
	struct rig *rig = ctx;
	if (err == ERR_EXISTS)
		carried_out(rig);
	else if (err || engine_exempt(rig->engine, x->domain, engine_loop(rig->engine, 0), carried_out, rig))
		abort();
}

static void grant_on_loop(void *arg)
{
	struct grant *g = arg;
	struct exemption x = { .by = "desk", .note = "asked by mail" };
	memcpy(x.domain, g->domain, sizeof x.domain);
	if (store_exemption_create(g->rig->store, &x, engine_loop(g->rig->engine, 0), granted, g->rig))
		abort();
	free(g);
}

static void run_order(struct rig *rig, void (*fn)(void *), const char *domain)
{
	unsigned before = count_now(rig, &rig->done);
	struct grant *g = calloc(1, sizeof *g);
	assert_non_null(g);
	g->rig = rig;
	snprintf(g->domain, sizeof g->domain, "%s", domain);
	assert_int_equal(loop_post(engine_loop(rig->engine, 0), fn, g), ERR_OK);
	if (!await(rig, &rig->done, before + 1, ALL_HOME_S * 1000))
		fail_msg("an order to all shards was not carried out");
}

static void do_exempt(struct rig *rig, unsigned which)
{
	struct farm_domain *d = &rig->internet.domain[which];
	run_order(rig, grant_on_loop, d->name);
	pthread_mutex_lock(&rig->mu);
	rig->granted[which] = true;
	pthread_mutex_unlock(&rig->mu);
	/* What was sent before is in the world's sockets: by its second answer it has read them all. */
	open_connections(rig);
	open_connections(rig);
	size_t end = internet_record_end(&rig->internet);
	if (d->granted_from == NEVER)
		d->granted_from = end;
}

static void forgotten(void *ctx, err_t err, uint64_t removed)
{
	(void)removed;
	if (err)
		abort();
	carried_out(ctx);
}

static void forget_on_loop(void *arg)
{
	struct grant *g = arg;
	struct loop *loop = engine_loop(g->rig->engine, 0);
	if (engine_forget(g->rig->engine, g->domain, true, loop, NULL, NULL) ||
		store_forget(g->rig->store, g->domain, true, loop, forgotten, g->rig))
		abort();
	free(g);
}

static void do_deed(struct rig *rig, const struct deed *d)
{
	switch (d->kind) {
	case DEED_ASK: do_ask(rig, d->which); break;
	case DEED_CANCEL:
		rig->cancelled[d->which] = true;
		engine_cancel(rig->engine, rig->caller[d->which]);
		break;
	case DEED_EXEMPT: do_exempt(rig, d->which); break;
	case DEED_FORGET: run_order(rig, forget_on_loop, rig->internet.domain[d->which].name); break;
	case DEED_DRAIN:
		rig->drained_early = true;
		engine_drain(rig->engine, drained, rig);
		break;
	case DEED_HURRY: engine_hurry(rig->engine); break;
	}
}

/* ---- the run ---- */

static void say_who_is_missing(struct rig *rig)
{
	for (unsigned i = 0; i < rig->slots; i++)
		if (!rig->slot[i].answered)
			print_error("no answer: %s\n", rig->slot[i].text);
}

static void await_gauge(struct rig *rig, enum stat gauge, const char *name)
{
	for (int ms = 0; stat_get(gauge); ms += 10) {
		if (ms > ALL_CLOSED_S * 1000)
			fail_msg("%s is %lld and does not return to zero; open at the farm: %s", name,
				(long long)stat_get(gauge), open_connections(rig));
		usleep(10000);
	}
}

static void await_end(struct rig *rig)
{
	if (!await(rig, &rig->home, rig->slots, ALL_HOME_S * 1000)) {
		say_who_is_missing(rig);
		fail_msg("%u of %u addresses have no answer", rig->slots - rig->home, rig->slots);
	}
	await_gauge(rig, STAT_SESSIONS_OPEN, "sessions open");
	await_gauge(rig, STAT_PERMITS, "permits");
	await_gauge(rig, STAT_ADDRESSES_WAITING, "addresses waiting");
	for (int ms = 0; strstr(open_connections(rig), "\"host\""); ms += 10) {
		if (ms > ALL_CLOSED_S * 1000)
			fail_msg("the farm has connections open");
		usleep(10000);
	}
}

static void end_engine(struct rig *rig)
{
	if (!rig->drained_early)
		engine_drain(rig->engine, drained, rig);
	if (!await(rig, &rig->drained, 1, ALL_CLOSED_S * 1000))
		fail_msg("it does not drain");
	for (unsigned i = 0; i < rig->callers; i++) {
		caller_unref(rig->caller[i]);
		rig->caller[i] = NULL;
	}
	engine_stop(rig->engine);
	engine_join(rig->engine);
	engine_free(rig->engine);
	rig->engine = NULL;
	store_close(rig->store);
	rig->store = NULL;
}

void rig_run(struct rig *rig)
{
	assert_int_equal(engine_start(rig->engine), ERR_OK);
	if (rig->tight)
		limit_descriptors(TIGHT);
	for (unsigned i = 0; i < rig->deeds; i++) {
		const struct deed *d = &rig->deed[i];
		for (unsigned home = count_now(rig, &rig->home); home < d->after;) { /* as long as there is news */
			await(rig, &rig->home, d->after, QUIET_MS);
			unsigned now = count_now(rig, &rig->home);
			if (now == home)
				break;
			home = now;
		}
		do_deed(rig, d);
	}
	await_end(rig);
	if (rig->tight)
		limit_descriptors(0);
	rig->tight = false;
	end_engine(rig);
	talk_stop(rig->world);
	rig->world = NULL;
}

/* ---- life ---- */

static void open_store(struct rig *rig)
{
	struct buf why = BUF_INIT(4096);
	struct store_options o = {
		.path = rig->config->store_path, .hmac_key = rig->config->store_hmac_key, .map_bytes = MAP_BYTES
	};
	err_t err = store_open(&o, &rig->store, &why);
	if (err)
		fail_msg("%s", why.len ? buf_str(&why) : err_text(err));
	buf_free(&why);
}

/* They are there when it starts. */
static void exempt_before(struct rig *rig)
{
	open_store(rig);
	for (unsigned i = 0; i < rig->internet.domains; i++) {
		struct exemption x = { .by = "desk" };
		snprintf(x.domain, sizeof x.domain, "%s", rig->internet.domain[i].name);
		if (rig->internet.domain[i].exempt)
			assert_int_equal(store_exemption_create(rig->store, &x, NULL, NULL, NULL), ERR_OK);
	}
	store_close(rig->store); /* waits for them */
	rig->store = NULL;
}

static void open_engine(struct rig *rig)
{
	struct buf why = BUF_INIT(4096);
	exempt_before(rig);
	open_store(rig);
	err_t err = rules_load_builtin(&rig->rules);
	if (!err)
		err = engine_new(rig->config, rig->rules, rig->store, &rig->engine, &why);
	if (err)
		fail_msg("%s: %s", err_text(err), why.len ? buf_str(&why) : "");
	buf_free(&why);
	for (unsigned i = 0; i < rig->callers; i++) {
		rig->shard_of[i] = i % engine_shards(rig->engine);
		rig->caller[i] = caller_new(engine_loop(rig->engine, rig->shard_of[i]), answered, rig);
		assert_non_null(rig->caller[i]);
	}
}

void rig_new(struct rig **out, uint64_t seed, unsigned shards, bool timeless)
{
	struct random r = { seed };
	struct rig *rig = *out = calloc(1, sizeof *rig);
	assert_non_null(rig);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&rig->news, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&rig->mu, NULL);
	folder_make(rig->folder, sizeof rig->folder);
	internet_make(&rig->internet, &r, rig->folder, timeless);
	draw_batches(rig, &r, timeless);
	draw_deeds(rig, &r, timeless);
	rig->world = talk_start(rig->internet.description); /* forks: before there are threads */
	rig->config = make_config(rig, &r, shards, timeless);
	open_engine(rig);
}

void rig_free(struct rig *rig)
{
	if (!rig)
		return;
	limit_descriptors(0);
	if (rig->world)
		talk_stop(rig->world);
	config_free(rig->config);
	rules_free(rig->rules);
	folder_remove(rig->folder);
	pthread_cond_destroy(&rig->news);
	pthread_mutex_destroy(&rig->mu);
	free(rig);
}
