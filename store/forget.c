#include <stdlib.h>
#include <string.h>

#include "store/facts.h"
#include "store/internal.h"

/* The tables whose keys begin with a domain that is asked about (those of `host` are mail hosts). */
static const enum table OF_DOMAIN[] = { TABLE_ROUTE, TABLE_CATCH_ALL, TABLE_VERDICT, TABLE_CONTROL };

/* Deletes a domain's records. With again, more are left than may be deleted in this round. */
static uint64_t delete_domain(struct round *r, const struct key *domain, bool with_subdomains, bool *again)
{
	uint64_t removed = 0;
	for (size_t i = 0; i < sizeof OF_DOMAIN / sizeof *OF_DOMAIN; i++) {
		MDB_cursor *c = txn_cursor(r->txn, OF_DOMAIN[i]);
		MDB_val key = { domain->len, (void *)domain->bytes }, value;
		bool some = txn_move(r->txn, c, &key, &value, MDB_SET_RANGE);
		while (some && key_begins(key.mv_data, key.mv_size, domain)) {
			/* NUL sorts first: the domain's own come before those of its subdomains */
			bool own = key.mv_size == domain->len || ((uint8_t *)key.mv_data)[domain->len] == 0;
			if (!own && !with_subdomains)
				break;
			if (!r->may_delete) {
				*again = true;
				break;
			}
			r->may_delete--;
			txn_del(r->txn, c);
			removed++;
			some = txn_move(r->txn, c, &key, &value, MDB_NEXT);
		}
		if (c)
			mdb_cursor_close(c);
	}
	return removed;
}

/* ---- asked for ---- */

struct forget {
	struct op op;
	struct key domain;
	bool with_subdomains;
	uint64_t removed, removed_now;
	void (*done)(void *ctx, err_t, uint64_t removed);
	void *ctx;
};

static void forget_run(struct op *op, struct round *r)
{
	struct forget *f = (struct forget *)op;
	f->removed_now = delete_domain(r, &f->domain, f->with_subdomains, &op->again);
}

static void forget_committed(struct op *op, struct store *s)
{
	struct forget *f = (struct forget *)op;
	(void)s;
	f->removed += f->removed_now;
}

static void forget_end(struct op *op)
{
	struct forget *f = (struct forget *)op;
	if (f->done && op->loop)
		f->done(f->ctx, op->err, f->removed);
	free(f);
}

err_t store_forget(struct store *s, const char *domain, bool with_subdomains, struct loop *loop,
	void (*done)(void *ctx, err_t, uint64_t removed), void *ctx)
{
	struct key k;
	err_t err = key_of_domain(&k, domain);
	if (err)
		return err;
	struct forget *f = malloc(sizeof *f);
	struct queued_deletion *deletion = queued_deletion_new(&k, with_subdomains);
	if (!f || !deletion) {
		free(f);
		free(deletion);
		return ERR_NOMEM;
	}
	*f = (struct forget){ .op = { .loop = loop,
				      .fate = OP_TELL,
				      .bytes = sizeof *f,
				      .deletion = deletion,
				      .run = forget_run,
				      .committed = forget_committed,
				      .end = forget_end },
		.domain = k,
		.with_subdomains = with_subdomains,
		.done = done,
		.ctx = ctx };
	writer_add(s, &f->op);
	return ERR_OK;
}

/* ---- of an exempt domain ---- */

struct purge {
	struct op op;
	struct key domain;
};

static void purge_run(struct op *op, struct round *r)
{
	delete_domain(r, &((struct purge *)op)->domain, true, &op->again);
}

void purge_free(struct op *op)
{
	if (op)
		free(op->deletion);
	free(op);
}

struct op *purge_new(const struct key *domain)
{
	struct purge *p = malloc(sizeof *p);
	struct queued_deletion *deletion = queued_deletion_new(domain, true);
	if (!p || !deletion) {
		free(p);
		free(deletion);
		return NULL;
	}
	*p = (struct purge){
		.op = { .fate = OP_RETRY,
			.bytes = sizeof *p,
			.deletion = deletion,
			.run = purge_run,
			.end = purge_free },
		.domain = *domain,
	};
	return &p->op;
}

/* ---- of all exempt domains, at the start ---- */

struct purge_all {
	struct op op;
	struct key at, then; /* the exemption to begin with; the same for the next round, once this one is committed */
};

#define PURGE_ALL_EXEMPTIONS 2000 /* a round */

static void purge_all_run(struct op *op, struct round *r)
{
	struct purge_all *p = (struct purge_all *)op;
	MDB_cursor *c = txn_cursor(r->keep, TABLE_EXEMPTION);
	MDB_val key = { p->at.len, p->at.bytes }, value;
	bool some = txn_move(r->keep, c, &key, &value, p->at.len ? MDB_SET_RANGE : MDB_FIRST);
	for (int n = 0; some && n < PURGE_ALL_EXEMPTIONS && !op->again; n++) {
		const uint8_t *nul = memchr(key.mv_data, 0, key.mv_size);
		struct key domain = { .len = nul ? (size_t)(nul - (uint8_t *)key.mv_data) : 0 };
		if (domain.len > KEY_DOMAIN_MAX)
			domain.len = 0; /* no key of ours */
		memcpy(domain.bytes, key.mv_data, domain.len);
		if (domain.len && exemption_covering(r->keep, domain.bytes, domain.len, NULL, NULL) != ERR_NOT_FOUND)
			delete_domain(r, &domain, true, &op->again);
		if (!op->again)
			some = txn_move(r->keep, c, &key, &value, MDB_NEXT);
	}
	if (some && key.mv_size <= sizeof p->then.bytes) {
		p->then.len = key.mv_size;
		memcpy(p->then.bytes, key.mv_data, key.mv_size);
		op->again = true;
	}
	if (r->keep->err && !r->txn->err)
		r->txn->err = r->keep->err;
	if (c)
		mdb_cursor_close(c);
}

static void purge_all_committed(struct op *op, struct store *s)
{
	struct purge_all *p = (struct purge_all *)op;
	(void)s;
	p->at = p->then;
}

struct op *purge_all_new(void)
{
	struct purge_all *p = malloc(sizeof *p);
	if (!p)
		return NULL;
	*p = (struct purge_all){ .op = { .fate = OP_RETRY,
					 .bytes = sizeof *p,
					 .run = purge_all_run,
					 .committed = purge_all_committed,
					 .end = purge_free } };
	return &p->op;
}
