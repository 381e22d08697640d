/* Server-side calls against our own client: every way a call can go, and what each costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rpc/service.h"

/* ---- the ordinary ways ---- */

static void test_starts_and_stops(void **state)
{
	struct fixture *f = *state;
	assert_true(f->world->port > 0);
}

static void test_unary(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	exchange_unary(&x, f->world, f->client, "/t/Echo", "hello", 5);
	assert_int_equal(x.code, RPC_OK);
	assert_int_equal(x.received, 1);
	assert_int_equal(x.last_len, 5);
	assert_memory_equal(x.first, "hello", 5);
	assert_int_equal(x.details_len, 0);
	world_wait(f->world, atomic_load(&f->seen.done) == 1);
	assert_int_equal(atomic_load(&f->seen.cancelled), 0);
	assert_true(atomic_load(&f->seen.time_left_ms) == INT64_MAX);
}

static void test_empty_message(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	exchange_unary(&x, f->world, f->client, "/t/Echo", "", 0);
	assert_int_equal(x.code, RPC_OK);
	assert_int_equal(x.received, 1);
	assert_int_equal(x.last_len, 0);
}

static void test_unknown_method(void **state)
{
	struct fixture *f = *state;
	char lengthy[1000];
	memset(lengthy, 'a', sizeof lengthy - 1);
	lengthy[0] = '/';
	lengthy[sizeof lengthy - 1] = '\0';
	const char *methods[] = { "/t/Nothing", "", "Echo", "/t/Echo/", lengthy };
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		struct exchange x = { 0 };
		exchange_unary(&x, f->world, f->client, methods[i], "hello", 5);
		assert_int_equal(x.code, RPC_UNIMPLEMENTED);
		assert_int_equal(x.received, 0);
	}
	assert_int_equal(atomic_load(&f->seen.opened), 0);
}

static void test_status_with_details(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	exchange_unary(&x, f->world, f->client, "/t/Fail", "hello", 5);
	assert_int_equal(x.code, RPC_NOT_FOUND);
	assert_string_equal(x.message, ODD_WHY);
	assert_int_equal(x.details_len, ODD_DETAILS_LEN);
	assert_memory_equal(x.details, ODD_DETAILS, ODD_DETAILS_LEN);
	assert_int_equal(x.received, 1); /* what was queued before the status came before it */
}

static void test_nothing_after_finish(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { .keeps_wanting = true };
	exchange_start(&x, f->world, f->client, "/t/Fail", 0);
	rpc_request_want(x.request, 1);
	for (int i = 0; i < 50 && x.request; i++)
		(void)!rpc_request_send(x.request, (const uint8_t *)"again", 5);
	world_wait(f->world, x.done);
	assert_int_equal(x.code, RPC_NOT_FOUND);
	world_wait(f->world, atomic_load(&f->seen.done) == 1);
	assert_int_equal(atomic_load(&f->seen.messages), 1);
}

static void test_finish_at_once(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	exchange_unary(&x, f->world, f->client, "/t/AtOnce", "hello", 5);
	assert_int_equal(x.code, RPC_FAILED_PRECONDITION);
	assert_string_equal(x.message, "not today");
	world_wait(f->world, atomic_load(&f->seen.done) == 1);
}

/* ---- streams ---- */

#define STREAMS 8
#define EACH 2500

struct stream {
	struct exchange x;
	unsigned sent;
	bool out_of_order;
};

static void send_more(struct stream *s)
{
	uint8_t msg[93] = { 0 };
	for (; s->sent < EACH; s->sent++) {
		memcpy(msg, &s->sent, sizeof s->sent);
		if (rpc_request_send(s->x.request, msg, sizeof msg))
			return;
	}
	rpc_request_half_close(s->x.request);
}

static void echoed(struct exchange *x, const uint8_t *msg, size_t len)
{
	struct stream *s = (struct stream *)x; /* first */
	unsigned number = 0;
	if (len == 93)
		memcpy(&number, msg, sizeof number);
	if (len != 93 || number != x->received - 1)
		s->out_of_order = true;
	if (s->sent < EACH)
		send_more(s);
}

static void test_many_messages(void **state)
{
	struct fixture *f = *state;
	struct rpc_client *clients[STREAMS]; /* connections of their own: core spreads them over the loops */
	struct stream streams[STREAMS] = { 0 };
	for (int i = 0; i < STREAMS; i++) {
		assert_int_equal(rpc_client_new(f->world->main, f->world->address, &clients[i]), ERR_OK);
		streams[i].x.keeps_wanting = true;
		streams[i].x.on_message = echoed;
		exchange_start(&streams[i].x, f->world, clients[i], "/t/Echo", 0);
		rpc_request_want(streams[i].x.request, 1);
		send_more(&streams[i]);
	}
	for (int i = 0; i < STREAMS; i++) {
		world_wait(f->world, streams[i].x.done);
		assert_int_equal(streams[i].x.code, RPC_OK);
		assert_int_equal(streams[i].x.received, EACH);
		assert_false(streams[i].out_of_order);
		rpc_client_free(clients[i]);
	}
}

