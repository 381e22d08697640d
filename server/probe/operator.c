#include "server/probe/operator.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/text.h"
#include "server/probe/permit.h"
#include "server/probe/session.h"

#define RETRY_MS 200	 /* after the system refused a descriptor or memory */
#define SAME_IP_LOOK 32u /* works looked at for one at the same address */

/* ---- operators ---- */

static void set_caps(struct mail_operator *op, const struct config *config, const struct rules *rules)
{
	struct config_courtesy caps = config_courtesy(config, op->name);
	op->connections = caps.connections;
	op->recipients = caps.recipients;
	op->unknown_per_session = caps.unknown_per_session;
	unsigned large = rules_operator_connections(rules, op->name);
	op->ip_connections = large > config->ip.connections ? large : config->ip.connections;
	for (size_t i = 0; i < config->n_operators; i++)
		if (config->operators[i].connections && strcmp(config->operators[i].name, op->name) == 0)
			return; /* the operator of this daemon has the last word */
	if (large)
		op->connections = large;
}

static struct mail_operator *operator_get(struct shard *s, const char *name)
{
	struct mail_operator *op;
	HASH_FIND_STR(s->operators, name, op);
	if (op)
		return op;
	op = calloc(1, sizeof *op);
	if (!op)
		return NULL;
	text_copy(op->name, sizeof op->name, name);
	TAILQ_INIT(&op->ready);
	set_caps(op, engine_config(s->engine), engine_rules(s->engine));
	HASH_ADD_STR(s->operators, name, op);
	if (!op->hh.tbl) {
		free(op);
		return NULL;
	}
	return op;
}

static void list(struct shard *s, struct mail_operator *op, int where)
{
	if (op->listed == OPERATOR_DIRTY)
		TAILQ_REMOVE(&s->dirty, op, link);
	else if (op->listed == OPERATOR_STARVED)
		TAILQ_REMOVE(&s->starved, op, link);
	op->listed = where;
	if (where == OPERATOR_DIRTY)
		TAILQ_INSERT_TAIL(&s->dirty, op, link);
	else if (where == OPERATOR_STARVED)
		TAILQ_INSERT_TAIL(&s->starved, op, link);
}

static void free_if_unused(struct shard *s, struct mail_operator *op)
{
	if (op->open || op->asking || op->work_count)
		return;
	list(s, op, OPERATOR_QUIET);
	HASH_DEL(s->operators, op);
	free(op);
}

static void try_again(struct deadline *d)
{
	struct shard *s = (struct shard *)((char *)d - offsetof(struct shard, retry));
	struct mail_operator *op;
	while ((op = TAILQ_FIRST(&s->starved)))
		operator_look_later(s, op);
}

static void starve(struct shard *s, struct mail_operator *op)
{
	list(s, op, OPERATOR_STARVED);
	if (!deadline_armed(&s->retry) && deadline_arm(s->loop, &s->retry, RETRY_MS, try_again))
		return; /* the end of the next session looks again */
}

/* The destination may be connected to once more: by the work that asked, or another that waits for it. */
static void granted(struct permit *p)
{
	struct shard *s = p->from;
	struct work *asker = p->work, *w = asker;
	struct mail_operator *op = asker->op;
	op->asking--;
	s->asking--;
	if (!w->waiting_count)
		w = operator_work_at(op, &asker->hop);
	err_t err = ERR_CANCELLED;
	if (w && !s->draining && op->open < op->connections)
		err = session_open(s, op, w, p);
	if (err)
		permit_return(p);
	if (err == ERR_LIMIT || err == ERR_NOMEM)
		starve(s, op);
	asker->asking--; /* only now: it may be freed by that */
	work_ready_changed(s, asker);
	shard_check_drained(s);
}

/* Asks for more connections as long as courtesy to the operator and the system allow. */
static void look(struct shard *s, struct mail_operator *op)
{
	unsigned most = 2 * op->connections; /* some may wait long for their destination while others go */
	while (!s->draining && op->open < op->connections && op->open + op->asking < most && !TAILQ_EMPTY(&op->ready)) {
		struct work *w = TAILQ_FIRST(&op->ready);
		bool room = s->session_count + s->asking < s->session_max;
		struct permit *p = room ? permit_new(s, w, op->ip_connections, granted) : NULL;
		if (!p) {
			starve(s, op);
			return;
		}
		w->asking++;
		op->asking++;
		s->asking++;
		permit_ask(p);
		work_ready_changed(s, w);
	}
	free_if_unused(s, op);
}

static void look_at_dirty(struct mail *m)
{
	struct shard *s = (struct shard *)((char *)m - offsetof(struct shard, look));
	s->look_due = false;
	struct operators now = TAILQ_HEAD_INITIALIZER(now);
	TAILQ_CONCAT(&now, &s->dirty, link);
	for (struct mail_operator *op; (op = TAILQ_FIRST(&now));) {
		TAILQ_REMOVE(&now, op, link);
		op->listed = OPERATOR_QUIET;
		look(s, op);
	}
}

