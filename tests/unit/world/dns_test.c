/* DNS queries of any bytes, and the answers to good ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/world/dns.h"

static const char WORLD[] = "defaults: {ttl: 300, negative_ttl: 61}\n"
			    "hosts:\n  mx.a.example: {addresses: [127.1.0.1, '::1'], ttl: 9}\n"
			    "names:\n  alias.example: {cname: mx.a.example}\n  loop.example: {cname: loop.example}\n"
			    "  t.example: {txt: ['v=rcptd1; probe=none']}\n"
			    "domains:\n  a.example: {mx: [{preference: 7, host: mx.a.example}]}\n"
			    "  n.example: {null_mx: true}\n  f.example: {servfail: [MX], no_mx: true}\n"
			    "  g.example: {nxdomain: true, negative_ttl: 5}\n  d.example: {drop: true}\n"
			    "  s.example: {no_mx: true, delay_ms: 40}\n";

static struct desc *world(void)
{
	char error[1024];
	struct desc *d = desc_read_text("w.yaml", WORLD, sizeof WORLD - 1, error, sizeof error);

	if (!d)
		fail_msg("%s", error);
	return d;
}

/* A query with one question; `payload` 0: without EDNS. */
static size_t make(uint8_t *m, const char *name, uint16_t type, uint16_t payload)
{
	size_t n = 12;

	memcpy(m, "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
	m[11] = payload ? 1 : 0;
	while (*name) {
		size_t len = strcspn(name, ".");
		m[n++] = (uint8_t)len;
		memcpy(m + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	m[n++] = 0;
	m[n++] = (uint8_t)(type >> 8);
	m[n++] = (uint8_t)type;
	m[n++] = 0;
	m[n++] = 1;
	if (payload) {
		uint8_t opt[11] = { 0, 0, 41, (uint8_t)(payload >> 8), (uint8_t)payload };
		memcpy(m + n, opt, sizeof opt);
		n += sizeof opt;
	}
	return n;
}

static struct dns_memory *memory; /* NULL: none */

static unsigned at16(const uint8_t *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

static struct dns_outcome ask_of(
	struct desc *d, const char *name, uint16_t type, uint16_t payload, bool tcp, struct buf *out)
{
	uint8_t m[512];
	struct dns_query q;
	struct dns_outcome o;
	size_t n = make(m, name, type, payload);

	buf_reset(out);
	assert_true(dns_read(&q, m, n));
	dns_answer(d, memory, &q, m, tcp, out, &o);
	if (!o.dropped) {
		assert_int_equal(at16(out->data), 0x1234);
		assert_int_equal(at16(out->data + 2) & 0x8400, 0x8400);
		assert_int_equal(at16(out->data + 6), o.answers);
	}
	return o;
}

static void answers(void **state)
{
	struct desc *d = world();
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);
	struct dns_outcome o = ask_of(d, "A.eXample", DNS_MX, 1232, false, &out);

	(void)state;
	assert_int_equal(o.answers, 1);
	assert_int_equal(at16(out.data + 10), 1);		  /* OPT comes back */
	assert_memory_equal(out.data + 12, "\1A\7eXample\0", 11); /* in the asker's spelling */
	/* owner by pointer, MX, IN, TTL 300, length, 7 mx.a.example. */
	assert_memory_equal(out.data + 27, "\xC0\x0C\0\17\0\1\0\0\1\x2C\0\20\0\7\2mx\1a\7example\0", 28);
	o = ask_of(d, "mx.a.example", DNS_AAAA, 0, false, &out);
	assert_int_equal(o.answers, 1);
	assert_int_equal(at16(out.data + 10), 0);
	assert_int_equal(out.data[out.len - 1], 1);
	o = ask_of(d, "n.example", DNS_MX, 0, false, &out);
	assert_memory_equal(out.data + out.len - 5, "\0\3\0\0\0", 5);
	o = ask_of(d, "alias.example", DNS_A, 0, false, &out);
	assert_int_equal(o.answers, 2);
	o = ask_of(d, "loop.example", DNS_A, 0, true, &out);
	assert_true(o.answers > 1 && o.answers < 20);
	o = ask_of(d, "t.example", DNS_TXT, 0, false, &out);
	assert_memory_equal(out.data + out.len - 21, "\x14v=rcptd1; probe=none", 21);
	assert_int_equal(ask_of(d, "s.example", DNS_MX, 0, false, &out).delay_ms, 40);
	assert_true(ask_of(d, "d.example", DNS_A, 0, false, &out).dropped);
	assert_int_equal(out.len, 0);
	buf_free(&out);
	desc_free(d);
}

/* The SOA's TTL and minimum, which end the message. */
static void negative(struct desc *d, const char *name, uint16_t type, unsigned rcode, unsigned minimum)
{
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);
	struct dns_outcome o = ask_of(d, name, type, 0, false, &out);

	assert_int_equal(o.rcode, rcode);
	assert_int_equal(at16(out.data + 2) & 15, rcode);
	assert_int_equal(o.answers, 0);
	assert_int_equal(at16(out.data + 8), 1);
	assert_int_equal(at16(out.data + out.len - 2), minimum);
	buf_free(&out);
}

static void refusals(void **state)
{
	struct desc *d = world();
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);

	(void)state;
	negative(d, "nobody.example", DNS_A, DNS_NXDOMAIN, 61);
	negative(d, "g.example", DNS_MX, DNS_NXDOMAIN, 5);
	negative(d, "a.example", DNS_TXT, DNS_NOERROR, 61);
	negative(d, "example", DNS_MX, DNS_NOERROR, 61); /* it lies above others */
	negative(d, "f.example", DNS_A, DNS_NOERROR, 61);
	assert_int_equal(ask_of(d, "f.example", DNS_MX, 1232, false, &out).rcode, DNS_SERVFAIL);
	assert_int_equal(ask_of(d, "a.example", DNS_ANY, 0, false, &out).rcode, DNS_NOTIMP);
	assert_int_equal(ask_of(d, "", DNS_NS, 0, false, &out).rcode, DNS_NXDOMAIN);
	buf_free(&out);
	desc_free(d);
}

static void truncation(void **state)
{
	static char text[1000 * 60];
	char error[1024];
	size_t used = (size_t)snprintf(text, sizeof text,
		"hosts:\n  mx.example: {addresses: [127.1.0.1]}\ndomains:\n  big.example:\n    mx:\n");
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);
	struct dns_outcome o;
	struct desc *d;

	(void)state;
	for (int i = 0; i < 1000; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "      - mx.example\n");
	d = desc_read_text("w.yaml", text, used, error, sizeof error);
	assert_non_null(d);
	o = ask_of(d, "big.example", DNS_MX, 0, false, &out);
	assert_true(o.truncated && out.len <= 512);
	assert_int_equal(o.answers, 0);
	assert_int_equal(at16(out.data + 2) & 0x0200, 0x0200);
	o = ask_of(d, "big.example", DNS_MX, 4096, false, &out);
	assert_true(o.truncated && out.len <= 4096);
	assert_int_equal(at16(out.data + 10), 1);
	o = ask_of(d, "big.example", DNS_MX, 65535, false, &out);
	assert_false(o.truncated);
	o = ask_of(d, "big.example", DNS_MX, 0, true, &out);
	assert_false(o.truncated);
	assert_int_equal(o.answers, 1000);
	buf_free(&out);
	desc_free(d);
}

