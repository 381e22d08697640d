#include "tests/world/count.h"

#include <stdlib.h>
#include <string.h>

#include "tests/world/dns.h"
#include "tests/world/json.h"

static const char *const TYPE[COUNT_TYPES] = { "A", "AAAA", "MX", "CNAME", "TXT", "SOA", "PTR", "other" };

void counts_init(struct counts *c, size_t hosts)
{
	memset(c, 0, sizeof *c);
	c->hosts = hosts;
	c->host = calloc(hosts ? hosts : 1, sizeof *c->host);
	if (!c->host)
		abort();
}

static void forget_keys(struct counts *c)
{
	struct count_domain *d, *next_domain;
	struct count_query *q, *next_query;

	HASH_ITER (hh, c->domains, d, next_domain) {
		HASH_DEL(c->domains, d);
		free((char *)d->domain);
		free(d);
	}
	HASH_ITER (hh, c->queries, q, next_query) {
		HASH_DEL(c->queries, q);
		free((char *)q->name);
		free(q);
	}
}

void counts_free(struct counts *c)
{
	forget_keys(c);
	free(c->host);
}

static void zero(struct tally *t)
{
	*t = (struct tally){ .open = t->open, .peak = t->open };
}

void counts_reset(struct counts *c)
{
	forget_keys(c);
	zero(&c->all);
	for (size_t i = 0; i < c->hosts; i++)
		zero(&c->host[i]);
	c->dns_udp = c->dns_tcp = c->dns_bad = 0;
}

static void opened(struct tally *t)
{
	t->connections++;
	t->open++;
	if (t->open > t->peak)
		t->peak = t->open;
}

void counts_open(struct counts *c, unsigned host)
{
	opened(&c->all);
	opened(&c->host[host]);
}

void counts_close(struct counts *c, unsigned host)
{
	c->all.open--;
	c->host[host].open--;
}

static struct count_domain *domain_of(struct counts *c, const char *domain)
{
	struct count_domain *d;

	HASH_FIND_STR(c->domains, domain, d);
	if (d)
		return d;
	if (HASH_COUNT(c->domains) >= COUNT_KEYS_MAX && strcmp(domain, "(others)"))
		return domain_of(c, "(others)");
	d = calloc(1, sizeof *d);
	if (!d || !(d->domain = strdup(domain)))
		abort();
	HASH_ADD_KEYPTR(hh, c->domains, d->domain, strlen(d->domain), d);
	return d;
}

void counts_rcpt(struct counts *c, unsigned host, const char *domain, int code)
{
	struct count_domain *d = domain_of(c, domain);

	d->rcpt += code == 0;
	d->accepted += code == 2;
	d->deferred += code == 4;
	d->refused += code == 5;
	for (int i = 0; i < 2; i++) {
		struct tally *t = i ? &c->host[host] : &c->all;
		t->accepted += code == 2;
		t->deferred += code == 4;
		t->refused += code == 5;
	}
}

static int type_slot(uint16_t type)
{
	static const uint16_t CODE[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_CNAME, DNS_TXT, DNS_SOA, DNS_PTR };

	for (int i = 0; i < COUNT_TYPES - 1; i++)
		if (CODE[i] == type)
			return i;
	return COUNT_TYPES - 1;
}

void counts_dns(struct counts *c, const char *name, uint16_t type, bool tcp)
{
	struct count_query *q;

	*(tcp ? &c->dns_tcp : &c->dns_udp) += 1;
	HASH_FIND_STR(c->queries, name, q);
	if (!q && HASH_COUNT(c->queries) >= COUNT_KEYS_MAX) {
		name = "(others)";
		HASH_FIND_STR(c->queries, name, q);
	}
	if (!q) {
		q = calloc(1, sizeof *q);
		if (!q || !(q->name = strdup(name)))
			abort();
		HASH_ADD_KEYPTR(hh, c->queries, q->name, strlen(q->name), q);
	}
	(tcp ? q->tcp : q->udp)[type_slot(type)]++;
}

static void number(struct buf *out, const char *key, uint64_t value)
{
	buf_printf(out, "\"%s\":%llu,", key, (unsigned long long)value);
}

static void tally_json(struct buf *out, const struct tally *t)
{
	buf_putc(out, '{');
	number(out, "connections", t->connections);
	number(out, "open", t->open);
	number(out, "peak", t->peak);
	number(out, "bytes_in", t->bytes_in);
	number(out, "bytes_out", t->bytes_out);
	number(out, "round_trips", t->round_trips);
	number(out, "accepted", t->accepted);
	number(out, "deferred", t->deferred);
	number(out, "refused", t->refused);
	number(out, "tls", t->tls);
	number(out, "tls_resumed", t->tls_resumed);
	number(out, "tls_failed", t->tls_failed);
	number(out, "plaintext", t->plaintext);
	buf_puts(out, "\"verbs\":{");
	for (int v = 0; v < VERBS; v++)
		buf_printf(
			out, "%s\"%s\":%llu", v ? "," : "", verb_name((enum verb)v), (unsigned long long)t->verbs[v]);
	buf_puts(out, "}}");
}

static void queries_json(struct buf *out, const struct count_query *queries)
{
	for (const struct count_query *q = queries; q; q = q->hh.next) {
		const char *comma = "";
		json_text(out, q->name);
		buf_puts(out, ":{");
		for (int i = 0; i < COUNT_TYPES; i++) {
			if (!q->udp[i] && !q->tcp[i])
				continue;
			buf_printf(out, "%s\"%s\":{\"udp\":%llu,\"tcp\":%llu}", comma, TYPE[i],
				(unsigned long long)q->udp[i], (unsigned long long)q->tcp[i]);
			comma = ",";
		}
		buf_puts(out, q->hh.next ? "}," : "}");
	}
}

void counts_json(struct counts *c, struct buf *out, const char *(*name_of)(void *, unsigned), void *ctx)
{
	buf_puts(out, "{\"all\":");
	tally_json(out, &c->all);
	buf_puts(out, ",\"hosts\":{");
	for (unsigned i = 0; i < c->hosts; i++) {
		json_text(out, name_of(ctx, i));
		buf_putc(out, ':');
		tally_json(out, &c->host[i]);
		if (i + 1 < c->hosts)
			buf_putc(out, ',');
	}
	buf_puts(out, "},\"domains\":{");
	for (const struct count_domain *d = c->domains; d; d = d->hh.next) {
		json_text(out, d->domain);
		buf_printf(out, ":{\"rcpt\":%llu,\"accepted\":%llu,\"deferred\":%llu,\"refused\":%llu}%s",
			(unsigned long long)d->rcpt, (unsigned long long)d->accepted, (unsigned long long)d->deferred,
			(unsigned long long)d->refused, d->hh.next ? "," : "");
	}
	buf_puts(out, "},\"dns\":{");
	number(out, "udp", c->dns_udp);
	number(out, "tcp", c->dns_tcp);
	number(out, "unreadable", c->dns_bad);
	buf_puts(out, "\"queries\":{");
	queries_json(out, c->queries);
	buf_puts(out, "}}}\n");
}
