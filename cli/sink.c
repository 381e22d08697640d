#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define SINK_MAX (64u * 1024u * 1024u)

bool sink_open(struct sink *s, const char *path)
{
	*s = (struct sink){ .fd = STDOUT_FILENO, .buf = BUF_INIT(SINK_MAX) };
	if (!path)
		return true;
	s->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* addresses of people: the owner's alone */
	s->own = true;
	struct stat st;
	s->truncate = s->fd >= 0 && fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode);
	return s->fd >= 0;
}

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
	if (!s->error && s->truncate && s->buf.len) {
		s->truncate = false;
		if (ftruncate(s->fd, 0) != 0)
			s->error = errno;
	}
	bool done = !s->error && write_all(s);
	buf_reset(&s->buf);
	return done;
}

bool sink_close(struct sink *s)
{
	sink_flush(s);
	buf_free(&s->buf);
	if (s->own && s->fd >= 0 && close(s->fd) != 0 && !s->error)
		s->error = errno;
	s->fd = -1;
	return !s->error;
}
