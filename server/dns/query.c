#include "server/dns/query.h"

#include <ares.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "server/base/clock.h"
#include "server/dns/channel.h"
#include "server/stats/stats.h"

#define TICK_MS 200	   /* ares_timeout() would visit every query */
#define IN_FLIGHT_MAX 2048 /* far below the 65,536 ids, for a free one of which c-ares would search for ever */
#define BURST_MAX 128	   /* a server's socket of the usual size holds some 270 queries and drops the rest */

enum {
	TTL_MIN_S = 60,
	TTL_MAX_S = 24 * 3600,
	NEGATIVE_TTL_MAX_S = 3600,
	DEFAULT_CACHE_MAX = 50000,
};

enum query_state {
	QUERY_NEW,    /* in no list */
	QUERY_TURN,   /* to be sent at the end of this turn of the loop, or later when enough are in flight */
	QUERY_SENT,   /* c-ares has it */
	QUERY_READY,  /* has a result that its waiters do not know yet */
	QUERY_CACHED, /* nobody waits */
	QUERY_STATES
};

/* What c-ares holds of a query. It cannot be cancelled there, so it outlives the query when that is given up. */
struct exchange {
	struct queries *all;
	struct query *query; /* NULL: given up */
	bool tcp, again;     /* asked by TCP; asked anew after FORMERR */
};

struct query {
	UT_hash_handle hh;
	TAILQ_ENTRY(query) entry; /* in the list of its state; by age in TURN and SENT, by last use in CACHED */
	enum query_state state;
	enum dns_type type;
	int64_t give_up_ms; /* monotonic */
	struct exchange *exchange;
	LIST_HEAD(, query_wait) waiters;
	struct query_result result;
	struct ip address[ROUTE_ADDRESSES_MAX];
	void *more; /* what result.target or result.mx point to */
	unsigned key_len;
	char key[]; /* one byte of type, then the name with its NUL */
};
TAILQ_HEAD(query_list, query);

struct queries {
	struct loop *loop;
	struct channel udp, tcp;
	struct query *table;
	struct query_list list[QUERY_STATES];
	size_t cached, cache_max, in_flight;
	unsigned credit; /* queries that may be sent: BURST_MAX a tick, and one for each answer */
	int limit_ms;
	struct deadline tick;
	struct mail deliver; /* deferred while deliver_due */
	bool deliver_due, freed;
};

static void deliver(struct mail *);

static const char *name_of(const struct query *q)
{
	return q->key + 1;
}

static void schedule(struct queries *all)
{
	all->deliver_due = true;
	loop_defer(all->loop, &all->deliver, deliver);
}

static void move(struct queries *all, struct query *q, enum query_state to)
{
	if (q->state != QUERY_NEW)
		TAILQ_REMOVE(&all->list[q->state], q, entry);
	all->cached -= q->state == QUERY_CACHED;
	all->cached += to == QUERY_CACHED;
	q->state = to;
	if (to != QUERY_NEW)
		TAILQ_INSERT_TAIL(&all->list[to], q, entry);
	if ((to == QUERY_READY || to == QUERY_TURN) && !all->deliver_due)
		schedule(all);
}

static void drop_result(struct query *q)
{
	free(q->more);
	q->more = NULL;
	q->result = (struct query_result){ .kind = ANSWER_FAILURE };
}

static void drop(struct queries *all, struct query *q)
{
	struct query_wait *w;
	move(all, q, QUERY_NEW);
	if (q->hh.tbl)
		HASH_DEL(all->table, q);
	while ((w = LIST_FIRST(&q->waiters))) {
		LIST_REMOVE(w, entry);
		w->waiting = false;
	}
	if (q->exchange)
		q->exchange->query = NULL;
	free(q->more);
	free(q);
}

/* ---- answers ---- */

static int64_t expiry(const struct answer *a)
{
	bool negative = a->kind == ANSWER_NODATA || a->kind == ANSWER_NXDOMAIN;
	int64_t most = negative ? NEGATIVE_TTL_MAX_S : TTL_MAX_S, ttl = a->ttl_s;
	if (ttl < TTL_MIN_S)
		ttl = TTL_MIN_S;
	return clock_mono_ms() + (ttl < most ? ttl : most) * 1000;
}

static void *copy(const void *from, size_t size)
{
	void *to = malloc(size);
	if (to)
		memcpy(to, from, size);
	return to;
}

