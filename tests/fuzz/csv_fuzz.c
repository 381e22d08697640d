/* A file of addresses as rcptctl reads it: the rows are the same whether it comes at once or in pieces, and none is
 * longer than it may be; what is kept of a row has as many cells as the heading. The first byte: is a column asked for,
 * how large are the pieces, and are the columns kept? */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/input.h"
#include "tests/fuzz/fuzz.h"

struct digest {
	uint64_t hash;
	size_t rows;
	enum input_step step;
};

static struct input *open_pipe(int fd[2], const char *column)
{
	char path[32];
	struct input *in;
	struct buf why = BUF_INIT(1024);
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd[0]);
	if (input_open(path, column, &in, &why))
		abort();
	buf_free(&why);
	return in;
}

static void add(struct digest *d, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i <= n; i++)
		d->hash = (d->hash ^ (i < n ? bytes[i] : 0x100u)) * 0x100000001b3u;
}

static size_t commas_outside_quotes(const struct buf *b)
{
	size_t commas = 0;
	bool quoted = false;
	for (size_t i = 0; i < b->len; i++) {
		quoted ^= b->data[i] == '"';
		commas += b->data[i] == ',' && !quoted;
	}
	MUST(!quoted);
	return commas;
}

static void take_kept(struct input *in, struct digest *d)
{
	struct buf heading = BUF_INIT(1024 * 1024), under = BUF_INIT(1024 * 1024), beyond = BUF_INIT(1024 * 1024);
	input_heading(in, &heading);
	input_record(in, &under, &beyond);
	MUST(!heading.err && !under.err && !beyond.err);
	MUST(commas_outside_quotes(&heading) == commas_outside_quotes(&under));
	(void)commas_outside_quotes(&beyond);
	add(d, under.data, under.len);
	add(d, beyond.data, beyond.len);
	buf_free(&heading);
	buf_free(&under);
	buf_free(&beyond);
}

static void take_rows(struct input *in, struct digest *d)
{
	const uint8_t *row;
	size_t n;
	while ((d->step = input_next(in, &row, &n)) == INPUT_ROW) {
		MUST(n <= INPUT_ADDRESS_MAX);
		d->rows++;
		add(d, row, n);
		take_kept(in, d);
	}
}

static struct digest read_all(const uint8_t *data, size_t len, size_t piece, const char *column, bool keep)
{
	int fd[2];
	struct digest d = { .hash = 0xcbf29ce484222325u };
	struct input *in = open_pipe(fd, column);
	if (keep)
		input_keep(in);
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		if (write(fd[1], data + at, n) != (ssize_t)n)
			abort(); /* it fits a pipe */
		input_fill(in);
		take_rows(in, &d);
		MUST(d.step == INPUT_WAIT || d.step == INPUT_FAILED);
		if (d.step == INPUT_FAILED)
			break;
	}
	close(fd[1]);
	input_fill(in);
	take_rows(in, &d);
	MUST(d.step == INPUT_END || d.step == INPUT_FAILED);
	if (d.step == INPUT_FAILED)
		MUST(input_why(in)[0] == '/');
	else
		MUST(input_rows_estimate(in, 0) == d.rows);
	input_close(in);
	close(fd[0]);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct choices c = { data, len };
	unsigned how = choose_byte(&c);
	const char *column = how & 1 ? "email" : NULL;
	if (c.left > 32 * 1024)
		return -1;
	struct digest whole = read_all(c.at, c.left, c.left, column, how >> 7);
	struct digest cut = read_all(c.at, c.left, 1 + (how >> 1) % 64, column, how >> 7);
	MUST(whole.step == cut.step);
	if (whole.step == INPUT_END) /* rows before a failure may have been given or not */
		MUST(whole.hash == cut.hash && whole.rows == cut.rows);
	return 0;
}
