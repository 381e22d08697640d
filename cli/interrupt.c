#include "cli/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "cli/args.h"

static int pipe_fds[2] = { -1, -1 };
static volatile sig_atomic_t count;

static void on_signal(int number)
{
	(void)number;
	if (count)
		_exit(EXIT_INTERRUPTED);
	count = 1;
	ssize_t n = write(pipe_fds[1], "", 1);
	(void)n; /* the pipe is empty before the first one, so there is room */
}

bool interrupt_init(void)
{
	static const int SIGNALS[] = { SIGINT, SIGTERM, SIGHUP };
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	signal(SIGPIPE, SIG_IGN); /* a write says EPIPE */
	signal(SIGXFSZ, SIG_IGN); /* and EFBIG */
	struct sigaction action = { .sa_handler = on_signal };
	for (size_t i = 0; i < sizeof SIGNALS / sizeof SIGNALS[0]; i++) {
		struct sigaction before;
		/* What was ignored stays so: nohup, and shells with background jobs. */
		if (sigaction(SIGNALS[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(SIGNALS[i], &action, NULL);
	}
	return true;
}

int interrupt_fd(void)
{
	return pipe_fds[0];
}
