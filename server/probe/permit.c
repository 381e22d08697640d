#include "server/probe/permit.h"

#include <stdlib.h>
#include <string.h>

#include "server/stats/stats.h"

TAILQ_HEAD(permits, permit);

struct budget {
	UT_hash_handle hh; /* in shard->budgets, by key */
	struct ip key;
	unsigned out;
	struct permits waiting;
};

static struct ip key_of(const struct ip *ip)
{
	struct ip key;
	memset(&key, 0, sizeof key); /* it is hashed as bytes */
	key.v6 = ip->v6;
	memcpy(key.bytes, ip->bytes, ip->v6 ? 8 : 4);
	return key;
}

struct permit *permit_new(struct shard *from, struct work *work, unsigned cap, void (*granted)(struct permit *))
{
	struct permit *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->from = from;
	p->key = key_of(&work->hop.ip);
	p->home = engine_ip_shard(from->engine, &p->key);
	p->cap = cap;
	p->granted = granted;
	p->work = work;
	return p;
}

static void come_back(struct mail *m)
{
	struct permit *p = (struct permit *)m;
	p->granted(p);
}

static void grant(struct budget *b, struct permit *p)
{
	b->out++;
	stat_add(STAT_PERMITS, 1);
	loop_send(p->from->loop, &p->mail, come_back);
}

static struct budget *budget_of(struct shard *s, const struct ip *key)
{
	struct budget *b;
	HASH_FIND(hh, s->budgets, key, sizeof *key, b);
	return b;
}

static void asked(struct mail *m)
{
	struct permit *p = (struct permit *)m;
	struct shard *s = p->home;
	struct budget *b = budget_of(s, &p->key);
	if (!b) {
		b = calloc(1, sizeof *b);
		if (b) {
			b->key = p->key;
			TAILQ_INIT(&b->waiting);
			HASH_ADD(hh, s->budgets, key, sizeof b->key, b);
		}
		if (!b || !b->hh.tbl) { /* without a budget nobody may go: it waits where it can be asked again */
			free(b);
			loop_send(s->loop, &p->mail, asked);
			return;
		}
	}
	if (b->out < p->cap)
		grant(b, p);
	else
		TAILQ_INSERT_TAIL(&b->waiting, p, link);
}

void permit_ask(struct permit *p)
{
	loop_send(p->home->loop, &p->mail, asked);
}

static void returned(struct mail *m)
{
	struct permit *p = (struct permit *)m;
	struct shard *s = p->home;
	struct budget *b = budget_of(s, &p->key);
	free(p);
	b->out--;
	stat_add(STAT_PERMITS, -1);
	struct permit *next = TAILQ_FIRST(&b->waiting);
	if (next && b->out < next->cap) {
		TAILQ_REMOVE(&b->waiting, next, link);
		grant(b, next);
	}
	if (!b->out && TAILQ_EMPTY(&b->waiting)) {
		HASH_DEL(s->budgets, b);
		free(b);
	}
}

void permit_return(struct permit *p)
{
	if (p)
		loop_send(p->home->loop, &p->mail, returned);
}

void permit_free_all(struct shard *s)
{
	struct budget *b, *next;
	HASH_ITER (hh, s->budgets, b, next) {
		for (struct permit *p; (p = TAILQ_FIRST(&b->waiting));) {
			TAILQ_REMOVE(&b->waiting, p, link);
			free(p);
		}
		HASH_DEL(s->budgets, b);
		free(b);
	}
}
