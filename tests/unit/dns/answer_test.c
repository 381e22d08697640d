#include "server/dns/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dns/message.h"

#define RECURSIVE 0x8180
#define AUTHORITATIVE 0x8400

static struct message m;
static struct answer a;

static void begin(const char *name, unsigned type)
{
	message_start(&m, 7, RECURSIVE, name, type);
}

static enum answer_kind parse(const char *name, enum dns_type type)
{
	/* Behind an exact allocation, so that the sanitizer sees every byte read too far. */
	uint8_t *exact = malloc(m.len ? m.len : 1);
	memcpy(exact, m.bytes, m.len);
	answer_parse(exact, m.len, name, type, &a);
	free(exact);
	return a.kind;
}

static void mail_hosts_come_by_preference_lower_case_and_once(void **state)
{
	(void)state;
	begin("a.test", 15);
	message_mx(&m, "A.Test", 600, 20, "MX2.a.test");
	message_mx(&m, "a.test", 300, 10, "mx1.a.test");
	message_mx(&m, "a.test", 900, 20, "mx3.a.test");
	message_mx(&m, "a.test", 900, 5, "mx3.A.TEST");
	message_mx(&m, "a.test", 900, 30, "mx1.a.test");
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_int_equal(a.count, 3);
	assert_string_equal(a.mx[0].name, "mx3.a.test");
	assert_int_equal(a.mx[0].preference, 5);
	assert_string_equal(a.mx[1].name, "mx1.a.test");
	assert_string_equal(a.mx[2].name, "mx2.a.test");
	assert_true(a.mx[0].usable && a.mx[1].usable && a.mx[2].usable);
	assert_int_equal(a.ttl_s, 300);
}

static void of_1000_mail_hosts_the_ten_best_are_kept(void **state)
{
	(void)state;
	begin("a.test", 15);
	for (unsigned i = 1000; i > 0; i--) {
		char host[32];
		snprintf(host, sizeof host, "mx%u.a.test", i);
		message_mx(&m, "a.test", 600, i, host);
	}
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_int_equal(a.count, ROUTE_HOSTS_MAX);
	for (unsigned i = 0; i < a.count; i++)
		assert_int_equal(a.mx[i].preference, i + 1);
}

static void null_mx_is_seen_alone_and_beside_others(void **state)
{
	(void)state;
	begin("a.test", 15);
	message_mx(&m, "a.test", 600, 0, "");
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_true(a.null_mx);
	assert_int_equal(a.count, 0);
	message_mx(&m, "a.test", 600, 10, "mx.a.test");
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_int_equal(a.count, 1);
	assert_string_equal(a.mx[0].name, "mx.a.test");
}

static void mail_hosts_that_cannot_be_are_unusable(void **state)
{
	static const char *const BAD[] = { "192.0.2.1", "host.7", "a b.test", "x\\y.test", "caf\xc3\xa9.test",
		"*.a.test", "2001:db8::1", "a@b.test", "<script>.test" };
	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		begin("a.test", 15);
		message_mx(&m, "a.test", 600, 10, BAD[i]);
		assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
		assert_int_equal(a.count, 1);
		assert_false(a.mx[0].usable);
		assert_null(strpbrk(a.mx[0].name, "@<>\\ *"));
	}
}

static void a_dot_or_nul_within_a_label_does_not_make_another_name(void **state)
{
	(void)state;
	begin("a.test", 15);
	message_record(&m, SECTION_ANSWER, "a.test", 15, 60, 12);
	message_put(&m, "\0\012\003a.b\004te\0t\0", 12);
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_false(a.mx[0].usable);
	assert_string_equal(a.mx[0].name, "a?b.te?t");
}

