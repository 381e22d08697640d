/* The configuration: what it holds once read, and the line and words of every error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "server/config/config.h"

#define LEAST                                                                                                          \
	"store:\n  path: /var/lib/rcptd\n"	   /* lines 1, 2 */                                                    \
	"probe:\n  mail_from: probe@example.com\n" /* lines 3, 4 */

static struct config *load(const char *text)
{
	struct buf why = BUF_INIT(8192);
	struct config *c = NULL;
	if (config_load_text("test.yaml", text, strlen(text), &c, &why))
		fail_msg("%s", buf_str(&why));
	assert_int_equal(why.len, 0);
	buf_free(&why);
	return c;
}

static void what_is_left_out_has_its_default(void **state)
{
	struct config *c = load(LEAST);
	(void)state;
	assert_string_equal(c->listen_grpc, "127.0.0.1:50051");
	assert_string_equal(c->store_path, "/var/lib/rcptd");
	assert_string_equal(c->store_hmac_key, "/var/lib/rcptd/hmac.key");
	assert_int_equal(c->n_dns_servers, 0);
	assert_int_equal(c->probe_port, 25);
	assert_int_equal(c->n_sources, 1);
	assert_true(c->sources[0].any && c->sources[0].name[0]);
	assert_string_equal(c->mail_from.local, "probe");
	assert_string_equal(c->mail_from.domain, "example.com");
	assert_int_equal(c->n_allow_networks, 0);
	assert_in_range(c->shards, 1, 64);
	assert_int_equal(c->n_operators, 0);
	assert_int_equal(c->timeouts.connect_ms, 30000);
	assert_int_equal(c->timeouts.banner_ms, 60000);
	assert_int_equal(c->timeouts.reply_ms, 60000);
	assert_int_equal(c->timeouts.session_ms, 300000);
	assert_int_equal(c->facts.yes_ms, 604800000);
	assert_int_equal(c->facts.no_ms, 604800000);
	assert_int_equal(c->facts.mailbox_ms, 604800000);
	assert_int_equal(c->log_level, LOG_INFO);
	struct config_courtesy caps = config_courtesy(c, "google");
	assert_int_equal(caps.connections, 2);
	assert_int_equal(caps.recipients, 10);
	assert_int_equal(caps.unknown_per_session, 5);
	config_free(c);
}

