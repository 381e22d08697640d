#include "tests/fuzz/request_below.h"

#include <string.h>

#include "server/base/text.h"
#include "server/probe/engine.h"
#include "server/verdict/reading.h"
#include "store/exemptions.h"
#include "store/facts.h"

#define DEADLINES_MAX 4

static struct choices *script;
static struct rules *rules;
static struct targets held = TAILQ_HEAD_INITIALIZER(held);
static struct mail *first, **last = &first;
static struct deadline *armed[DEADLINES_MAX];

/* ---- the loop ---- */

void loop_send(struct loop *loop, struct mail *m, void (*fn)(struct mail *))
{
	(void)loop;
	m->fn = fn;
	m->next = NULL;
	*last = m;
	last = &m->next;
}

bool below_turn(void)
{
	bool any = false;
	for (struct mail *m; (m = first); any = true) {
		first = m->next;
		if (!first)
			last = &first;
		m->fn(m);
	}
	return any;
}

err_t deadline_arm(struct loop *loop, struct deadline *d, int64_t in_ms, void (*fn)(struct deadline *))
{
	deadline_disarm(loop, d);
	d->at_ms = in_ms;
	d->fn = fn;
	for (size_t i = 0; i < DEADLINES_MAX && !d->place; i++)
		if (!armed[i]) {
			armed[i] = d;
			d->place = i + 1;
		}
	MUST(d->place);
	return ERR_OK;
}

void deadline_disarm(struct loop *loop, struct deadline *d)
{
	(void)loop;
	if (d->place)
		armed[d->place - 1] = NULL;
	d->place = 0;
}

void below_pass_time(void)
{
	for (size_t i = 0; i < DEADLINES_MAX; i++) {
		struct deadline *d = armed[i];
		if (!d)
			continue;
		deadline_disarm(NULL, d);
		d->fn(d);
	}
}

/* A call of `done` in a later turn. */
struct later {
	struct mail mail;
	void (*done)(void *ctx);
	void (*removed)(void *ctx, err_t, uint64_t removed);
	exemption_done written;
	void *ctx;
	err_t err;
	struct exemption exemption;
};

static void on_later(struct mail *m)
{
	struct later *l = (struct later *)m;
	if (l->done)
		l->done(l->ctx);
	else if (l->removed)
		l->removed(l->ctx, l->err, l->err ? 0 : 17);
	else
		l->written(l->ctx, l->err, l->err && l->err != ERR_EXISTS ? NULL : &l->exemption);
	free(l);
}

/* Refused at once, or done in a later turn. */
static err_t send_later(struct later l)
{
	struct later *copy = malloc(sizeof *copy);
	if (!copy)
		abort();
	if (choose(script, 8) == 0) {
		free(copy);
		return ERR_NOMEM;
	}
	*copy = l;
	loop_send(NULL, &copy->mail, on_later);
	return ERR_OK;
}

/* ---- the call ---- */

void rpc_call_want(struct rpc_call *call, unsigned n)
{
	MUST(!call->finished);
	call->credit += n;
	MUST(call->credit <= 1); /* one message is read at a time */
}

err_t rpc_call_send(struct rpc_call *call, const uint8_t *msg, size_t len)
{
	if (call->finished)
		return ERR_CLOSED;
	if (call->sends_refused) {
		call->sends_refused--;
		call->waits = true;
		return ERR_AGAIN;
	}
	call->sent(call->ctx, msg, len);
	return ERR_OK;
}

void rpc_call_finish(struct rpc_call *call, enum rpc_code code, const char *why, const uint8_t *details, size_t len)
{
	MUST(!why || !has_control(why, strlen(why)));
	MUST(code == RPC_OK || why);
	MUST(!len || details);
	if (call->finished)
		return;
	call->finished = true;
	call->code = code;
}

int64_t rpc_call_time_left_ms(const struct rpc_call *call)
{
	return call->has_deadline ? 1000 : INT64_MAX;
}

struct loop *rpc_call_loop(const struct rpc_call *call)
{
	(void)call;
	return NULL;
}

unsigned rpc_call_shard(const struct rpc_call *call)
{
	(void)call;
	return 0;
}

/* ---- the engine ---- */

struct engine *below_engine(void)
{
	static char engine; /* nobody looks into it */
	if (!rules && rules_load_builtin(&rules))
		abort();
	return (struct engine *)&engine;
}

unsigned engine_shards(const struct engine *e)
{
	(void)e;
	return 1;
}

struct loop *engine_loop(const struct engine *e, unsigned shard)
{
	(void)e, (void)shard;
	return NULL;
}

struct store *engine_store(const struct engine *e)
{
	(void)e;
	return NULL;
}

const struct rules *engine_rules(const struct engine *e)
{
	(void)e;
	return rules;
}

void engine_submit(struct engine *e, unsigned shard, struct target *t)
{
	(void)e, (void)shard;
	MUST(t->address.local[0] && t->address.domain[0]);
	TAILQ_INSERT_TAIL(&held, t, link);
}

bool below_answer(void)
{
	bool any = false;
	for (struct target *t; (t = TAILQ_FIRST(&held)); any = true) {
		TAILQ_REMOVE(&held, t, link);
		struct answer a = { .reason = 1 + choose(script, REASONS - 1), .retry_after_ms = choose_byte(script) };
		a.evidence.phase = choose(script, PHASES);
		a.evidence.code = (uint16_t)(choose_byte(script) * 4);
		a.catch_all = choose(script, 3);
		a.from_cache = choose(script, 2);
		text_copy(a.evidence.text, sizeof a.evidence.text, "5.1.1 unknown");
		target_answer(t, &a);
	}
	return any;
}