static struct desc *describe(const char *text)
{
	char error[2048];
	struct desc *d = desc_read_text("w.yaml", text, strlen(text), error, sizeof error);

	if (!d)
		fail_msg("%s", error);
	return d;
}

static const char WRONG[] =
	"hosts:\n  mx.example: {addresses: [127.1.0.1]}\n"
	"names:\n  c1.example: {cname: c2.example, no_chase: true}\n"
	"  c2.example: {cname: c3.example}\n  c3.example: {cname: mx.example}\n"
	"  l1.example: {cname: l2.example}\n  l2.example: {cname: l1.example}\n"
	"  dl.example: {cname: mx.example, wrong: data_loop, no_chase: true}\n"
	"domains:\n  tc.example: {mx: mx.example, wrong: truncated}\n"
	"  o.example: {mx: mx.example, wrong: owner}\n  i.example: {mx: mx.example, wrong: [id]}\n"
	"  q.example: {mx: mx.example, wrong: question, then_right: true}\n"
	"  l.example: {mx: mx.example, wrong: loop}\n"
	"  d.example: {mx: mx.example, wrong: data_loop}\n"
	"  e.example: {mx: mx.example, wrong: formerr_edns}\n"
	"  r.example: {mx: mx.example, wrong: refused}\n  k.example: {mx: mx.example, wrong: cut}\n"
	"  zero.example: {mx: mx.example, ttl: 0}\n  years.example: {mx: mx.example, ttl: 94608000}\n"
	"  to-alias.example: {mx: c2.example}\n";

