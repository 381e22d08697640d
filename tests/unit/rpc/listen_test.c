/* Where a server listens, what it says when it cannot, and what strangers on its socket can do. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/rpc/world.h"

static const struct rpc_handler *open_nothing(void *ctx, const char *method, struct rpc_call *c, void **call_ctx)
{
	(void)ctx;
	(void)method;
	(void)c;
	(void)call_ctx;
	return NULL;
}

/* Starts and, when that succeeds, stops again. The loop runs only for the stop. */
struct attempt {
	err_t err;
	int port;
	char why[512];
};

static void stop_loop(void *loop)
{
	loop_stop(loop);
}

static struct attempt attempt(const char *address)
{
	struct attempt a = { .port = -1 };
	struct buf why = BUF_INIT(512);
	struct loop *loop;
	struct rpc_server *server = NULL;
	assert_int_equal(loop_new(&loop), ERR_OK);
	a.err = rpc_server_start(address, &loop, 1, open_nothing, NULL, &server, &a.port, &why);
	snprintf(a.why, sizeof a.why, "%s", buf_str(&why));
	if (!a.err) {
		rpc_server_stop(server, stop_loop, loop);
		loop_run(loop);
		rpc_server_free(server);
	}
	loop_free(loop);
	buf_free(&why);
	return a;
}

static int bound_socket(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sin;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static void test_ports(void **state)
{
	(void)state;
	struct attempt a = attempt("127.0.0.1:0");
	assert_int_equal(a.err, ERR_OK);
	assert_true(a.port > 0);
	assert_string_equal(a.why, "");
}

static void test_port_in_use(void **state)
{
	(void)state;
	int port;
	char address[64];
	int fd = bound_socket(&port);
	assert_int_equal(listen(fd, 1), 0);
	snprintf(address, sizeof address, "127.0.0.1:%d", port);
	struct attempt a = attempt(address);
	assert_int_equal(a.err, ERR_IN_USE);
	assert_non_null(strstr(a.why, address));
	close(fd);
	a = attempt(address);
	assert_int_equal(a.err, ERR_OK);
	assert_int_equal(a.port, port);
}

static void test_two_servers_do_not_share_a_port(void **state)
{
	(void)state;
	struct world w;
	world_start(&w, "127.0.0.1:0", open_nothing, NULL);
	struct attempt a = attempt(w.address);
	assert_int_equal(a.err, ERR_IN_USE);
	assert_non_null(strstr(a.why, w.address));
	world_end(&w);
}

static void test_bad_addresses(void **state)
{
	(void)state;
	char lengthy[300] = "unix:/";
	memset(lengthy + 6, 'a', sizeof lengthy - 7);
	const char *bad[] = { "", "127.0.0.1", "127.0.0.1:", ":1", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:1x",
		"localhost:1", "[::1]", "::1:5", "[127.0.0.1]:5", "[::1:5", "unix:", "unix:relative", "unix:/",
		"1.2.3:5", "198.51.100.1:0" /* not ours */, lengthy };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct attempt a = attempt(bad[i]);
		assert_int_equal(a.err, ERR_INVALID);
		assert_true(strlen(a.why) > 0);
	}
}

/* ---- unix sockets ---- */

static char folder[] = "/tmp/rpc_listen_XXXXXX"; /* a socket's path is short: not below TEST_TMPDIR */

static void socket_path(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", folder, name);
}

static void test_unix_socket(void **state)
{
	(void)state;
	char path[100], address[120];
	socket_path(path, sizeof path, "a b%41#?.sock");
	snprintf(address, sizeof address, "unix:%s", path);
	struct world w;
	world_start(&w, address, open_nothing, NULL);
	assert_int_equal(w.port, 0);
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	struct rpc_client *client;
	assert_int_equal(rpc_client_new(w.main, address, &client), ERR_OK);
	struct exchange x = { 0 };
	exchange_unary(&x, &w, client, "/t/Nothing", "hello", 5);
	assert_int_equal(x.code, RPC_UNIMPLEMENTED); /* someone answered */
	struct attempt a = attempt(address);
	assert_int_equal(a.err, ERR_IN_USE);
	assert_non_null(strstr(a.why, address));
	struct exchange again = { 0 };
	exchange_unary(&again, &w, client, "/t/Nothing", "hello", 5);
	assert_int_equal(again.code, RPC_UNIMPLEMENTED); /* the attempt took nothing away */
	rpc_client_free(client);
	world_end(&w);
	unlink(path);
}

static void test_stale_unix_socket(void **state)
{
	(void)state;
	char path[100], address[120];
	socket_path(path, sizeof path, "stale.sock");
	snprintf(address, sizeof address, "unix:%s", path);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(attempt(address).err, ERR_IN_USE);
	close(fd); /* as if killed: the file stays */
	assert_int_equal(attempt(address).err, ERR_OK);
	unlink(path);
}

