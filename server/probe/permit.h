#pragma once
/* Courtesy to machines: how many connections one destination address (a /64 of IPv6) gets at once, over all operators
 * and shards, because thousands of vanity mail hosts may be one machine. An address's budget lives on the shard that it
 * is hashed to; a permit travels there and back by mail. Private to server/probe.
 *
 * A permit has one owner at a time: who asked, until permit_ask(); the budget's shard; who asked again when `granted`
 * is called; the budget's shard from permit_return() on, which frees it. */
#include <sys/queue.h>

#include "server/probe/shard.h"

struct permit {
	struct mail mail;
	TAILQ_ENTRY(permit) link; /* waiting at its budget */
	struct shard *from, *home;
	struct ip key;			  /* zeroed behind the prefix */
	unsigned cap;			  /* connections at once that the asker may be part of */
	void (*granted)(struct permit *); /* on `from`; it must come back by permit_return() */
	struct work *work;		  /* the asker's: what it is for */
};

/* NULL: out of memory. */
struct permit *permit_new(struct shard *from, struct work *, unsigned cap, void (*granted)(struct permit *));
void permit_ask(struct permit *);
void permit_return(struct permit *);  /* NULL is fine */
void permit_free_all(struct shard *); /* the budgets that are homed here and who waits for them */
