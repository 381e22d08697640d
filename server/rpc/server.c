#include "server/rpc/server.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "server/rpc/address.h"
#include "server/rpc/internal.h"

#define ACCEPTS_WAITING 8 /* per shard, so that a burst of calls does not wait for a turn of the loop each */
#define TARGET_MAX 512
/* How long connections without calls may take to close by themselves once the last call has ended. */
#define LINGER_MS 1000

struct rpc_server {
	grpc_server *core;
	rpc_open_fn open;
	void *open_ctx;
	atomic_bool stopping;
	atomic_size_t holds; /* calls, waiting or running, and one for not being stopped */

	/* The end. Set by rpc_server_stop(), then loops[0]'s. */
	void (*stopped)(void *ctx);
	void *stopped_ctx;
	struct op shutdown;	/* core: no connection is left */
	struct mail last_call;	/* holds went to 0 */
	struct deadline linger; /* armed between the two */
	bool core_over, calls_over;

	unsigned shard_count;
	struct rpc_shard shards[];
};

/* ---- what calls need ---- */

grpc_server *server_core(const struct rpc_server *s)
{
	return s->core;
}

bool server_is_stopping(const struct rpc_server *s)
{
	return atomic_load(&s->stopping);
}

const struct rpc_handler *server_open_call(struct rpc_server *s, const char *method, struct rpc_call *c, void **ctx)
{
	return s->open(s->open_ctx, method, c, ctx);
}

void shard_replenish(struct rpc_shard *shard)
{
	/* Out of memory: the calls that run try again when they end. */
	while (shard->accepting < ACCEPTS_WAITING && call_accept(shard) == ERR_OK) {
	}
}

static void begin_shard(struct mail *m)
{
	struct rpc_shard *shard = (struct rpc_shard *)((char *)m - offsetof(struct rpc_shard, begin));
	if (!server_is_stopping(shard->server))
		shard_replenish(shard);
	server_release(shard->server);
}

/* ---- the end ---- */

static void end_if_over(struct rpc_server *s)
{
	if (!s->core_over || !s->calls_over)
		return;
	deadline_disarm(s->shards[0].pump.loop, &s->linger);
	s->stopped(s->stopped_ctx); /* may free the server */
}

static void on_linger(struct deadline *d)
{
	struct rpc_server *s = (struct rpc_server *)((char *)d - offsetof(struct rpc_server, linger));
	grpc_server_cancel_all_calls(s->core); /* there are none: closes the connections that stayed */
}

static void on_last_call(struct mail *m)
{
	struct rpc_server *s = (struct rpc_server *)((char *)m - offsetof(struct rpc_server, last_call));
	s->calls_over = true;
	if (!s->core_over && deadline_arm(s->shards[0].pump.loop, &s->linger, LINGER_MS, on_linger))
		on_linger(&s->linger);
	end_if_over(s);
}

static void on_core_over(void *owner, bool ok)
{
	(void)ok;
	struct rpc_server *s = owner;
	s->core_over = true;
	end_if_over(s);
}

void server_hold(struct rpc_server *s)
{
	atomic_fetch_add(&s->holds, 1);
}

void server_release(struct rpc_server *s)
{
	if (atomic_fetch_sub(&s->holds, 1) == 1)
		loop_send(s->shards[0].pump.loop, &s->last_call, on_last_call);
}

void rpc_server_stop(struct rpc_server *s, void (*stopped)(void *ctx), void *ctx)
{
	if (atomic_exchange(&s->stopping, true))
		return;
	s->stopped = stopped;
	s->stopped_ctx = ctx;
	op_give(&s->shutdown);
	grpc_server_shutdown_and_notify(s->core, s->shards[0].pump.queue, &s->shutdown);
	server_release(s);
}

void rpc_server_cancel_all(struct rpc_server *s)
{
	grpc_server_cancel_all_calls(s->core);
}

/* Nothing of it is in core's hands. */
static void free_server(struct rpc_server *s)
{
	grpc_server_destroy(s->core);
	for (unsigned i = 0; i < s->shard_count; i++)
		pump_end(&s->shards[i].pump);
	free(s);
}

void rpc_server_free(struct rpc_server *s)
{
	if (s)
		free_server(s);
}

/* ---- the beginning ---- */

static grpc_arg int_arg(const char *key, int value)
{
	return (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

static grpc_server *new_core(void)
{
	grpc_arg args[] = {
		int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0), /* or the window grows and hides a peer that does not read */
		int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0), /* or two servers share a port without a word */
		int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_MESSAGE_MAX),
		/* Nobody needs compressed requests on loopback, and a small one can unpack to gigabytes. */
		int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
		int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
		int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1000), /* of one connection */
		int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10 * 1000),
		/* A peer that vanished without a word is noticed within 80 seconds. */
		int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 60 * 1000),
		int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20 * 1000),
		int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10 * 1000),
		int_arg(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 3),
	};
	grpc_channel_args list = { sizeof args / sizeof args[0], args };
	return grpc_server_create(&list, NULL);
}

static err_t start_pumps(struct rpc_server *s, struct loop *const *loops, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		s->shards[i].server = s;
		s->shards[i].index = i;
		err_t err = pump_start(&s->shards[i].pump, loops[i]);
		if (err)
			return err;
		s->shard_count = i + 1;
		grpc_server_register_completion_queue(s->core, s->shards[i].pump.queue, NULL);
	}
	return ERR_OK;
}

static err_t listen_on(struct rpc_server *s, const char *address, int *port, struct buf *why)
{
	struct buf target = BUF_INIT(TARGET_MAX);
	err_t err = address_to_listen(address, &target, why);
	if (!err) {
		grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
		*port = grpc_server_add_http2_port(s->core, buf_str(&target), credentials);
		grpc_server_credentials_release(credentials);
		if (*port <= 0) {
			buf_printf(why, "%s: cannot listen there", address);
			err = ERR_IO;
		}
		if (address[0] == 'u') /* core says 1 for a unix socket */
			*port = 0;
	}
	buf_free(&target);
	return err;
}

err_t rpc_server_start(const char *address, struct loop *const *loops, unsigned count, rpc_open_fn open, void *ctx,
	struct rpc_server **out, int *port, struct buf *why)
{
	if (count == 0)
		return ERR_INVALID;
	struct rpc_server *s = calloc(1, sizeof *s + count * sizeof s->shards[0]);
	if (!s)
		return ERR_NOMEM;
	s->open = open;
	s->open_ctx = ctx;
	atomic_init(&s->stopping, false);
	atomic_init(&s->holds, 1);
	op_init(&s->shutdown, s, on_core_over);
	s->core = new_core();
	err_t err = start_pumps(s, loops, count);
	if (!err)
		err = listen_on(s, address, port, why);
	if (err) {
		free_server(s);
		return err;
	}
	grpc_server_start(s->core);
	/* The loops may run already: each offers its own calls. Until the first has a turn, peers wait. */
	for (unsigned i = 0; i < count; i++) {
		server_hold(s);
		loop_send(loops[i], &s->shards[i].begin, begin_shard);
	}
	*out = s;
	return ERR_OK;
}