static void wrong_answers(void **state)
{
	struct desc *d = describe(WRONG);
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);
	uint8_t m[512];
	struct dns_query q;
	struct dns_outcome o = ask_of(d, "tc.example", DNS_MX, 1232, false, &out);

	(void)state;
	assert_true(o.truncated && !o.answers && o.wrong == 1u << WRONG_TRUNCATED);
	assert_int_equal(at16(out.data + 2) & 0x0200, 0x0200);
	assert_int_equal(ask_of(d, "tc.example", DNS_MX, 1232, true, &out).answers, 1);
	ask_of(d, "o.example", DNS_MX, 0, false, &out);
	assert_memory_equal(out.data + 27, "\15somebody-else\7example\0\0\17", 25);
	ask_of(d, "l.example", DNS_MX, 0, false, &out);
	assert_memory_equal(out.data + 27, "\300\33\0\17", 4); /* at 27, a pointer to 27 */
	ask_of(d, "d.example", DNS_MX, 0, false, &out);
	assert_memory_equal(out.data + 27, "\300\14\0\17\0\1\0\0\1\54\0\4\0\12\300\51", 16);
	ask_of(d, "dl.example", DNS_A, 0, false, &out);
	assert_memory_equal(out.data + out.len - 2, "\300\50", 2);
	o = ask_of(d, "e.example", DNS_MX, 1232, false, &out);
	assert_true(o.rcode == DNS_FORMERR && !o.answers && !at16(out.data + 10));
	assert_int_equal(ask_of(d, "e.example", DNS_MX, 0, false, &out).answers, 1);
	assert_int_equal(ask_of(d, "r.example", DNS_MX, 0, false, &out).rcode, DNS_REFUSED);
	o = ask_of(d, "k.example", DNS_MX, 0, false, &out);
	assert_true(o.answers == 1 && out.len == 12 + (15 + 12 + 14) / 2);
	ask_of(d, "zero.example", DNS_MX, 0, false, &out);
	assert_memory_equal(out.data + out.len - 14 - 6, "\0\0\0\0", 4);
	ask_of(d, "years.example", DNS_MX, 0, false, &out);
	assert_memory_equal(out.data + out.len - 14 - 6, "\5\243\232\200", 4);
	/* The id, the question, and the right answer behind the wrong one. */
	buf_reset(&out);
	assert_true(dns_read(&q, m, make(m, "i.example", DNS_MX, 0)));
	dns_answer(d, NULL, &q, m, false, &out, &o);
	assert_int_equal(at16(out.data), 0x1234 ^ 0x5500);
	assert_false(o.then_right);
	buf_reset(&out);
	assert_true(dns_read(&q, m, make(m, "q.example", DNS_MX, 0)));
	dns_answer(d, NULL, &q, m, false, &out, &o);
	assert_memory_equal(out.data + 12, "\1p\7example", 10);
	assert_true(o.then_right);
	q.wants_right = true;
	buf_reset(&out);
	dns_answer(d, NULL, &q, m, false, &out, &o);
	assert_memory_equal(out.data + 12, "\1q\7example", 10);
	assert_false(o.then_right || o.wrong);
	buf_free(&out);
	desc_free(d);
}

static void aliases(void **state)
{
	struct desc *d = describe(WRONG);
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);

	(void)state;
	assert_int_equal(ask_of(d, "c1.example", DNS_A, 0, false, &out).answers, 1); /* alone */
	assert_int_equal(ask_of(d, "c2.example", DNS_A, 0, false, &out).answers, 3);
	assert_int_equal(ask_of(d, "c2.example", DNS_MX, 0, false, &out).answers, 2); /* then a SOA */
	assert_true(ask_of(d, "l1.example", DNS_MX, 0, true, &out).answers > 2);
	assert_int_equal(ask_of(d, "to-alias.example", DNS_MX, 0, false, &out).answers, 1);
	assert_true(desc_serves(d, &d->host[0], "to-alias.example"));
	buf_free(&out);
	desc_free(d);
}

