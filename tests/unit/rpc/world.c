#include "tests/unit/rpc/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *run(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "world: %s\n", what);
	abort();
}

void world_start(struct world *w, const char *address, rpc_open_fn open, void *ctx)
{
	memset(w, 0, sizeof *w);
	struct buf why = BUF_INIT(512);
	check(loop_new(&w->main) == ERR_OK, "no loop");
	loop_stop(w->main); /* for good: it comes back at every message, to look at the condition */
	for (int i = 0; i < WORLD_LOOPS; i++)
		check(loop_new(&w->loops[i]) == ERR_OK, "no loop");
	err_t err = rpc_server_start(address, w->loops, WORLD_LOOPS, open, ctx, &w->server, &w->port, &why);
	check(!err, buf_str(&why));
	buf_free(&why);
	if (w->port)
		snprintf(w->address, sizeof w->address, "127.0.0.1:%d", w->port);
	else
		snprintf(w->address, sizeof w->address, "%s", address);
	for (int i = 0; i < WORLD_LOOPS; i++)
		check(pthread_create(&w->threads[i], NULL, run, w->loops[i]) == 0, "no thread");
}

static void nothing(void *arg)
{
	(void)arg;
}

void world_wake(struct world *w)
{
	check(loop_post(w->main, nothing, NULL) == ERR_OK, "no memory");
}

static void on_stopped(void *ctx)
{
	struct world *w = ctx;
	atomic_store(&w->stopped, true);
	world_wake(w);
}

void world_ask_to_stop(struct world *w)
{
	rpc_server_stop(w->server, on_stopped, w);
}

void world_stop(struct world *w)
{
	world_ask_to_stop(w);
	if (!atomic_load(&w->stopped))
		rpc_server_cancel_all(w->server);
	world_wait(w, atomic_load(&w->stopped));
}

void world_end(struct world *w)
{
	if (!atomic_load(&w->stopped))
		world_stop(w);
	rpc_server_free(w->server);
	for (int i = 0; i < WORLD_LOOPS; i++)
		loop_stop(w->loops[i]);
	for (int i = 0; i < WORLD_LOOPS; i++)
		pthread_join(w->threads[i], NULL);
	for (int i = 0; i < WORLD_LOOPS; i++)
		loop_free(w->loops[i]);
	world_wake(w);
	loop_run(w->main); /* the wakes nobody waited for */
	loop_free(w->main);
}

/* ---- requests ---- */

static void on_message(struct rpc_request *r, void *ctx, const uint8_t *msg, size_t len)
{
	struct exchange *x = ctx;
	x->received++;
	x->last_len = len;
	if (len)
		memcpy(x->first, msg, len < sizeof x->first ? len : sizeof x->first);
	if (x->on_message)
		x->on_message(x, msg, len);
	if (x->keeps_wanting)
		rpc_request_want(r, 1);
}

static void on_writable(struct rpc_request *r, void *ctx)
{
	(void)r;
	((struct exchange *)ctx)->writable++;
}

static void on_done(void *ctx, enum rpc_code code, const char *message, const uint8_t *details, size_t len)
{
	struct exchange *x = ctx;
	check(!x->done, "on_done twice");
	x->done = true;
	x->request = NULL;
	x->code = code;
	snprintf(x->message, sizeof x->message, "%s", message);
	check(len <= sizeof x->details, "long details");
	if (len)
		memcpy(x->details, details, len);
	x->details_len = len;
}

void exchange_start(struct exchange *x, struct world *w, struct rpc_client *client, const char *method, int64_t timeout)
{
	static const struct rpc_request_handler HANDLER = { on_message, on_writable, on_done };
	x->world = w;
	err_t err = rpc_request_start(client, method, timeout, &HANDLER, x, &x->request);
	check(!err, "no request");
}

void exchange_unary(
	struct exchange *x, struct world *w, struct rpc_client *client, const char *method, const void *msg, size_t len)
{
	x->keeps_wanting = true;
	exchange_start(x, w, client, method, 0);
	rpc_request_want(x->request, 1);
	check(rpc_request_send(x->request, msg, len) == ERR_OK, "not sent");
	rpc_request_half_close(x->request);
	world_wait(w, x->done);
}
