#include "tests/property/internet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "server/base/buf.h"

#define HOSTS_MAX 24
#define COUNT(array) ((unsigned)(sizeof(array) / sizeof *(array)))

/* ---- mail hosts ---- */

enum {
	LIES = 1,    /* may accept who is not there, or refuse who is */
	TIMED = 2,   /* takes time, or its answers depend on it */
	ORDERED = 4, /* what it says depends on who was asked before, in other sessions too */
	BEHAVES = 8,
};

/* "@" stands for a phase. */
static const struct kind {
	const char *keys;
	unsigned weight, flags;
} HOST[] = {
	{ "persona: normal", 8, BEHAVES },
	{ "persona: normal, latency_ms: 12", 4, TIMED },
	{ "persona: accept-all", 2, LIES },
	{ "persona: greylist, after_ms: 3600000", 1, 0 },
	{ "persona: greylist, after_ms: 20", 1, TIMED },
	{ "persona: no-pipelining", 1, BEHAVES },
	{ "persona: breaks-pipelining", 1, ORDERED },
	{ "persona: no-ehlo", 1, BEHAVES },
	{ "persona: no-helo", 1, 0 },
	{ "persona: smtputf8", 1, BEHAVES },
	{ "persona: one-recipient", 1, ORDERED },
	{ "persona: lists-us, phase: banner", 1, 0 },
	{ "persona: lists-us, phase: mail", 1, 0 },
	{ "persona: lists-us, phase: rcpt", 1, 0 },
	{ "persona: lists-us, phase: rcpt, clients: [127.0.0.2]", 1, ORDERED },
	{ "persona: turns-550, from: 3", 1, ORDERED },
	{ "persona: turns-accepting, after_unknown: 2", 1, LIES | ORDERED },
	{ "persona: counts-unknown, after_unknown: 3, blocks_by: refuse", 1, ORDERED },
	{ "persona: counts-unknown, after_unknown: 3, blocks_by: close", 1, ORDERED },
	{ "persona: counts-unknown, after_unknown: 3, blocks_by: accept", 1, LIES | ORDERED },
	{ "persona: refuses, phase: @", 1, 0 },
	{ "persona: tempfail, phase: @", 2, 0 },
	{ "persona: hangup, phase: @", 2, ORDERED },
	{ "persona: closes, phase: @", 2, ORDERED },
	{ "persona: resets, phase: @", 2, ORDERED },
	{ "persona: silent, phase: @", 2, TIMED },
	{ "persona: tarpit, reply_delay_ms: 5, unknown_delay_ms: 60", 1, TIMED },
	{ "persona: drip, drip_ms: 1", 1, TIMED },
	{ "persona: drip, drip_ms: 200", 1, TIMED },
	{ "persona: late-banner, banner_delay_ms: 60, banner_teaser: \"220-wait\"", 1, TIMED },
	{ "persona: late-banner, banner_delay_ms: 5000", 1, TIMED },
	{ "persona: endless-banner, every_ms: 5", 1, TIMED },
	{ "persona: endless-reply, every_ms: 5, phase: @", 1, TIMED },
	{ "persona: hangs-after-quit", 1, TIMED },
	{ "persona: speaks-ahead, phase: @", 1, LIES | ORDERED },
	{ "persona: junk, phase: @", 1, LIES | ORDERED },
	{ "persona: mixed-codes", 1, LIES },
	{ "persona: bare-lf", 1, ORDERED },
	{ "persona: binary", 1, LIES },
	{ "persona: code-3yz, phase: @", 1, 0 },
	{ "persona: code-999, phase: @", 1, 0 },
	{ "persona: long-lines", 1, ORDERED },
	{ "persona: tls", 3, BEHAVES },
	{ "persona: tls-required", 1, BEHAVES },
	{ "persona: tls-fails", 1, ORDERED },
	{ "persona: tls-garbage, tls: required", 1, ORDERED },
	{ "persona: tls-closes", 1, ORDERED },
	{ "persona: tls-silent", 1, TIMED },
	{ "persona: tls-resets", 1, ORDERED },
	{ "persona: tls-injects", 1, ORDERED },
	{ "persona: tls-old", 1, ORDERED },
	{ "persona: tls-other", 1, BEHAVES },
	{ "persona: tls-expired", 1, BEHAVES },
	{ "dead: true", 2, 0 },
	{ "faults: [*]", 6, TIMED | LIES },
	{ "faults: [*, *]", 4, TIMED | LIES },
	{ "persona: tls, faults: [*, *, *]", 3, TIMED | LIES },
};