static void foreign_owners_do_not_count(void **state)
{
	(void)state;
	begin("a.test", 15);
	message_mx(&m, "b.test", 600, 10, "mx.evil.test");
	message_mx(&m, "xa.test", 600, 10, "mx.evil.test");
	assert_int_equal(
		parse("a.test", DNS_MX), ANSWER_FAILURE); /* not "no MX": that would lead to the name's addresses */
	message_mx(&m, "a.test", 600, 10, "mx.a.test");
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_int_equal(a.count, 1);
	begin("a.test", 1);
	message_a(&m, "b.test", 600, "127.0.0.2");
	message_a(&m, "a.test", 600, "127.0.0.3");
	message_a(&m, "a.test", 600, "::1"); /* not what was asked */
	assert_int_equal(parse("a.test", DNS_A), ANSWER_FOUND);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.address[0].bytes[3], 3);
}

static void five_addresses_are_kept(void **state)
{
	(void)state;
	begin("h.test", 28);
	for (int i = 1; i <= 9; i++) {
		char ip[32];
		snprintf(ip, sizeof ip, "::%d", i);
		message_a(&m, "h.test", 60, ip);
	}
	assert_int_equal(parse("h.test", DNS_AAAA), ANSWER_FOUND);
	assert_int_equal(a.count, ROUTE_ADDRESSES_MAX);
	assert_true(a.address[4].v6);
	assert_int_equal(a.address[4].bytes[15], 5);
}

static void chain(unsigned links, bool backwards)
{
	begin("c0.test", 1);
	for (unsigned i = 0; i < links; i++) {
		char from[32], to[32];
		unsigned n = backwards ? links - 1 - i : i;
		snprintf(from, sizeof from, "c%u.test", n);
		snprintf(to, sizeof to, "c%u.test", n + 1);
		message_cname(&m, from, 1000 - n, to);
	}
}

static void chains_of_aliases_lead_to_the_eighth(void **state)
{
	(void)state;
	for (int backwards = 0; backwards < 2; backwards++) {
		chain(8, backwards);
		message_a(&m, "c8.test", 2000, "127.0.0.8");
		assert_int_equal(parse("c0.test", DNS_A), ANSWER_FOUND);
		assert_int_equal(a.cname_count, 8);
		assert_int_equal(a.count, 1);
		assert_int_equal(a.ttl_s, 993);
		chain(9, backwards);
		message_a(&m, "c9.test", 2000, "127.0.0.8");
		assert_int_equal(parse("c0.test", DNS_A), ANSWER_FAILURE);
	}
	chain(3, false);
	assert_int_equal(parse("c0.test", DNS_A), ANSWER_CNAME);
	assert_string_equal(a.target, "c3.test");
	assert_int_equal(a.cname_count, 3);
	begin("c0.test", 1);
	message_cname(&m, "c0.test", 60, "c1.test");
	message_cname(&m, "c1.test", 60, "c0.test");
	assert_int_equal(parse("c0.test", DNS_A), ANSWER_FAILURE);
	begin("c0.test", 1);
	message_cname(&m, "c0.test", 60, "c0.test");
	assert_int_equal(parse("c0.test", DNS_A), ANSWER_FAILURE);
	begin("c0.test", 1);
	message_cname(&m, "c0.test", 60, "a b.test");
	assert_int_equal(parse("c0.test", DNS_A), ANSWER_FAILURE);
}

static void negative_answers_carry_the_soa_minimum(void **state)
{
	(void)state;
	begin("a.test", 15);
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_NODATA);
	assert_int_equal(a.ttl_s, 0);
	message_soa(&m, "other", 5, 5);
	message_soa(&m, "test", 900, 300);
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_NODATA);
	assert_int_equal(a.ttl_s, 300);
	message_start(&m, 7, RECURSIVE | 3, "a.test", 15);
	message_soa(&m, "", 200, 300);
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_NXDOMAIN);
	assert_int_equal(a.ttl_s, 200);
	begin("a.test", 15); /* an alias for a name without MX, said at once */
	message_cname(&m, "a.test", 100, "www.test");
	message_soa(&m, "test", 900, 300);
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_NODATA);
	assert_int_equal(a.ttl_s, 100);
}

