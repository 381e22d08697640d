#include "store/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/intact.h"

#define LOCK_TABLE_BYTES 16384 /* about 250 readers at once: one for each thread that reads */
#define MAP_BYTES_DEFAULT (UINT64_C(64) << 30)

static const char *const TABLE_NAME[TABLES] = {
	[TABLE_META] = "meta",
	[TABLE_EXEMPTION] = "exemption",
	[TABLE_REVOCATION] = "revocation",
	[TABLE_ROUTE] = "route",
	[TABLE_CATCH_ALL] = "catch_all",
	[TABLE_HOST] = "host",
	[TABLE_VERDICT] = "verdict",
	[TABLE_CONTROL] = "control",
};

const char *table_name(enum table t)
{
	return TABLE_NAME[t];
}

err_t err_from_mdb(int rc)
{
	switch (rc) {
	case 0: return ERR_OK;
	case MDB_NOTFOUND: return ERR_NOT_FOUND;
	case MDB_KEYEXIST: return ERR_EXISTS;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return ERR_SPACE;
	case ENOMEM: return ERR_NOMEM;
	case MDB_BAD_VALSIZE: return ERR_INVALID;
	case MDB_READERS_FULL: return ERR_LIMIT;
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_CORRUPTED:
	case MDB_INCOMPATIBLE:
	case MDB_PAGE_NOTFOUND: return ERR_CORRUPT;
	default: return ERR_IO;
	}
}

/* ---- transactions ---- */

static void begin(struct txn *t, const struct env *env, unsigned flags)
{
	*t = (struct txn){ .env = env, .write = !(flags & MDB_RDONLY) };
	t->err = err_from_mdb(mdb_txn_begin(env->mdb, NULL, flags, &t->mdb));
	if (t->err)
		t->mdb = NULL;
}

void txn_begin_read(struct txn *t, const struct env *env)
{
	begin(t, env, MDB_RDONLY);
}

void txn_begin_write(struct txn *t, const struct env *env)
{
	begin(t, env, 0);
}

/* LMDB reports a write that the disk took only in part as EIO: nearly always a full disk. */
static err_t commit_error(const struct env *env, int rc)
{
	int fd;
	struct statvfs fs;
	if (rc == EIO && !mdb_env_get_fd(env->mdb, &fd) && !fstatvfs(fd, &fs) && fs.f_bavail * fs.f_frsize < (1 << 20))
		return ERR_SPACE;
	return err_from_mdb(rc);
}

err_t txn_end(struct txn *t)
{
	if (!t->mdb)
		return t->err;
	if (t->err || !t->write || !t->dirty) {
		mdb_txn_abort(t->mdb);
	} else {
		int rc = mdb_txn_commit(t->mdb);
		if (rc)
			t->err = commit_error(t->env, rc);
	}
	t->mdb = NULL;
	return t->err;
}

err_t txn_get(struct txn *t, enum table table, const struct key *k, MDB_val *value)
{
	if (t->err)
		return t->err;
	MDB_val key = { k->len, (void *)k->bytes };
	err_t err = err_from_mdb(mdb_get(t->mdb, t->env->dbi[table], &key, value));
	if (err && err != ERR_NOT_FOUND)
		t->err = err;
	return err;
}

void txn_put(struct txn *t, enum table table, const struct key *k, const void *value, size_t n)
{
	if (t->err)
		return;
	MDB_val key = { k->len, (void *)k->bytes }, val = { n, (void *)value };
	t->err = err_from_mdb(mdb_put(t->mdb, t->env->dbi[table], &key, &val, 0));
	t->dirty = true;
}

MDB_cursor *txn_cursor(struct txn *t, enum table table)
{
	MDB_cursor *c = NULL;
	if (!t->err)
		t->err = err_from_mdb(mdb_cursor_open(t->mdb, t->env->dbi[table], &c));
	return t->err ? NULL : c;
}

bool txn_move(struct txn *t, MDB_cursor *c, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
	if (t->err || !c)
		return false;
	err_t err = err_from_mdb(mdb_cursor_get(c, key, value, op));
	if (err && err != ERR_NOT_FOUND)
		t->err = err;
	return !err;
}

void txn_del(struct txn *t, MDB_cursor *c)
{
	if (t->err)
		return;
	t->err = err_from_mdb(mdb_cursor_del(c, 0));
	t->dirty = true;
}

/* ---- opening ---- */

/* The lock table is written through a map: on a full disk the first touch of a hole in it would be a SIGBUS. */
static err_t reserve_lock_table(const char *folder, struct buf *why)
{
	char file[4096];
	if ((size_t)snprintf(file, sizeof file, "%s/lock.mdb", folder) >= sizeof file)
		return ERR_INVALID;
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int rc = fd < 0 ? errno : posix_fallocate(fd, 0, LOCK_TABLE_BYTES);
	if (fd >= 0)
		close(fd);
	if (rc)
		buf_printf(why, "%s: %s", file, strerror(rc));
	return err_from_mdb(rc);
}