static void every_key_is_read(void **state)
{
	struct config *c = load("\xef\xbb\xbf# every key\n"
				"listen: {grpc: '[::1]:50052'}\n"
				"store: {path: /s, hmac_key: /k}\n"
				"dns:\n"
				"  servers: [127.0.0.1, 127.0.0.2:5353, '::1', '[::2]', '[::3]:54']\n"
				"probe:\n"
				"  port: 2525\n"
				"  sources:\n"
				"    - {address: 127.0.0.5, name: Probe-1.Example.com}\n"
				"    - address: ::1\n"
				"      name: b\u00fccher.example\n"
				"  mail_from: '\"a b\"@example.com'\n"
				"  allow_networks: [127.0.0.0/8, '::1/128']\n"
				"  shards: 2\n"
				"courtesy:\n"
				"  defaults: {connections: 3, recipients: 20, unknown_per_session: 7}\n"
				"  operators:\n"
				"    google: {recipients: 1}\n"
				"    Example.COM:\n"
				"      connections: 1\n"
				"      unknown_per_session: 2\n"
				"timeouts: {connect: 500ms, banner: 5s, reply: 2m, session: 1h}\n"
				"facts: {yes: 1s, no: 36h, mailbox: 365d}\n"
				"log: {level: debug}\n");
	char ip[IP_TEXT_MAX];
	(void)state;
	assert_string_equal(c->listen_grpc, "[::1]:50052");
	assert_string_equal(c->store_hmac_key, "/k");
	static const struct {
		const char *ip;
		uint16_t port;
	} SERVERS[] = { { "127.0.0.1", 53 }, { "127.0.0.2", 5353 }, { "::1", 53 }, { "::2", 53 }, { "::3", 54 } };
	assert_int_equal(c->n_dns_servers, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_string_equal(ip_text(&c->dns_servers[i].ip, ip), SERVERS[i].ip);
		assert_int_equal(c->dns_servers[i].port, SERVERS[i].port);
	}
	assert_int_equal(c->probe_port, 2525);
	assert_int_equal(c->n_sources, 2);
	assert_false(c->sources[0].any || c->sources[1].any);
	assert_string_equal(ip_text(&c->sources[0].ip, ip), "127.0.0.5");
	assert_string_equal(c->sources[0].name, "probe-1.example.com");
	assert_string_equal(ip_text(&c->sources[1].ip, ip), "::1");
	assert_string_equal(c->sources[1].name, "xn--bcher-kva.example");
	assert_string_equal(c->mail_from.local, "\"a b\"");
	assert_int_equal(c->n_allow_networks, 2);
	assert_int_equal(c->allow_networks[0].prefix, 8);
	assert_true(c->allow_networks[1].ip.v6);
	assert_int_equal(c->shards, 2);
	assert_int_equal(c->timeouts.connect_ms, 500);
	assert_int_equal(c->timeouts.banner_ms, 5000);
	assert_int_equal(c->timeouts.reply_ms, 120000);
	assert_int_equal(c->timeouts.session_ms, 3600000);
	assert_int_equal(c->facts.yes_ms, 1000);
	assert_int_equal(c->facts.no_ms, 36 * 3600000);
	assert_int_equal(c->facts.mailbox_ms, 365LL * 24 * 3600000);
	assert_int_equal(c->log_level, LOG_DEBUG);
	struct config_courtesy google = config_courtesy(c, "google"), example = config_courtesy(c, "example.com"),
			       other = config_courtesy(c, "other");
	assert_int_equal(google.connections, 3);
	assert_int_equal(google.recipients, 1);
	assert_int_equal(google.unknown_per_session, 7);
	assert_int_equal(example.connections, 1);
	assert_int_equal(example.recipients, 20);
	assert_int_equal(example.unknown_per_session, 2);
	assert_int_equal(other.recipients, 20);
	config_free(c);
}

static void listens_on_this_machine_only(void **state)
{
	static const char *const GOOD[][2] = { { "127.0.0.1:1", "127.0.0.1:1" },
		{ "127.9.9.9:65535", "127.9.9.9:65535" }, { "'[0:0::1]:50051'", "[::1]:50051" },
		{ "localhost:50051", "127.0.0.1:50051" }, { "unix:/run/rcptd.sock", "unix:/run/rcptd.sock" } };
	static const char *const BAD[][2] = { { "0.0.0.0:50051", "no authentication" },
		{ "'[::]:50051'", "no authentication" }, { "192.0.2.1:50051", "no authentication" },
		{ "'[::ffff:127.0.0.1]:1'", "no authentication" }, { "128.0.0.1:1", "no authentication" },
		{ "localhost", "no address" }, { "example.com:50051", "no address" },
		{ "127.0.0.1", "port is missing" }, { "127.0.0.1:0", "no address" },
		{ "127.0.0.1:65536", "no address" }, { "127.0.0.1:5x", "no address" },
		{ "'[127.0.0.1]:1'", "no address" }, { "'[::1'", "no address" }, { "unix:run", "absolute" },
		{ "'127.0.0.1:1,0.0.0.0:1'", "no address" }, { "localhost:127.0.0.1:5", "no address" },
		{ "''", "no address" } };
	(void)state;
	for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
		char text[512];
		snprintf(text, sizeof text, LEAST "listen:\n  grpc: %s\n", GOOD[i][0]);
		struct config *c = load(text);
		assert_string_equal(c->listen_grpc, GOOD[i][1]);
		config_free(c);
	}
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		char text[512];
		struct buf why = BUF_INIT(8192);
		struct config *c = NULL;
		snprintf(text, sizeof text, LEAST "listen:\n  grpc: %s\n", BAD[i][0]);
		assert_int_equal(config_load_text("f", text, strlen(text), &c, &why), ERR_INVALID);
		if (strncmp(buf_str(&why), "f:6: listen.grpc: ", 18) != 0 || !strstr(buf_str(&why), BAD[i][1]) ||
			!strstr(buf_str(&why), "; allowed: "))
			fail_msg("%s: %s", BAD[i][0], buf_str(&why));
		buf_free(&why);
	}
}