static void keep(struct query *q, const struct answer *a)
{
	struct query_result *r = &q->result;
	drop_result(q);
	*r = (struct query_result){ .kind = a->kind, .cname_count = a->cname_count, .null_mx = a->null_mx };
	if (a->kind == ANSWER_FAILURE)
		return;
	r->expires_ms = expiry(a);
	if (a->kind == ANSWER_CNAME) {
		r->target = q->more = copy(a->target, strlen(a->target) + 1);
	} else if (q->type == DNS_MX && a->count) {
		r->mx = q->more = copy(a->mx, a->count * sizeof(a->mx[0]));
	} else {
		memcpy(q->address, a->address, sizeof(q->address));
		r->address = q->address;
		r->count = a->count;
		return;
	}
	r->count = a->count;
	if (!q->more)
		*r = (struct query_result){ .kind = ANSWER_FAILURE, .out_of_memory = true };
}

/* Without a message c-ares says only how it failed. */
static void keep_status(struct query *q, int status)
{
	drop_result(q);
	if (status == ARES_ENOTFOUND) { /* not asked at all: .onion, RFC 7686 */
		struct answer none = { .kind = ANSWER_NXDOMAIN };
		keep(q, &none);
	}
	q->result.out_of_memory = status == ARES_ENOMEM;
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *msg, int len);

/* May answer at once. */
static void exchange_start(struct exchange *x)
{
	struct channel *channel = x->tcp ? &x->all->tcp : &x->all->udp;
	ares_query(channel->ares, name_of(x->query), DNS_CLASS_IN, (int)x->query->type, on_answer, x);
}

static bool truncated(const unsigned char *msg, int len)
{
	return msg && len > 2 && (msg[2] & 0x02);
}

static bool not_understood(const unsigned char *msg, int len)
{
	enum { FORMERR = 1 };
	return msg && len > 3 && (msg[3] & 0x0f) == FORMERR;
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct exchange *x = arg;
	struct query *q = x->query;
	struct queries *all = x->all;
	(void)timeouts;
	if (!all->freed && q && !x->tcp && truncated(msg, len)) {
		x->tcp = true;
		exchange_start(x);
		return;
	}
	/* The first FORMERR ends EDNS for the channel, and c-ares asks that query anew. Others that were under way with
	 * EDNS get theirs when it is off already, and c-ares would leave it at that. */
	if (!all->freed && q && !x->again && not_understood(msg, len)) {
		x->again = true;
		exchange_start(x);
		return;
	}
	free(x);
	if (all->freed)
		return;
	all->in_flight--;
	if (all->credit < BURST_MAX)
		all->credit++;
	if (!all->deliver_due && !TAILQ_EMPTY(&all->list[QUERY_TURN])) /* it is another's turn */
		schedule(all);
	if (!q)
		return;
	q->exchange = NULL;
	if (msg && len > 0) {
		struct answer a;
		answer_parse(msg, (size_t)len, name_of(q), q->type, &a);
		keep(q, &a);
	} else {
		keep_status(q, status);
	}
	move(all, q, QUERY_READY);
}

/* ---- sending ---- */

static void on_tick(struct deadline *);

static void fail(struct queries *all, struct query *q, bool out_of_memory)
{
	drop_result(q);
	q->result.out_of_memory = out_of_memory;
	if (q->exchange)
		q->exchange->query = NULL;
	q->exchange = NULL;
	move(all, q, QUERY_READY);
}

static void send_query(struct queries *all, struct query *q)
{
	struct exchange *x = malloc(sizeof *x);
	if (!x || (!deadline_armed(&all->tick) && deadline_arm(all->loop, &all->tick, TICK_MS, on_tick))) {
		free(x);
		fail(all, q, true);
		return;
	}
	*x = (struct exchange){ .all = all, .query = q };
	q->exchange = x;
	all->in_flight++;
	move(all, q, QUERY_SENT);
	stat_add(STAT_DNS_QUERIES, 1);
	exchange_start(x);
}

static void send_waiting(struct queries *all)
{
	struct query *q;
	if (all->in_flight == 0)
		all->credit = BURST_MAX;
	while (all->credit && all->in_flight < IN_FLIGHT_MAX && (q = TAILQ_FIRST(&all->list[QUERY_TURN]))) {
		all->credit--;
		send_query(all, q);
	}
}

static void start(struct queries *all, struct query *q)
{
	drop_result(q);
	q->give_up_ms = clock_mono_ms() + all->limit_ms;
	move(all, q, QUERY_TURN);
}

static void give_up_old(struct queries *all, enum query_state state)
{
	int64_t now = clock_mono_ms();
	struct query *q;
	while ((q = TAILQ_FIRST(&all->list[state])) && q->give_up_ms <= now)
		fail(all, q, false);
}

