#include "tests/unit/rpc/service.h"

#include <stdlib.h>
#include <string.h>

struct served {
	struct seen *seen;
	bool finished;
	unsigned flood_left;
	uint8_t *held; /* a message that waits for on_writable() */
	size_t held_len;
};

static void on_done(void *ctx, int cancelled)
{
	struct served *s = ctx;
	struct seen *seen = s->seen;
	free(s->held);
	free(s);
	if (cancelled)
		atomic_fetch_add(&seen->cancelled, 1);
	atomic_fetch_add(&seen->done, 1);
	world_wake(&seen->world);
}

static void count_half_close(struct rpc_call *c, void *ctx)
{
	(void)c;
	struct served *s = ctx;
	atomic_fetch_add(s->finished ? &s->seen->late : &s->seen->half_closed, 1);
	world_wake(&s->seen->world);
}

static void count_message(struct rpc_call *c, void *ctx, const uint8_t *msg, size_t len)
{
	(void)c;
	(void)msg;
	(void)len;
	struct served *s = ctx;
	atomic_fetch_add(s->finished ? &s->seen->late : &s->seen->messages, 1);
	world_wake(&s->seen->world);
}

static void count_writable(struct rpc_call *c, void *ctx)
{
	(void)c;
	struct served *s = ctx;
	if (s->finished)
		atomic_fetch_add(&s->seen->late, 1);
}

static void echo(struct rpc_call *c, struct served *s, const uint8_t *msg, size_t len)
{
	err_t err = rpc_call_send(c, msg, len);
	if (err == ERR_AGAIN && !s->held) {
		s->held = malloc(len + 1);
		memcpy(s->held, msg, len);
		s->held_len = len;
	} else if (!err) {
		free(s->held);
		s->held = NULL;
		rpc_call_want(c, 1);
	}
}

static void echo_message(struct rpc_call *c, void *ctx, const uint8_t *msg, size_t len)
{
	echo(c, ctx, msg, len);
}

static void echo_half_close(struct rpc_call *c, void *ctx)
{
	(void)ctx;
	rpc_call_finish(c, RPC_OK, NULL, NULL, 0);
}

static void echo_writable(struct rpc_call *c, void *ctx)
{
	struct served *s = ctx;
	if (s->held)
		echo(c, s, s->held, s->held_len);
}

/* Sends as many messages of 1,000 bytes as the request's first four bytes say, numbered. */
static void flood(struct rpc_call *c, struct served *s)
{
	uint8_t msg[1000] = { 0 };
	for (; s->flood_left > 0; s->flood_left--) {
		memcpy(msg, &s->flood_left, sizeof s->flood_left);
		err_t err = rpc_call_send(c, msg, sizeof msg);
		if (err)
			return;
		atomic_fetch_add(&s->seen->accepted, 1);
	}
	rpc_call_finish(c, RPC_OK, NULL, NULL, 0);
}

static void flood_message(struct rpc_call *c, void *ctx, const uint8_t *msg, size_t len)
{
	struct served *s = ctx;
	if (len >= sizeof s->flood_left)
		memcpy(&s->flood_left, msg, sizeof s->flood_left);
	flood(c, s);
}

static void flood_writable(struct rpc_call *c, void *ctx)
{
	flood(c, ctx);
}

static void fail_message(struct rpc_call *c, void *ctx, const uint8_t *msg, size_t len)
{
	struct served *s = ctx;
	uint8_t more = 0;
	atomic_fetch_add(&s->seen->messages, 1);
	rpc_call_want(c, 10);
	if (rpc_call_send(c, msg, len) != ERR_OK)
		atomic_fetch_add(&s->seen->late, 1);
	rpc_call_finish(c, RPC_NOT_FOUND, ODD_WHY, (const uint8_t *)ODD_DETAILS, ODD_DETAILS_LEN);
	rpc_call_finish(c, RPC_INTERNAL, "a second one", NULL, 0); /* does nothing */
	if (rpc_call_send(c, &more, 1) != ERR_CLOSED)
		atomic_fetch_add(&s->seen->late, 1);
	s->finished = true;
	rpc_call_want(c, 10);
}

static const struct rpc_handler ECHO = { echo_message, echo_half_close, echo_writable, on_done };
static const struct rpc_handler HANG = { count_message, count_half_close, count_writable, on_done };
static const struct rpc_handler FLOOD = { flood_message, count_half_close, flood_writable, on_done };
static const struct rpc_handler FAIL = { fail_message, count_half_close, count_writable, on_done };

static const struct rpc_handler *open_call(void *ctx, const char *method, struct rpc_call *c, void **call_ctx)
{
	static const struct {
		const char *method;
		const struct rpc_handler *handler;
		unsigned credit;
	} METHODS[] = { { "/t/Echo", &ECHO, 1 }, { "/t/Hang", &HANG, 10 }, { "/t/Deaf", &HANG, 0 },
		{ "/t/Flood", &FLOOD, 1 }, { "/t/Fail", &FAIL, 1 }, { "/t/AtOnce", &HANG, 1 } };
	for (size_t i = 0; i < sizeof METHODS / sizeof METHODS[0]; i++) {
		if (strcmp(method, METHODS[i].method) != 0)
			continue;
		struct served *s = calloc(1, sizeof *s);
		s->seen = ctx;
		*call_ctx = s;
		atomic_store(&s->seen->time_left_ms, rpc_call_time_left_ms(c));
		atomic_fetch_add(&s->seen->opened, 1);
		if (rpc_call_shard(c) >= WORLD_LOOPS || rpc_call_loop(c) != s->seen->world.loops[rpc_call_shard(c)] ||
			!loop_is_current(rpc_call_loop(c)))
			abort();
		rpc_call_want(c, METHODS[i].credit);
		if (strcmp(method, "/t/AtOnce") == 0) {
			s->finished = true;
			rpc_call_finish(c, RPC_FAILED_PRECONDITION, "not today", NULL, 0);
		}
		world_wake(&s->seen->world);
		return METHODS[i].handler;
	}
	return NULL;
}

int service_set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	f->world = &f->seen.world;
	world_start(f->world, "127.0.0.1:0", open_call, &f->seen);
	if (rpc_client_new(f->world->main, f->world->address, &f->client))
		return -1;
	*state = f;
	return 0;
}

int service_tear_down(void **state)
{
	struct fixture *f = *state;
	if (!atomic_load(&f->world->stopped))
		world_stop(f->world);
	rpc_client_free(f->client);
	world_end(f->world);
	unsigned opened = atomic_load(&f->seen.opened), done = atomic_load(&f->seen.done);
	unsigned late = atomic_load(&f->seen.late);
	free(f);
	return opened == done && late == 0 ? 0 : -1; /* each call's on_done() exactly once, nothing after finish */
}
