#define HASH_NONFATAL_OOM 1 /* uthash's: what finds no memory is not added, its hh.tbl is NULL then */
#include "store/queued.h"

#include <stdlib.h>

static unsigned hash_of(const uint8_t *bytes, size_t n)
{
	unsigned hash;
	HASH_VALUE(bytes, n, hash);
	return hash;
}

unsigned queued_hash(const struct key *k)
{
	return hash_of(k->bytes, k->len);
}

/* ---- puts ---- */

static struct queued_put *find_put(const struct queued *q, enum table table, const struct key *k, unsigned hash)
{
	struct queued_put *p = NULL;
	HASH_FIND_BYHASHVALUE(hh, q->put[table], k->bytes, k->len, hash, p);
	return p;
}

static void unlist_put(struct queued *q, struct queued_put *p)
{
	HASH_DELETE(hh, q->put[p->table], p);
	p->listed = false;
}

void queued_put_enter(struct queued *q, struct queued_put *p)
{
	struct queued_put *older = find_put(q, p->table, &p->key, p->hash);
	if (older)
		unlist_put(q, older);
	p->order = ++q->order;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, q->put[p->table], p->key.bytes, p->key.len, p->hash, p);
	p->listed = p->hh.tbl;
}

void queued_put_leave(struct queued *q, struct queued_put *p)
{
	if (p->listed)
		unlist_put(q, p);
}

/* ---- deletions ---- */

static struct queued_deletion *find_deletion(
	const struct queued *q, bool with_subdomains, const uint8_t *domain, size_t n)
{
	struct queued_deletion *d = NULL;
	if (q->deletion[with_subdomains])
		HASH_FIND_BYHASHVALUE(hh, q->deletion[with_subdomains], domain, n, hash_of(domain, n), d);
	return d;
}

struct queued_deletion *queued_deletion_new(const struct key *domain, bool with_subdomains)
{
	struct queued_deletion *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->domain = *domain;
	d->with_subdomains = with_subdomains;
	return d;
}

struct queued_deletion *queued_deletion_enter(struct queued *q, struct queued_deletion *d)
{
	struct queued_deletion *same = find_deletion(q, d->with_subdomains, d->domain.bytes, d->domain.len);
	if (same) {
		free(d);
		d = same;
	} else {
		unsigned hash = queued_hash(&d->domain);
		HASH_ADD_KEYPTR_BYHASHVALUE(
			hh, q->deletion[d->with_subdomains], d->domain.bytes, d->domain.len, hash, d);
		d->listed = d->hh.tbl;
	}
	d->order = ++q->order;
	d->count++;
	return d;
}

void queued_deletion_leave(struct queued *q, struct queued_deletion *d)
{
	if (--d->count)
		return;
	if (d->listed)
		HASH_DELETE(hh, q->deletion[d->with_subdomains], d);
	free(d);
}

/* The order of the newest deletion that takes in the domain; 0: none does. */
static uint64_t deleted(const struct queued *q, const uint8_t *domain, size_t n)
{
	const struct queued_deletion *d = find_deletion(q, false, domain, n);
	uint64_t newest = d ? d->order : 0;
	for (size_t i = 0; i < n && q->deletion[true]; i++)
		if (domain[i] == '.' && (d = find_deletion(q, true, domain, i + 1)) && d->order > newest)
			newest = d->order;
	return newest;
}

enum queued_answer queued_find(const struct queued *q, enum table table, const struct key *k, unsigned hash,
	size_t domain_len, const struct queued_put **out)
{
	const struct queued_put *p = q->put[table] ? find_put(q, table, k, hash) : NULL;
	uint64_t gone = deleted(q, k->bytes, domain_len);
	if (p && p->order > gone) {
		*out = p;
		return QUEUED_PUT;
	}
	/* A put that came before the deletion may be gone from here and from the commit alike. */
	return gone ? QUEUED_DELETED : QUEUED_NOTHING;
}