static const char *const PHASE[] = { "banner", "ehlo", "mail", "rcpt", "rset", "quit", "rcpt", "mail" };
static const char *const REPLY[] = {
	"reply: \"421 4.3.2 $host closing\"",
	"reply: \"450 4.2.0 try later\"",
	"reply: \"451 4.7.1 Greylisted, come back in 300 seconds\"",
	"reply: \"452 4.5.3 too many recipients\"",
	"reply: \"452 4.2.2 over quota\"",
	"reply: \"554 5.7.1 your address is blocked\"",
	"reply: \"550 5.1.1 <$rcpt>: no such user\"",
	"reply: \"550 5.7.23 SPF says no\"",
	"reply: \"530 5.7.0 Must issue a STARTTLS command first\"",
	"reply: \"503 5.5.1 bad sequence of commands\"",
	"reply: \"500 what?\"",
	"reply: \"252 2.1.5 cannot tell\"",
	"reply: \"250 2.0.0 fine\"",
	"reply: [\"250-first\", \"550 last\"]",
	"raw: '25'",
	"raw: '\\r\\n'",
	"raw: '250 ok\\r\\n250 ok\\r\\n550 5.1.1 no\\r\\n'",
	"raw: '250-\\x00\\xff\\r\\n250 \\x1b[2J\\r\\n'",
	"raw: 'HTTP/1.1 400 Bad Request\\r\\n\\r\\n'",
	"delay_ms: 30",
};
static const char *const THEN[] = { "go_on", "go_on", "go_on", "close", "reset", "silent", "add" };
static const char *const WHICH[] = { "", ", nth: 2", ", from: 2", ", connections: 1", ", only: [\"u*\"]", ", over: tls",
	", except: [\"u*\"]" };

static const char *one_of(struct random *r, const char *const *text, unsigned n)
{
	return text[random_below(r, n)];
}

static void write_fault(FILE *f, struct random *r)
{
	const char *reply = one_of(r, REPLY, COUNT(REPLY));
	const char *then = strncmp(reply, "delay", 5) == 0 ? "go_on" : one_of(r, THEN, COUNT(THEN));
	bool reset = strcmp(then, "reset") == 0; /* goes without a reply */
	fprintf(f, "{phase: %s, %s%sthen: %s%s}", one_of(r, PHASE, COUNT(PHASE)), reset ? "" : reply, reset ? "" : ", ",
		then, one_of(r, WHICH, COUNT(WHICH)));
}

static const struct kind *draw_kind(struct random *r, bool timeless)
{
	unsigned all = 0;
	for (unsigned i = 0; i < COUNT(HOST); i++)
		all += HOST[i].weight;
	for (;;) {
		unsigned at = random_below(r, all), i = 0;
		while (at >= HOST[i].weight)
			at -= HOST[i++].weight;
		if (!timeless || !(HOST[i].flags & (TIMED | ORDERED)))
			return &HOST[i];
	}
}

struct host {
	char name[64];
	unsigned flags;
	bool taken; /* timeless: one domain each, or who came first would matter */
};

