/* The DNS server on its sockets: what is wrong with an answer as a datagram, and what it remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/world/talk.h"

enum { A = 1, MX = 15 };

static struct sockaddr_in server;

static int start(void **state)
{
	struct running *w = talk_start("tests/unit/world/resolve.yaml");
	const char *colon = strrchr(w->dns, ':');

	assert_non_null(colon);
	server =
		(struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10)) };
	inet_pton(AF_INET, "127.0.0.53", &server.sin_addr);
	*state = w;
	return 0;
}

static int stop(void **state)
{
	talk_stop(*state);
	return 0;
}

static size_t question(uint8_t *m, const char *name, unsigned type)
{
	size_t n = 12;

	memcpy(m, "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
	while (*name) {
		size_t len = strcspn(name, ".");
		m[n++] = (uint8_t)len;
		memcpy(m + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	memcpy(m + n, "\0\0\0\0\1", 5);
	m[n + 2] = (uint8_t)type;
	return n + 5;
}

static int ask(const char *name, unsigned type)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t m[512];
	size_t n = question(m, name, type);

	assert_int_equal(sendto(fd, m, n, 0, (struct sockaddr *)&server, sizeof server), n);
	return fd;
}

struct got {
	uint8_t bytes[4096];
	size_t len;
	bool is_from_server, is_our_id;
};

static struct got next(int fd)
{
	struct got g = { .len = 0 };
	struct sockaddr_in from = { 0 };
	socklen_t from_len = sizeof from;
	ssize_t n = recvfrom(fd, g.bytes, sizeof g.bytes, 0, (struct sockaddr *)&from, &from_len);

	assert_true(n >= 12);
	g.len = (size_t)n;
	g.is_from_server = from.sin_port == server.sin_port;
	g.is_our_id = !memcmp(g.bytes, "\x12\x34", 2);
	assert_int_equal(from.sin_addr.s_addr, server.sin_addr.s_addr);
	return g;
}

static void from_another_port(void **state)
{
	int fd = ask("port.example", MX);
	struct got g = next(fd);

	assert_true(!g.is_from_server && g.is_our_id);
	close(fd);
	has(control(*state, "GET /record?since=0"), "\"wrong\":\"port\"");
}

static void the_right_one_follows(void **state)
{
	static const char *const NAME[] = { "both.example", "slow.example" };

	for (int i = 0; i < 2; i++) {
		int fd = ask(NAME[i], MX);
		struct got g = next(fd);
		assert_false(g.is_our_id);
		assert_int_equal(g.is_from_server, i);
		g = next(fd);
		assert_true(g.is_our_id && g.is_from_server);
		close(fd);
	}
	has(control(*state, "GET /record?since=0"), "\"wrong\":\"id,port\"");
	has(control(*state, "GET /counts"), "\"both.example\":{\"MX\":{\"udp\":1,\"tcp\":0}}");
}

static int ask_by_tcp(const char *name)
{
	uint8_t m[514];
	size_t n = question(m + 2, name, MX);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	m[0] = 0;
	m[1] = (uint8_t)n;
	assert_int_equal(connect(fd, (struct sockaddr *)&server, sizeof server), 0);
	assert_int_equal(send(fd, m, n + 2, MSG_NOSIGNAL), n + 2);
	return fd;
}

static void closes_tcp(void **state)
{
	int fd = ask("tcp.example", MX);
	struct got g = next(fd);

	assert_true(g.bytes[2] & 2); /* TC */
	close(fd);
	fd = ask_by_tcp("tcp.example");
	assert_int_equal(read(fd, g.bytes, sizeof g.bytes), 0);
	close(fd);
	has(control(*state, "GET /counts"), "\"tcp.example\":{\"MX\":{\"udp\":1,\"tcp\":1}}");
}

static unsigned last_byte_of(const char *name)
{
	int fd = ask(name, A);
	struct got g = next(fd);

	close(fd);
	return g.bytes[g.len - 1] + g.bytes[g.len - 4] * 1000u;
}

static void remembers(void **state)
{
	struct running *w = *state;
	int fd;

	assert_int_equal(last_byte_of("mx.example"), 127001);
	assert_int_equal(last_byte_of("mx.example"), 10001);
	control(w, "POST /forget");
	assert_int_equal(last_byte_of("mx.example"), 127001);
	fd = ask("lost.example", MX);
	while (!strstr(control(w, "GET /record?since=0"), "\"rcode\":\"DROPPED\""))
		;
	close(fd);
	fd = ask("lost.example", MX);
	assert_true(next(fd).is_our_id);
	close(fd);
}

static void a_thousand(void **state)
{
	int fd = ask("thousand.example", MX), got;
	static uint8_t bytes[65536];
	size_t used = 0;

	(void)state;
	assert_true(next(fd).bytes[2] & 2);
	close(fd);
	fd = ask_by_tcp("thousand.example");
	while ((used < 2 || used < 2u + (bytes[0] << 8 | bytes[1])) &&
		(got = (int)read(fd, bytes + used, sizeof bytes - used)) > 0)
		used += (size_t)got;
	assert_int_equal(bytes[2 + 6] << 8 | bytes[2 + 7], 1000);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_another_port),
		cmocka_unit_test(the_right_one_follows),
		cmocka_unit_test(closes_tcp),
		cmocka_unit_test(remembers),
		cmocka_unit_test(a_thousand),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