void engine_cancel(struct engine *e, struct caller *caller)
{
	(void)e;
	atomic_store(&caller->cancelled, true);
	for (struct target *t; (t = TAILQ_FIRST(&held));) {
		TAILQ_REMOVE(&held, t, link);
		target_answer_plainly(t, REASON_CANCELLED, PHASE_NONE);
	}
}

err_t engine_exempt(struct engine *e, const char *domain, struct loop *loop, void (*done)(void *ctx), void *ctx)
{
	(void)e, (void)loop;
	MUST(*domain);
	return send_later((struct later){ .done = done, .ctx = ctx });
}

err_t engine_unexempt(struct engine *e, const char *domain, struct loop *loop, void (*done)(void *ctx), void *ctx)
{
	return engine_exempt(e, domain, loop, done, ctx);
}

err_t engine_forget(
	struct engine *e, const char *domain, bool below, struct loop *loop, void (*done)(void *ctx), void *ctx)
{
	(void)below;
	return engine_exempt(e, domain, loop, done, ctx);
}

bool engine_is_exempt(const struct engine *e, unsigned shard, const char *domain)
{
	(void)e, (void)shard, (void)domain;
	return choose(script, 2);
}

/* ---- the store ---- */

static void any_exemption(struct exemption *e, unsigned number)
{
	*e = (struct exemption){ .domain = "d.example", .by = "desk", .created_ms = 1 };
	snprintf(e->id, sizeof e->id, "01J%023u", number);
	e->revoked_ms = choose(script, 2);
}

/* What is written, as the store would take it: all text that people gave has been looked at. */
static void check_text_of(const char *text, size_t size)
{
	size_t n = strnlen(text, size);
	MUST(n < size && !has_control(text, n));
}

static err_t any_error(void)
{
	static const err_t ERRORS[] = { ERR_OK, ERR_EXISTS, ERR_NOT_FOUND, ERR_DENIED, ERR_SPACE, ERR_IO };
	return ERRORS[choose(script, 6)];
}

err_t store_exemption_create(
	struct store *s, const struct exemption *e, struct loop *loop, exemption_done done, void *ctx)
{
	(void)s, (void)loop;
	struct later l = { .written = done, .ctx = ctx, .err = any_error(), .exemption = *e };
	check_text_of(e->domain, sizeof e->domain);
	check_text_of(e->by, sizeof e->by);
	check_text_of(e->note, sizeof e->note);
	MUST(e->domain[0] && e->by[0]);
	l.exemption.created_ms = 1;
	return send_later(l);
}

err_t store_exemption_revoke(struct store *s, const char *id, const char *by, const char *note, struct loop *loop,
	exemption_done done, void *ctx)
{
	(void)s, (void)loop;
	struct later l = { .written = done, .ctx = ctx, .err = any_error() };
	any_exemption(&l.exemption, 1);
	MUST(*id && strlen(id) < EXEMPTION_ID_MAX && *by);
	check_text_of(by, EXEMPTION_BY_MAX + 1);
	check_text_of(note, EXEMPTION_NOTE_MAX + 1);
	if (l.err == ERR_EXISTS)
		l.err = ERR_OK;
	return send_later(l);
}

err_t store_exemption_covering(struct store *s, const char *domain, struct exemption *out)
{
	(void)s;
	MUST(*domain);
	any_exemption(out, 1);
	err_t err = any_error();
	return err == ERR_EXISTS ? ERR_OK : err;
}

err_t store_exemption_walk(struct store *s, const char *after, const char *within,
	bool (*visit)(void *ctx, const struct exemption *, const char *position), void *ctx)
{
	(void)s, (void)after, (void)within;
	unsigned n = choose(script, 8);
	for (unsigned i = 0; i < n; i++) {
		struct exemption e;
		any_exemption(&e, i);
		if (!visit(ctx, &e, "example.d./01J"))
			break;
	}
	static const err_t ERRORS[] = { ERR_OK, ERR_INVALID, ERR_IO };
	return ERRORS[choose(script, 3)];
}

err_t store_route_get(struct store *s, const char *domain, struct route **out)
{
	(void)s, (void)domain;
	unsigned n = choose(script, ROUTE_HOSTS_MAX + 2);
	if (n > ROUTE_HOSTS_MAX)
		return ERR_NOT_FOUND;
	*out = calloc(1, route_size(n));
	if (!*out)
		abort();
	(*out)->status = choose(script, ROUTE_FAILURE + 1);
	(*out)->host_count = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		text_copy((*out)->host[i].name, sizeof(*out)->host[i].name, "mx.d.example");
		(*out)->host[i].address_count = (uint8_t)choose(script, ROUTE_ADDRESSES_MAX + 1);
	}
	return ERR_OK;
}

err_t store_catch_all_get(struct store *s, const char *domain, struct catch_all_fact *out)
{
	(void)s, (void)domain;
	*out = (struct catch_all_fact){ .host = "mx.d.example", .learned_ms = 1, .expires_ms = INT64_MAX };
	return choose(script, 2) ? ERR_OK : ERR_NOT_FOUND;
}

err_t store_forget(struct store *s, const char *domain, bool below, struct loop *loop,
	void (*done)(void *ctx, err_t, uint64_t removed), void *ctx)
{
	(void)s, (void)domain, (void)below, (void)loop;
	return send_later((struct later){ .removed = done, .ctx = ctx, .err = choose(script, 2) ? ERR_OK : ERR_SPACE });
}

/* ---- an input ---- */

void below_begin(struct choices *how)
{
	script = how;
}

void below_end(void)
{
	MUST(!first && TAILQ_EMPTY(&held));
	for (size_t i = 0; i < DEADLINES_MAX; i++)
		MUST(!armed[i]);
}
