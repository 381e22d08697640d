#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/input.h"

static char path[256];

static void write_file(const void *bytes, size_t n)
{
	const char *dir = getenv("TEST_TMPDIR");
	snprintf(path, sizeof path, "%s/input", dir ? dir : "/tmp");
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* All rows joined by '|', and "!why" behind them if it failed. */
static char *rows_of(const void *bytes, size_t n, const char *column)
{
	static char all[4096];
	struct buf out = BUF_INIT(4000), why = BUF_INIT(1000);
	struct input *in;
	const uint8_t *address;
	size_t len;
	enum input_step step;
	write_file(bytes, n);
	assert_int_equal(input_open(path, column, &in, &why), ERR_OK);
	assert_int_equal(input_fd(in), -1);
	while ((step = input_next(in, &address, &len)) == INPUT_ROW) {
		buf_append(&out, address, len);
		buf_putc(&out, '|');
	}
	if (step == INPUT_FAILED) {
		assert_memory_equal(input_why(in), path, strlen(path));
		buf_printf(&out, "!%s", input_why(in) + strlen(path) + 2);
		assert_int_equal(input_next(in, &address, &len), INPUT_FAILED);
	} else {
		assert_int_equal(step, INPUT_END);
		assert_int_equal(input_next(in, &address, &len), INPUT_END);
	}
	snprintf(all, sizeof all, "%s", buf_str(&out));
	input_close(in);
	buf_free(&out);
	buf_free(&why);
	return all;
}

#define ROWS(text, column) rows_of(text, sizeof(text) - 1, column)

static void one_address_a_line(void **state)
{
	(void)state;
	assert_string_equal(ROWS("ann@example.org\nben@example.org\n", NULL), "ann@example.org|ben@example.org|");
	assert_string_equal(
		ROWS("ann@example.org\r\n\r\n  ben@example.org \t\r\n\n", NULL), "ann@example.org|ben@example.org|");
	assert_string_equal(ROWS("ann@example.org", NULL), "ann@example.org|"); /* no last line end */
	assert_string_equal(ROWS("\xEF\xBB\xBF"
				 "ann@example.org\n",
				    NULL),
		"ann@example.org|");
	assert_string_equal(ROWS("nonsense\n# not a comment\n", NULL), "nonsense|# not a comment|");
	assert_string_equal(ROWS("\"a b\"@example.org\n\"a,b\"@example.org\n", NULL),
		"\"a b\"@example.org|\"a,b\"@example.org|"); /* a quoted local part is no CSV */
	assert_string_equal(ROWS("", NULL), "");
	assert_string_equal(ROWS("\n\n", NULL), "");
	assert_string_equal(ROWS("\n\nann@example.org\n", NULL), "ann@example.org|");
}

static void csv_with_a_header(void **state)
{
	(void)state;
	assert_string_equal(ROWS("name,email\nAnn,ann@example.org\nBen,ben@example.org\n", NULL),
		"ann@example.org|ben@example.org|");
	assert_string_equal(ROWS("name;E-Mail\r\nAnn;ann@example.org\r\n", NULL), "ann@example.org|");
	assert_string_equal(ROWS("\xEF\xBB\xBF\"Address\",\"x\"\nann@example.org,1\n", NULL), "ann@example.org|");
	assert_string_equal(ROWS("id\temail\n1\tann@example.org\n", NULL), "ann@example.org|");
	assert_string_equal(ROWS("email\nann@example.org\n", NULL), "ann@example.org|");
	assert_string_equal(ROWS("contact_email\nann@example.org\n", NULL), "ann@example.org|");
	assert_string_equal(ROWS("\"who\"\nann@example.org\n", NULL), "ann@example.org|");
	assert_string_equal(ROWS("email,name\n\"\"\"a b\"\"@example.org\",\"x,\ny\"\nben@example.org,z", NULL),
		"\"a b\"@example.org|ben@example.org|");
	assert_string_equal(ROWS("name;email\n\"Smith, Ann\";ann@example.org\n", NULL), "ann@example.org|");
	assert_string_equal(ROWS("email,name\n", NULL), "");
	assert_string_equal(ROWS("email,name", NULL), "");
}

static void cells_that_are_not_there(void **state)
{
	(void)state;
	assert_string_equal(ROWS("name,email\nAnn\nBen,\nCy,cy@example.org,more\n", NULL), "||cy@example.org|");
	assert_string_equal(ROWS("email,name\n\n,Ann\n", NULL), "|"); /* an empty line is no row, an empty cell is */
}

static void choosing_the_column(void **state)
{
	(void)state;
	assert_string_equal(ROWS("email,work\na@example.org,b@example.org\n", "work"), "b@example.org|");
	assert_string_equal(ROWS("email,Work\na@example.org,b@example.org\n", "work"), "b@example.org|");
	assert_string_equal(ROWS("WORK,work\na@example.org,b@example.org\n", "work"), "b@example.org|");
	assert_string_equal(ROWS("who\na@example.org\n", "who"), "a@example.org|"); /* told so, a lone column is CSV */
	assert_string_equal(ROWS("name,email\nA,a@example.org\n", "mial"),
		"!it has no column 'mial'. The columns it has: name, email");
	assert_string_equal(ROWS("name,contact\nA,a@example.org\n", NULL),
		"!no column is named email, e-mail, mail or address; say which with --column. The columns it has: "
		"name, "
		"contact");
	assert_string_equal(
		ROWS("name,\nA,a@example.org\n", "x"), "!it has no column 'x'. The columns it has: name, (no name)");
	assert_non_null(strstr(ROWS("a@example.org,Ann\n", NULL), "a CSV needs a header"));
	assert_string_equal(ROWS("", "email"), "!it is empty, and so has no columns");
}

static void damaged_files(void **state)
{
	(void)state;
	assert_string_equal(ROWS("email,name\na@example.org,x\n\"b@example.org,y\nc@example.org,z\n", NULL),
		"a@example.org|!a quote in its last row is never closed");
	assert_string_equal(ROWS("\xFF\xFE"
				 "a\0\n\0",
				    NULL),
		"!it is UTF-16; save it as UTF-8");
	assert_string_equal(ROWS("email,x\na\xFF@example.org,1\n", NULL), "a\xFF@example.org|"); /* the server judges */
	size_t n = 3 * 1024 * 1024;
	char *big = malloc(n);
	memset(big, 'a', n);
	memcpy(big, "email,x\n\"", 9);
	assert_string_equal(rows_of(big, n, NULL), "!a cell of more than 1 MiB; is a quote never closed?");
	memset(big, ',', n);
	assert_non_null(strstr(rows_of(big, n, NULL), "header"));
	free(big);
}

static void a_nul_stays_in_its_row(void **state)
{
	(void)state;
	static const char TEXT[] = "a\0b@example.org\nc@example.org\n";
	const uint8_t *address;
	size_t len;
	struct input *in;
	struct buf why = BUF_INIT(100);
	write_file(TEXT, sizeof TEXT - 1);
	assert_int_equal(input_open(path, NULL, &in, &why), ERR_OK);
	assert_int_equal(input_next(in, &address, &len), INPUT_ROW);
	assert_int_equal(len, 15);
	assert_memory_equal(address, TEXT, 15);
	assert_int_equal(input_next(in, &address, &len), INPUT_ROW);
	assert_int_equal(len, 13);
	input_close(in);
}

/* Chunk borders fall everywhere in rows like these. */
static void many_rows(void **state)
{
	(void)state;
	struct buf text = BUF_INIT(64 * 1024 * 1024), why = BUF_INIT(100);
	enum { COUNT = 100000 };
	buf_puts(&text, "n,email\r\n");
	for (int i = 0; i < COUNT; i++)
		buf_printf(&text, "%d,\"user%d@example.org\"\r\n", i, i);
	write_file(text.data, text.len);
	struct input *in;
	const uint8_t *address;
	size_t len;
	assert_int_equal(input_open(path, NULL, &in, &why), ERR_OK);
	for (int i = 0; i < COUNT; i++) {
		char expected[64];
		snprintf(expected, sizeof expected, "user%d@example.org", i);
		assert_int_equal(input_next(in, &address, &len), INPUT_ROW);
		assert_int_equal(len, strlen(expected));
		assert_memory_equal(address, expected, len);
		uint64_t estimate = input_rows_estimate(in, (uint64_t)i + 1);
		assert_in_range(estimate, COUNT * 9 / 10, COUNT * 13 / 10);
	}
	assert_int_equal(input_next(in, &address, &len), INPUT_END);
	assert_int_equal(input_rows_estimate(in, 0), COUNT);
	input_close(in);
	buf_free(&text);
}

static void long_cells_are_cut(void **state)
{
	(void)state;
	char line[1000];
	memset(line, 'x', sizeof line);
	line[0] = '@';
	line[900] = '\n';
	char *rows = rows_of(line, 901, NULL);
	assert_int_equal(strlen(rows), INPUT_ADDRESS_MAX + 1);
	memcpy(line, "a,mail\n1,", 9);
	rows = rows_of(line, 901, NULL);
	assert_int_equal(strlen(rows), INPUT_ADDRESS_MAX + 1);
}

static void arguments(void **state)
{
	(void)state;
	char *words[] = { "a@example.org", "", "b c" };
	const uint8_t *address;
	size_t len;
	struct input *in;
	assert_int_equal(input_from_arguments(words, 3, &in), ERR_OK);
	assert_int_equal(input_rows_estimate(in, 0), 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(input_next(in, &address, &len), INPUT_ROW);
		assert_int_equal(len, strlen(words[i]));
		assert_memory_equal(address, words[i], len);
	}
	assert_int_equal(input_next(in, &address, &len), INPUT_END);
	input_close(in);
}

static void files_that_cannot_be_read(void **state)
{
	(void)state;
	struct input *in;
	struct buf why = BUF_INIT(1000);
	assert_int_equal(input_open("/nonexistent/list", NULL, &in, &why), ERR_IO);
	assert_string_equal(buf_str(&why), "/nonexistent/list: No such file or directory");
	buf_reset(&why);
	assert_int_equal(input_open("/", NULL, &in, &why), ERR_IO);
	assert_string_equal(buf_str(&why), "/: Is a directory");
	buf_free(&why);
}

static void a_pipe_is_waited_for(void **state)
{
	(void)state;
	int fds[2];
	const uint8_t *address;
	size_t len;
	struct input *in;
	struct buf why = BUF_INIT(1000);
	assert_int_equal(pipe(fds), 0);
	int before = dup(STDIN_FILENO);
	dup2(fds[0], STDIN_FILENO);
	assert_int_equal(input_open("-", NULL, &in, &why), ERR_OK);
	assert_true(input_fd(in) >= 0);
	assert_int_equal(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK, 0); /* it is shared with others */
	assert_int_equal(input_next(in, &address, &len), INPUT_WAIT);
	assert_int_equal(write(fds[1], "a@example.org\nb@ex", 18), 18);
	input_fill(in);
	assert_int_equal(input_next(in, &address, &len), INPUT_ROW);
	assert_int_equal(len, 13);
	assert_int_equal(input_next(in, &address, &len), INPUT_WAIT);
	input_fill(in); /* nothing there: no harm */
	assert_int_equal(input_next(in, &address, &len), INPUT_WAIT);
	close(fds[1]);
	input_fill(in);
	assert_int_equal(input_next(in, &address, &len), INPUT_ROW);
	assert_memory_equal(address, "b@ex", len);
	assert_int_equal(input_next(in, &address, &len), INPUT_END);
	input_close(in);
	dup2(before, STDIN_FILENO);
	close(before);
	close(fds[0]);
}

/* ---- what is kept of a CSV ---- */

/* "heading/" and each row as under[beyond]/. */
static const char *kept_of(const void *bytes, size_t n)
{
	static struct buf out = BUF_INIT(64 * 1024);
	struct buf why = BUF_INIT(1000), under = BUF_INIT(INPUT_RECORD_MAX), beyond = BUF_INIT(INPUT_RECORD_MAX);
	struct input *in;
	const uint8_t *address;
	size_t len;
	bool header = false;
	buf_reset(&out);
	write_file(bytes, n);
	assert_int_equal(input_open(path, NULL, &in, &why), ERR_OK);
	input_keep(in);
	for (enum input_step step = INPUT_ROW; step == INPUT_ROW;) {
		step = input_next(in, &address, &len);
		if (!header) {
			input_heading(in, &out);
			buf_putc(&out, '/');
		}
		header = true;
		buf_reset(&under);
		buf_reset(&beyond);
		if (step == INPUT_ROW)
			input_record(in, &under, &beyond);
		if (step == INPUT_ROW)
			buf_printf(&out, "%s[%s]/", buf_str(&under), buf_str(&beyond));
		if (step == INPUT_FAILED)
			buf_printf(&out, "!%s", input_why(in) + strlen(path) + 2);
	}
	input_close(in);
	buf_free(&why);
	buf_free(&under);
	buf_free(&beyond);
	return buf_str(&out);
}
#define KEPT(text) kept_of(text, sizeof(text) - 1)

static void every_column_is_kept(void **state)
{
	(void)state;
	assert_string_equal(KEPT("id,email,name\n1,a@example.org,Ann\n"), "id,email,name,/1,a@example.org,Ann,[]/");
	assert_string_equal(KEPT("\xEF\xBB\xBFid;E-Mail;name\r\n1;a@example.org;\"x;y, \"\"z\"\"\r\nw\"\r\n"),
		"id,E-Mail,name,/1,a@example.org,\"x;y, \"\"z\"\"\r\nw\",[]/");
	assert_string_equal(KEPT("email\tx y\na@example.org\t a b \n"), "email,x y,/a@example.org,a b,[]/");
	assert_string_equal(
		KEPT("email,\"a,b\"\na@example.org,\" a b \"\n"), "email,\"a,b\",/a@example.org,\" a b \",[]/");
	assert_string_equal(KEPT("email,x\na@example.org,caf\xe9\n"), "email,x,/a@example.org,caf\xe9,[]/");
	assert_string_equal(KEPT("email,x\n"), "email,x,/"); /* no row */
}

static void short_and_long_rows(void **state)
{
	(void)state;
	assert_string_equal(KEPT("id,email,name\n1\n2,b@example.org\n3,c@example.org,C,4,\"f,5\",\n4,,,\n"),
		"id,email,name,/1,,,[]/2,b@example.org,,[]/3,c@example.org,C,[,4,\"f,5\",]/4,,,[,]/");
}

static void a_list_keeps_nothing(void **state)
{
	(void)state;
	assert_string_equal(KEPT("a@example.org\nb@example.org\n"), "/[]/[]/");
	assert_string_equal(KEPT(""), "/");
}

static void wide_files(void **state)
{
	(void)state;
	struct buf text = BUF_INIT(16 * 1024 * 1024);
	for (unsigned i = 0; i < INPUT_COLUMNS_MAX - 1; i++)
		buf_puts(&text, "c,");
	buf_puts(&text, "email\nx\n");
	const char *kept = kept_of(text.data, text.len);
	const char *row = strchr(kept, '/') + 1;
	assert_memory_equal(row, "x,,,", 4); /* filled up */
	assert_int_equal(strlen(row), 1 + INPUT_COLUMNS_MAX + strlen("[]/"));
	buf_reset(&text);
	for (unsigned i = 0; i < INPUT_COLUMNS_MAX; i++)
		buf_puts(&text, "c,");
	buf_puts(&text, "email\nx\n");
	assert_string_equal(kept_of(text.data, text.len), "/!it has more than 16384 columns");
	assert_non_null(strstr(rows_of(text.data, text.len, NULL), "|")); /* fine where they are not kept */
	/* A row of many large cells: those before it are still given. */
	buf_reset(&text);
	buf_puts(&text, "email,x\na@example.org,1\nb@example.org");
	for (unsigned i = 0; i < 9; i++) {
		buf_putc(&text, ',');
		buf_reserve(&text, 512 * 1024);
		memset(text.data + text.len, 'y', 512 * 1024);
		text.len += 512 * 1024;
	}
	buf_putc(&text, '\n');
	assert_int_equal(text.err, ERR_OK);
	assert_string_equal(kept_of(text.data, text.len), "email,x,/a@example.org,1,[]/!a row of more than 4 MiB");
	buf_free(&text);
}

static void names_of_columns(void **state)
{
	(void)state;
	struct buf why = BUF_INIT(1000);
	struct input *in;
	const uint8_t *address;
	size_t len;
	write_file("email,Verdict\na,b\n", 18);
	assert_int_equal(input_open(path, NULL, &in, &why), ERR_OK);
	input_keep(in);
	assert_false(input_has_column(in, "verdict")); /* nothing was read yet */
	assert_int_equal(input_next(in, &address, &len), INPUT_ROW);
	assert_true(input_has_column(in, "verdict"));
	assert_false(input_has_column(in, "verdic"));
	input_close(in);
	buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_address_a_line),
		cmocka_unit_test(csv_with_a_header),
		cmocka_unit_test(cells_that_are_not_there),
		cmocka_unit_test(choosing_the_column),
		cmocka_unit_test(damaged_files),
		cmocka_unit_test(a_nul_stays_in_its_row),
		cmocka_unit_test(many_rows),
		cmocka_unit_test(long_cells_are_cut),
		cmocka_unit_test(arguments),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(a_pipe_is_waited_for),
		cmocka_unit_test(every_column_is_kept),
		cmocka_unit_test(short_and_long_rows),
		cmocka_unit_test(a_list_keeps_nothing),
		cmocka_unit_test(wide_files),
		cmocka_unit_test(names_of_columns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
