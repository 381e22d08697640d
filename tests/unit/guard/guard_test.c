#include "server/guard/guard.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool may(const struct guard *g, const char *text)
{
	struct ip ip;
	assert_true(ip_parse(text, &ip));
	return guard_may_contact(g, &ip);
}

static void special_addresses_are_never_contacted(void **state)
{
	(void)state;
	struct guard *g;
	assert_int_equal(guard_new(NULL, 0, &g), ERR_OK);
	static const char *const NEVER[] = { "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255",
		"127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
		"192.0.2.1", "192.88.99.1", "192.168.255.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
		"203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1",
		"::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "100::1",
		"2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1",
		"3fff::1", "5f00::1" };
	for (size_t i = 0; i < sizeof NEVER / sizeof *NEVER; i++)
		if (may(g, NEVER[i]))
			fail_msg("%s may be contacted", NEVER[i]);
	static const char *const FINE[] = { "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255",
		"172.32.0.0", "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1",
		"2a00:1450:4001::1b", "2001:200::1" };
	for (size_t i = 0; i < sizeof FINE / sizeof *FINE; i++)
		if (!may(g, FINE[i]))
			fail_msg("%s may not be contacted", FINE[i]);
	guard_free(g);
}

static void an_allowed_network_opens_only_itself(void **state)
{
	(void)state;
	struct ip_net nets[2];
	assert_true(ip_net_parse("127.0.0.0/8", &nets[0]));
	assert_true(ip_net_parse("fd00:1::/32", &nets[1]));
	struct guard *g;
	assert_int_equal(guard_new(nets, 2, &g), ERR_OK);
	assert_true(may(g, "127.3.4.5"));
	assert_true(may(g, "fd00:1::5"));
	assert_false(may(g, "fd00:2::5"));
	assert_false(may(g, "::ffff:127.3.4.5"));
	assert_false(may(g, "10.0.0.1"));
	guard_free(g);
}

static void an_exemption_covers_the_domain_and_what_is_below(void **state)
{
	(void)state;
	struct guard *g;
	assert_int_equal(guard_new(NULL, 0, &g), ERR_OK);
	assert_false(guard_is_exempt(g, "example.com"));
	assert_int_equal(guard_exempt(g, "example.com"), ERR_OK);
	assert_true(guard_is_exempt(g, "example.com"));
	assert_true(guard_is_exempt(g, "a.b.example.com"));
	assert_false(guard_is_exempt(g, "notexample.com"));
	assert_false(guard_is_exempt(g, "example.com.org"));
	assert_false(guard_is_exempt(g, "com"));
	assert_int_equal(guard_exempt(g, "example.com"), ERR_OK); /* a second one */
	guard_unexempt(g, "example.com");
	assert_true(guard_is_exempt(g, "example.com"));
	guard_unexempt(g, "example.com");
	assert_false(guard_is_exempt(g, "example.com"));
	guard_unexempt(g, "never.example");
	guard_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(special_addresses_are_never_contacted),
		cmocka_unit_test(an_allowed_network_opens_only_itself),
		cmocka_unit_test(an_exemption_covers_the_domain_and_what_is_below),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
