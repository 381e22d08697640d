#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/log.h"
#include "store/internal.h"

static err_t sync_folder_of(const char *file)
{
	char path[4096];
	if ((size_t)snprintf(path, sizeof path, "%s", file) >= sizeof path)
		return ERR_INVALID;
	int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ERR_IO;
	int rc = fsync(fd);
	close(fd);
	return rc ? ERR_IO : ERR_OK;
}

static err_t make(const char *file, uint8_t key[STORE_KEY_BYTES], struct buf *why)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		buf_printf(why, "the key file %s cannot be made: %s", file, strerror(errno));
		return err_from_mdb(errno);
	}
	err_t err = ERR_OK;
	if (RAND_bytes(key, STORE_KEY_BYTES) != 1) {
		buf_puts(why, "no randomness for the key");
		err = ERR_IO;
	} else {
		errno = EIO;
		if (write(fd, key, STORE_KEY_BYTES) != STORE_KEY_BYTES || fchmod(fd, 0600) || fsync(fd)) {
			err = err_from_mdb(errno);
			buf_printf(why, "the key file %s cannot be written: %s", file, strerror(errno));
		}
	}
	close(fd);
	if (!err && (err = sync_folder_of(file)))
		buf_printf(why, "the folder of %s cannot be synced", file);
	if (err)
		unlink(file); /* nothing rests on it yet */
	return err;
}

static err_t read_key(int fd, const char *file, uint8_t key[STORE_KEY_BYTES], struct buf *why)
{
	struct stat st;
	uint8_t bytes[STORE_KEY_BYTES + 1];
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		buf_printf(why, "the key file %s is no regular file", file);
		return ERR_DENIED;
	}
	if (st.st_mode & 077) {
		buf_printf(why, "the key file %s can be read or written by others (mode %04o): chmod 600 it", file,
			(unsigned)st.st_mode & 07777);
		return ERR_DENIED;
	}
	ssize_t n = read(fd, bytes, sizeof bytes);
	if (n != STORE_KEY_BYTES) {
		buf_printf(why, "the key file %s has not the size of a key (%d bytes): restore it from its backup",
			file, STORE_KEY_BYTES);
		return ERR_DENIED;
	}
	memcpy(key, bytes, STORE_KEY_BYTES);
	OPENSSL_cleanse(bytes, sizeof bytes);
	return ERR_OK;
}

err_t hmac_key_load(const char *file, bool have_data, uint8_t key[STORE_KEY_BYTES], struct buf *why)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		err_t err = read_key(fd, file, key, why);
		close(fd);
		return err;
	}
	if (errno != ENOENT) {
		buf_printf(why, "the key file %s cannot be read: %s", file, strerror(errno));
		return ERR_DENIED;
	}
	if (have_data) {
		buf_printf(why,
			"the key file %s is missing, but the store holds data made with it: restore the key from its "
			"backup (a new one would make every remembered verdict unfindable; to give those up, move the "
			"folder known away and put a file of %d random bytes, mode 0600, in its place)",
			file, STORE_KEY_BYTES);
		return ERR_DENIED;
	}
	return make(file, key, why);
}

void store_address_hash(const struct store *s, const void *canonical, size_t n, uint8_t out[STORE_KEY_BYTES])
{
	unsigned len = 0;
	if (HMAC(EVP_sha256(), s->hmac_key, STORE_KEY_BYTES, canonical, n, out, &len) && len == STORE_KEY_BYTES)
		return;
	/* Any value handed out here would be one that two addresses share. */
	log_error("event=hmac_failed");
	abort();
}