static void a_referral_is_not_an_absence(void **state)
{
	(void)state;
	message_start(&m, 7, 0x8000, "a.test", 15);
	message_ns(&m, "a.test", "ns.a.test");
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FAILURE);
	message_start(&m, 7, AUTHORITATIVE, "a.test", 15);
	message_ns(&m, "a.test", "ns.a.test");
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_NODATA);
}

static void other_codes_and_other_messages_are_failures(void **state)
{
	(void)state;
	for (unsigned code = 1; code < 16; code++) {
		message_start(&m, 7, RECURSIVE | code, "a.test", 15);
		message_mx(&m, "a.test", 600, 10, "mx.a.test");
		assert_int_equal(parse("a.test", DNS_MX), code == 3 ? ANSWER_NXDOMAIN : ANSWER_FAILURE);
		assert_int_equal(a.count, 0);
	}
	static const unsigned BAD_FLAGS[] = { 0x0180 /* a question */, 0x8380 /* truncated */, 0xa800 /* an update */ };
	for (int i = 0; i < 3; i++) {
		message_start(&m, 7, BAD_FLAGS[i], "a.test", 15);
		message_mx(&m, "a.test", 600, 10, "mx.a.test");
		assert_int_equal(parse("a.test", DNS_MX), ANSWER_FAILURE);
	}
}

static void a_ttl_with_its_sign_bit_is_zero(void **state)
{
	(void)state;
	begin("a.test", 15);
	message_mx(&m, "a.test", 0x80000001u, 10, "mx.a.test");
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_int_equal(a.ttl_s, 0);
}

static void truncated_at_every_byte_is_a_failure(void **state)
{
	(void)state;
	begin("a.test", 15);
	message_mx(&m, "a.test", 600, 10, "mx1.a.test");
	message_cname(&m, "x.test", 600, "y.test");
	message_mx(&m, "a.test", 600, 20, "mx2.a.test");
	struct message whole = m;
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	for (size_t len = 0; len < whole.len; len++) {
		m.len = len;
		assert_int_equal(parse("a.test", DNS_MX), ANSWER_FAILURE);
	}
}

static void pointers_lead_back_and_never_round(void **state)
{
	(void)state;
	begin("a.test", 15);
	message_record(&m, SECTION_ANSWER, "a.test", 15, 60, 7);
	message_put(&m, "\0\012\002mx\300\014", 7);
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_string_equal(a.mx[0].name, "mx.a.test");
	for (unsigned ahead = 0; ahead < 8; ahead++) { /* to itself, into itself, behind itself */
		begin("a.test", 15);
		message_record(&m, SECTION_ANSWER, "a.test", 15, 60, 7);
		size_t at = m.len + 2;
		message_put(&m, "\0\012\002mx\300\014", 7);
		m.bytes[m.len - 1] = (uint8_t)(at + ahead);
		assert_int_equal(parse("a.test", DNS_MX), ANSWER_FAILURE);
	}
	begin("a.test", 15); /* a stair of pointers, each to the one before */
	message_record(&m, SECTION_ANSWER, "x.test", 99, 60, 2 * 300);
	size_t stair = m.len;
	message_16(&m, 0xc00c);
	for (unsigned i = 1; i < 300; i++)
		message_16(&m, 0xc000 | (unsigned)(stair + 2 * (i - 1)));
	message_record(&m, SECTION_ANSWER, "a.test", 15, 60, 4);
	message_16(&m, 10);
	message_16(&m, 0xc000 | (unsigned)(stair + 2 * 299));
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FAILURE);
	m.bytes[m.len - 1] = (uint8_t)(stair + 2 * 20);
	m.bytes[m.len - 2] = (uint8_t)(0xc0 | (stair + 2 * 20) >> 8);
	assert_int_equal(parse("a.test", DNS_MX), ANSWER_FOUND);
	assert_string_equal(a.mx[0].name, "a.test");
}