static void start_flood(struct fixture *f, struct exchange *x, unsigned count)
{
	exchange_start(x, f->world, f->client, "/t/Flood", 0);
	assert_int_equal(rpc_request_send(x->request, (const uint8_t *)&count, sizeof count), ERR_OK);
	rpc_request_half_close(x->request);
}

/* Gives the server every chance to take more than it should. */
static void pass_round_trips(struct fixture *f, int count)
{
	struct rpc_client *other;
	assert_int_equal(rpc_client_new(f->world->main, f->world->address, &other), ERR_OK);
	for (int i = 0; i < count; i++) {
		struct exchange x = { 0 };
		exchange_unary(&x, f->world, other, "/t/Echo", "hello", 5);
		assert_int_equal(x.code, RPC_OK);
	}
	rpc_client_free(other);
}

static void test_reader_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	start_flood(f, &x, 200000); /* 200 MB */
	pass_round_trips(f, 200);
	unsigned accepted = atomic_load(&f->seen.accepted);
	assert_true(accepted > 0);
	assert_true(accepted < 1000); /* under 1 MB of queue, windows and socket buffers */
	assert_int_equal(x.received, 0);
	rpc_request_cancel(x.request);
	world_wait(f->world, x.done);
	assert_int_equal(x.code, RPC_CANCELLED);
}

static void test_reader_that_starts_late(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	start_flood(f, &x, 20000);
	pass_round_trips(f, 50);
	assert_true(atomic_load(&f->seen.accepted) < 1000);
	rpc_request_want(x.request, 20000);
	world_wait(f->world, x.done);
	assert_int_equal(x.code, RPC_OK);
	assert_int_equal(x.received, 20000);
}

/* Nothing is received that was not asked for: also the client's queue ends at its limit. */
static void test_server_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	uint8_t msg[1000] = { 0 };
	exchange_start(&x, f->world, f->client, "/t/Deaf", 0);
	unsigned sent = 0;
	for (int i = 0; i < 200; i++) {
		err_t err = ERR_OK;
		while (!(err = rpc_request_send(x.request, msg, sizeof msg)))
			sent++;
		assert_int_equal(err, ERR_AGAIN);
		pass_round_trips(f, 1);
	}
	assert_true(sent < 1000);
	assert_int_equal(atomic_load(&f->seen.messages), 0);
	rpc_request_cancel(x.request);
	world_wait(f->world, x.done);
}

static void test_empty_messages_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	exchange_start(&x, f->world, f->client, "/t/Deaf", 0);
	unsigned sent = 0;
	while (sent < 100000 && !rpc_request_send(x.request, NULL, 0))
		sent++;
	assert_true(sent < 100000);
	rpc_request_cancel(x.request);
	world_wait(f->world, x.done);
}

static void test_message_limit(void **state)
{
	struct fixture *f = *state;
	uint8_t *msg = calloc(1, RPC_MESSAGE_MAX + 1);
	struct exchange fits = { 0 };
	exchange_unary(&fits, f->world, f->client, "/t/Echo", msg, RPC_MESSAGE_MAX);
	assert_int_equal(fits.code, RPC_OK);
	assert_int_equal(fits.last_len, RPC_MESSAGE_MAX);
	struct exchange longer = { 0 };
	exchange_unary(&longer, f->world, f->client, "/t/Echo", msg, RPC_MESSAGE_MAX + 1);
	assert_int_equal(longer.code, RPC_RESOURCE_EXHAUSTED);
	assert_int_equal(longer.received, 0);
	free(msg);
	world_wait(f->world, atomic_load(&f->seen.done) == 2);
	assert_int_equal(atomic_load(&f->seen.cancelled), 1);
}

/* ---- the other ways to end ---- */

static void test_cancelled_in_each_state(void **state)
{
	struct fixture *f = *state;
	static const char *const METHODS[] = { "/t/Hang", "/t/Deaf", "/t/Flood", "/t/Echo" };
	unsigned calls = 0;
	for (size_t m = 0; m < sizeof METHODS / sizeof METHODS[0]; m++) {
		for (int step = 1; step < 4; step++) {
			struct exchange x = { .keeps_wanting = true };
			unsigned count = 1000000, opened = atomic_load(&f->seen.opened);
			exchange_start(&x, f->world, f->client, METHODS[m], 0);
			world_wait(f->world, atomic_load(&f->seen.opened) == opened + 1);
			if (step > 1)
				assert_int_equal(rpc_request_send(x.request, (uint8_t *)&count, 4), ERR_OK);
			if (step > 2)
				rpc_request_want(x.request, 1);
			rpc_request_cancel(x.request);
			rpc_request_cancel(x.request);
			world_wait(f->world, x.done);
			assert_int_equal(x.code, RPC_CANCELLED);
			calls++;
		}
	}
	world_wait(f->world, atomic_load(&f->seen.done) == calls);
	assert_int_equal(atomic_load(&f->seen.cancelled), calls);
	assert_int_equal(atomic_load(&f->seen.half_closed), 0); /* a peer that vanished did not finish its sentence */
}

