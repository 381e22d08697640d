/* gRPC core's own life in this process, and its log, in our format. */
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/rpc/accept.h"
#include "server/rpc/server.h"

/* A peer can make core complain as often as it likes: one line a second, the rest is counted. */
static _Atomic int64_t next_line_ms;
static atomic_uint dropped;

static void log_core(gpr_log_func_args *args)
{
	if (args->severity != GPR_LOG_SEVERITY_ERROR)
		return; /* of interest to core's developers */
	int64_t now = clock_mono_ms();
	int64_t due = atomic_load(&next_line_ms);
	if (now < due || !atomic_compare_exchange_strong(&next_line_ms, &due, now + 1000)) {
		atomic_fetch_add(&dropped, 1);
		return;
	}
	const char *slash = strrchr(args->file, '/');
	log_warn("rpc what=core at=%s:%d dropped=%u text=\"%.400s\"", slash ? slash + 1 : args->file, args->line,
		atomic_exchange(&dropped, 0), args->message);
}

void rpc_init(void)
{
	accept_init();
	gpr_set_log_function(log_core);
	gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
	/* Core's threads inherit this mask: signals belong to the main thread. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	grpc_init();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void rpc_shutdown(void)
{
	grpc_shutdown_blocking();
}
