/* IP addresses and networks: what is read, what is refused, what lies in what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/un.h>

#include "server/base/ip.h"

static void reads_addresses(void **state)
{
	static const struct {
		const char *text, *again;
	} GOOD[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "2001:DB8:0:0::1", "2001:db8::1" },
		{ "::", "::" },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.1" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
		struct ip ip;
		char text[IP_TEXT_MAX];
		assert_true(ip_parse(GOOD[i].text, &ip));
		assert_string_equal(ip_text(&ip, text), GOOD[i].again);
	}
}

static void refuses_what_is_no_address(void **state)
{
	static const char *const BAD[] = { "", " 192.0.2.1", "192.0.2.1 ", "192.0.2", "192.0.2.256", "192.0.2.01",
		"0x7f.0.0.1", "[::1]", "::1%lo", "1:2:3:4:5:6:7:8:9", "192.0.2.1:25", "host" };
	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		struct ip ip = { .bytes = { 42 } };
		assert_false(ip_parse(BAD[i], &ip));
		assert_int_equal(ip.bytes[0], 42);
	}
}

static void a_mapped_address_is_not_the_ipv4_one(void **state)
{
	struct ip mapped, v4;
	struct ip_net net;
	(void)state;
	assert_true(ip_parse("::ffff:10.0.0.1", &mapped) && ip_parse("10.0.0.1", &v4));
	assert_true(mapped.v6);
	assert_false(ip_equal(&mapped, &v4));
	assert_true(ip_net_parse("10.0.0.0/8", &net));
	assert_true(ip_net_contains(&net, &v4));
	assert_false(ip_net_contains(&net, &mapped));
}

static void networks_contain_by_prefix(void **state)
{
	static const struct {
		const char *net, *ip;
		bool inside;
	} CASES[] = {
		{ "127.0.0.0/8", "127.255.255.255", true },
		{ "127.0.0.0/8", "128.0.0.0", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "::1", false },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7/32", "192.0.2.6", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::1/128", "::1", true },
	};
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct ip_net net;
		struct ip ip;
		assert_true(ip_net_parse(CASES[i].net, &net) && ip_parse(CASES[i].ip, &ip));
		assert_int_equal(ip_net_contains(&net, &ip), CASES[i].inside);
	}
}

static void refuses_what_is_no_network(void **state)
{
	static const char *const BAD[] = { "", "/8", "127.0.0.0/", "127.0.0.0/33", "127.0.0.0/-1", "127.0.0.0/+8",
		"127.0.0.0/08", "127.0.0.0/8 ", "127.0.0.1/8", "2001:db8::1/64", "::/129", "::/1000", "10/8",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8" };
	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		struct ip_net net;
		assert_false(ip_net_parse(BAD[i], &net));
	}
}

static void socket_addresses_keep_address_and_port(void **state)
{
	static const char *const TEXTS[] = { "192.0.2.1", "2001:db8::1" };
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ip ip, again;
		struct sockaddr_storage sa;
		uint16_t port = 0;
		assert_true(ip_parse(TEXTS[i], &ip));
		assert_int_equal(
			ip_sockaddr(&ip, 2525, &sa), i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		assert_true(ip_from_sockaddr((struct sockaddr *)&sa, &again, &port));
		assert_true(ip_equal(&ip, &again));
		assert_int_equal(port, 2525);
		assert_true(ip_from_sockaddr((struct sockaddr *)&sa, &again, NULL));
	}
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct ip ip;
	assert_false(ip_from_sockaddr((struct sockaddr *)&local, &ip, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_addresses),
		cmocka_unit_test(refuses_what_is_no_address),
		cmocka_unit_test(a_mapped_address_is_not_the_ipv4_one),
		cmocka_unit_test(networks_contain_by_prefix),
		cmocka_unit_test(refuses_what_is_no_network),
		cmocka_unit_test(socket_addresses_keep_address_and_port),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