static void test_a_file_is_not_replaced(void **state)
{
	(void)state;
	char path[100], address[120];
	socket_path(path, sizeof path, "file");
	snprintf(address, sizeof address, "unix:%s", path);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(attempt(address).err, ERR_INVALID);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	assert_int_equal(attempt("unix:/nonexistent/folder/sock").err, ERR_IO);
}

/* ---- the client ---- */

static void test_nobody_listens(void **state)
{
	(void)state;
	int port;
	char address[64];
	int fd = bound_socket(&port); /* keeps the port ours, but refuses */
	snprintf(address, sizeof address, "127.0.0.1:%d", port);
	struct world w;
	world_start(&w, "127.0.0.1:0", open_nothing, NULL);
	struct rpc_client *client;
	const char *targets[] = { address, "unix:/nonexistent/folder/sock" };
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rpc_client_new(w.main, targets[i], &client), ERR_OK);
		struct exchange x = { 0 };
		exchange_unary(&x, &w, client, "/t/Nothing", "hello", 5);
		assert_int_equal(x.code, RPC_UNAVAILABLE);
		assert_true(strlen(x.message) > 0);
		rpc_client_free(client);
	}
	world_end(&w);
	close(fd);
}

static void test_bad_targets(void **state)
{
	(void)state;
	struct loop *loop;
	struct rpc_client *client;
	assert_int_equal(loop_new(&loop), ERR_OK);
	const char *bad[] = { "", "host", "host:", ":1", "host:65536", "a/b:1", "dns:///x:1", "x y:1" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(rpc_client_new(loop, bad[i], &client), ERR_INVALID);
	loop_free(loop);
}

/* ---- strangers ---- */

static int dial(int port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	return fd;
}

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* HTTP/2 in form, with frames of every type, flag and length that chance finds. */
static void send_noise(int fd, unsigned seed)
{
	uint8_t noise[512];
	(void)!send(fd, PREFACE, sizeof PREFACE - 1, MSG_NOSIGNAL);
	(void)!send(fd, "\0\0\0\4\0\0\0\0\0", 9, MSG_NOSIGNAL); /* SETTINGS */
	for (int frame = 0; frame < 20; frame++) {
		for (size_t i = 0; i < sizeof noise; i++)
			noise[i] = (uint8_t)(rand_r(&seed) >> 8);
		size_t len = noise[0];
		noise[0] = noise[1] = 0;
		noise[2] = (uint8_t)len;
		noise[3] %= 11;
		noise[5] = noise[6] = noise[7] = 0;
		noise[8] %= 8;
		(void)!send(fd, noise, 9 + len, MSG_NOSIGNAL);
	}
}

static void test_noise(void **state)
{
	(void)state;
	struct world w;
	world_start(&w, "127.0.0.1:0", open_nothing, NULL);
	struct rpc_client *client;
	assert_int_equal(rpc_client_new(w.main, w.address, &client), ERR_OK);
	for (unsigned seed = 1; seed <= 60; seed++) {
		int fd = dial(w.port);
		if (seed % 3 == 0)
			(void)!send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
		else
			send_noise(fd, seed);
		if (seed % 2 == 0)
			shutdown(fd, SHUT_WR);
		close(fd);
	}
	struct exchange x = { 0 };
	exchange_unary(&x, &w, client, "/t/Nothing", "hello", 5);
	assert_int_equal(x.code, RPC_UNIMPLEMENTED);
	rpc_client_free(client);
	world_end(&w);
}

/* A peer that holds its connection open and says nothing does not hold up the end. */
static void test_stop_does_not_wait_for_strangers(void **state)
{
	(void)state;
	struct world w;
	world_start(&w, "127.0.0.1:0", open_nothing, NULL);
	int mute = dial(w.port);
	int half = dial(w.port);
	(void)!send(half, PREFACE, sizeof PREFACE - 1, MSG_NOSIGNAL);
	(void)!send(half, "\0\0\0\4\0\0\0\0\0", 9, MSG_NOSIGNAL);
	struct pollfd greeted = { .fd = half, .events = POLLIN };
	assert_int_equal(poll(&greeted, 1, 30000), 1); /* the server's SETTINGS: it is an HTTP/2 connection now */
	world_ask_to_stop(&w);
	world_wait(&w, atomic_load(&w.stopped));
	close(mute);
	close(half);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_two_servers_do_not_share_a_port),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_stale_unix_socket),
		cmocka_unit_test(test_a_file_is_not_replaced),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_bad_targets),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_stop_does_not_wait_for_strangers),
	};
	if (!mkdtemp(folder))
		return 1;
	rpc_init();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rpc_shutdown();
	rmdir(folder);
	return failed;
}