static void write_host(FILE *f, struct random *r, struct host *h, unsigned i, bool timeless)
{
	const struct kind *k = draw_kind(r, timeless);
	unsigned op = timeless ? i : random_below(r, 8);
	h->flags = k->flags;
	h->taken = false;
	snprintf(h->name, sizeof h->name, "mx%u.op%u.test", i, op);
	fprintf(f, "  %s: {", h->name);
	if (random_once_in(r, 25)) {
		fprintf(f, "addresses: [10.9.8.%u]", i);
		h->flags = 0;
	} else if (!timeless && random_once_in(r, 12)) {
		fprintf(f, "addresses: [10.9.8.%u, 127.31.0.%u, 127.31.1.%u]", i, i + 1, i + 1);
	} else {
		fprintf(f, "addresses: [127.31.0.%u]", i + 1);
	}
	fputs(", ", f);
	for (const char *c = k->keys; *c; c++) {
		if (*c == '@')
			fputs(one_of(r, PHASE, timeless ? 4 : COUNT(PHASE)), f);
		else if (*c == '*')
			write_fault(f, r);
		else
			fputc(*c, f);
	}
	fputs("}\n", f);
}

/* Other names of one machine, of many operators: courtesy is owed to it too. */
static unsigned write_names(FILE *f, struct random *r, struct host *host, unsigned hosts, bool timeless)
{
	unsigned n = timeless ? 0 : random_below(r, HOSTS_MAX - hosts + 1), machine = random_below(r, hosts);
	fputs("names:\n  gone.op1.test: {nxdomain: true}\n", f);
	for (unsigned i = hosts; i < hosts + n; i++) {
		unsigned of = random_once_in(r, 4) ? random_below(r, hosts) : machine;
		host[i].flags = host[of].flags & LIES;
		snprintf(host[i].name, sizeof host[i].name, "mx%u.vanity%u.test", i, i);
		fprintf(f, "  %s: {addresses: [127.31.0.%u]}\n", host[i].name, of + 1);
	}
	return hosts + n;
}

/* ---- domains ---- */

/* Whole names: a pattern might fit the random control. */
static const char MAILBOXES[] =
	"mailboxes: [u0, u1, u2, u3, u4, u5, u6, u7, u8], replies: {full: \"452 4.2.2 <$rcpt>: over quota\", "
	"old7: \"550 5.2.1 <$rcpt>: account disabled\", "
	"busy: \"450 4.2.1 The user you are trying to contact is receiving mail too quickly\"}";

/* What DNS says instead of a list of mail hosts, or beside one. */
static const struct kind DNS[] = {
	{ "null_mx: true", 1, 0 },
	{ "nxdomain: true", 1, 0 },
	{ "servfail: true", 1, 0 },
	{ "no_mx: true", 1, 0 },
	{ "no_mx: true, addresses: [127.31.0.1]", 1, 0 },
	{ "no_mx: true, addresses: [127.31.2.1]", 1, 0 },
	{ "mx: gone.op1.test", 1, 0 },
	{ "mx: %, wrong: truncated", 1, 0 },
	{ "mx: %, wrong: [truncated, tcp_closed]", 1, ORDERED },
	{ "mx: %, wrong: owner", 1, 0 },
	{ "mx: %, wrong: [id, port, question], then_right: true", 1, 0 },
	{ "mx: %, wrong: loop", 1, 0 },
	{ "mx: %, wrong: data_loop", 1, 0 },
	{ "mx: %, wrong: formerr_edns", 1, 0 },
	{ "mx: %, wrong: refused", 1, 0 },
	{ "mx: %, wrong: cut", 1, 0 },
	{ "mx: %, ttl: 0", 1, 0 },
	{ "mx: %, delay_ms: 80", 1, TIMED },
	{ "mx: [%, %, %, %]", 1, ORDERED },
};

static struct host *draw_host(struct random *r, struct host *host, unsigned hosts, bool timeless)
{
	struct host *h = &host[random_below(r, hosts)];
	for (unsigned i = 0; timeless && h->taken && i < hosts; i++)
		h = &host[i];
	if (timeless && h->taken)
		return NULL;
	h->taken = true;
	return h;
}

