#include "tests/unit/cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PROGRAM "cli/rcptctl"
#define OUT_MAX (64 * 1024 * 1024)

struct buf out = BUF_INIT(OUT_MAX), err = BUF_INIT(OUT_MAX);
static const char *dir, *target;

void program_init(const char *its_dir, const char *its_target)
{
	dir = its_dir;
	target = its_target;
}

const char *in_dir(const char *name)
{
	static char path[4][256];
	static int at;
	at = (at + 1) % 4;
	snprintf(path[at], sizeof path[at], "%s/%s", dir, name);
	return path[at];
}

static void open_terminal(int o[2])
{
	struct winsize size = { .ws_row = 25, .ws_col = 120 };
	assert_int_equal(openpty(&o[0], &o[1], NULL, NULL, &size), 0);
	fcntl(o[0], F_SETFD, FD_CLOEXEC);
	fcntl(o[1], F_SETFD, FD_CLOEXEC);
}

static struct run launch(const char *const *words, bool terminal)
{
	const char *argv[32] = { PROGRAM, "--server", target };
	struct run r;
	int in[2], o[2], n = 3;
	posix_spawn_file_actions_t actions;
	while (*words)
		argv[n++] = *words++;
	assert_true(n < 32);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	if (terminal)
		open_terminal(o);
	else
		assert_int_equal(pipe2(o, O_CLOEXEC), 0);
	snprintf(r.err_path, sizeof r.err_path, "%s", terminal ? "" : in_dir("stderr"));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, o[1], 1);
	if (terminal)
		posix_spawn_file_actions_adddup2(&actions, o[1], 2);
	else
		posix_spawn_file_actions_addopen(&actions, 2, r.err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(posix_spawn(&r.pid, PROGRAM, &actions, NULL, (char *const *)argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(o[1]);
	r.in = in[1];
	r.out = o[0];
	return r;
}

void read_file(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;
	assert_true(fd >= 0);
	buf_reset(b);
	do {
		buf_reserve(b, 65536);
		assert_int_equal(b->err, ERR_OK);
		n = read(fd, b->data + b->len, 65536);
		assert_true(n >= 0);
		b->len += (size_t)n;
	} while (n);
	close(fd);
}

struct run start(const char *const *words)
{
	return launch(words, false);
}

struct run start_on_terminal(const char *const *words)
{
	return launch(words, true);
}

bool read_more(struct run *r)
{
	buf_reserve(&out, 65536);
	assert_int_equal(out.err, ERR_OK);
	ssize_t n = read(r->out, out.data + out.len, 65536);
	if (n < 0 && errno == EIO) /* a terminal that nobody has open any more */
		n = 0;
	assert_true(n >= 0);
	out.len += (size_t)n;
	return n > 0;
}

void read_lines(struct run *r, int lines)
{
	int have;
	do {
		have = 0;
		for (size_t i = 0; lines && i < out.len; i++)
			have += out.data[i] == '\n';
	} while ((lines == 0 || have < lines) && read_more(r));
}

int end(struct run *r)
{
	int status;
	if (r->in >= 0)
		close(r->in);
	read_lines(r, 0);
	close(r->out);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	buf_reset(&err);
	if (r->err_path[0])
		read_file(r->err_path, &err);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

int rcptctl_v(const char *const *words)
{
	buf_reset(&out);
	struct run r = start(words);
	close(r.in);
	r.in = -1;
	return end(&r);
}