/* Each text with the line its error is on and words that must be in it. */
static const struct bad {
	const char *text;
	size_t line;
	const char *words[3];
} BAD[] = {
	/* nothing, or not YAML */
	{ "", 1, { "the file is empty", "store.path" } },
	{ "# a comment\n\n", 1, { "the file is empty" } },
	{ "---\n", 1, { "the file must be a mapping", "allowed: listen, store, dns" } },
	{ "[1, 2]\n", 1, { "the file must be a mapping" } },
	{ "just text\n", 1, { "the file must be a mapping" } },
	{ LEAST "dns:\n  servers: [\n", 7, { "not valid YAML" } },
	{ LEAST "log:\n\tlevel: info\n", 6, { "not valid YAML" } },
	{ LEAST "log: {level: \"info}\n", 6, { "not valid YAML" } },
	{ LEAST "#\n# \x01\n", 6, { "not valid YAML", "control characters" } },
	{ LEAST "#\n# \xff\n", 6, { "not UTF-8" } },
	{ "\xff\xfes\0t\0", 1, { "not UTF-8" } },
	{ LEAST "---\nlog: {level: info}\n", 5, { "second document", "one is allowed" } },
	{ LEAST "...\n---\n", 6, { "second document" } },
	/* what YAML could do and we do not */
	{ LEAST "log: &a\n  level: info\n", 5, { "anchors and aliases" } },
	{ LEAST "log:\n  level: &a info\n", 6, { "anchors and aliases" } },
	{ LEAST "log: *a\n", 5, { "anchors and aliases" } },
	{ LEAST "dns:\n  servers: &a [*a, *a]\n", 6, { "anchors and aliases" } },
	{ LEAST "log:\n  <<: {level: info}\n", 6, { "merge keys" } },
	{ LEAST "log: !!map {level: info}\n", 5, { "tags" } },
	{ LEAST "? [a, b]\n: 1\n", 5, { "a key is a list" } },
	/* unknown and duplicate keys */
	{ LEAST "lsten: {grpc: '127.0.0.1:1'}\n", 5,
		{ "unknown key \"lsten\"", "did you mean \"listen\"?",
			"allowed: listen, store, dns, probe, courtesy, timeouts, facts, log" } },
	{ LEAST "  prot: 25\n", 5,
		{ "unknown key \"prot\" in probe", "did you mean \"port\"?",
			"allowed: port, sources, mail_from, allow_networks, tls, shards" } },
	{ LEAST "log:\n  colour: red\n", 6, { "unknown key \"colour\" in log; allowed: level" } },
	{ LEAST "\"\\e[31m\": 1\n", 5, { "unknown key \"?[31m\"" } },
	{ LEAST "\"log\\0\": 1\n", 5, { "unknown key \"log?\"" } },
	{ LEAST "\"\": 1\n", 5, { "unknown key \"\"" } },
	{ LEAST "\"*\": 1\n", 5, { "unknown key \"*\"" } },
	{ LEAST "dns:\n  servers:\n    \"[]\": 1\n", 6, { "dns.servers must be a list" } },
	{ LEAST "probe.port: 1\n", 5, { "unknown key \"probe.port\"" } },
	{ LEAST "store: {path: /x}\n", 5, { "duplicate key store", "line 1" } },
	{ LEAST "\n\n  port: 1\n  port: 2\n", 8, { "duplicate key probe.port", "line 7" } },
	{ LEAST "courtesy:\n  operators:\n    google: {recipients: 1}\n    Google: {recipients: 1}\n", 8,
		{ "duplicate key courtesy.operators.google", "line 7" } },
	/* missing */
	{ "probe:\n  mail_from: a@example.com\n", 1, { "store.path is missing", "required" } },
	{ "store: {path: /x}\n", 1, { "probe.mail_from is missing", "required" } },
	{ "store: {path: /x}\nprobe:\n  port: 25\n", 2, { "probe.mail_from is missing" } },
	{ LEAST "  sources:\n    - name: a.example\n", 6, { "probe.sources.address is missing" } },
	{ LEAST "  sources:\n    - {address: 127.0.0.1, name: a.example}\n    - address: 127.0.0.2\n", 7,
		{ "probe.sources.name is missing" } },
	/* wrong shape */
	{ LEAST "dns:\n", 5, { "dns must be a mapping", "allowed: servers" } },
	{ LEAST "dns: 127.0.0.1\n", 5, { "dns must be a mapping" } },
	{ LEAST "dns: [127.0.0.1]\n", 5, { "dns must be a mapping" } },
	{ LEAST "dns:\n  servers: 127.0.0.1\n", 6, { "dns.servers must be a list" } },
	{ LEAST "  port: [25]\n", 5, { "probe.port must be a single value", "1 to 65535" } },
	{ LEAST "  port:\n    a: 25\n", 5, { "probe.port must be a single value" } },
	{ LEAST "  sources: [127.0.0.1]\n", 5, { "probe.sources must be a mapping", "allowed: address, name" } },
	{ LEAST "courtesy:\n  operators:\n    google: 5\n", 7,
		{ "courtesy.operators.google must be a mapping", "connections" } },
	{ LEAST "courtesy:\n  operators:\n    goo gle: {}\n", 7, { "\"goo gle\"", "no name" } },
	{ LEAST "courtesy:\n  operators:\n    google: {connection: 1}\n", 7,
		{ "unknown key \"connection\" in courtesy.operators.google", "did you mean \"connections\"?" } },
	/* wrong values; the line is the key's */
	{ LEAST "  port:\n\n    70000\n", 5, { "probe.port: out of bounds", "1 to 65535" } },
	{ LEAST "  port: 0\n", 5, { "probe.port: out of bounds" } },
	{ LEAST "  port: -1\n", 5, { "probe.port: not a whole number" } },
	{ LEAST "  port: 025\n", 5, { "probe.port: not a whole number" } },
	{ LEAST "  port: 0x19\n", 5, { "probe.port: not a whole number" } },
	{ LEAST "  port: '25'\n", 5, { "probe.port: not a whole number" } },
	{ LEAST "  port: 99999999999999999999\n", 5, { "probe.port: not a whole number" } },
	{ LEAST "  port:\n", 5, { "probe.port: empty" } },
	{ LEAST "  port: ~\n", 5, { "probe.port: empty" } },
	{ LEAST "  shards: 0\n", 5, { "probe.shards: out of bounds", "1 to 64" } },
	{ LEAST "  shards: 65\n", 5, { "probe.shards: out of bounds" } },
	{ LEAST "timeouts:\n  connect: 30\n", 6, { "timeouts.connect: the unit is missing", "from 10ms to 10m" } },
	{ LEAST "timeouts:\n  connect: 9ms\n", 6, { "timeouts.connect: out of bounds" } },
	{ LEAST "timeouts:\n  session: 61m\n", 6, { "timeouts.session: out of bounds", "to 1h" } },
	{ LEAST "timeouts:\n  reply: 1.5s\n", 6, { "timeouts.reply: not a duration" } },
	{ LEAST "timeouts:\n  reply: 1w\n", 6, { "timeouts.reply: not a duration" } },
	{ LEAST "timeouts:\n  reply: s\n", 6, { "timeouts.reply: not a duration" } },
	{ LEAST "facts:\n  yes: 366d\n", 6, { "facts.yes: out of bounds", "from 1s to 365d" } },
	{ LEAST "facts:\n  no: 999999999999999d\n", 6, { "facts.no: out of bounds" } },
	{ LEAST "facts:\n  mailbox: 0s\n", 6, { "facts.mailbox: out of bounds" } },
	{ LEAST "log:\n  level: loud\n", 6, { "log.level: no log level", "debug, info, warn or error" } },
	{ LEAST "dns:\n  servers:\n    - 127.0.0.1\n    - resolver\n", 8, { "dns.servers: no IP address" } },
	{ LEAST "dns:\n  servers: ['127.0.0.1:0']\n", 6, { "dns.servers: no IP address" } },
	{ LEAST "dns:\n  servers: ['127.0.0.1:53:53']\n", 6, { "dns.servers: no IP address" } },
	{ LEAST "  allow_networks: [127.0.0.1/8]\n", 5,
		{ "probe.allow_networks: not a network", "behind the prefix" } },
	{ LEAST "  sources: [{address: host, name: a.example}]\n", 5, { "probe.sources.address: not an IP" } },
	{ LEAST "  sources: [{address: 0.0.0.0, name: a.example}]\n", 5, { "probe.sources.address: the unspecified" } },
	{ LEAST "  sources: [{address: 127.0.0.1, name: host}]\n", 5, { "probe.sources.name: the domain has no dot" } },
	{ LEAST "  sources: [{address: 127.0.0.1, name: \"a.example\\r\\nDATA\"}]\n", 5, { "line break" } },
	{ "store: {path: /x}\nprobe:\n  mail_from: <>\n", 3, { "probe.mail_from: " } },
	{ "store: {path: /x}\nprobe:\n  mail_from: ''\n", 3, { "probe.mail_from: it is empty" } },
	{ "store: {path: /x}\nprobe:\n  mail_from: a@localhost\n", 3, { "probe.mail_from: the domain has no dot" } },
	{ "store: {path: /x}\nprobe:\n  mail_from: \u00e9@example.com\n", 3, { "must be ASCII" } },
	{ "store:\n  path: ''\nprobe: {mail_from: a@example.com}\n", 2, { "store.path: empty" } },
	{ "store:\n  path: \"/a\\0b\"\n", 2, { "store.path: a NUL" } },
};

