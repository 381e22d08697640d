/* The description file: what is read, and what each error says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/world/desc.h"
#include "tests/world/persona.h"

#define HOSTS                                                                                                          \
	"hosts:\n"                                                                                                     \
	"  mx.a.example: {addresses: [127.1.0.1, 10.1.2.3, \"::1\"]}\n"                                                \
	"  b.example: {addresses: [127.1.0.2], persona: greylist, after_ms: 5}\n"

static struct desc *read_good(const char *text)
{
	char error[2048] = "";
	struct desc *d = desc_read_text("w.yaml", text, strlen(text), error, sizeof error);

	if (!d)
		fail_msg("refused: %s", error);
	return d;
}

static void refused(const char *text, const char *start, const char *contains)
{
	char error[2048] = "";
	struct desc *d = desc_read_text("w.yaml", text, strlen(text), error, sizeof error);

	if (d)
		fail_msg("taken: %s", text);
	if (strncmp(error, start, strlen(start)) || !strstr(error, contains))
		fail_msg("said: %s\nfor: %s", error, text);
}

static void good(void **state)
{
	struct desc *d = read_good("domains:\n  A.Example.: {mx: mx.a.example, mailboxes: [alice, 'user*'], ttl: 7}\n"
				   "defaults: {ttl: 33, latency_ms: 9}\n"
				   "listen: {dns: ['127.0.0.53:1', '127.0.0.54:0'], smtp_port: 25}\n" HOSTS);
	const struct name *n = desc_name(d, "a.example");

	(void)state;
	assert_int_equal(d->hosts, 2);
	assert_int_equal(d->smtp_port, 25);
	assert_int_equal(d->dns.n, 2);
	assert_int_equal(d->host[0].dns->addrs, 3);
	assert_int_equal(d->host[0].dns->ttl, 33);
	assert_int_equal(d->host[0].latency_ms, 9);
	assert_string_equal(d->host[1].persona->name, "greylist");
	assert_int_equal(d->host[1].after_ms, 5);
	assert_non_null(n);
	assert_int_equal(n->ttl, 7);
	assert_int_equal(n->mxs, 1);
	assert_true(mailboxes_has(&n->mailboxes, "Alice"));
	assert_true(mailboxes_has(&n->mailboxes, "user42"));
	assert_false(mailboxes_has(&n->mailboxes, "alic"));
	desc_free(d);
}

static void errors(void **state)
{
	(void)state;
	refused("", "w.yaml:1: ", "empty");
	refused("- a\n", "w.yaml:1: ", "mapping");
	refused("a: [\n", "w.yaml:", "not YAML");
	refused("\nlisten:\n  dns: x\n", "w.yaml:3: ", "127.0.0.53:15353");
	refused("listen: {dns: '192.0.2.1:53'}\n", "w.yaml:1: ", "loopback");
	refused("listen:\n  smtp_port: 70000\n", "w.yaml:2: ", "65535");
	refused("listen:\n  smtp_port: -1\n", "w.yaml:2: ", "whole number");
	refused("listen:\n  port: 1\n", "w.yaml:2: ", "allowed: dns, smtp_port, control");
	refused("record: a\nrecord: b\n", "w.yaml:2: ", "twice");
	refused("hosts:\n  a.example: {}\n", "w.yaml:2: ", "addresses");
	refused("hosts:\n  a.example: {addresses: [300.1.1.1]}\n", "w.yaml:2: ", "no IPv4 or IPv6");
	refused("hosts:\n  a.example:\n    addresses: [127.1.0.1]\n    persona: normall\n",
		"w.yaml:4: ", "allowed: normal, accept-all, greylist");
	refused("hosts:\n  a.example: {addresses: [127.1.0.1]}\n  b.example: {addresses: [127.1.0.1]}\n",
		"w.yaml:3: ", "host a.example in line 2");
	refused("hosts:\n  a.example: {addresses: [127.1.0.1]}\n  A.example: {addresses: [127.1.0.2]}\n",
		"w.yaml:3: ", "line 2 already");
	refused("hosts:\n  a.example: {addresses: [127.1.0.1], phase: banner}\n", "w.yaml:2: ", "under faults");
	refused("hosts:\n  a.example: {addresses: [127.1.0.1], persona: refuses, phase: data}\n",
		"w.yaml:2: ", "allowed: banner, ehlo");
	refused("hosts:\n  a.example:\n    addresses: [127.1.0.1]\n    faults:\n      - {phase: rcpt}\n",
		"w.yaml:5: ", "needs a reply, raw, delay_ms, or then");
	refused("hosts:\n  a.example:\n    addresses: [127.1.0.1]\n    faults: [{then: close}]\n",
		"w.yaml:4: ", "needs a phase");
	refused("hosts:\n  a.example: {addresses: [127.1.0.1], persona: resets, reply: '421 x'}\n",
		"w.yaml:2: ", "without a reply");
	refused("hosts:\n  a b.example: {addresses: [127.1.0.1]}\n", "w.yaml:2: ", "no domain name");
}

#define HOST "hosts:\n  a.example:\n    addresses: [127.1.0.1]\n"

static void trait_errors(void **state)
{
	(void)state;
	refused(HOST "    tls: yes\n", "w.yaml:4: ", "allowed: none, offered, required");
	refused(HOST "    tls_fault: garbage\n", "w.yaml:2: ", "tls: offered, or tls: required");
	refused(HOST "    tls: offered\n    tls_fault: breaks\n",
		"w.yaml:5: ", "allowed: none, fails, garbage, close, silent, reset, inject");
	refused(HOST "    tls: offered\n    tls_versions: [1.4]\n", "w.yaml:5: ", "allowed: 1.0, 1.1, 1.2, 1.3");
	refused(HOST "    tls: offered\n    tls_versions: []\n", "w.yaml:5: ", "needs one of");
	refused(HOST "    tls_tickets: maybe\n", "w.yaml:4: ", "true nor false");
	refused(HOST "    line_end: cr\n", "w.yaml:4: ", "allowed: crlf, lf");
	refused(HOST "    line_length: 200000\n", "w.yaml:2: ", "up to 100000");
	refused(HOST "    drip_ms: slow\n", "w.yaml:4: ", "whole number");
	refused(HOST "    persona: counts-unknown\n    blocks_by: mail\n", "w.yaml:5: ", "refuse, accept, close");
	refused(HOST "    persona: junk\n    raw: 'a\\q'\n", "w.yaml:5: ", "allowed: \\r \\n");
	refused(HOST "    persona: junk\n    raw: 'a\\x0'\n", "w.yaml:5: ", "\\xHH");
	refused(HOST "    persona: junk\n    reply: 250 x\n", "w.yaml:2: ", "reply and raw; allowed: one of them");
	refused(HOST "    faults: [{phase: rcpt, then: endless}]\n", "w.yaml:4: ", "need a reply, or raw");
	refused(HOST "    faults: [{phase: rcpt, reply: x, every_ms: 4}]\n", "w.yaml:4: ", "then: endless alone");
	refused(HOST "    faults: [{phase: rcpt, reply: x, over: ssl}]\n", "w.yaml:4: ", "allowed: any, clear, tls");
	refused(HOST "    delay_ms: 4\n", "w.yaml:2: ", "under faults");
	refused(HOST "    nonsense: 4\n", "w.yaml:4: ", "addresses, persona");
	refused(HOST "    nonsense: 4\n", "w.yaml:4: ", "connections");
}

static void traits(void **state)
{
	struct desc *d =
		read_good(HOST "    persona: tls-old\n    tls: required\n    tls_tickets: false\n"
			       "  b.example: {persona: junk, addresses: [127.1.0.2], raw: 'a\\x00\\r\\\\'}\n"
			       "  c.example: {addresses: [127.1.0.3], tls: offered, tls_versions: [1.3, 1.1]}\n");

	(void)state;
	assert_int_equal(d->host[0].traits.tls, TLS_REQUIRED);
	assert_int_equal(d->host[0].traits.tls_min, 10);
	assert_int_equal(d->host[0].traits.tls_max, 10);
	assert_true(d->host[0].traits.tls_no_tickets);
	assert_int_equal(d->host[1].own.raw.len, 4);
	assert_memory_equal(d->host[1].own.raw.data, "a\0\r\\", 4);
	assert_int_equal(d->host[1].own.then, THEN_ADD);
	assert_int_equal(d->host[2].traits.tls_min, 11);
	assert_int_equal(d->host[2].traits.tls_max, 13);
	desc_free(d);
}

static void international(void **state)
{
	struct desc *d = read_good(HOSTS "domains:\n  'B\303\234cher.example': {mx: mx.a.example}\n");

	(void)state;
	assert_non_null(desc_name(d, "xn--bcher-kva.example"));
	desc_free(d);
	refused(HOSTS "domains:\n  '\342\230\203.example': {no_mx: true}\n", "w.yaml:5: ", "no domain name");
}

static void zone_errors(void **state)
{
	(void)state;
	refused(HOSTS "domains:\n  x.example: {}\n", "w.yaml:5: ", "allowed: one of mx, null_mx");
	refused(HOSTS "domains:\n  x.example: {mx: nowhere.example}\n", "w.yaml:5: ", "not described");
	refused(HOSTS "domains:\n  x.example: {mx: mx.a.example, no_mx: true}\n", "w.yaml:5: ", "one of them");
	refused(HOSTS "domains:\n  x.example: {cname: b.example, addresses: [127.0.0.1]}\n", "w.yaml:5: ", "cname");
	refused(HOSTS "domains:\n  x.example: {nxdomain: true, mx: b.example}\n", "w.yaml:5: ", "nxdomain");
	refused(HOSTS "domains:\n  x.example: {mx: [{preference: 1}]}\n", "w.yaml:5: ", "needs a host");
	refused(HOSTS "domains:\n  x.example: {servfail: [MX, PTR]}\n", "w.yaml:5: ", "allowed: A, AAAA");
	refused(HOSTS "domains:\n  x.example: {null_mx: yes}\n", "w.yaml:5: ", "true nor false");
	refused(HOSTS "names:\n  x.example: {}\ndomains:\n  x.example: {null_mx: true}\n", "w.yaml:7: ", "line 5");
	refused(HOSTS "domains:\n  x.example: {no_mx: true, wrong: [id, ip]}\n", "w.yaml:5: ",
		"allowed: truncated, tcp_closed, owner, id, port, question, loop, data_loop, formerr_edns, refused, "
		"cut");
	refused(HOSTS "domains:\n  x.example: {no_mx: true, then_right: true}\n", "w.yaml:5: ", "nothing wrong");
	refused(HOSTS "names:\n  x.example: {addresses: [127.0.0.1], later_from: 3}\n", "w.yaml:5: ", "no later");
	refused(HOSTS "names:\n  x.example: {addresses: [127.0.0.1], later: [x]}\n", "w.yaml:5: ", "no IPv4");
	refused(HOSTS "domains:\n  x.example: {mailbox: [a]}\n", "w.yaml:5: ", "unknown key mailbox; allowed: mx");
}

static void wildcards_and_ancestors(void **state)
{
	struct desc *d = read_good(HOSTS "domains:\n  '*.many.example': {mx: mx.a.example}\n"
					 "  own.many.example: {null_mx: true}\n");

	(void)state;
	assert_string_equal(desc_name(d, "x1.many.example")->name, "*.many.example");
	assert_string_equal(desc_name(d, "x.y.many.example")->name, "*.many.example");
	assert_true(desc_name(d, "own.many.example")->null_mx);
	assert_null(desc_name(d, "below.own.many.example"));
	assert_non_null(desc_name(d, "many.example"));
	assert_null(desc_name(d, "few.example"));
	desc_free(d);
}

/* A host's name may be a domain's too, whichever comes first in the file. */
static void host_and_domain(void **state)
{
	struct desc *d = read_good("domains:\n  b.example: {no_mx: true, mailboxes: [u]}\n" HOSTS);

	(void)state;
	assert_int_equal(desc_name(d, "b.example")->addrs, 1);
	assert_true(mailboxes_has(&desc_name(d, "b.example")->mailboxes, "u"));
	desc_free(d);
}

