#include "tests/world/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/world/json.h"
#include "tests/world/loop.h"

struct record {
	int fd;
	struct buf pending;
	size_t line;   /* where in pending the line begun starts */
	off_t end;     /* of the file, with what is pending */
	off_t *offset; /* of line i + 1 */
	uint64_t lines;
	size_t room;
	int64_t epoch_us; /* wall clock less monotonic clock, at the start: times never go back */
	bool broken;
};

struct record *record_open(const char *file)
{
	struct record *r = calloc(1, sizeof *r);
	struct timespec wall;

	if (!r)
		abort();
	r->fd = file ? open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : memfd_create("record", MFD_CLOEXEC);
	if (r->fd < 0) {
		free(r);
		return NULL;
	}
	r->end = lseek(r->fd, 0, SEEK_END);
	r->pending = (struct buf)BUF_INIT(256 * 1024 * 1024);
	clock_gettime(CLOCK_REALTIME, &wall);
	r->epoch_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000 - loop_now_us();
	return r;
}

void record_close(struct record *r)
{
	record_flush(r);
	close(r->fd);
	buf_free(&r->pending);
	free(r->offset);
	free(r);
}

struct buf *record_begin(struct record *r, const char *event)
{
	int64_t now = r->epoch_us + loop_now_us();

	r->line = r->pending.len;
	buf_printf(&r->pending, "{\"seq\":%llu,\"t\":%lld.%03d,\"event\":\"%s\"", (unsigned long long)r->lines + 1,
		(long long)(now / 1000), (int)(now % 1000), event);
	return &r->pending;
}

void record_end(struct record *r)
{
	buf_puts(&r->pending, "}\n");
	if (r->lines == r->room) {
		r->room = r->room ? r->room * 2 : 1024;
		r->offset = realloc(r->offset, r->room * sizeof *r->offset);
		if (!r->offset)
			abort();
	}
	r->offset[r->lines++] = r->end;
	r->end += (off_t)(r->pending.len - r->line);
}

void record_text(struct buf *line, const char *key, const char *text)
{
	buf_printf(line, ",\"%s\":", key);
	json_text(line, text);
}

void record_bytes(struct buf *line, const char *key, const void *bytes, size_t n)
{
	buf_printf(line, ",\"%s\":", key);
	json_bytes(line, bytes, n);
}

void record_number(struct buf *line, const char *key, uint64_t value)
{
	buf_printf(line, ",\"%s\":%llu", key, (unsigned long long)value);
}

void record_flush(struct record *r)
{
	size_t done = 0;

	while (done < r->pending.len) {
		ssize_t n = write(r->fd, r->pending.data + done, r->pending.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (!r->broken)
				perror("world: the record cannot be written");
			r->broken = true;
			break;
		}
		done += (size_t)n;
	}
	buf_reset(&r->pending);
}

uint64_t record_last(const struct record *r)
{
	return r->lines;
}

void record_since(struct record *r, uint64_t since, size_t most, struct buf *out)
{
	uint64_t last = since + most < r->lines ? since + most : r->lines;
	off_t from, to;

	if (since >= r->lines)
		return;
	record_flush(r);
	from = r->offset[since];
	to = last == r->lines ? r->end : r->offset[last];
	buf_reserve(out, (size_t)(to - from));
	while (from < to && !out->err) {
		ssize_t n = pread(r->fd, out->data + out->len, (size_t)(to - from), from);
		if (n <= 0)
			break;
		out->len += (size_t)n;
		from += n;
	}
}
