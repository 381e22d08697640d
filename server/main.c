/* rcptd: wiring, signals, drain. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/api/api.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/version.h"
#include "server/config/config.h"
#include "server/probe/engine.h"
#include "server/rpc/server.h"
#include "server/stats/stats.h"
#include "server/verdict/reading.h"
#include "store/store.h"

#define EXIT_USAGE 2
#define DRAIN_S 10 /* conversations under way have that long to end; then they say QUIT */

static const char HELP[] =
	"rcptd tells whether an email address would accept mail, by asking the domain's own mail server.\n"
	"\n"
	"Usage: rcptd --config FILE [--check-config]\n"
	"\n"
	"  --config FILE    read the configuration from FILE (YAML)\n"
	"  --check-config   check it, say what is wrong, start nothing\n"
	"  --version        print the version\n"
	"  --help           print this\n"
	"\n"
	"SIGTERM and SIGINT end it after the conversations under way; a second one ends it at once.\n"
	"Exit status: 0 ended by a signal, 1 it could not start or failed, 2 wrong usage or configuration.\n"
	"\n"
	"Example: rcptd --config /etc/rcptd/rcptd.yaml\n";

struct daemon {
	struct config *config;
	struct rules *rules;
	struct store *store;
	struct engine *engine;
	struct api *api;
	struct rpc_server *server;
	atomic_bool drained, server_stopped;
};

/* ---- setting up ---- */

static err_t check_config(const char *file, struct config **config)
{
	struct buf why = BUF_INIT(64 * 1024);
	err_t err = config_load(file, config, &why);
	if (err)
		fprintf(stderr, "%s\n", why.len ? buf_str(&why) : err_text(err));
	buf_free(&why);
	return err;
}

static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static err_t start_server(struct daemon *d, struct buf *why)
{
	struct loop *loops[CONFIG_SHARDS];
	for (unsigned i = 0; i < engine_shards(d->engine); i++)
		loops[i] = engine_loop(d->engine, i);
	int port = 0;
	err_t err = rpc_server_start(
		d->config->listen_grpc, loops, engine_shards(d->engine), api_open, d->api, &d->server, &port, why);
	if (!err)
		log_info("listening on %s, %u shards", d->config->listen_grpc, engine_shards(d->engine));
	return err;
}

static err_t start(struct daemon *d, struct buf *why)
{
	struct store_options options = { .path = d->config->store_path, .hmac_key = d->config->store_hmac_key };
	err_t err = rules_load_builtin(&d->rules);
	if (!err)
		err = store_open(&options, &d->store, why);
	if (!err)
		err = engine_new(d->config, d->rules, d->store, &d->engine, why);
	if (!err)
		err = api_new(d->engine, &d->api);
	if (!err)
		err = start_server(d, why);
	if (!err)
		err = engine_start(d->engine);
	if (!err)
		api_serve(d->api);
	return err;
}

/* ---- ending ---- */

static void on_drained(void *ctx)
{
	struct daemon *d = ctx;
	log_info("no conversation is open");
	atomic_store(&d->drained, true);
	kill(getpid(), SIGUSR2); /* wakes the main thread: see wait_for() */
}

static void on_server_stopped(void *ctx)
{
	struct daemon *d = ctx;
	atomic_store(&d->server_stopped, true);
	kill(getpid(), SIGUSR2);
}

/* Waits until it is done (true) or the time is over. SIGUSR2 only wakes: anyone may send one, and one may come late. A
 * second SIGTERM or SIGINT ends the program. */
static bool wait_for(const sigset_t *signals, atomic_bool *done, int seconds)
{
	int64_t end = clock_mono_ms() + seconds * 1000;
	for (int64_t left; !atomic_load(done) && (left = end - clock_mono_ms()) > 0;) {
		struct timespec t = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
		int sig = sigtimedwait(signals, NULL, &t);
		if (sig == SIGTERM || sig == SIGINT) {
			log_warn("stopped at once by a second signal");
			_exit(0);
		}
	}
	return atomic_load(done);
}

static void drain(struct daemon *d, const sigset_t *signals)
{
	log_info("draining: no new conversations");
	api_drain(d->api);
	engine_drain(d->engine, on_drained, d);
	if (!wait_for(signals, &d->drained, DRAIN_S)) {
		log_warn("conversations are still open: ending them");
		engine_hurry(d->engine);
		wait_for(signals, &d->drained, DRAIN_S);
	}
	rpc_server_stop(d->server, on_server_stopped, d);
	if (!wait_for(signals, &d->server_stopped, 2)) {
		rpc_server_cancel_all(d->server);
		wait_for(signals, &d->server_stopped, DRAIN_S);
	}
	if (!d->drained || !d->server_stopped) { /* what is still in use must not be freed */
		log_error("conversations or calls do not end: leaving them");
		_exit(EXIT_FAILURE);
	}
}

static void tear_down(struct daemon *d)
{
	if (d->server)
		rpc_server_free(d->server);
	if (d->engine) {
		engine_stop(d->engine);
		engine_join(d->engine);
	}
	api_free(d->api);
	engine_free(d->engine);
	store_close(d->store);
	rules_free(d->rules);
	config_free(d->config);
}

static int run(struct daemon *d)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread: all inherit it */
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	stat_start();
	rpc_init();
	struct buf why = BUF_INIT(64 * 1024);
	err_t err = start(d, &why);
	if (err) {
		fprintf(stderr, "rcptd: %s\n", why.len ? buf_str(&why) : err_text(err));
	} else {
		int sig;
		do
			sigwait(&signals, &sig);
		while (sig == SIGUSR2);
		drain(d, &signals);
	}
	buf_free(&why);
	tear_down(d);
	rpc_shutdown();
	log_info("ended");
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option OPTIONS[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *file = NULL;
	bool check_only = false;
	for (int o; (o = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		switch (o) {
		case 'c': file = optarg; break;
		case 'k': check_only = true; break;
		case 'v': printf("rcptd %s\n", RCPTD_VERSION); return EXIT_SUCCESS;
		case 'h': fputs(HELP, stdout); return EXIT_SUCCESS;
		default: fputs("Try: rcptd --help\n", stderr); return EXIT_USAGE;
		}
	}
	if (!file || optind < argc) {
		fputs(file ? "rcptd: takes no arguments beside its options\nTry: rcptd --help\n"
			   : "rcptd: --config FILE is needed\nTry: rcptd --help\n",
			stderr);
		return EXIT_USAGE;
	}
	struct daemon d = { 0 };
	if (check_config(file, &d.config))
		return EXIT_USAGE;
	if (check_only) {
		printf("%s: fine\n", file);
		config_free(d.config);
		return EXIT_SUCCESS;
	}
	log_set_level(d.config->log_level);
	return run(&d);
}