static void who_serves(void **state)
{
	struct desc *d = read_good(
		"hosts:\n  mx.example: {addresses: [127.1.0.1]}\n  bare.example: {addresses: [127.1.0.2]}\n"
		"  open.example: {addresses: [127.1.0.3], serves: ['*'], denies: [no.example]}\n"
		"names:\n  alias.example: {cname: mx.example}\n  loop.example: {cname: loop.example}\n"
		"domains:\n  a.example: {mx: alias.example}\n  b.example: {mx: mx.example}\n"
		"  bare.example: {no_mx: true}\n  n.example: {null_mx: true}\n  l.example: {mx: loop.example}\n");

	(void)state;
	assert_true(desc_serves(d, &d->host[0], "a.example"));
	assert_true(desc_serves(d, &d->host[0], "b.example"));
	assert_false(desc_serves(d, &d->host[0], "bare.example"));
	assert_false(desc_serves(d, &d->host[0], "n.example"));
	assert_false(desc_serves(d, &d->host[0], "l.example"));
	assert_false(desc_serves(d, &d->host[0], "unheard.example"));
	assert_true(desc_serves(d, &d->host[1], "bare.example"));
	assert_true(desc_serves(d, &d->host[2], "unheard.example"));
	assert_false(desc_serves(d, &d->host[2], "no.example"));
	desc_free(d);
}

