#pragma once
/* Where rows go: a file or standard output, through one buffer. Main thread. */
#include <stdbool.h>

#include "server/base/buf.h"

struct sink {
	int fd;
	bool own;	/* a file of ours */
	bool truncate;	/* what stood in the file goes with the first byte of ours: not before there is something to put
			 */
	struct buf buf; /* append here, then sink_flush() */
	int error;	/* errno of the write that failed; nothing is written after it */
};

/* path NULL: standard output. False: errno says why. */
bool sink_open(struct sink *, const char *path);
bool sink_flush(struct sink *); /* false: error is set */
bool sink_close(struct sink *); /* flushes first; idempotent; false: error is set */
