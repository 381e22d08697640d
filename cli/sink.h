#pragma once
/* Where rows go: a file or standard output, through one buffer. Main thread.
 *
 * A file is written under another name beside its own, ".NAME.XXXXXX", and gets its name at the end: whoever reads it
 * never sees a part, and what stood there stays if it comes to nothing. Devices and pipes are written as they are.
 * sink_open() … sink_keep() or sink_drop(). */
#include <stdbool.h>

#include "server/base/buf.h"

struct sink {
	int fd;
	bool own;		/* fd is ours to close */
	char *path, *temporary; /* of a file of ours; NULL for standard output, devices and pipes */
	struct buf buf;		/* append here, then sink_flush() */
	int error;		/* errno of the write that failed; nothing is written after it */
};

/* path NULL: standard output. False: errno says why. */
bool sink_open(struct sink *, const char *path);
bool sink_flush(struct sink *); /* false: error is set */
/* Flushes, makes it last (fsync) and gives it its name. False: error is set, and what stood there is untouched. */
bool sink_keep(struct sink *);
/* What was not flushed is not written; a file leaves no trace. After sink_keep() it does nothing. */
void sink_drop(struct sink *);