static void ranges(void **state)
{
	struct desc *d =
		read_good("hosts:\n  'mx{1-3}.many.example': {addresses: [127.3.0.254-127.3.1.1]}\n"
			  "  wide.example: {addresses: [127.30.0.1-127.30.3.254, 127.31.0.1]}\n"
			  "names:\n  'a{5-6}.example': {cname: 'mx{}.many.example', addresses: []}\n"
			  "  mx5.many.example: {nxdomain: true}\n  mx6.many.example: {nxdomain: true}\n"
			  "domains:\n  'd{2-3}.example': {mx: 'mx{}.many.example', mailboxes: [u]}\n"
			  "  all.example: {mx: [{preference: 7, host: 'mx{1-3}.many.example'}, wide.example]}\n");
	char ip[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(d->hosts, 4);
	assert_string_equal(d->host[2].name, "mx3.many.example");
	assert_int_equal(d->host[2].dns->addrs, 4);
	assert_string_equal(addr_ip_text(&d->host[0].dns->addr[2], ip), "127.3.1.0");
	assert_string_equal(addr_ip_text(&d->host[2].dns->addr[0], ip), "127.3.1.6");
	assert_int_equal(d->host[3].dns->addrs, 1023);
	assert_string_equal(desc_name(d, "a6.example")->cname, "mx6.many.example");
	assert_null(desc_name(d, "d1.example"));
	assert_string_equal(desc_name(d, "d2.example")->mx[0].host, "mx2.many.example");
	assert_true(mailboxes_has(&desc_name(d, "d3.example")->mailboxes, "u"));
	assert_int_equal(desc_name(d, "all.example")->mxs, 4);
	assert_int_equal(desc_name(d, "all.example")->mx[2].preference, 7);
	assert_true(desc_serves(d, &d->host[2], "d3.example"));
	assert_false(desc_serves(d, &d->host[2], "d2.example"));
	desc_free(d);
	refused("hosts:\n  'a{3-1}.example': {addresses: [127.1.0.1]}\n", "w.yaml:2: ", "allowed: {FROM-TO}");
	refused("hosts:\n  'a{1-200000}.example': {addresses: [127.1.0.1]}\n", "w.yaml:2: ", "at most 100000");
	refused("hosts:\n  'a{1-2}{1-2}.example': {addresses: [127.1.0.1]}\n", "w.yaml:2: ", "once in a name");
	refused("hosts:\n  'a{}.example': {addresses: [127.1.0.1]}\n", "w.yaml:2: ", "number of a range");
	refused(HOSTS "domains:\n  x.example: {mx: 'b{}.example'}\n", "w.yaml:5: ", "number of a range");
	refused("hosts:\n  a.example: {addresses: [127.1.0.9-127.1.0.1]}\n", "w.yaml:2: ", "FIRST-LAST");
	refused("hosts:\n  a.example: {addresses: [127.1.0.1-127.9.0.1]}\n", "w.yaml:2: ", "65536");
	refused("hosts:\n  b.example: {addresses: [127.1.0.2]}\n  'a{1-2}.example': {addresses: [127.1.0.1]}\n",
		"w.yaml:3: ", "b.example in line 2");
	refused("hosts:\n  a2.example: {addresses: [127.1.0.9]}\n  'a{1-2}.example': {addresses: [127.1.0.1]}\n",
		"w.yaml:3: ", "line 2 already");
}

static void thousands(void **state)
{
	static char text[2000 * 80];
	size_t used = (size_t)snprintf(text, sizeof text, "hosts:\n");
	struct desc *d;

	(void)state;
	for (int i = 0; i < 2000; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "  h%d.example: {addresses: [127.2.%d.%d]}\n",
			i, i / 250, i % 250 + 1);
	d = read_good(text);
	assert_int_equal(d->hosts, 2000);
	assert_string_equal(d->host[1999].name, "h1999.example");
	assert_int_equal(d->host[1999].number, 1999);
	desc_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(errors),
		cmocka_unit_test(trait_errors),
		cmocka_unit_test(traits),
		cmocka_unit_test(international),
		cmocka_unit_test(zone_errors),
		cmocka_unit_test(wildcards_and_ancestors),
		cmocka_unit_test(host_and_domain),
		cmocka_unit_test(who_serves),
		cmocka_unit_test(ranges),
		cmocka_unit_test(thousands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
