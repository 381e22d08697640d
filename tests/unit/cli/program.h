#pragma once
/* Runs rcptctl as a process and keeps what it writes. One at a time; main thread of a cmocka test. */
#include <stdbool.h>
#include <sys/types.h>

#include "server/base/buf.h"

struct run {
	pid_t pid;
	int in, out; /* our ends of its standard input and output; in: -1 if it was closed */
	char err_path[256];
};

extern struct buf out, err; /* what the last run wrote */

/* dir: for files; target: the server's address, both stay the caller's. */
void program_init(const char *dir, const char *target);
const char *in_dir(const char *name); /* a path; lives for three more calls */
void read_file(const char *path, struct buf *);

struct run start(const char *const *words);
/* The same with standard output and standard error on one terminal of 120 columns; `out` gets both. */
struct run start_on_terminal(const char *const *words);
bool read_more(struct run *); /* false: the end */
/* Reads on until there are `lines` lines in `out`, or to the end for 0. */
void read_lines(struct run *, int lines);
int end(struct run *); /* its exit code */

/* Runs it to its end with an empty standard input. */
int rcptctl_v(const char *const *words);
#define rcptctl(...) rcptctl_v((const char *const[]){ __VA_ARGS__, NULL })
