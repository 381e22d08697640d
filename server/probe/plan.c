#include "server/probe/plan.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/text.h"

struct host_order {
	const struct route_host *host;
	unsigned rank; /* among equals: lower first */
};

static int by_preference(const void *a, const void *b)
{
	const struct host_order *x = a, *y = b;
	if (x->host->preference != y->host->preference)
		return x->host->preference < y->host->preference ? -1 : 1;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* Greylisting keys on the source: the same one for a domain each time. */
static const struct config_source *choose_source(const struct config *config, const char *domain, bool v6)
{
	const struct config_source *fit[CONFIG_SOURCES];
	unsigned n = 0;
	for (size_t i = 0; i < config->n_sources; i++) {
		const struct config_source *s = &config->sources[i];
		if (s->any ? !v6 : s->ip.v6 == v6)
			fit[n++] = s;
	}
	return n ? fit[text_hash(domain) % n] : NULL;
}

struct making {
	const struct guard *guard;
	const struct rules *rules;
	const struct config_source *source[2]; /* IPv4, IPv6 */
	uint16_t best;
	bool forbidden, sourceless, failed;
};

static void add_host(struct plan *p, struct making *m, const struct route_host *host)
{
	unsigned before = p->hop_count;
	bool sourceless = false;
	if (host->status == ROUTE_FAILURE)
		m->failed = true;
	for (int v6 = 1; v6 >= 0; v6--)
		for (unsigned i = 0; i < host->address_count; i++) {
			const struct ip *ip = &host->address[i];
			if (ip->v6 != v6)
				continue;
			if (!guard_may_contact(m->guard, ip)) {
				m->forbidden = true;
			} else if (!m->source[v6]) {
				sourceless = true;
			} else {
				struct hop *hop = &p->hop[p->hop_count++];
				text_copy(hop->host, sizeof hop->host, host->name);
				rules_operator(m->rules, host->name, hop->operator_name, sizeof hop->operator_name);
				hop->ip = *ip;
				hop->source = m->source[v6];
				hop->best = host->preference == m->best;
			}
		}
	m->sourceless |= sourceless;
	p->incomplete |= p->hop_count == before && (sourceless || host->status == ROUTE_FAILURE);
}

/* Nobody can be asked: what stands in the way. What may be gone tomorrow goes before what lasts. */
static enum reason why_not(const struct making *m)
{
	if (m->failed)
		return REASON_DNS_FAILURE;
	if (m->sourceless)
		return REASON_NO_EGRESS;
	return m->forbidden ? REASON_UNROUTABLE_HOST : REASON_NO_MAIL_HOST;
}

struct plan *plan_new(const char *domain, const struct route *route, const struct catch_all_fact *fact,
	const char *control, const struct guard *guard, const struct rules *rules, const struct config *config,
	unsigned seed)
{
	size_t addresses = 0;
	for (unsigned i = 0; i < route->host_count; i++)
		addresses += route->host[i].address_count;
	struct plan *p = calloc(1, sizeof *p + addresses * sizeof(struct hop));
	if (!p)
		return NULL;
	atomic_init(&p->refs, 1);
	text_copy(p->domain, sizeof p->domain, domain);
	text_copy(p->control, sizeof p->control, control);
	if (fact) {
		p->has_fact = true;
		p->fact = *fact;
	}
	struct host_order order[ROUTE_HOSTS_MAX];
	for (unsigned i = 0; i < route->host_count; i++) {
		bool knows = fact && !fact->accepts_all && strcmp(fact->host, route->host[i].name) == 0;
		order[i].host = &route->host[i];
		order[i].rank = knows ? 0 : 1 + (unsigned)rand_r(&seed) % 1000000u;
	}
	qsort(order, route->host_count, sizeof *order, by_preference);
	struct making m = {
		.guard = guard,
		.rules = rules,
		.source = { choose_source(config, domain, false), choose_source(config, domain, true) },
		.best = route->host_count ? order[0].host->preference : 0,
	};
	for (unsigned i = 0; i < route->host_count; i++)
		add_host(p, &m, order[i].host);
	if (!p->hop_count)
		p->why_not = why_not(&m);
	return p;
}

struct plan *plan_ref(struct plan *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void plan_unref(struct plan *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
}

unsigned plan_next(const struct plan *p, unsigned at, const char *skip_host, const char *skip_operator)
{
	for (unsigned i = at + 1; i < p->hop_count; i++) {
		if (skip_host && strcmp(p->hop[i].host, skip_host) == 0)
			continue;
		if (skip_operator && strcmp(p->hop[i].operator_name, skip_operator) == 0)
			continue;
		return i;
	}
	return p->hop_count;
}