static void every_error_has_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		const struct bad *bad = &BAD[i];
		struct buf why = BUF_INIT(8192);
		struct config *c = NULL;
		char start[64];
		assert_int_equal(config_load_text("test.yaml", bad->text, strlen(bad->text), &c, &why), ERR_INVALID);
		assert_null(c);
		assert_int_equal(why.err, ERR_OK);
		snprintf(start, sizeof start, "test.yaml:%zu: ", bad->line);
		if (strncmp(buf_str(&why), start, strlen(start)) != 0)
			fail_msg("case %zu: expected '%s' in: %s", i, start, buf_str(&why));
		for (size_t j = 0; j < 3 && bad->words[j]; j++)
			if (!strstr(buf_str(&why), bad->words[j]))
				fail_msg("case %zu: expected '%s' in: %s", i, bad->words[j], buf_str(&why));
		for (size_t j = 0; j < why.len; j++) /* safe on a terminal, one line */
			assert_in_range(why.data[j], 0x20, 0x7e);
		buf_free(&why);
	}
}

static void lists_are_bounded(void **state)
{
	struct buf text = BUF_INIT(65536), why = BUF_INIT(8192);
	struct config *c = NULL;
	(void)state;
	buf_puts(&text, LEAST "courtesy:\n  operators:\n");
	for (unsigned i = 0; i < CONFIG_OPERATORS; i++)
		buf_printf(&text, "    o%u: {connections: 1}\n", i);
	assert_int_equal(config_load_text("f", buf_str(&text), text.len, &c, &why), ERR_OK);
	assert_int_equal(c->n_operators, CONFIG_OPERATORS);
	config_free(c);
	buf_puts(&text, "    more: {connections: 1}\n");
	assert_int_equal(config_load_text("f", buf_str(&text), text.len, &c, &why), ERR_INVALID);
	assert_non_null(strstr(buf_str(&why), "f:263: courtesy.operators has too many entries"));
	buf_reset(&text);
	buf_reset(&why);
	buf_puts(&text, LEAST "dns:\n  servers:\n");
	for (unsigned i = 0; i < CONFIG_DNS_SERVERS + 1; i++)
		buf_puts(&text, "    - 127.0.0.1\n");
	assert_int_equal(config_load_text("f", buf_str(&text), text.len, &c, &why), ERR_INVALID);
	assert_string_equal(buf_str(&why), "f:23: dns.servers has too many entries; at most 16 are allowed");
	buf_free(&text);
	buf_free(&why);
}