static unsigned last_byte(struct desc *d, const char *name, uint16_t type, struct buf *out)
{
	struct dns_outcome o = ask_of(d, name, type, 0, false, out);

	return o.answers == 1 ? out->data[out->len - 1] : 256 + o.answers;
}

/* The name that answers otherwise when it is asked again. */
static void rebinding(void **state)
{
	struct desc *d = describe("hosts:\n  mx.example: {addresses: [127.1.0.1]}\n"
				  "  drops.example: {addresses: [127.1.0.9]}\n"
				  "names:\n  mx.example: {later: [10.0.0.2, '::7']}\n  drops.example: {drop_first: 2}\n"
				  "  third.example: {addresses: [127.1.0.3], later: [127.1.0.4], later_from: 3}\n"
				  "  alias.example: {cname: third.example}\n");
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);

	(void)state;
	memory = dns_memory_new();
	assert_int_equal(last_byte(d, "mx.example", DNS_A, &out), 1);
	assert_int_equal(last_byte(d, "mx.example", DNS_A, &out), 2);
	assert_int_equal(last_byte(d, "mx.example", DNS_A, &out), 2);
	assert_int_equal(last_byte(d, "mx.example", DNS_AAAA, &out), 256); /* each type is counted alone */
	assert_int_equal(last_byte(d, "mx.example", DNS_AAAA, &out), 7);
	assert_int_equal(last_byte(d, "third.example", DNS_A, &out), 3);
	ask_of(d, "alias.example", DNS_A, 0, false, &out);
	assert_int_equal(out.data[out.len - 1], 3);
	assert_int_equal(last_byte(d, "third.example", DNS_A, &out), 4);
	dns_memory_forget(memory);
	assert_int_equal(last_byte(d, "third.example", DNS_A, &out), 3);
	assert_int_equal(last_byte(d, "mx.example", DNS_A, &out), 1);
	assert_true(ask_of(d, "drops.example", DNS_A, 0, false, &out).dropped);
	assert_true(ask_of(d, "drops.example", DNS_AAAA, 0, false, &out).dropped);
	assert_true(ask_of(d, "drops.example", DNS_A, 0, false, &out).dropped);
	assert_int_equal(last_byte(d, "drops.example", DNS_A, &out), 9);
	dns_memory_free(memory);
	memory = NULL;
	buf_free(&out);
	desc_free(d);
}

/* Addresses that no prober may follow, and names that are not ASCII. */
static void kinds_of_addresses(void **state)
{
	static const struct {
		const char *name, *bytes;
	} ONE[] = {
		{ "six.example", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1" },
		{ "mapped.example", "\0\0\0\0\0\0\0\0\0\0\377\377\177\1\0\1" },
		{ "nat64.example", "\0\144\377\233\0\0\0\0\0\0\0\0\12\1\2\3" },
		{ "ula.example", "\375\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1" },
	};
	struct desc *d = describe("hosts:\n  six.example: {addresses: ['::1']}\n"
				  "  mapped.example: {addresses: ['::ffff:127.1.0.1']}\n"
				  "  nat64.example: {addresses: ['64:ff9b::10.1.2.3']}\n"
				  "  ula.example: {addresses: ['fd00::1']}\n"
				  "domains:\n  b\303\274cher.example: {mx: six.example}\n");
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);

	(void)state;
	for (size_t i = 0; i < sizeof ONE / sizeof *ONE; i++) {
		assert_int_equal(ask_of(d, ONE[i].name, DNS_AAAA, 0, false, &out).answers, 1);
		assert_memory_equal(out.data + out.len - 16, ONE[i].bytes, 16);
		assert_int_equal(ask_of(d, ONE[i].name, DNS_A, 0, false, &out).answers, 0);
	}
	assert_int_equal(ask_of(d, "xn--bcher-kva.example", DNS_MX, 0, false, &out).answers, 1);
	buf_free(&out);
	desc_free(d);
}

static unsigned rcode_of(const uint8_t *m, size_t n)
{
	struct dns_query q;

	assert_true(dns_read(&q, m, n));
	return q.rcode;
}

