/* VerificationService: one address, or a stream of batches both ways. Every item gets exactly one result, whatever
 * comes first: its answer, the deadline, or the daemon's end. */
#include <stdlib.h>
#include <string.h>

#include "proto/rcptd/v1/verification.pb-c.h"
#include "server/api/internal.h"
#include "server/api/result.h"
#include "server/api/status.h"
#include "server/base/clock.h"
#include "server/base/text.h"
#include "server/stats/stats.h"

#define BATCH_IN_MAX 1000u
#define BATCH_OUT_MAX 128u
#define WINDOW 8192u	      /* items of a call taken in and not sent back; then its reading waits */
#define HELD_MAX 65536u	      /* of all calls; the more of it is used, the smaller each call's window */
#define ROOM_SHARE 4u	      /* a call may hold that part of what is left */
#define FLUSH_MS 3	      /* a result waits that long for company */
#define DEADLINE_EARLY_MS 500 /* so that the answer arrives */

/* One address of a call. */
struct item {
	TAILQ_ENTRY(item) link;
	uint64_t id; /* the caller's */
	struct answer *answer;
	size_t slot; /* while a target of it is out */
	bool cut;    /* it was longer than an address may be */
	size_t len;
	uint8_t bytes[]; /* as given, cut at ADDRESS_MAX */
};
TAILQ_HEAD(items, item);

struct verify_call {
	TAILQ_ENTRY(verify_call) link; /* in api_shard.calls */
	struct api *api;
	struct rpc_call *call; /* NULL once it is done */
	struct caller *caller;
	struct loop *loop;
	unsigned shard;
	bool stream;
	bool reading;	  /* a credit is out */
	bool half_closed; /* the peer sends no more */
	bool blocked;	  /* the peer does not read */
	bool no_more;	  /* nothing more is taken in: ending, deadline, drain */
	bool dropped;	  /* an item was given up because the daemon ends */
	bool finished;
	unsigned at_engine, ready_count, held; /* held: items in out and ready */
	struct items out, ready;	       /* taken in; answered and not sent */
	struct item **slot;		       /* by target id; NULL: the item had its answer already */
	size_t *free_slot, free_count, slot_count;
	struct deadline flush, due;
	/* how it ends when all that is owed was sent */
	enum rpc_code code;
	const char *reason, *message, *field;
};

static void progress(struct verify_call *);

/* ---- how much is held ---- */

static void let_go(struct verify_call *c, unsigned n)
{
	c->held -= n;
	atomic_fetch_sub(&c->api->held, n);
}

/* May it take in one more batch? Since a call gets a part of what is left, there is always some left for the next one.
 * One that holds nothing always may: nothing else would ever make it look again. */
static bool has_room(const struct verify_call *c)
{
	unsigned all = atomic_load(&c->api->held);
	unsigned share = all < HELD_MAX ? (HELD_MAX - all) / ROOM_SHARE : 0;
	return !c->held || c->held < (share < WINDOW ? share : WINDOW);
}

/* ---- the end ---- */

static void free_items(struct items *items)
{
	for (struct item *i; (i = TAILQ_FIRST(items));) {
		TAILQ_REMOVE(items, i, link);
		free(i->answer);
		free(i);
	}
}

/* The call is gone and so is everything that refers to it. */
static void free_if_over(struct verify_call *c)
{
	if (c->call || c->at_engine)
		return;
	TAILQ_REMOVE(&c->api->shard[c->shard].calls, c, link);
	deadline_disarm(c->loop, &c->flush);
	deadline_disarm(c->loop, &c->due);
	free_items(&c->out);
	free_items(&c->ready);
	let_go(c, c->held);
	caller_unref(c->caller);
	free(c->slot);
	free(c->free_slot);
	stat_add(STAT_CALLS_OPEN, -1);
	free(c);
}

static void end_with(
	struct verify_call *c, enum rpc_code code, const char *reason, const char *message, const char *field)
{
	if (c->no_more && c->code)
		return; /* the first cause stands */
	c->no_more = true;
	c->code = code;
	c->reason = reason;
	c->message = message;
	c->field = field;
}

static void finish(struct verify_call *c)
{
	c->finished = true;
	if (c->dropped && !c->code)
		end_with(c, RPC_UNAVAILABLE, "SHUTTING_DOWN",
			"the daemon is shutting down; ask again what has no result", NULL);
	if (c->code)
		status_finish(c->call, c->code, c->reason, c->message, c->field, c->field ? c->message : NULL);
	else
		rpc_call_finish(c->call, RPC_OK, "", NULL, 0);
}