static void a_deep_or_huge_text_ends_soon(void **state)
{
	size_t n = CONFIG_FILE_MAX + 1;
	char *text = malloc(n);
	struct buf why = BUF_INIT(8192);
	struct config *c = NULL;
	(void)state;
	assert_non_null(text);
	memset(text, '[', n);
	assert_int_equal(config_load_text("f", text, n, &c, &why), ERR_INVALID);
	assert_string_equal(buf_str(&why), "f:1: the file is too large; 1 MiB is allowed");
	for (const char *p = "[{a-?"; *p; p++) {
		memset(text, *p, n);
		buf_reset(&why);
		assert_int_equal(config_load_text("f", text, n - 1, &c, &why), ERR_INVALID);
		assert_memory_equal(buf_str(&why), "f:1: ", 5);
	}
	free(text);
	buf_free(&why);
}

static void files_are_read(void **state)
{
	char path[] = "config_test.XXXXXX";
	struct buf why = BUF_INIT(8192);
	struct config *c = NULL;
	int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, LEAST, sizeof LEAST - 1), sizeof LEAST - 1);
	assert_int_equal(config_load(path, &c, &why), ERR_OK);
	config_free(c);
	assert_int_equal(write(fd, "nope: 1\n", 8), 8);
	assert_int_equal(config_load(path, &c, &why), ERR_INVALID);
	assert_memory_equal(buf_str(&why) + sizeof path - 1, ":5: unknown key", 15);
	assert_int_equal(ftruncate(fd, CONFIG_FILE_MAX + 2), 0);
	buf_reset(&why);
	assert_int_equal(config_load(path, &c, &why), ERR_INVALID);
	assert_non_null(strstr(buf_str(&why), ":1: the file is too large"));
	close(fd);
	unlink(path);
	buf_reset(&why);
	assert_int_equal(config_load(path, &c, &why), ERR_IO);
	assert_non_null(strstr(buf_str(&why), "cannot be read: No such file"));
	buf_reset(&why);
	assert_int_equal(config_load(".", &c, &why), ERR_IO);
	buf_free(&why);
}

