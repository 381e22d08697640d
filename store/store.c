#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/internal.h"

static err_t say_locked(int fd, const char *file, const char *path, struct buf *why)
{
	char holder[256];
	ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
	holder[n > 0 ? n : 0] = 0;
	holder[strcspn(holder, "\n")] = 0;
	buf_printf(why, "%s is used by rcptd, %s (it holds %s): stop it first, or give this one another store.path",
		path, holder[0] ? holder : "by a process that has not said which", file);
	return ERR_LOCKED;
}

/* Held by flock as long as the descriptor is open: it goes with its process, however that ends. */
static err_t take_lock(struct store *s, const char *path, struct buf *why)
{
	char file[4096], host[128] = "", text[256];
	if ((size_t)snprintf(file, sizeof file, "%s/lock", path) >= sizeof file) {
		buf_puts(why, "the path of the store is too long");
		return ERR_INVALID;
	}
	s->lock_fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0) {
		err_t err = err_from_mdb(errno);
		buf_printf(why, "%s: %s", file, strerror(errno));
		return err;
	}
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return say_locked(s->lock_fd, file, path, why);
		buf_printf(why, "%s cannot be locked: %s", file, strerror(errno));
		return ERR_IO;
	}
	(void)gethostname(host, sizeof host - 1);
	int n = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
	/* The lock is what counts; on a full disk the text stays empty. */
	if (ftruncate(s->lock_fd, 0) == 0 && pwrite(s->lock_fd, text, (size_t)n, 0) < 0)
		return ERR_OK;
	return ERR_OK;
}

static err_t open_environments(struct store *s, const struct store_options *o, struct buf *why)
{
	err_t err = env_open(&s->keep, o->path, "keep", TABLE_EXEMPTION, TABLE_REVOCATION, o->map_bytes, why);
	if (!err)
		err = env_open(&s->known, o->path, "known", TABLE_ROUTE, TABLE_CONTROL, o->map_bytes, why);
	if (!err && s->keep.fresh && !s->known.fresh) {
		buf_printf(why,
			"%s/keep is empty, but %s/known is not: the exemptions are lost. Restore keep from a backup "
			"(to "
			"start over without any exemption, move known away too)",
			o->path, o->path);
		err = ERR_CORRUPT;
	}
	return err;
}

static err_t open_all(struct store *s, const struct store_options *o, struct buf *why)
{
	if (mkdir(o->path, 0700) && errno != EEXIST) {
		err_t err = err_from_mdb(errno);
		buf_printf(why, "%s: %s", o->path, strerror(errno));
		return err;
	}
	err_t err = take_lock(s, o->path, why);
	if (!err)
		err = open_environments(s, o, why);
	/* The key before the schema records: a crash in between must not look like a lost key. */
	if (!err)
		err = hmac_key_load(o->hmac_key, !s->keep.fresh || !s->known.fresh, s->hmac_key, why);
	/* keep before known: known without keep means that keep was lost. */
	if (!err)
		err = env_prepare(&s->keep, why);
	if (!err)
		err = env_prepare(&s->known, why);
	if (!err)
		err = exemptions_check(&s->keep, why);
	if (!err && (err = writer_start(s)))
		buf_puts(why, "the writer thread cannot be started");
	return err;
}

err_t store_open(const struct store_options *o, struct store **out, struct buf *why)
{
	struct store *s = calloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->lock_fd = -1;
	err_t err = open_all(s, o, why);
	if (err) {
		if (!why->len)
			buf_printf(why, "the store at %s cannot be opened: %s", o->path, err_text(err));
		store_close(s);
		return err;
	}
	*out = s;
	return ERR_OK;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	writer_stop(s);
	env_close(&s->known);
	env_close(&s->keep);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	OPENSSL_cleanse(s->hmac_key, sizeof s->hmac_key);
	free(s);
}