static void names_beyond_255_octets_are_failures(void **state)
{
	(void)state;
	for (unsigned labels = 4; labels <= 5; labels++) { /* 4 x 62 + 6 + the root's fit; a fifth does not */
		size_t octets = labels * 62 + 7;
		begin("a.test", 15);
		message_record(&m, SECTION_ANSWER, "a.test", 15, 60, 2 + octets);
		message_16(&m, 10);
		for (unsigned i = 0; i < labels; i++) {
			uint8_t label[62];
			memset(label, 'x', sizeof label);
			label[0] = 61;
			message_put(&m, label, sizeof label);
		}
		message_put(&m, "\005yyyyy\0", 7);
		assert_int_equal(parse("a.test", DNS_MX), labels == 4 ? ANSWER_FOUND : ANSWER_FAILURE);
	}
}

/* Whatever one or two bytes are changed to: no crash, and what comes out keeps its bounds. */
static void changed_bytes_never_harm(void **state)
{
	(void)state;
	begin("a.test", 15);
	message_cname(&m, "a.test", 600, "b.test");
	message_mx(&m, "b.test", 600, 10, "mx1.a.test");
	message_mx(&m, "b.test", 600, 20, "mx2.a.test");
	message_soa(&m, "test", 900, 300);
	struct message whole = m;
	uint32_t random = 1;
	for (unsigned i = 0; i < 200000; i++) {
		m.len = 0;
		message_put(&m, whole.bytes, whole.len);
		for (unsigned k = 0; k < 1 + i % 2; k++) {
			random = random * 1664525 + 1013904223;
			m.bytes[(random >> 8) % whole.len] = (uint8_t)(random >> 24);
		}
		answer_parse(m.bytes, m.len, "a.test", DNS_MX, &a);
		assert_true(a.count <= ROUTE_HOSTS_MAX && a.cname_count <= ANSWER_CNAME_MAX);
		for (unsigned k = 0; k < a.count; k++)
			assert_true(memchr(a.mx[k].name, 0, sizeof(a.mx[k].name)) != NULL);
	}
}

static void host_names(void **state)
{
	(void)state;
	assert_true(answer_host_name_ok("a.test"));
	assert_true(answer_host_name_ok("localhost"));
	assert_true(answer_host_name_ok("_x.xn--caf-dma.1a"));
	static const char *const BAD[] = { "", ".", "a.", ".a", "a..b", "A.test", "a b", "1.2.3.4", "a.1", "a/b",
		"x23456789x123456789x123456789x123456789x123456789x123456789x1234.test" };
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
		assert_false(answer_host_name_ok(BAD[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_hosts_come_by_preference_lower_case_and_once),
		cmocka_unit_test(of_1000_mail_hosts_the_ten_best_are_kept),
		cmocka_unit_test(null_mx_is_seen_alone_and_beside_others),
		cmocka_unit_test(mail_hosts_that_cannot_be_are_unusable),
		cmocka_unit_test(a_dot_or_nul_within_a_label_does_not_make_another_name),
		cmocka_unit_test(foreign_owners_do_not_count),
		cmocka_unit_test(five_addresses_are_kept),
		cmocka_unit_test(chains_of_aliases_lead_to_the_eighth),
		cmocka_unit_test(negative_answers_carry_the_soa_minimum),
		cmocka_unit_test(a_referral_is_not_an_absence),
		cmocka_unit_test(other_codes_and_other_messages_are_failures),
		cmocka_unit_test(a_ttl_with_its_sign_bit_is_zero),
		cmocka_unit_test(truncated_at_every_byte_is_a_failure),
		cmocka_unit_test(pointers_lead_back_and_never_round),
		cmocka_unit_test(names_beyond_255_octets_are_failures),
		cmocka_unit_test(changed_bytes_never_harm),
		cmocka_unit_test(host_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
