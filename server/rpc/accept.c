#include "server/rpc/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/base/log.h"

#define TELL_MS 60000

static atomic_int spare = -1; /* a descriptor to give up when there is no other */
static _Atomic int64_t told_ms;

static void keep_spare(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int none = -1;
	if (fd >= 0 && !atomic_compare_exchange_strong(&spare, &none, fd))
		close(fd);
}

void accept_init(void)
{
	keep_spare();
}

static void tell(void)
{
	int64_t now = clock_mono_ms(), last = atomic_load(&told_ms);
	if ((!last || now - last >= TELL_MS) && atomic_compare_exchange_strong(&told_ms, &last, now))
		log_warn("rpc what=clients_turned_away error=EMFILE");
}

/* False: nobody waits, or the descriptor given up for it went to another thread; the next client is another try. (The
 * kernel looks for a descriptor before it looks for a client, so EMFILE does not mean that there is one.) */
static bool turn_away(int listener)
{
	int given = atomic_exchange(&spare, -1);
	if (given < 0)
		return false;
	close(given);
	int fd = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		tell();
	}
	keep_spare();
	return fd >= 0;
}

/* Core's call of it ends here, since a program's symbols come before libc's. */
int accept4(int listener, struct sockaddr *peer, socklen_t *len, int flags)
{
	for (;;) {
		int fd = (int)syscall(SYS_accept4, listener, peer, len, flags);
		if (fd >= 0 && atomic_load(&spare) < 0)
			keep_spare();
		if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
			return fd;
		if (!turn_away(listener)) {
			errno = EAGAIN;
			return -1;
		}
	}
}