void operator_look_later(struct shard *s, struct mail_operator *op)
{
	if (op->listed != OPERATOR_DIRTY)
		list(s, op, OPERATOR_DIRTY);
	if (!s->look_due) {
		s->look_due = true;
		loop_defer(s->loop, &s->look, look_at_dirty);
	}
}

void operator_session_ended(struct shard *s, struct mail_operator *op)
{
	op->open--;
	operator_look_later(s, op);
	struct mail_operator *starved = TAILQ_FIRST(&s->starved);
	if (starved)
		operator_look_later(s, starved);
}

/* ---- works ---- */

void work_ready_changed(struct shard *s, struct work *w)
{
	/* The sessions that are at it take as much as a visit holds; only what is beyond needs another. */
	bool ready = w->waiting_count > (w->serving + w->asking) * VISIT_ASKS_MAX;
	struct mail_operator *op = w->op;
	if (ready != w->is_ready) {
		w->is_ready = ready;
		if (ready)
			TAILQ_INSERT_TAIL(&op->ready, w, ready);
		else
			TAILQ_REMOVE(&op->ready, w, ready);
	}
	if (ready)
		operator_look_later(s, op);
	if (w->count || w->serving || w->asking)
		return;
	HASH_DEL(s->works, w);
	op->work_count--;
	work_free(w);
	operator_look_later(s, op);
}

static struct work *work_get(struct shard *s, const struct plan *plan, unsigned hop)
{
	struct work probe = { 0 }, *w;
	text_copy(probe.key.domain, sizeof probe.key.domain, plan->domain);
	probe.key.ip = plan->hop[hop].ip;
	HASH_FIND(hh, s->works, &probe.key, sizeof probe.key, w);
	if (w)
		return w;
	struct mail_operator *op = operator_get(s, plan->hop[hop].operator_name);
	w = op ? work_new(plan, hop) : NULL;
	if (w)
		HASH_ADD(hh, s->works, key, sizeof w->key, w);
	if (!w || !w->hh.tbl) {
		work_free(w);
		if (op)
			operator_look_later(s, op); /* it may be of no use to anybody */
		return NULL;
	}
	w->op = op;
	op->work_count++;
	return w;
}

struct work *operator_work_at(struct mail_operator *op, const struct hop *hop)
{
	struct work *w;
	unsigned looked = 0;
	TAILQ_FOREACH (w, &op->ready, ready) {
		if (ip_equal(&w->hop.ip, &hop->ip) && w->hop.source == hop->source)
			return w;
		if (++looked == SAME_IP_LOOK)
			break;
	}
	return NULL;
}

static void out_of_memory(struct ask *a)
{
	struct answer answer = { .reason = REASON_TEMPORARY_FAILURE, .retry_after_ms = -1 };
	ask_answer(a, &answer);
}

static void take_ask(struct shard *s, struct ask *a)
{
	if (s->draining || !ask_is_wanted(a) || guard_is_exempt(s->guard, a->address.domain)) {
		bool exempt = guard_is_exempt(s->guard, a->address.domain);
		struct answer answer = { .reason = exempt ? REASON_EXEMPT : REASON_CANCELLED, .retry_after_ms = -1 };
		answer.evidence.contact_begun = a->said;
		ask_answer(a, &answer);
		return;
	}
	struct work *w = work_get(s, a->plan, a->hop);
	if (!w) {
		out_of_memory(a);
		return;
	}
	work_add(w, a);
	work_ready_changed(s, w);
}

/* ---- between shards ---- */

static void ask_arrives(struct mail *m)
{
	struct ask *a = (struct ask *)m;
	take_ask(a->to, a);
}

void shard_route_ask(struct shard *s, struct ask *a)
{
	struct shard *to = engine_operator_shard(s->engine, a->plan->hop[a->hop].operator_name);
	if (to == s) {
		take_ask(s, a);
		return;
	}
	a->to = to;
	loop_send(to->loop, &a->mail, ask_arrives);
}

static void take_target(struct shard *s, struct target *t)
{
	struct ask *a = ask_new(t);
	if (!a) {
		target_answer_plainly(t, REASON_TEMPORARY_FAILURE, PHASE_NONE);
		return;
	}
	take_ask(s, a);
}

static void target_arrives(struct mail *m)
{
	struct target *t = (struct target *)m;
	take_target(t->to, t);
}

void shard_route_target(struct shard *s, struct target *t)
{
	struct shard *to = engine_operator_shard(s->engine, t->plan->hop[0].operator_name);
	if (to == s) {
		take_target(s, t);
		return;
	}
	t->to = to;
	loop_send(to->loop, &t->mail, target_arrives);
}

void operator_answer_waiting(struct shard *s, bool (*picks)(void *ctx, struct ask *), void *ctx, enum reason reason)
{
	struct work *w, *next_work;
	HASH_ITER (hh, s->works, w, next_work) {
		struct ask *next;
		for (struct ask *a = TAILQ_FIRST(&w->waiting); a; a = next) {
			next = TAILQ_NEXT(a, link);
			if (!picks(ctx, a))
				continue;
			work_remove(w, a);
			struct answer answer = { .reason = reason, .retry_after_ms = -1 };
			answer.evidence.contact_begun = a->said;
			ask_answer(a, &answer);
		}
		work_ready_changed(s, w);
	}
}
