#pragma once
/* Rows of addresses, read lazily: from arguments, from a CSV with a header, or from one address a line. Main thread.
 * Owner: whoever opened it; input_close() ends it. Holds one chunk of the file at a time. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/buf.h"

#define INPUT_ADDRESS_MAX                                                                                              \
	400u /* bytes kept of a cell: over the 320 of an address, so that it is told to be too long                    \
	      */

struct input;

/* The strings stay the caller's and must outlive it. */
MUST_CHECK err_t input_from_arguments(char *const *addresses, size_t count, struct input **);
/* path "-" is standard input. column: NULL for the one that is named like an address. Reads nothing yet. ERR_IO with a
 * sentence in why. */
MUST_CHECK err_t input_open(const char *path, const char *column, struct input **, struct buf *why);
void input_close(struct input *); /* NULL is fine */

/* From now on the columns of a CSV are kept, to be put out again: before the first row is read. A list of addresses has
 * none. Bounds: INPUT_COLUMNS_MAX columns in the heading, INPUT_RECORD_MAX bytes in a row; more fails. */
void input_keep(struct input *);
#define INPUT_COLUMNS_MAX 16384u /* as many as the widest spreadsheet has */
#define INPUT_RECORD_MAX (4u * 1024u * 1024u)

enum input_step { INPUT_ROW, INPUT_WAIT, INPUT_END, INPUT_FAILED };
/* INPUT_ROW: the bytes live until the next call here. INPUT_WAIT: wait until input_fd() is readable, then
 * input_fill(). INPUT_FAILED: see input_why(); stays so. */
enum input_step input_next(struct input *, const uint8_t **address, size_t *len);
void input_fill(struct input *);       /* one read */
const char *input_why(struct input *); /* a sentence without a full stop, the file's name in front */

/* The names of the kept columns as cells of a CSV, each with a comma behind it. After the first step that was not
 * INPUT_WAIT; nothing where none are kept. */
void input_heading(const struct input *, struct buf *out);
/* Is a kept column called so, whatever the case? */
bool input_has_column(const struct input *, const char *name);
/* The row that input_next() just gave, as it is kept: cells under the heading, each with a comma behind it, as many as
 * the heading has; and what the row has beyond, each with a comma in front. Nothing where none are kept. */
void input_record(const struct input *, struct buf *under, struct buf *beyond);

int input_fd(const struct input *);    /* -1: never waits */
void input_never_wait(struct input *); /* its descriptor cannot be watched: input_next() reads, however long it takes */
/* Whether it is the file at `path`. */
bool input_is_file(const struct input *, const char *path);
/* How many rows it has in all: exact at the end, an estimate by bytes before, 0 where nothing is known. */
uint64_t input_rows_estimate(const struct input *, uint64_t rows_so_far);