static void on_tick(struct deadline *d)
{
	struct queries *all = (struct queries *)((char *)d - offsetof(struct queries, tick));
	/* First of all, while the place that it had in the heap is free. */
	bool armed = all->in_flight == 0 || !deadline_arm(all->loop, &all->tick, TICK_MS, on_tick);
	channel_tick(&all->udp);
	channel_tick(&all->tcp);
	if (!armed) { /* answers each of them with a failure */
		ares_cancel(all->udp.ares);
		ares_cancel(all->tcp.ares);
	}
	give_up_old(all, QUERY_SENT);
	give_up_old(all, QUERY_TURN);
	all->credit = BURST_MAX;
	send_waiting(all);
}

/* ---- delivering ---- */

static void settle(struct queries *all, struct query *q)
{
	if (q->type == DNS_MX || q->result.kind == ANSWER_FAILURE) {
		drop(all, q);
		return;
	}
	move(all, q, QUERY_CACHED);
	if (all->cached > all->cache_max)
		drop(all, TAILQ_FIRST(&all->list[QUERY_CACHED]));
}

static void deliver(struct mail *m)
{
	struct queries *all = (struct queries *)((char *)m - offsetof(struct queries, deliver));
	struct query *q;
	struct query_wait *w;
	all->deliver_due = false;
	if (all->freed) {
		free(all);
		return;
	}
	all->deliver_due = true; /* what becomes ready or is asked on the way is done with below */
	do {
		while ((q = TAILQ_FIRST(&all->list[QUERY_READY]))) {
			while ((w = LIST_FIRST(&q->waiters))) {
				LIST_REMOVE(w, entry);
				w->waiting = false;
				w->done(w, &q->result);
			}
			settle(all, q);
		}
		send_waiting(all);
	} while (!TAILQ_EMPTY(&all->list[QUERY_READY]));
	all->deliver_due = false;
}

/* ---- asking ---- */

static struct query *query_new(struct queries *all, const char *key, unsigned key_len)
{
	struct query *q = calloc(1, sizeof(*q) + key_len);
	if (!q)
		return NULL;
	memcpy(q->key, key, key_len);
	q->key_len = key_len;
	q->type = (enum dns_type)key[0];
	LIST_INIT(&q->waiters);
	HASH_ADD(hh, all->table, key, key_len, q);
	if (!q->hh.tbl) {
		free(q);
		return NULL;
	}
	return q;
}

err_t query_ask(struct queries *all, const char *name, enum dns_type type, struct query_wait *w)
{
	char key[1 + DOMAIN_SIZE];
	size_t len = strlen(name) + 1;
	if (len > DOMAIN_SIZE)
		return ERR_INVALID;
	key[0] = (char)type;
	memcpy(key + 1, name, len);
	struct query *q;
	HASH_FIND(hh, all->table, key, len + 1, q);
	if (!q && !(q = query_new(all, key, (unsigned)len + 1)))
		return ERR_NOMEM;
	LIST_INSERT_HEAD(&q->waiters, w, entry);
	w->waiting = true;
	if (q->state == QUERY_CACHED && q->result.expires_ms > clock_mono_ms())
		move(all, q, QUERY_READY);
	else if (q->state == QUERY_CACHED || q->state == QUERY_NEW)
		start(all, q);
	return ERR_OK;
}

void query_cancel(struct query_wait *w)
{
	if (!w->waiting)
		return;
	LIST_REMOVE(w, entry);
	w->waiting = false;
}

/* ---- life ---- */

err_t queries_new(struct loop *loop, const struct resolver_options *o, struct queries **out)
{
	struct queries *all = calloc(1, sizeof *all);
	if (!all)
		return ERR_NOMEM;
	all->loop = loop;
	all->limit_ms = o->limit_ms > 0 ? o->limit_ms : RESOLVER_LIMIT_MS;
	all->cache_max = o->cache_max ? o->cache_max : DEFAULT_CACHE_MAX;
	for (int i = 0; i < QUERY_STATES; i++)
		TAILQ_INIT(&all->list[i]);
	err_t err = channel_open(&all->udp, loop, o, false);
	if (!err) {
		err = channel_open(&all->tcp, loop, o, true);
		if (err)
			ares_destroy(all->udp.ares);
	}
	if (err) {
		free(all);
		return err;
	}
	*out = all;
	return ERR_OK;
}

void queries_free(struct queries *all)
{
	struct query *q, *next;
	if (!all)
		return;
	all->freed = true; /* what c-ares still answers is dropped */
	deadline_disarm(all->loop, &all->tick);
	HASH_ITER (hh, all->table, q, next)
		drop(all, q);
	ares_destroy(all->udp.ares);
	ares_destroy(all->tcp.ares);
	if (!all->deliver_due)
		free(all);
}