static uint64_t next_random(uint64_t *seed) /* xorshift64 */
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* A good file with a few bytes changed: read or refused with a line, nothing else. */
static void damaged_files_are_read_or_refused(void **state)
{
	static const char GOOD[] = LEAST "  sources: [{address: 127.0.0.1, name: a.example}]\n"
					 "courtesy: {operators: {google: {recipients: 1}}}\n"
					 "dns: {servers: ['[::1]:53']}\ntimeouts: {connect: 1s}\n";
	static const char BYTES[] = "[]{}:,&*!-?|>'\"%@`#\n\t ~a1.\\\xff\xc3\0";
	uint64_t seed = 42;
	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char text[sizeof GOOD];
		struct buf why = BUF_INIT(8192);
		struct config *c = NULL;
		memcpy(text, GOOD, sizeof GOOD);
		for (size_t edits = 1 + next_random(&seed) % 4; edits; edits--)
			text[next_random(&seed) % (sizeof GOOD - 1)] = BYTES[next_random(&seed) % (sizeof BYTES)];
		err_t err = config_load_text("f", text, sizeof GOOD - 1, &c, &why);
		if (err) {
			assert_int_equal(err, ERR_INVALID);
			assert_memory_equal(buf_str(&why), "f:", 2);
		}
		config_free(c);
		buf_free(&why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(listens_on_this_machine_only),
		cmocka_unit_test(every_error_has_its_line),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(a_deep_or_huge_text_ends_soon),
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(damaged_files_are_read_or_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
