/* A file of addresses as rcptctl reads it: the rows are the same whether it comes at once or in pieces, and none is
 * longer than it may be. The first byte: is a column asked for, and how large are the pieces? */
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

static void take_rows(struct input *in, struct digest *d)
{
	const uint8_t *row;
	size_t n;
	while ((d->step = input_next(in, &row, &n)) == INPUT_ROW) {
		MUST(n <= INPUT_ADDRESS_MAX);
		d->rows++;
		for (size_t i = 0; i <= n; i++)
			d->hash = (d->hash ^ (i < n ? row[i] : 0x100u)) * 0x100000001b3u;
	}
}

static struct digest read_all(const uint8_t *data, size_t len, size_t piece, const char *column)
{
	int fd[2];
	struct digest d = { .hash = 0xcbf29ce484222325u };
	struct input *in = open_pipe(fd, column);
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
	struct digest whole = read_all(c.at, c.left, c.left, column);
	struct digest cut = read_all(c.at, c.left, 1 + (how >> 1) % 64, column);
	MUST(whole.step == cut.step);
	if (whole.step == INPUT_END) /* rows before a failure may have been given or not */
		MUST(whole.hash == cut.hash && whole.rows == cut.rows);
	return 0;
}
