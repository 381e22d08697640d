#pragma once
/* One LMDB environment and its transactions. The only package files that include <lmdb.h> are those of store/.
 * Environment: opened and closed by one thread, once in a process. Write transactions: one thread (the writer) for
 * life; read transactions: any thread, and they may not be kept (a reader left open keeps old pages from reuse). */
#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/buf.h"
#include "server/base/err.h"
#include "store/key.h"

#define STORE_SCHEMA 1 /* raised when an older program would misread what a newer one wrote */

enum table {
	TABLE_META, /* in both environments: what wrote it */
	TABLE_EXEMPTION,
	TABLE_REVOCATION,
	TABLE_ROUTE,
	TABLE_CATCH_ALL,
	TABLE_HOST,
	TABLE_VERDICT,
	TABLE_CONTROL,
	TABLES
};
const char *table_name(enum table);

struct env {
	MDB_env *mdb;
	const char *name;	/* "keep" or "known"; static */
	enum table first, last; /* its tables, TABLE_META besides */
	bool fresh;		/* opened without a schema record: nothing was ever stored */
	MDB_dbi dbi[TABLES];
};

/* Opens <path>/<name>, making it if missing, writes nothing into one that exists. On an error `why` gets a sentence. */
MUST_CHECK err_t env_open(struct env *, const char *path, const char *name, enum table first, enum table last,
	uint64_t map_bytes, struct buf *why);
/* Opens the tables; in a fresh environment makes them and the schema record. Before the first transaction. */
MUST_CHECK err_t env_prepare(struct env *, struct buf *why);
void env_close(struct env *); /* a closed one is fine */

/* A transaction remembers its first error; txn_end() commits only if nothing failed. */
struct txn {
	const struct env *env;
	MDB_txn *mdb; /* NULL when it could not begin: err says why */
	err_t err;
	bool dirty; /* something was put or deleted */
	bool write;
};
void txn_begin_read(struct txn *, const struct env *);
void txn_begin_write(struct txn *, const struct env *);
/* Read, failed and clean ones are aborted. Returns the first error, the commit's too. */
err_t txn_end(struct txn *);

/* ERR_NOT_FOUND is no error of the transaction. *value lives as long as the transaction, if it writes until its next
 * write. */
MUST_CHECK err_t txn_get(struct txn *, enum table, const struct key *, MDB_val *value);
void txn_put(struct txn *, enum table, const struct key *, const void *value, size_t n);
/* NULL: the error is noted. Closed by mdb_cursor_close() before txn_end(). */
MDB_cursor *txn_cursor(struct txn *, enum table);
/* Moves it; false at the end or when it failed (noted). */
bool txn_move(struct txn *, MDB_cursor *, MDB_val *key, MDB_val *value, MDB_cursor_op);
void txn_del(struct txn *, MDB_cursor *); /* what the cursor stands on; MDB_NEXT then goes to the one behind it */

err_t err_from_mdb(int rc);