/* ---- results ---- */

/* A result with the address that its message borrows from. */
struct shown {
	struct result result;
	struct address address;
};

static void show(struct shown *s, const struct item *i)
{
	static const struct answer NO_MEMORY = { .reason = REASON_TEMPORARY_FAILURE, .retry_after_ms = -1 };
	const char *why;
	bool is_address = !i->cut && address_parse(i->bytes, i->len, &s->address, &why) == ERR_OK;
	result_fill(&s->result, i->id, i->bytes, i->len, is_address ? &s->address : NULL,
		i->answer ? i->answer : &NO_MEMORY);
}

static err_t send_batch(struct verify_call *c, unsigned n)
{
	struct shown *shown = calloc(n, sizeof *shown);
	Rcptd__V1__Result *result[BATCH_OUT_MAX];
	if (!shown)
		return ERR_NOMEM;
	unsigned k = 0;
	const struct item *i;
	TAILQ_FOREACH (i, &c->ready, link) {
		if (k == n)
			break;
		show(&shown[k], i);
		result[k] = &shown[k].result.message;
		k++;
	}
	err_t err;
	if (c->stream) {
		Rcptd__V1__VerifyStreamResponse m = RCPTD__V1__VERIFY_STREAM_RESPONSE__INIT;
		m.n_results = k;
		m.results = result;
		err = api_send(c->call, &m.base);
	} else {
		Rcptd__V1__VerifyResponse m = RCPTD__V1__VERIFY_RESPONSE__INIT;
		m.result = result[0];
		err = api_send(c->call, &m.base);
	}
	free(shown);
	return err;
}

static void flush(struct verify_call *c);

static void on_flush(struct deadline *d)
{
	struct verify_call *c = (struct verify_call *)((char *)d - offsetof(struct verify_call, flush));
	if (!c->finished)
		flush(c); /* progress() alone would only arm the deadline again */
	progress(c);
}