static err_t read_schema(struct env *e, const char *folder, struct buf *why)
{
	struct txn t;
	MDB_stat stat;
	MDB_dbi main_dbi, meta;
	MDB_val key = { 6, "schema" }, value;
	txn_begin_read(&t, e);
	if (!t.err)
		t.err = err_from_mdb(mdb_dbi_open(t.mdb, NULL, 0, &main_dbi));
	if (!t.err)
		t.err = err_from_mdb(mdb_stat(t.mdb, main_dbi, &stat));
	e->fresh = !t.err && stat.ms_entries == 0;
	if (t.err || e->fresh)
		return txn_end(&t);
	int rc = mdb_dbi_open(t.mdb, TABLE_NAME[TABLE_META], 0, &meta);
	if (!rc)
		rc = mdb_get(t.mdb, meta, &key, &value);
	char text[16] = "";
	if (!rc && value.mv_size < sizeof text)
		memcpy(text, value.mv_data, value.mv_size);
	unsigned long version = strtoul(text, NULL, 10);
	if (!version) {
		t.err = ERR_CORRUPT;
	} else if (version > STORE_SCHEMA) {
		buf_printf(why,
			"%s was written by a newer rcptd (schema %lu; this one reads up to %d): start that version, or "
			"restore a backup made before the upgrade. Nothing was changed",
			folder, version, STORE_SCHEMA);
		t.err = ERR_VERSION;
	}
	return txn_end(&t);
}

static void say_damaged(const struct env *e, const char *folder, struct buf *why)
{
	if (why->len)
		return;
	buf_printf(why, "%s is damaged or not a store of rcptd. Nothing was changed. ", folder);
	if (e->first == TABLE_EXEMPTION)
		buf_puts(why, "It holds the exemptions: restore it from a backup");
	else
		buf_puts(why, "It holds only what can be learned again: move that folder away and start again");
}

/* LMDB 0.9.24 leaves its descriptors of the data to programs that are started later, and shows only one of the two. */
static void close_on_exec(const char *file)
{
	struct stat data, st;
	struct dirent *entry;
	DIR *dir = stat(file, &data) ? NULL : opendir("/proc/self/fd");
	while (dir && (entry = readdir(dir))) {
		int fd = (int)strtol(entry->d_name, NULL, 10);
		if (fd > STDERR_FILENO && !fstat(fd, &st) && st.st_dev == data.st_dev && st.st_ino == data.st_ino)
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	if (dir)
		closedir(dir);
}

static err_t open_folder(struct env *e, const char *folder, uint64_t map_bytes, struct buf *why)
{
	/* known: the last commit may be undone by a power loss, never half done (docs/STORE.md). */
	unsigned flags = MDB_NOTLS | (e->first == TABLE_EXEMPTION ? 0 : MDB_NOMETASYNC);
	char file[4096];
	struct stat st;
	if ((size_t)snprintf(file, sizeof file, "%s/data.mdb", folder) >= sizeof file)
		return ERR_INVALID;
	bool existed = stat(file, &st) == 0 && st.st_size > 0;
	int rc = mdb_env_create(&e->mdb);
	if (!rc)
		rc = mdb_env_set_maxdbs(e->mdb, TABLES);
	if (!rc)
		rc = mdb_env_set_mapsize(e->mdb, map_bytes ? map_bytes : MAP_BYTES_DEFAULT);
	if (!rc)
		rc = mdb_env_open(e->mdb, folder, flags, 0600);
	if (!rc) {
		close_on_exec(file);
		return ERR_OK;
	}
	if (!existed)
		unlink(file); /* half a header of ours, on a full disk: the next start begins anew */
	if (err_from_mdb(rc) != ERR_CORRUPT)
		buf_printf(why, "%s: %s", folder, mdb_strerror(rc));
	return err_from_mdb(rc);
}

err_t env_open(struct env *e, const char *path, const char *name, enum table first, enum table last, uint64_t map_bytes,
	struct buf *why)
{
	char folder[4000];
	*e = (struct env){ .name = name, .first = first, .last = last };
	if ((size_t)snprintf(folder, sizeof folder, "%s/%s", path, name) >= sizeof folder) {
		buf_puts(why, "the path of the store is too long");
		return ERR_INVALID;
	}
	if (mkdir(folder, 0700) && errno != EEXIST) {
		err_t err = err_from_mdb(errno);
		buf_printf(why, "%s: %s", folder, strerror(errno));
		return err;
	}
	err_t err = reserve_lock_table(folder, why);
	if (!err)
		err = open_folder(e, folder, map_bytes, why);
	int dead;
	if (!err)
		err = err_from_mdb(mdb_reader_check(e->mdb, &dead));
	if (!err)
		err = env_check_intact(e);
	if (!err)
		err = read_schema(e, folder, why);
	if (err == ERR_CORRUPT)
		say_damaged(e, folder, why);
	if (err)
		env_close(e);
	return err;
}

err_t env_prepare(struct env *e, struct buf *why)
{
	struct txn t;
	txn_begin_write(&t, e);
	for (enum table table = TABLE_META; table < TABLES; table++) {
		if (table != TABLE_META && (table < e->first || table > e->last))
			continue;
		if (!t.err)
			t.err = err_from_mdb(mdb_dbi_open(t.mdb, TABLE_NAME[table], MDB_CREATE, &e->dbi[table]));
	}
	t.dirty = true; /* handles live on only if it commits */
	if (e->fresh) {
		struct key k = { .len = 6, .bytes = "schema" };
		char version[16];
		int n = snprintf(version, sizeof version, "%d", STORE_SCHEMA);
		txn_put(&t, TABLE_META, &k, version, (size_t)n);
	}
	err_t err = txn_end(&t);
	if (err)
		buf_printf(why, "%s cannot be written: %s", e->name, err_text(err));
	return err;
}

void env_close(struct env *e)
{
	if (e->mdb)
		mdb_env_close(e->mdb);
	e->mdb = NULL;
}
