#include "cli/input.h"

#include <csv.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/columns.h"
#include "cli/heading.h"
#include "cli/text.h"

#define CHUNK (64u * 1024u)
#define ROWS_MAX (INPUT_RECORD_MAX + 2u * 1024u * 1024u) /* a row that a chunk ends, and those that are all in it */
#define FIELD_MAX (1024u * 1024u) /* bytes of one cell: a quote that is never closed would swallow the file */
#define HEADER_MAX (64u * 1024u)

enum mode { MODE_ARGUMENTS, MODE_FIRST_LINE, MODE_CSV, MODE_LINES };

struct input {
	enum mode mode;
	char *const *arguments;
	size_t argument_count, argument_at;

	int fd;
	char *name;   /* for messages */
	char *column; /* that was asked for, or NULL */
	bool waits, ended, failed;
	uint64_t bytes, size; /* read; of the file, 0 if it has none */

	struct buf head; /* MODE_FIRST_LINE: what was read */
	struct buf rows; /* rows read and not yet taken: a struct row and its bytes */
	size_t rows_at;
	struct row {
		uint32_t cell, under, beyond; /* bytes of the address and of what is kept, which follow in this order */
		uint32_t missing;	      /* cells that the heading has and the row has not */
	} taken;			      /* the last one; its bytes end at rows_at */
	struct buf cell;		      /* the address of the row that is being read */
	struct buf under, beyond;	      /* its cells, if they are kept */
	bool keep;
	struct buf why;

	struct csv_parser csv;
	bool csv_open, header_read;
	size_t field;  /* of the row that is being read */
	size_t wanted; /* column that has the address */
	struct columns columns;
	uint64_t lines, line; /* rows so far, for messages */
};

static void fail(struct input *in, const char *what)
{
	if (in->failed)
		return;
	in->failed = true;
	buf_reset(&in->why);
	buf_printf(&in->why, "%s: %s", in->name, what);
}

/* ---- rows ---- */

static void push_row(struct input *in)
{
	struct row r = { (uint32_t)in->cell.len, (uint32_t)in->under.len, (uint32_t)in->beyond.len, 0 };
	if (in->field < in->columns.count)
		r.missing = (uint32_t)(in->columns.count - in->field);
	size_t before = in->rows.len;
	buf_append(&in->rows, &r, sizeof r);
	buf_append(&in->rows, in->cell.data, in->cell.len);
	buf_append(&in->rows, in->under.data, in->under.len);
	buf_append(&in->rows, in->beyond.data, in->beyond.len);
	if (in->under.err == ERR_LIMIT || in->beyond.err == ERR_LIMIT || r.under + r.beyond > INPUT_RECORD_MAX)
		fail(in, "a row of more than 4 MiB");
	else if (in->rows.err || in->cell.err || in->under.err || in->beyond.err)
		fail(in, err_text(ERR_NOMEM));
	if (in->failed)
		in->rows.len = before; /* no half of a row */
	buf_reset(&in->cell);
	buf_reset(&in->under);
	buf_reset(&in->beyond);
	in->lines++;
}