/* Sends what is ready, as long as the peer reads. */
static void flush(struct verify_call *c)
{
	while (c->call && !c->blocked && c->ready_count) {
		unsigned n = c->ready_count < BATCH_OUT_MAX ? c->ready_count : BATCH_OUT_MAX;
		err_t err = send_batch(c, n);
		if (err == ERR_AGAIN) {
			c->blocked = true;
		} else if (err == ERR_NOMEM) { /* later */
			if (deadline_arm(c->loop, &c->flush, 100, on_flush))
				end_with(c, RPC_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", err_text(err), NULL);
			return;
		}
		if (err)
			return;
		let_go(c, n);
		for (; n; n--) {
			struct item *i = TAILQ_FIRST(&c->ready);
			TAILQ_REMOVE(&c->ready, i, link);
			c->ready_count--;
			free(i->answer);
			free(i);
		}
	}
}

/* The item has its answer (NULL: memory ran out); it moves to what is sent. */
static void answer(struct verify_call *c, struct item *i, struct answer *a)
{
	i->answer = a;
	TAILQ_REMOVE(&c->out, i, link);
	TAILQ_INSERT_TAIL(&c->ready, i, link);
	c->ready_count++;
}

/* After anything happened: send, read on, or end. */
static void progress(struct verify_call *c)
{
	if (!c->call || c->finished)
		return;
	bool all_answered = TAILQ_EMPTY(&c->out);
	bool over = all_answered && (c->no_more || c->half_closed);
	if (over || c->ready_count >= BATCH_OUT_MAX)
		flush(c);
	else if (c->ready_count && !deadline_armed(&c->flush) && deadline_arm(c->loop, &c->flush, FLUSH_MS, on_flush))
		flush(c);
	if (over && !c->ready_count) {
		finish(c);
		return;
	}
	if (c->stream && !c->reading && !c->no_more && !c->half_closed && has_room(c)) {
		c->reading = true;
		rpc_call_want(c->call, 1);
	}
}

/* ---- between items and targets ---- */

/* Where a target finds its item when it comes home: not by pointer, since an item that the deadline answered is gone by
 * then. */
static err_t slot_take(struct verify_call *c, struct item *i, size_t *slot)
{
	if (!c->free_count) {
		size_t more = c->slot_count ? c->slot_count * 2 : 16;
		struct item **items = realloc(c->slot, more * sizeof(*items));
		if (items)
			c->slot = items;
		size_t *free_slots = realloc(c->free_slot, more * sizeof *free_slots);
		if (free_slots)
			c->free_slot = free_slots;
		if (!items || !free_slots)
			return ERR_NOMEM;
		while (c->slot_count < more)
			c->free_slot[c->free_count++] = c->slot_count++;
	}
	*slot = c->free_slot[--c->free_count];
	c->slot[*slot] = i;
	return ERR_OK;
}

static struct item *slot_give_back(struct verify_call *c, size_t slot)
{
	struct item *i = c->slot[slot];
	c->slot[slot] = NULL;
	c->free_slot[c->free_count++] = slot;
	return i;
}

static void on_answered(struct target *t)
{
	struct verify_call *c = t->caller->ctx;
	struct item *i = slot_give_back(c, t->id);
	c->at_engine--;
	if (i && t->answer &&
		t->answer->reason == REASON_CANCELLED) { /* the daemon ends: no result is better than that */
		c->dropped = true;
		TAILQ_REMOVE(&c->out, i, link);
		let_go(c, 1);
		free(i);
	} else if (i) {
		answer(c, i, t->answer);
		t->answer = NULL;
	}
	target_free(t);
	progress(c);
	free_if_over(c);
}

static struct answer *plain_answer(enum reason reason, const char *rule)
{
	struct answer *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->reason = reason;
	a->retry_after_ms = -1;
	a->evidence.time_ms = clock_wall_ms();
	text_copy(a->evidence.rule, sizeof a->evidence.rule, rule);
	return a;
}

static void refuse_syntax(struct verify_call *c, struct item *i)
{
	stat_add(STAT_ADDRESSES, 1);
	stat_add_answer(REASON_INVALID_SYNTAX, PHASE_NONE);
	answer(c, i, plain_answer(REASON_INVALID_SYNTAX, "address.syntax"));
}

static void submit(struct verify_call *c, struct item *i, const struct address *address, int64_t not_before)
{
	size_t slot;
	if (slot_take(c, i, &slot)) {
		answer(c, i, NULL);
		return;
	}
	struct target *t = target_new(c->caller, address, slot, not_before);
	if (!t) {
		slot_give_back(c, slot);
		answer(c, i, NULL);
		return;
	}
	i->slot = slot;
	c->at_engine++;
	engine_submit(c->api->engine, c->shard, t);
}

static void take(struct verify_call *c, uint64_t id, const ProtobufCBinaryData *given, int64_t not_before)
{
	size_t len = given->len < ADDRESS_MAX ? given->len : ADDRESS_MAX;
	struct item *i = calloc(1, sizeof *i + len);
	if (!i) {
		end_with(c, RPC_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory for the item", NULL);
		return;
	}
	i->id = id;
	i->len = len;
	i->cut = given->len > ADDRESS_MAX;
	if (len)
		memcpy(i->bytes, given->data, len);
	TAILQ_INSERT_TAIL(&c->out, i, link);
	c->held++;
	atomic_fetch_add(&c->api->held, 1);
	struct address address;
	const char *why;
	if (i->cut || address_parse(i->bytes, i->len, &address, &why))
		refuse_syntax(c, i);
	else
		submit(c, i, &address, not_before);
}

/* ---- requests ---- */

/* False: no duration that makes sense. */
static bool not_before_of(const Google__Protobuf__Duration *max_age, int64_t *out)
{
	*out = INT64_MIN;
	if (!max_age)
		return true;
	if (max_age->seconds < 0 || max_age->nanos < 0 || max_age->nanos > 999999999)
		return false;
	if (max_age->seconds < 315576000000) /* the longest duration there is */
		*out = clock_wall_ms() - max_age->seconds * 1000 - max_age->nanos / 1000000;
	return true;
}

static void bad_age(struct verify_call *c)
{
	end_with(c, RPC_INVALID_ARGUMENT, "BAD_MAX_AGE", "max_age must not be negative", "max_age");
}

static void take_one(struct verify_call *c, const uint8_t *msg, size_t len)
{
	c->half_closed = true; /* a unary call has one message */
	Rcptd__V1__VerifyRequest *r = rcptd__v1__verify_request__unpack(NULL, len, msg);
	int64_t not_before;
	if (!r)
		end_with(c, RPC_INVALID_ARGUMENT, "MALFORMED", "not a VerifyRequest", NULL);
	else if (!not_before_of(r->max_age, &not_before))
		bad_age(c);
	else
		take(c, 0, &r->address, not_before);
	rcptd__v1__verify_request__free_unpacked(r, NULL);
}

static void take_batch(struct verify_call *c, const uint8_t *msg, size_t len)
{
	Rcptd__V1__VerifyStreamRequest *r = rcptd__v1__verify_stream_request__unpack(NULL, len, msg);
	int64_t not_before;
	if (!r)
		end_with(c, RPC_INVALID_ARGUMENT, "MALFORMED", "not a VerifyStreamRequest", NULL);
	else if (r->n_items > BATCH_IN_MAX)
		end_with(c, RPC_INVALID_ARGUMENT, "BATCH_TOO_LARGE", "a batch holds at most 1,000 items", "items");
	else if (!not_before_of(r->max_age, &not_before))
		bad_age(c);
	else
		for (size_t k = 0; k < r->n_items; k++)
			take(c, r->items[k]->id, &r->items[k]->address, not_before);
	rcptd__v1__verify_stream_request__free_unpacked(r, NULL);
}

static void on_message(struct rpc_call *call, void *ctx, const uint8_t *msg, size_t len)
{
	(void)call;
	struct verify_call *c = ctx;
	c->reading = false;
	if (c->no_more)
		c->dropped = true; /* items that came too late */
	else if (c->stream)
		take_batch(c, msg, len);
	else
		take_one(c, msg, len);
	progress(c);
}

static void on_half_close(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct verify_call *c = ctx;
	c->half_closed = true;
	if (!c->stream && TAILQ_EMPTY(&c->out) && !c->ready_count)
		end_with(c, RPC_INVALID_ARGUMENT, "NO_REQUEST", "the call has no request message", NULL);
	progress(c);
}

static void on_writable(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct verify_call *c = ctx;
	c->blocked = false;
	flush(c);
	progress(c);
}

static void on_done(void *ctx, int cancelled)
{
	(void)cancelled;
	struct verify_call *c = ctx;
	c->call = NULL;
	if (c->at_engine)
		engine_cancel(c->api->engine, c->caller);
	free_if_over(c);
}

static void on_due(struct deadline *d)
{
	struct verify_call *c = (struct verify_call *)((char *)d - offsetof(struct verify_call, due));
	for (struct item *i; (i = TAILQ_FIRST(&c->out));) {
		c->slot[i->slot] = NULL; /* whatever comes home for it is too late */
		stat_add_answer(REASON_DEADLINE, PHASE_NONE);
		answer(c, i, plain_answer(REASON_DEADLINE, ""));
	}
	engine_cancel(c->api->engine, c->caller);
	if (c->half_closed)
		c->no_more = true;
	else
		end_with(c, RPC_DEADLINE_EXCEEDED, "DEADLINE",
			"the deadline is near; what was taken in has its results", NULL);
	progress(c);
}

static void drain_call(struct verify_call *c)
{
	if (!c->half_closed && !c->no_more)
		end_with(c, RPC_UNAVAILABLE, "SHUTTING_DOWN",
			"the daemon is shutting down; ask again what has no result", NULL);
	progress(c);
}

void verify_drain(struct api *api, unsigned shard)
{
	struct verify_call *c, *next;
	for (c = TAILQ_FIRST(&api->shard[shard].calls); c; c = next) {
		next = TAILQ_NEXT(c, link);
		drain_call(c);
	}
}

const struct rpc_handler *verify_open(struct api *api, bool stream, struct rpc_call *call, void **call_ctx)
{
	static const struct rpc_handler HANDLER = { on_message, on_half_close, on_writable, on_done };
	struct verify_call *c = calloc(1, sizeof *c);
	struct caller *caller = c ? caller_new(rpc_call_loop(call), on_answered, c) : NULL;
	if (!caller) {
		free(c);
		return NULL;
	}
	c->api = api;
	c->call = call;
	c->caller = caller;
	c->loop = rpc_call_loop(call);
	c->shard = rpc_call_shard(call);
	c->stream = stream;
	TAILQ_INIT(&c->out);
	TAILQ_INIT(&c->ready);
	TAILQ_INSERT_TAIL(&api->shard[c->shard].calls, c, link);
	stat_add(STAT_CALLS_OPEN, 1);
	*call_ctx = c;
	int64_t left = rpc_call_time_left_ms(call);
	if (left != INT64_MAX && deadline_arm(c->loop, &c->due, left - DEADLINE_EARLY_MS, on_due))
		end_with(c, RPC_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory for the call", NULL);
	if (atomic_load(&api->draining)) {
		drain_call(c);
	} else {
		c->reading = true;
		rpc_call_want(call, 1);
	}
	return &HANDLER;
}