/* Perhaps before the server heard of it, perhaps after: service_tear_down() sees that what began also ended. */
static void test_cancelled_at_once(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 100; i++) {
		struct exchange x = { .keeps_wanting = true };
		exchange_start(&x, f->world, f->client, "/t/Echo", 0);
		assert_int_equal(rpc_request_send(x.request, (const uint8_t *)"hello", 5), ERR_OK);
		rpc_request_want(x.request, 1);
		rpc_request_half_close(x.request);
		rpc_request_cancel(x.request);
		world_wait(f->world, x.done);
		assert_int_equal(x.code, RPC_CANCELLED);
	}
}

static void test_client_that_vanishes(void **state)
{
	struct fixture *f = *state;
	struct rpc_client *other;
	assert_int_equal(rpc_client_new(f->world->main, f->world->address, &other), ERR_OK);
	struct exchange x = { 0 };
	exchange_start(&x, f->world, other, "/t/Hang", 0);
	world_wait(f->world, atomic_load(&f->seen.opened) == 1);
	rpc_request_cancel(x.request);
	world_wait(f->world, x.done);
	rpc_client_free(other);
	world_wait(f->world, atomic_load(&f->seen.done) == 1);
	assert_int_equal(atomic_load(&f->seen.cancelled), 1);
	assert_int_equal(atomic_load(&f->seen.half_closed), 0);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	exchange_start(&x, f->world, f->client, "/t/Hang", 200);
	rpc_request_half_close(x.request);
	world_wait(f->world, x.done);
	assert_int_equal(x.code, RPC_DEADLINE_EXCEEDED);
	world_wait(f->world, atomic_load(&f->seen.done) == atomic_load(&f->seen.opened));
	assert_int_equal(atomic_load(&f->seen.cancelled), atomic_load(&f->seen.opened));
}

static void test_time_left(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	exchange_start(&x, f->world, f->client, "/t/Hang", 60 * 1000);
	world_wait(f->world, atomic_load(&f->seen.opened) == 1);
	/* Core rounds a timeout up by as much as a hundredth when it writes it into the header. */
	assert_in_range(atomic_load(&f->seen.time_left_ms), 1, 61 * 1000);
	rpc_request_cancel(x.request);
	world_wait(f->world, x.done);
}

static void test_stop_lets_calls_end(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { .keeps_wanting = true };
	exchange_start(&x, f->world, f->client, "/t/Echo", 0);
	rpc_request_want(x.request, 1);
	world_wait(f->world, atomic_load(&f->seen.opened) == 1);
	world_ask_to_stop(f->world);
	world_ask_to_stop(f->world); /* does nothing */
	assert_int_equal(rpc_request_send(x.request, (const uint8_t *)"still", 5), ERR_OK);
	world_wait(f->world, x.received == 1);
	assert_false(atomic_load(&f->world->stopped));
	rpc_request_half_close(x.request);
	world_wait(f->world, x.done);
	assert_int_equal(x.code, RPC_OK);
	world_wait(f->world, atomic_load(&f->world->stopped));
	assert_int_equal(atomic_load(&f->seen.cancelled), 0);
	struct exchange after = { 0 };
	exchange_start(&after, f->world, f->client, "/t/Echo", 0);
	world_wait(f->world, after.done);
	assert_int_equal(after.code, RPC_UNAVAILABLE);
}

static void test_stop_and_cancel_all(void **state)
{
	struct fixture *f = *state;
	struct exchange x[10] = { 0 };
	for (unsigned i = 0; i < 10; i++)
		exchange_start(&x[i], f->world, f->client, i % 2 ? "/t/Hang" : "/t/Deaf", 0);
	world_wait(f->world, atomic_load(&f->seen.opened) == 10);
	world_ask_to_stop(f->world);
	rpc_server_cancel_all(f->world->server);
	for (unsigned i = 0; i < 10; i++) {
		world_wait(f->world, x[i].done);
		assert_true(x[i].code == RPC_UNAVAILABLE || x[i].code == RPC_CANCELLED);
	}
	world_wait(f->world, atomic_load(&f->world->stopped));
	assert_int_equal(atomic_load(&f->seen.done), 10);
	assert_int_equal(atomic_load(&f->seen.cancelled), 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, service_set_up, service_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_starts_and_stops),
		TEST(test_unary),
		TEST(test_empty_message),
		TEST(test_unknown_method),
		TEST(test_status_with_details),
		TEST(test_nothing_after_finish),
		TEST(test_finish_at_once),
		TEST(test_many_messages),
		TEST(test_reader_that_does_not_read),
		TEST(test_reader_that_starts_late),
		TEST(test_server_that_does_not_read),
		TEST(test_empty_messages_are_bounded),
		TEST(test_message_limit),
		TEST(test_cancelled_in_each_state),
		TEST(test_cancelled_at_once),
		TEST(test_client_that_vanishes),
		TEST(test_deadline),
		TEST(test_time_left),
		TEST(test_stop_lets_calls_end),
		TEST(test_stop_and_cancel_all),
	};
	rpc_init();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rpc_shutdown();
	return failed;
}