static void hostile(void **state)
{
	uint8_t m[512], bad[512];
	size_t n = make(m, "a.example", DNS_MX, 1232);
	struct dns_query q;

	(void)state;
	assert_int_equal(rcode_of(m, n), DNS_NOERROR);
	assert_false(dns_read(&q, m, 11));
	for (size_t cut = 12; cut < n; cut++)
		assert_int_equal(rcode_of(m, cut), DNS_FORMERR);
	memcpy(bad, m, n);
	bad[2] |= 0x80; /* an answer */
	assert_false(dns_read(&q, bad, n));
	memcpy(bad, m, n);
	bad[2] = 0x28; /* UPDATE */
	assert_int_equal(rcode_of(bad, n), DNS_NOTIMP);
	memcpy(bad, m, n);
	bad[5] = 2; /* two questions */
	assert_int_equal(rcode_of(bad, n), DNS_FORMERR);
	bad[4] = bad[5] = 0xFF;
	assert_int_equal(rcode_of(bad, n), DNS_FORMERR);
	bad[4] = bad[5] = 0;
	assert_int_equal(rcode_of(bad, n), DNS_FORMERR);
	memcpy(bad, m, n);
	memcpy(bad + 12, "\xC0\x0C", 2); /* points to itself */
	assert_int_equal(rcode_of(bad, n), DNS_FORMERR);
	memcpy(bad, m, n);
	bad[12] = 0x80; /* no such label type */
	assert_int_equal(rcode_of(bad, n), DNS_FORMERR);
	memcpy(bad, m, n);
	bad[11] = 200; /* far more records than there are */
	assert_int_equal(rcode_of(bad, n), DNS_FORMERR);
	memcpy(bad, m, n);
	bad[n - 5] = 1; /* EDNS version 1 */
	assert_int_equal(rcode_of(bad, n), DNS_BADVERS);
	memcpy(bad, m, n);
	bad[26] = 3; /* class CHAOS */
	assert_int_equal(rcode_of(bad, n), DNS_REFUSED);
}

/* A name of 300 bytes, and one whose bytes need escapes. */
static void odd_names(void **state)
{
	uint8_t m[600];
	struct desc *d = world();
	struct buf out = BUF_INIT(DNS_MESSAGE_MAX);
	struct dns_query q;
	struct dns_outcome o;
	size_t n = make(m, "x", DNS_A, 0);

	(void)state;
	memset(m + 12, 0, sizeof m - 12);
	for (size_t i = 12; i < 12 + 300; i += 60)
		m[i] = 59;
	assert_int_equal(rcode_of(m, sizeof m), DNS_FORMERR);
	memset(m + 12, 0, sizeof m - 12);
	m[12] = m[76] = m[140] = 63; /* labels of NUL bytes */
	m[204] = 0;
	m[206] = m[208] = 1;
	n = 209;
	assert_true(dns_read(&q, m, n));
	assert_int_equal(q.rcode, DNS_NOERROR);
	dns_answer(d, memory, &q, m, false, &out, &o);
	assert_int_equal(o.rcode, DNS_NXDOMAIN);
	assert_true(out.len < 512);
	buf_free(&out);
	desc_free(d);
}

static void any_bytes(void **state)
{
	struct desc *d = world();
	uint32_t seed = 99;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t base[512];
		size_t n = make(base, "a.example", DNS_MX, round & 1 ? 1232 : 0);
		struct buf out = BUF_INIT(DNS_MESSAGE_MAX);
		struct dns_query q;
		struct dns_outcome o;
		for (int k = 0; k < 3; k++) {
			seed = seed * 1664525 + 1013904223;
			base[(seed >> 8) % n] = (uint8_t)(seed >> 24);
		}
		n = round % 3 ? n : (seed >> 4) % n;
		uint8_t *m = malloc(n ? n : 1); /* of the exact size: reading beyond is seen by the sanitizer */
		memcpy(m, base, n);
		if (dns_read(&q, m, n)) {
			dns_answer(d, memory, &q, m, false, &out, &o);
			assert_true(o.dropped || (out.len >= 12 && out.len <= q.payload));
		}
		buf_free(&out);
		free(m);
	}
	desc_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(refusals),
		cmocka_unit_test(truncation),
		cmocka_unit_test(wrong_answers),
		cmocka_unit_test(aliases),
		cmocka_unit_test(rebinding),
		cmocka_unit_test(kinds_of_addresses),
		cmocka_unit_test(hostile),
		cmocka_unit_test(odd_names),
		cmocka_unit_test(any_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