static void write_special_domain(
	FILE *f, struct random *r, struct farm_domain *d, struct host *host, unsigned hosts, bool timeless)
{
	const struct kind *k;
	do
		k = &DNS[random_below(r, COUNT(DNS))];
	while (timeless && k->flags);
	for (const char *c = k->keys; *c; c++) {
		if (*c != '%') {
			fputc(*c, f);
			continue;
		}
		struct host *h = draw_host(r, host, hosts, timeless);
		fputs(h ? h->name : "gone.op1.test", f);
		d->lies |= h && h->flags & LIES;
	}
	d->lies |= strstr(k->keys, "addresses") != NULL; /* whichever host that is */
}

static void write_domain(
	FILE *f, struct random *r, struct farm_domain *d, struct host *host, unsigned hosts, bool timeless)
{
	fprintf(f, "  %s: {", d->name);
	if (random_once_in(r, 4)) {
		write_special_domain(f, r, d, host, hosts, timeless);
	} else {
		unsigned n = random_once_in(r, 2) ? 1 : 1 + random_below(r, 4);
		fputs("mx: [", f);
		for (unsigned i = 0; i < n; i++) {
			struct host *h = draw_host(r, host, hosts, timeless);
			fprintf(f, "%s{preference: %u, host: %s}", i ? ", " : "", 10 + 10 * random_below(r, 3),
				h ? h->name : "gone.op1.test");
			d->lies |= h && h->flags & LIES;
			d->plain = n == 1 && h && h->flags & BEHAVES;
		}
		fputc(']', f);
	}
	fprintf(f, ", %s}\n", MAILBOXES);
}

static void name_domains(struct internet *in, struct random *r, bool timeless)
{
	in->domains = 8 + random_below(r, timeless ? 9 : DOMAINS_MAX - 8);
	for (unsigned i = 0; i < in->domains; i++) {
		struct farm_domain *d = &in->domain[i];
		const char *parent = i && random_once_in(r, 6) ? in->domain[random_below(r, i)].name : "asked.test";
		snprintf(d->name, sizeof d->name, "d%u.%.50s", i, strlen(parent) < 40 ? parent : "asked.test");
		d->granted_from = NEVER;
		d->exempt = random_once_in(r, 10);
	}
	for (unsigned i = 0; i < in->domains; i++) /* what is below an exempt domain is exempt */
		for (unsigned j = 0; j < i; j++)
			in->domain[i].exempt |=
				in->domain[j].exempt && domain_is_within(in->domain[i].name, in->domain[j].name);
}

void internet_make(struct internet *in, struct random *r, const char *folder, bool timeless)
{
	struct host host[HOSTS_MAX];
	unsigned hosts = timeless ? HOSTS_MAX : 4 + random_below(r, HOSTS_MAX - 4);
	memset(in, 0, sizeof *in);
	snprintf(in->description, sizeof in->description, "%s/world.yaml", folder);
	snprintf(in->record, sizeof in->record, "%s/world.jsonl", folder);
	remove(in->record); /* it is appended to */
	FILE *f = fopen(in->description, "w");
	assert_non_null(f);
	fprintf(f, "listen: {dns: \"127.0.0.53:0\", smtp_port: 0, control: \"127.0.0.1:0\"}\nrecord: %s\nhosts:\n",
		in->record);
	for (unsigned i = 0; i < hosts; i++)
		write_host(f, r, &host[i], i, timeless);
	hosts = write_names(f, r, host, hosts, timeless);
	fputs("domains:\n", f);
	name_domains(in, r, timeless);
	for (unsigned i = 0; i < in->domains; i++)
		write_domain(f, r, &in->domain[i], host, hosts, timeless);
	assert_int_equal(fclose(f), 0);
}

/* ---- addresses ---- */

bool local_exists(const char *local)
{
	return local[0] == 'u' || local[0] == 'U';
}

bool local_is_nobody(const char *local)
{
	return strncmp(local, "no", 2) == 0;
}

