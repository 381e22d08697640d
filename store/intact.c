#include "store/intact.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>

#define FREE_PAGES_DBI 0 /* LMDB's own table of pages to be reused: the next write goes by it */

static _Thread_local sigjmp_buf broken;

static void on_signal(int signal)
{
	(void)signal;
	siglongjmp(broken, 1);
}

static uint8_t touched; /* keeps the reads below from being left out */

struct walk {
	struct env *env;
	struct txn txn;
	MDB_cursor *cursor; /* NULL when closed; not on the stack of what a signal ends */
};

static void walk_dbi(struct walk *w, MDB_dbi dbi)
{
	MDB_val key, value;
	int rc = mdb_cursor_open(w->txn.mdb, dbi, &w->cursor);
	while (!rc && !(rc = mdb_cursor_get(w->cursor, &key, &value, MDB_NEXT)))
		if (value.mv_size) /* it may lie on pages of its own */
			touched ^= ((uint8_t *)value.mv_data)[value.mv_size - 1];
	if (w->cursor)
		mdb_cursor_close(w->cursor);
	w->cursor = NULL;
	if (rc != MDB_NOTFOUND)
		w->txn.err = err_from_mdb(rc);
}

static void walk_all(struct walk *w)
{
	txn_begin_read(&w->txn, w->env);
	if (!w->txn.err)
		walk_dbi(w, FREE_PAGES_DBI);
	for (enum table table = TABLE_META; table < TABLES && !w->txn.err; table++) {
		MDB_dbi dbi;
		if (table != TABLE_META && (table < w->env->first || table > w->env->last))
			continue;
		int rc = mdb_dbi_open(w->txn.mdb, table_name(table), 0, &dbi);
		if (!rc)
			walk_dbi(w, dbi);
		else if (rc != MDB_NOTFOUND) /* else made by env_prepare() */
			w->txn.err = err_from_mdb(rc);
	}
}

static err_t walk_guarded(struct env *e)
{
	struct sigaction catch = { .sa_handler = on_signal }, bus, segv;
	struct walk w = { .env = e };
	sigemptyset(&catch.sa_mask);
	sigaction(SIGBUS, &catch, &bus);
	sigaction(SIGSEGV, &catch, &segv); /* a broken page may send LMDB anywhere */
	bool whole = !sigsetjmp(broken, 1);
	if (whole)
		walk_all(&w);
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	if (w.cursor)
		mdb_cursor_close(w.cursor);
	err_t err = txn_end(&w.txn);
	return whole ? err : ERR_CORRUPT;
}

err_t env_check_intact(struct env *e)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int fd, rc = mdb_env_info(e->mdb, &info);
	if (!rc)
		rc = mdb_env_stat(e->mdb, &stat);
	if (!rc)
		rc = mdb_env_get_fd(e->mdb, &fd);
	if (rc || fstat(fd, &st))
		return rc ? err_from_mdb(rc) : ERR_IO;
	/* Shorter than that is no proof: a page that was taken and given back in one transaction is never written. */
	if (e->first != TABLE_EXEMPTION && (uint64_t)st.st_size >= ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize)
		return ERR_OK;
	return walk_guarded(e);
}