static void cell_add(struct input *in, const uint8_t *s, size_t n)
{
	size_t room = INPUT_ADDRESS_MAX - in->cell.len;
	buf_append(&in->cell, s, n < room ? n : room);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void end_line(struct input *in)
{
	while (in->cell.len && is_blank(in->cell.data[in->cell.len - 1]))
		in->cell.len--;
	if (in->cell.len)
		push_row(in);
}

static void take_lines(struct input *in, const uint8_t *s, size_t n)
{
	while (n && !in->failed) {
		while (n && in->cell.len == 0 && is_blank(*s)) {
			s++;
			n--;
		}
		const uint8_t *end = n ? memchr(s, '\n', n) : NULL;
		size_t len = end ? (size_t)(end - s) : n;
		cell_add(in, s, len);
		if (!end)
			return;
		end_line(in);
		s += len + 1;
		n -= len + 1;
	}
}

/* ---- CSV ---- */

static void choose_column(struct input *in)
{
	struct buf why = BUF_INIT(8 * 1024);
	if (in->columns.names.err) {
		fail(in, "its header is too long");
	} else if (in->keep && in->columns.count > INPUT_COLUMNS_MAX) {
		fail(in, "it has more than 16384 columns");
	} else {
		in->wanted = columns_choose(&in->columns, in->column, &why);
		if (in->wanted == in->columns.count)
			fail(in, buf_str(&why));
	}
	buf_free(&why);
}

static void keep_cell(struct input *in, const void *bytes, size_t n)
{
	if (in->field < in->columns.count) {
		text_csv_kept(&in->under, bytes, n);
		buf_putc(&in->under, ',');
	} else {
		buf_putc(&in->beyond, ',');
		text_csv_kept(&in->beyond, bytes, n);
	}
}

static void on_field(void *bytes, size_t n, void *ctx)
{
	struct input *in = ctx;
	if (in->failed)
		return;
	if (!in->header_read) {
		columns_add(&in->columns, bytes, n);
	} else {
		if (in->field == in->wanted)
			cell_add(in, bytes, n);
		if (in->keep)
			keep_cell(in, bytes, n);
	}
	in->field++;
}

static void on_row(int end, void *ctx)
{
	(void)end;
	struct input *in = ctx;
	if (in->failed)
		return;
	if (in->header_read) {
		push_row(in);
	} else {
		choose_column(in);
		in->header_read = !in->failed;
	}
	in->field = 0;
}

static void take_csv(struct input *in, const uint8_t *s, size_t n)
{
	if (csv_parse(&in->csv, s, n, on_field, on_row, in) != n)
		fail(in, csv_strerror(csv_error(&in->csv)));
	else if (in->csv.entry_pos > FIELD_MAX)
		fail(in, "a cell of more than 1 MiB; is a quote never closed?");
}

/* ---- the first line decides what it is ---- */

static void take(struct input *in, const uint8_t *s, size_t n)
{
	if (in->mode == MODE_CSV)
		take_csv(in, s, n);
	else
		take_lines(in, s, n);
}

static void start_csv(struct input *in, const struct heading *h)
{
	if (csv_init(&in->csv, 0) != 0) {
		fail(in, err_text(ERR_NOMEM));
		return;
	}
	in->csv_open = true;
	csv_set_delim(&in->csv, (unsigned char)h->delimiter);
	in->mode = MODE_CSV;
}

/* Decides once the first line is there, or as much of it as counts. */
static void take_head(struct input *in, bool all)
{
	const uint8_t *s = in->head.data;
	size_t n = in->head.len;
	if (n < 3 && !all)
		return;
	if (n >= 2 && ((s[0] == 0xFF && s[1] == 0xFE) || (s[0] == 0xFE && s[1] == 0xFF))) {
		fail(in, "it is UTF-16; save it as UTF-8");
		return;
	}
	if (n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0) {
		s += 3;
		n -= 3;
	}
	while (n && (is_blank(*s) || *s == '\n') && *s != '\t') {
		s++;
		n--;
	}
	const uint8_t *end = n ? memchr(s, '\n', n) : NULL;
	if (!end && !all && n < HEADER_MAX)
		return;
	struct heading heading = heading_read(n ? s : (const uint8_t *)"", end ? (size_t)(end - s) : n);
	in->mode = MODE_LINES;
	if (in->column || heading.is)
		start_csv(in, &heading);
	if (!in->failed && n)
		take(in, s, n);
	buf_free(&in->head);
}

static void finish(struct input *in)
{
	if (in->mode == MODE_FIRST_LINE && !in->failed)
		take_head(in, true);
	if (in->failed)
		return;
	if (in->mode == MODE_LINES) {
		end_line(in);
		return;
	}
	if (in->csv.quoted && in->csv.entry_pos && in->csv.pstate == 2 /* within a field */) {
		fail(in, "a quote in its last row is never closed");
		return;
	}
	if (csv_fini(&in->csv, on_field, on_row, in) != 0)
		fail(in, csv_strerror(csv_error(&in->csv)));
	else if (!in->header_read && in->column)
		fail(in, "it is empty, and so has no columns");
}

/* ---- reading ---- */

void input_fill(struct input *in)
{
	uint8_t chunk[CHUNK];
	if (in->ended || in->failed)
		return;
	ssize_t n = read(in->fd, chunk, sizeof chunk);
	if (n < 0) {
		if (errno != EINTR && errno != EAGAIN)
			fail(in, strerror(errno));
		return;
	}
	in->bytes += (uint64_t)n;
	if (n == 0) {
		finish(in);
		in->ended = true;
	} else if (in->mode == MODE_FIRST_LINE) {
		buf_append(&in->head, chunk, (size_t)n);
		if (in->head.err)
			fail(in, err_text(in->head.err));
		else
			take_head(in, false);
	} else {
		take(in, chunk, (size_t)n);
	}
}

static bool queued(struct input *in, const uint8_t **address, size_t *len)
{
	if (in->rows_at == in->rows.len) {
		buf_reset(&in->rows);
		in->rows_at = 0;
		in->taken = (struct row){ 0 };
		return false;
	}
	struct row *r = &in->taken;
	memcpy(r, in->rows.data + in->rows_at, sizeof *r);
	*address = in->rows.data + in->rows_at + sizeof *r;
	*len = r->cell;
	in->rows_at += sizeof *r + r->cell + r->under + r->beyond;
	return true;
}

enum input_step input_next(struct input *in, const uint8_t **address, size_t *len)
{
	if (in->mode == MODE_ARGUMENTS) {
		if (in->argument_at == in->argument_count)
			return INPUT_END;
		*address = (const uint8_t *)in->arguments[in->argument_at++];
		*len = strnlen((const char *)*address, INPUT_ADDRESS_MAX);
		return INPUT_ROW;
	}
	for (;;) {
		if (queued(in, address, len))
			return INPUT_ROW;
		if (in->failed)
			return INPUT_FAILED;
		if (in->ended)
			return INPUT_END;
		if (in->waits)
			return INPUT_WAIT;
		input_fill(in);
	}
}

/* ---- what is kept of a CSV ---- */

void input_keep(struct input *in)
{
	in->keep = true;
}

void input_heading(const struct input *in, struct buf *out)
{
	if (in->keep && in->header_read)
		columns_heading(&in->columns, out);
}

bool input_has_column(const struct input *in, const char *name)
{
	return in->keep && in->header_read && columns_has(&in->columns, name);
}

void input_record(const struct input *in, struct buf *under, struct buf *beyond)
{
	const struct row *r = &in->taken;
	if (!in->keep || !in->header_read)
		return;
	const uint8_t *kept = in->rows.data + in->rows_at - r->beyond - r->under;
	buf_append(under, kept, r->under);
	buf_reserve(under, r->missing);
	if (!under->err && r->missing) {
		memset(under->data + under->len, ',', r->missing);
		under->len += r->missing;
	}
	buf_append(beyond, kept + r->under, r->beyond);
}

/* ---- life ---- */

static struct input *allocate(enum mode mode)
{
	struct input *in = calloc(1, sizeof *in);
	if (!in)
		return NULL;
	in->mode = mode;
	in->fd = -1;
	in->head = (struct buf)BUF_INIT(HEADER_MAX + 2 * CHUNK);
	in->rows = (struct buf)BUF_INIT(ROWS_MAX);
	in->cell = (struct buf)BUF_INIT(INPUT_ADDRESS_MAX);
	in->under = (struct buf)BUF_INIT(INPUT_RECORD_MAX);
	in->beyond = (struct buf)BUF_INIT(INPUT_RECORD_MAX);
	in->why = (struct buf)BUF_INIT(16 * 1024);
	in->columns.names = (struct buf)BUF_INIT(FIELD_MAX);
	return in;
}

err_t input_from_arguments(char *const *addresses, size_t count, struct input **out)
{
	struct input *in = allocate(MODE_ARGUMENTS);
	if (!in)
		return ERR_NOMEM;
	in->arguments = addresses;
	in->argument_count = count;
	*out = in;
	return ERR_OK;
}

/* Standard input of one's own: watching makes a descriptor non-blocking, which must not reach the terminal or pipe that
 * others share. A regular file keeps its place. */
static int open_standard_input(void)
{
	struct stat st;
	if (fstat(STDIN_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
		int fd = open("/proc/self/fd/0", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0)
			return fd;
	}
	return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
}

err_t input_open(const char *path, const char *column, struct input **out, struct buf *why)
{
	bool standard = strcmp(path, "-") == 0;
	struct stat st;
	int fd = standard ? open_standard_input() : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
		buf_printf(why, "%s: %s", standard ? "standard input" : path, strerror(fd < 0 ? errno : EISDIR));
		if (fd >= 0)
			close(fd);
		return ERR_IO;
	}
	struct input *in = allocate(MODE_FIRST_LINE);
	if (in) {
		in->name = strdup(standard ? "standard input" : path);
		in->column = column ? strdup(column) : NULL;
	}
	if (!in || !in->name || (column && !in->column)) {
		close(fd);
		input_close(in);
		buf_puts(why, err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	in->fd = fd;
	in->waits = !S_ISREG(st.st_mode);
	in->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	*out = in;
	return ERR_OK;
}

void input_close(struct input *in)
{
	if (!in)
		return;
	if (in->fd >= 0)
		close(in->fd);
	if (in->csv_open)
		csv_free(&in->csv);
	buf_free(&in->head);
	buf_free(&in->rows);
	buf_free(&in->cell);
	buf_free(&in->under);
	buf_free(&in->beyond);
	buf_free(&in->why);
	buf_free(&in->columns.names);
	free(in->name);
	free(in->column);
	free(in);
}

const char *input_why(struct input *in)
{
	return buf_str(&in->why);
}

int input_fd(const struct input *in)
{
	return in->waits ? in->fd : -1;
}

void input_never_wait(struct input *in)
{
	in->waits = false;
}

bool input_is_file(const struct input *in, const char *path)
{
	struct stat a, b;
	return in->fd >= 0 && fstat(in->fd, &a) == 0 && stat(path, &b) == 0 && S_ISREG(a.st_mode) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

uint64_t input_rows_estimate(const struct input *in, uint64_t rows_so_far)
{
	if (in->mode == MODE_ARGUMENTS)
		return in->argument_count;
	if (in->ended)
		return in->lines;
	if (!in->size || !in->bytes || in->bytes > in->size)
		return 0;
	uint64_t estimate = (uint64_t)((double)in->lines * (double)in->size / (double)in->bytes);
	return estimate > rows_so_far ? estimate : rows_so_far;
}
