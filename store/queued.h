#pragma once
/* What is queued or being committed, as reads must see it: the newest put of each key and the deletions, each until its
 * round has ended, well or not. Nothing here is locked: the writer's queued_mu guards all of it. Puts lie in their ops,
 * whose bytes bound them (the queue's limit and one group); entries of deletions are malloc'ed and shared by all that
 * delete the same. Out of memory an entry is left out, and reads see the last commit. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "store/env.h"
#include "store/key.h"

#define QUEUED_VALUE_MAX 4096 /* bytes; no fact's record is larger, a route of ten hosts has 3,700 */

struct queued_put {
	UT_hash_handle hh;
	enum table table;
	struct key key;
	unsigned hash; /* of the key: made before the mutex is taken */
	uint64_t order;
	bool listed; /* not once a newer one stands in its place */
	const uint8_t *value;
	size_t n;
};

struct queued_deletion {
	UT_hash_handle hh;
	struct key domain;
	bool with_subdomains;
	bool listed;
	uint64_t order; /* of the newest that deletes this */
	unsigned count; /* that have not ended */
};

/* All zero: empty. */
struct queued {
	struct queued_put *put[TABLES];
	struct queued_deletion *deletion[2]; /* [1]: with subdomains */
	uint64_t order;			     /* of the last that came */
};

unsigned queued_hash(const struct key *);

void queued_put_enter(struct queued *, struct queued_put *);
void queued_put_leave(struct queued *, struct queued_put *);

/* NULL: no memory. */
struct queued_deletion *queued_deletion_new(const struct key *domain, bool with_subdomains);
/* Takes it; returns the entry to leave by: it, or that of an earlier one that deletes the same. */
struct queued_deletion *queued_deletion_enter(struct queued *, struct queued_deletion *);
void queued_deletion_leave(struct queued *, struct queued_deletion *); /* may free it */

enum queued_answer {
	QUEUED_NOTHING, /* the last commit says */
	QUEUED_PUT,
	QUEUED_DELETED,
};
/* The first domain_len bytes of the key are the domain that deletions are about; 0: none deletes it. */
enum queued_answer queued_find(const struct queued *, enum table, const struct key *, unsigned hash, size_t domain_len,
	const struct queued_put **);
