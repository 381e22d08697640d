/* A file that gets its name at the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/sink.h"

static char dir[200], path[256];

static void write_file(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static const char *content(void)
{
	static char text[256];
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return NULL;
	ssize_t n = read(fd, text, sizeof text - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	return text;
}

static int names_in_dir(void)
{
	int n = 0;
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static unsigned mode_of(const char *name)
{
	struct stat st;
	assert_int_equal(lstat(name, &st), 0);
	return st.st_mode & 07777;
}

static int setup(void **state)
{
	(void)state;
	const char *base = getenv("TEST_TMPDIR");
	snprintf(dir, sizeof dir, "%s/sink.XXXXXX", base && strlen(base) < 150 ? base : "/tmp");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/rows.csv", dir);
	return 0;
}

static void its_name_comes_at_the_end(void **state)
{
	(void)state;
	struct sink s;
	assert_true(sink_open(&s, path));
	buf_puts(&s.buf, "one\n");
	assert_true(sink_flush(&s));
	assert_null(content());
	assert_int_equal(names_in_dir(), 1); /* the temporary one */
	buf_puts(&s.buf, "two\n");
	assert_true(sink_keep(&s));
	assert_string_equal(content(), "one\ntwo\n");
	assert_int_equal(names_in_dir(), 1);
	assert_int_equal(mode_of(path), 0600);
	sink_drop(&s); /* does nothing */
	assert_non_null(content());
}

static void what_stood_there_stays_until_then(void **state)
{
	(void)state;
	struct sink s;
	write_file("older\n", 0640);
	assert_true(sink_open(&s, path));
	buf_puts(&s.buf, "one\n");
	assert_true(sink_flush(&s));
	assert_string_equal(content(), "older\n");
	sink_drop(&s);
	assert_string_equal(content(), "older\n");
	assert_int_equal(names_in_dir(), 1);
	assert_true(sink_open(&s, path));
	buf_puts(&s.buf, "one\n");
	assert_true(sink_keep(&s));
	assert_string_equal(content(), "one\n");
	assert_int_equal(mode_of(path), 0640); /* as it was */
}

static void a_write_that_fails_leaves_it(void **state)
{
	(void)state;
	struct sink s;
	write_file("older\n", 0600);
	assert_true(sink_open(&s, path));
	int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup2(read_only, s.fd), s.fd); /* every write fails from here on */
	close(read_only);
	buf_puts(&s.buf, "one\n");
	assert_false(sink_flush(&s));
	assert_int_equal(s.error, EBADF);
	buf_puts(&s.buf, "two\n");
	assert_false(sink_keep(&s));
	assert_int_equal(s.error, EBADF);
	assert_string_equal(content(), "older\n");
	assert_int_equal(names_in_dir(), 1);
}

static void no_memory_is_an_error_of_the_file(void **state)
{
	(void)state;
	struct sink s;
	assert_true(sink_open(&s, path));
	s.buf.err = ERR_NOMEM;
	assert_false(sink_keep(&s));
	assert_int_equal(s.error, ENOMEM);
	assert_int_equal(names_in_dir(), 0);
}

static void a_link_stays_a_link(void **state)
{
	(void)state;
	struct sink s;
	char link[256];
	struct stat st;
	snprintf(link, sizeof link, "%s/link", dir);
	write_file("older\n", 0600);
	assert_int_equal(symlink("rows.csv", link), 0);
	assert_true(sink_open(&s, link));
	buf_puts(&s.buf, "one\n");
	assert_true(sink_keep(&s));
	assert_string_equal(content(), "one\n");
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
}

static void names_of_every_length(void **state)
{
	(void)state;
	struct sink s;
	char name[256];
	memset(name, 'n', 255);
	name[255] = '\0';
	assert_int_equal(chdir(dir), 0);
	assert_true(sink_open(&s, name)); /* and without a directory */
	assert_true(sink_keep(&s));
	assert_int_equal(access(name, F_OK), 0);
	assert_int_equal(names_in_dir(), 1);
	assert_int_equal(chdir("/"), 0);
}

static void what_cannot_be_written(void **state)
{
	(void)state;
	struct sink s;
	assert_false(sink_open(&s, dir));
	assert_int_equal(errno, EISDIR);
	snprintf(path, sizeof path, "%s/no/such", dir);
	assert_false(sink_open(&s, path));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(names_in_dir(), 0);
}

static void a_device_is_written_as_it_is(void **state)
{
	(void)state;
	struct sink s;
	if (access("/dev/full", W_OK) != 0)
		skip();
	assert_true(sink_open(&s, "/dev/full"));
	assert_null(s.temporary);
	buf_puts(&s.buf, "row\n");
	assert_false(sink_flush(&s));
	assert_int_equal(s.error, ENOSPC);
	assert_false(sink_keep(&s));
	assert_int_equal(s.error, ENOSPC);
	assert_int_equal(access("/dev/full", F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(its_name_comes_at_the_end, setup),
		cmocka_unit_test_setup(what_stood_there_stays_until_then, setup),
		cmocka_unit_test_setup(a_write_that_fails_leaves_it, setup),
		cmocka_unit_test_setup(no_memory_is_an_error_of_the_file, setup),
		cmocka_unit_test_setup(a_link_stays_a_link, setup),
		cmocka_unit_test_setup(names_of_every_length, setup),
		cmocka_unit_test_setup(what_cannot_be_written, setup),
		cmocka_unit_test_setup(a_device_is_written_as_it_is, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