void internet_address(const struct internet *in, struct random *r, char *out, size_t room, int *domain)
{
	static const char *const ODD[] = { "full", "old7", "busy", "U1", "postmaster", "\"no such\"", "j\xc3\xb6rg",
		"no+tag", "a.b.c" };
	char local[64];
	if (random_once_in(r, 5))
		snprintf(local, sizeof local, "%s", one_of(r, ODD, COUNT(ODD)));
	else
		snprintf(local, sizeof local, "%s%u", random_once_in(r, 2) ? "u" : "no", random_below(r, 9));
	*domain = random_once_in(r, 30) ? -1 : (int)random_below(r, in->domains);
	snprintf(out, room, "%s@%s", local, *domain < 0 ? "who.knows.test" : in->domain[*domain].name);
}

/* ---- the record ---- */

size_t internet_record_end(const struct internet *in)
{
	struct stat st;
	assert_int_equal(stat(in->record, &st), 0);
	return (size_t)st.st_size;
}

/* The text of a field of a line, to its quote (escapes stay as they are). "" when it has none. */
static const char *field(const char *line, const char *key, char *out, size_t room)
{
	char start[40];
	snprintf(start, sizeof start, ",\"%s\":\"", key);
	const char *at = strstr(line, start);
	size_t n = 0;
	for (at = at ? at + strlen(start) : ""; *at && *at != '"' && n + 1 < room; n++) {
		if (*at == '\\' && at[1] && n + 2 < room)
			out[n++] = *at++;
		out[n] = *at++;
	}
	out[n] = 0;
	return out;
}

static void check_rcpt(const struct internet *in, const char *line, size_t offset)
{
	char arg[1024], *domain, *end;
	field(line, "arg", arg, sizeof arg);
	domain = strrchr(arg, '@');
	end = strrchr(arg, '>');
	assert_non_null(domain);
	assert_non_null(end);
	*end = 0;
	for (unsigned i = 0; i < in->domains; i++) {
		const struct farm_domain *d = &in->domain[i];
		if (!domain_is_within(domain + 1, d->name))
			continue;
		if (d->exempt || offset >= d->granted_from)
			fail_msg("%s is exempt and was asked about: %s", d->name, line);
	}
}

static void check_line(const char *line)
{
	static const char EIGHT[] = " EHLO HELO STARTTLS MAIL RCPT RSET NOOP QUIT ";
	char verb[64], raw[4096], padded[80];
	field(line, "verb", verb, sizeof verb);
	field(line, "raw", raw, sizeof raw);
	snprintf(padded, sizeof padded, " %s ", verb);
	size_t n = strlen(raw);
	bool whole = n >= 4 && strcmp(raw + n - 4, "\\r\\n") == 0;
	raw[whole ? n - 4 : 0] = 0;
	if (!whole || !verb[0] || !strstr(EIGHT, padded) || strstr(raw, "\\r") || strstr(raw, "\\n") ||
		strstr(raw, "\\u000") || strstr(raw, "\\u001"))
		fail_msg("no command of ours: %s", line);
}

static void check_dns(const struct internet *in, const char *line)
{
	char name[512];
	field(line, "name", name, sizeof name);
	for (unsigned i = 0; i < in->domains; i++)
		if (in->domain[i].exempt && domain_is_within(name, in->domain[i].name))
			fail_msg("exempt and looked up: %s", line);
}

unsigned internet_check_record(const struct internet *in)
{
	FILE *f = fopen(in->record, "r");
	char *line = NULL;
	size_t room = 0, offset = 0;
	unsigned rcpts = 0, connects = 0, closes = 0;
	assert_non_null(f);
	for (ssize_t n; (n = getline(&line, &room, f)) > 0; offset += (size_t)n) {
		if (strstr(line, "\"event\":\"line\"")) {
			check_line(line);
			if (strstr(line, ",\"verb\":\"RCPT\"")) {
				rcpts++;
				check_rcpt(in, line, offset);
			}
		}
		if (strstr(line, "\"event\":\"dns\""))
			check_dns(in, line);
		connects += strstr(line, "\"event\":\"connect\"") != NULL;
		closes += strstr(line, "\"event\":\"close\"") != NULL;
		if (strstr(line, "\"by\":\"world\""))
			fail_msg("still open at the end: %s", line);
	}
	free(line);
	fclose(f);
	assert_int_equal(connects, closes);
	return rcpts;
}
