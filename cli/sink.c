#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SINK_MAX (64u * 1024u * 1024u)
#define NAME_KEPT 200 /* bytes of the name in the temporary one: a name has 255 at most */

/* ---- a name of its own ---- */

/* "DIR/.NAME.XXXXXX" for "DIR/NAME". NULL: no memory. */
static char *beside(const char *path)
{
	char *dir_of = strdup(path), *name_of = strdup(path), *made = NULL;
	if (dir_of && name_of && asprintf(&made, "%s/.%.*s.XXXXXX", dirname(dir_of), NAME_KEPT, basename(name_of)) < 0)
		made = NULL;
	free(dir_of);
	free(name_of);
	return made;
}

static bool like_the_older(int fd, const struct stat *older)
{
	int unchanged = fchown(fd, older->st_uid, older->st_gid);
	(void)unchanged; /* only root may give a file away */
	return fchmod(fd, older->st_mode & 0777) == 0;
}

static bool open_file(struct sink *s, const char *path, const struct stat *older)
{
	/* Through a symbolic link, which stays one. */
	s->path = older ? realpath(path, NULL) : strdup(path);
	s->temporary = s->path ? beside(s->path) : NULL;
	if (!s->temporary)
		return false;
	s->fd = mkostemp(s->temporary, O_CLOEXEC); /* mode 0600: addresses of people, the owner's alone */
	s->own = s->fd >= 0;
	if (s->own && older && !like_the_older(s->fd, older)) {
		int error = errno;
		close(s->fd);
		unlink(s->temporary);
		errno = error;
		s->own = false;
	}
	return s->own;
}

bool sink_open(struct sink *s, const char *path)
{
	*s = (struct sink){ .fd = STDOUT_FILENO, .buf = BUF_INIT(SINK_MAX) };
	if (!path)
		return true;
	struct stat st;
	bool exists = stat(path, &st) == 0;
	s->fd = -1;
	if (exists && access(path, W_OK) != 0)
		return false;
	if (exists && S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return false;
	}
	if (exists && !S_ISREG(st.st_mode)) {
		s->fd = open(path, O_WRONLY | O_CLOEXEC);
		s->own = s->fd >= 0;
		return s->own;
	}
	if (open_file(s, path, exists ? &st : NULL))
		return true;
	free(s->path);
	free(s->temporary);
	s->path = s->temporary = NULL;
	return false;
}

/* ---- writing ---- */

static bool write_all(struct sink *s)
{
	size_t at = 0;
	while (at < s->buf.len) {
		ssize_t n = write(s->fd, s->buf.data + at, s->buf.len - at);
		if (n >= 0) {
			at += (size_t)n;
		} else if (errno == EAGAIN) {
			/* Somebody who shares the terminal or pipe with us made it non-blocking. */
			poll(&(struct pollfd){ .fd = s->fd, .events = POLLOUT }, 1, -1);
		} else if (errno != EINTR) {
			s->error = errno;
			return false;
		}
	}
	return true;
}

bool sink_flush(struct sink *s)
{
	if (!s->error && s->buf.err)
		s->error = ENOMEM;
	bool done = !s->error && write_all(s);
	buf_reset(&s->buf);
	return done;
}

/* ---- the end ---- */

/* The name lasts once its directory does; a file system that cannot say so has its own ways. */
static void sync_directory(char *path)
{
	int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

static bool close_own(struct sink *s)
{
	bool done = !s->own || close(s->fd) == 0;
	s->own = false;
	s->fd = -1;
	return done;
}

bool sink_keep(struct sink *s)
{
	sink_flush(s);
	if (s->temporary && !s->error && fsync(s->fd) != 0)
		s->error = errno;
	if (!close_own(s) && !s->error)
		s->error = errno;
	if (s->temporary && !s->error) {
		if (rename(s->temporary, s->path) == 0) {
			free(s->temporary);
			s->temporary = NULL;
			sync_directory(s->path);
		} else {
			s->error = errno;
		}
	}
	sink_drop(s);
	return !s->error;
}

void sink_drop(struct sink *s)
{
	(void)close_own(s);
	if (s->temporary)
		unlink(s->temporary);
	free(s->temporary);
	free(s->path);
	s->path = s->temporary = NULL;
	buf_free(&s->buf);
}
