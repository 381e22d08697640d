#include "tests/unit/world/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t talk_launch(char *const argv[], int *out, int with_errors)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test is */
		dup2(fds[1], 1);
		if (with_errors)
			dup2(fds[1], 2);
		execv(WORLD, argv);
		_exit(127);
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

int talk_status(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void read_all(int fd, char *text, size_t room)
{
	size_t used = 0;
	ssize_t n;

	while (used + 1 < room && (n = read(fd, text + used, room - used - 1)) > 0)
		used += (size_t)n;
	text[used] = '\0';
}

struct running *talk_start(const char *description)
{
	char *argv[] = { WORLD, "--config", (char *)description, NULL }, line[400], *at;
	struct running *w = calloc(1, sizeof *w);
	size_t used = 0;
	int out;

	assert_non_null(w);
	w->pid = talk_launch(argv, &out, 0);
	while (used + 1 < sizeof line && read(out, line + used, 1) == 1 && line[used++] != '\n')
		;
	line[used] = '\0';
	close(out);
	at = strstr(line, "smtp_port=");
	assert_non_null(at);
	w->smtp = (int)strtol(at + 10, NULL, 10);
	at = strstr(line, "dns=");
	assert_non_null(at);
	snprintf(w->dns, sizeof w->dns, "%.*s", (int)strcspn(at + 4, " "), at + 4);
	at = strstr(line, "control=127.0.0.1:");
	assert_non_null(at);
	w->control = (int)strtol(at + 18, NULL, 10);
	return w;
}

void talk_stop(struct running *w)
{
	kill(w->pid, SIGTERM);
	assert_int_equal(talk_status(w->pid), 0);
	free(w);
}

int connect_from(const char *source, const char *ip, int port)
{
	struct sockaddr_in own = { .sin_family = AF_INET },
			   in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, source, &own.sin_addr);
	if (bind(fd, (struct sockaddr *)&own, sizeof own))
		fail_msg("no %s here", source);

	inet_pton(AF_INET, ip, &in.sin_addr);
	if (!connect(fd, (struct sockaddr *)&in, sizeof in))
		return fd;
	close(fd);
	return -1;
}

void send_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

int connect_to(const char *ip, int port)
{
	return connect_from("0.0.0.0", ip, port);
}

/* Reads until the text ends with these words. */
void expect(int fd, const char *end)
{
	char text[8192] = "";
	size_t used = 0, len = strlen(end);

	while (used < len || memcmp(text + used - len, end, len)) {
		if (used + 1 == sizeof text || read(fd, text + used, 1) != 1)
			fail_msg("wanted: %s\ngot: %s", end, text);
		text[++used] = '\0';
	}
}

char *control(struct running *w, const char *request)
{
	static char answer[4 * 1024 * 1024];
	int fd = connect_to("127.0.0.1", w->control);

	assert_true(fd >= 0);
	send_text(fd, request);
	send_text(fd, " HTTP/1.0\r\n\r\n");
	read_all(fd, answer, sizeof answer);
	close(fd);
	return answer;
}

void has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("no %s in: %s", words, text);
}

/* Sends all at once and ends the connection's own side; gives everything that came. */
char *say(struct running *w, const char *ip, const char *text)
{
	static char answer[256 * 1024];
	int fd = connect_to(ip, w->smtp);

	assert_true(fd >= 0);
	expect(fd, "\r\n");
	send_text(fd, text);
	shutdown(fd, SHUT_WR);
	read_all(fd, answer, sizeof answer);
	close(fd);
	return answer;
}
