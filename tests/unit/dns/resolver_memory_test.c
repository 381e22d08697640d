/* Memory runs out at every place where server/ asks for it, one after the other. The linker's --wrap catches what our
 * own objects allocate; c-ares and libuv, shared libraries, are not hindered. */
#include "server/dns/resolver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dns/double.h"

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);

static long until_failure = -1; /* -1: none */
static bool failed;

static bool fails(void)
{
	if (until_failure < 0 || until_failure-- > 0)
		return false;
	return failed = true;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

/* a.test: an alias, then a mail host with both families. */
static void answer(struct message *m, unsigned id, const char *name, unsigned type)
{
	message_start(m, id, 0x8400, name, type);
	if (!strcmp(name, "a.test"))
		message_cname(m, name, 600, "b.test");
	else if (type == 15)
		message_mx(m, name, 600, 10, "mx.test");
	else
		message_a(m, name, 600, type == 1 ? "127.0.0.1" : "::1");
}

static struct loop *loop;
static unsigned calls;
static enum route_status status;
static bool null_route;

static void on_route(struct route_wait *w, struct route *route)
{
	(void)w;
	calls++;
	null_route = !route;
	status = route ? route->status : ROUTE_UNSET;
	free(route);
	loop_stop(loop);
}

/* One life of a resolver in which allocation number n fails; false: it had no such number. */
static bool run(long n)
{
	struct resolver *resolver;
	struct route_wait wait = { .done = on_route };
	struct resolver_server at = { .port = 0 };
	calls = 0;
	failed = false;
	assert_int_equal(loop_new(&loop), ERR_OK);
	struct double_server *server = double_open(loop, answer);
	assert_true(ip_parse("127.0.0.1", &at.ip));
	at.port = (uint16_t)double_port(server);
	struct resolver_options options = { .servers = &at, .server_count = 1, .timeout_ms = 50, .tries = 1 };
	until_failure = n;
	err_t err = resolver_new(loop, &options, &resolver);
	if (!err) {
		err = resolver_route(resolver, "a.test", &wait);
		if (!err)
			loop_run(loop);
		until_failure = -1;
		assert_int_equal(calls, err ? 0 : 1);
		if (!err && !failed)
			assert_int_equal(status, ROUTE_FOUND);
		if (!err && failed) /* or a socket that could not be watched, or one try was enough */
			assert_true(null_route || status == ROUTE_FAILURE || status == ROUTE_FOUND);
		resolver_free(resolver);
	}
	until_failure = -1;
	if (err)
		assert_int_equal(err, ERR_NOMEM);
	double_close(server);
	loop_free(loop);
	return failed;
}

static void memory_may_run_out_anywhere(void **state)
{
	(void)state;
	long n = 0;
	while (run(n))
		assert_true(++n < 1000);
	assert_true(n > 20); /* the wrapping works */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_may_run_out_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
