#include "server/dns/resolver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "server/base/clock.h"
#include "server/dns/query.h"

enum { ROUTE_TTL_MIN_MS = 60 * 1000, ROUTE_TTL_MAX_MS = 24 * 3600 * 1000 };
enum family { FAMILY_V6, FAMILY_V4, FAMILIES }; /* the order of a host's addresses */
static const enum dns_type ADDRESS_TYPE[FAMILIES] = { [FAMILY_V6] = DNS_AAAA, [FAMILY_V4] = DNS_A };

/* One lookup, over as many queries as its aliases need. */
struct step {
	struct query_wait wait;
	struct search *search;
	enum dns_type type;
	unsigned cname_count;
	void (*done)(struct step *, const struct query_result *);
	/* of an address lookup: */
	bool failed;
	unsigned count;
	struct ip address[ROUTE_ADDRESSES_MAX];
};

/* The search for the route of one domain, for all who wait for it. */
struct search {
	UT_hash_handle hh; /* in the table until it is finished */
	TAILQ_ENTRY(search) entry;
	struct resolver *resolver;
	struct route_wait *waiters;
	char domain[DOMAIN_SIZE];
	bool finished;
	bool out_of_memory;
	struct deadline limit; /* armed until it is finished */
	bool unsure;	       /* a lookup failed that might have added to the route */
	int64_t expires_ms;    /* monotonic, the earliest */
	unsigned pending;      /* address lookups */
	struct route *route;
	struct step mx;
	struct step address[ROUTE_HOSTS_MAX][FAMILIES];
};
TAILQ_HEAD(search_list, search);

struct resolver {
	struct loop *loop;
	int limit_ms;
	struct queries *queries;
	struct search *table;
	struct search_list running, finished;
	struct mail tell; /* deferred while tell_due */
	bool tell_due, telling, freed;
};

static void tell(struct mail *);

/* ---- the end of a search ---- */

static void finish(struct search *s)
{
	struct resolver *r = s->resolver;
	HASH_DEL(r->table, s);
	TAILQ_REMOVE(&r->running, s, entry);
	TAILQ_INSERT_TAIL(&r->finished, s, entry);
	s->finished = true;
	deadline_disarm(r->loop, &s->limit);
	if (!r->tell_due) {
		r->tell_due = true;
		loop_defer(r->loop, &r->tell, tell);
	}
}

static void fail_for_memory(struct search *s)
{
	s->out_of_memory = true;
	finish(s);
}

static bool make_route(struct search *s, unsigned hosts)
{
	s->route = calloc(1, route_size(hosts));
	if (!s->route)
		return false;
	s->route->host_count = (uint8_t)hosts;
	return true;
}

static void set_times(struct search *s)
{
	struct route *route = s->route;
	route->learned_ms = route->expires_ms = clock_wall_ms();
	if (route->status == ROUTE_FAILURE)
		return;
	int64_t in_ms = s->expires_ms - clock_mono_ms();
	if (in_ms < ROUTE_TTL_MIN_MS || s->unsure)
		in_ms = ROUTE_TTL_MIN_MS;
	route->expires_ms += in_ms < ROUTE_TTL_MAX_MS ? in_ms : ROUTE_TTL_MAX_MS;
}

static void finish_with(struct search *s, enum route_status status)
{
	if (!s->route && !make_route(s, 0)) {
		fail_for_memory(s);
		return;
	}
	s->route->status = status;
	set_times(s);
	finish(s);
}

static void search_free(struct search *s)
{
	struct resolver *r = s->resolver;
	if (s->finished) {
		TAILQ_REMOVE(&r->finished, s, entry);
	} else {
		TAILQ_REMOVE(&r->running, s, entry);
		HASH_DEL(r->table, s);
		deadline_disarm(r->loop, &s->limit);
	}
	query_cancel(&s->mx.wait);
	for (int h = 0; h < ROUTE_HOSTS_MAX; h++)
		for (int f = 0; f < FAMILIES; f++)
			query_cancel(&s->address[h][f].wait);
	while (s->waiters)
		route_wait_cancel(s->waiters);
	free(s->route);
	free(s);
}

/* ---- lookups ---- */

static void on_result(struct query_wait *, const struct query_result *);

static err_t step_ask(struct step *step, const char *name)
{
	step->wait.done = on_result;
	return query_ask(step->search->resolver->queries, name, step->type, &step->wait);
}

static const struct query_result FAILED = { .kind = ANSWER_FAILURE };
static const struct query_result NO_MEMORY = { .kind = ANSWER_FAILURE, .out_of_memory = true };

static void on_result(struct query_wait *w, const struct query_result *result)
{
	struct step *step = (struct step *)((char *)w - offsetof(struct step, wait));
	struct search *s = step->search;
	step->cname_count += result->cname_count;
	if (result->kind != ANSWER_FAILURE && result->expires_ms < s->expires_ms)
		s->expires_ms = result->expires_ms;
	if (step->cname_count > ANSWER_CNAME_MAX)
		result = &FAILED;
	if (result->kind != ANSWER_CNAME) {
		step->done(step, result);
		return;
	}
	if (!answer_host_name_ok(result->target)) {
		step->done(step, &FAILED);
		return;
	}
	if (step_ask(step, result->target))
		step->done(step, &NO_MEMORY);
}

/* ---- addresses ---- */

static void set_host(struct route_host *host, const struct step family[FAMILIES])
{
	unsigned taken[FAMILIES] = { 0 };
	while (host->address_count < ROUTE_ADDRESSES_MAX) {
		unsigned before = host->address_count;
		for (int f = 0; f < FAMILIES && host->address_count < ROUTE_ADDRESSES_MAX; f++)
			if (taken[f] < family[f].count)
				host->address[host->address_count++] = family[f].address[taken[f]++];
		if (host->address_count == before)
			break;
	}
	if (host->address_count)
		host->status = ROUTE_FOUND;
	else if (family[FAMILY_V6].failed || family[FAMILY_V4].failed)
		host->status = ROUTE_FAILURE;
	else
		host->status = ROUTE_NO_MAIL_HOST;
}

static void finish_addresses(struct search *s)
{
	enum route_status status = ROUTE_NO_MAIL_HOST;
	if (s->out_of_memory) {
		finish(s);
		return;
	}
	for (unsigned h = 0; h < s->route->host_count; h++) {
		struct route_host *host = &s->route->host[h];
		set_host(host, s->address[h]);
		if (host->status == ROUTE_FOUND || (host->status == ROUTE_FAILURE && status != ROUTE_FOUND))
			status = host->status;
	}
	finish_with(s, status);
}

static void on_addresses(struct step *step, const struct query_result *result)
{
	struct search *s = step->search;
	if (result->out_of_memory)
		s->out_of_memory = true;
	if (result->kind == ANSWER_FAILURE)
		step->failed = s->unsure = true;
	if (result->kind == ANSWER_FOUND) {
		step->count = result->count;
		memcpy(step->address, result->address, result->count * sizeof(step->address[0]));
	}
	if (--s->pending == 0)
		finish_addresses(s);
}

/* All at once; pending counts this function too, so that the end is reached once. */
static void ask_addresses(struct search *s)
{
	s->pending = 1;
	for (unsigned h = 0; h < s->route->host_count; h++) {
		for (int f = 0; f < FAMILIES; f++) {
			struct step *step = &s->address[h][f];
			*step = (struct step){ .search = s, .type = ADDRESS_TYPE[f], .done = on_addresses };
			if (!answer_host_name_ok(s->route->host[h].name))
				continue; /* no addresses: a host with such a name cannot be */
			s->pending++;
			if (step_ask(step, s->route->host[h].name))
				on_addresses(step, &NO_MEMORY);
		}
	}
	if (--s->pending == 0)
		finish_addresses(s);
}

/* ---- mail hosts ---- */

static void take_mail_hosts(struct search *s, const struct query_result *result)
{
	if (!make_route(s, result->count)) {
		fail_for_memory(s);
		return;
	}
	for (unsigned i = 0; i < result->count; i++) {
		struct route_host *host = &s->route->host[i];
		host->preference = result->mx[i].preference;
		memcpy(host->name, result->mx[i].name, sizeof(host->name));
	}
	ask_addresses(s);
}

/* RFC 5321 5.1: only a domain that has no MX at all is its own mail host. */
static void take_implicit(struct search *s)
{
	if (!make_route(s, 1)) {
		fail_for_memory(s);
		return;
	}
	s->route->implicit = true;
	memcpy(s->route->host[0].name, s->domain, sizeof(s->domain));
	ask_addresses(s);
}

static void on_mx(struct step *step, const struct query_result *result)
{
	struct search *s = step->search;
	if (result->out_of_memory) {
		fail_for_memory(s);
		return;
	}
	if (!s->waiters) { /* all cancelled: the addresses would be for nobody */
		search_free(s);
		return;
	}
	switch (result->kind) {
	case ANSWER_FOUND:
		if (result->count)
			take_mail_hosts(s, result);
		else
			finish_with(s, ROUTE_NULL_MX);
		return;
	case ANSWER_NODATA: take_implicit(s); return;
	case ANSWER_NXDOMAIN: finish_with(s, ROUTE_NOT_FOUND); return;
	case ANSWER_CNAME: /* step followed it */
	case ANSWER_FAILURE: finish_with(s, ROUTE_FAILURE); return;
	}
}

static void on_limit(struct deadline *d)
{
	struct search *s = (struct search *)((char *)d - offsetof(struct search, limit));
	if (s->mx.wait.waiting) {
		query_cancel(&s->mx.wait);
		finish_with(s, ROUTE_FAILURE);
		return;
	}
	for (int h = 0; h < ROUTE_HOSTS_MAX; h++) {
		for (int f = 0; f < FAMILIES; f++) {
			struct step *step = &s->address[h][f];
			if (!step->wait.waiting)
				continue;
			query_cancel(&step->wait);
			step->failed = s->unsure = true;
		}
	}
	finish_addresses(s);
}

/* ---- waiters ---- */

static void add_waiter(struct search *s, struct route_wait *w)
{
	w->next = s->waiters;
	w->prev = &s->waiters;
	if (w->next)
		w->next->prev = &w->next;
	s->waiters = w;
}

void route_wait_cancel(struct route_wait *w)
{
	if (!w->prev)
		return;
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->next = NULL;
	w->prev = NULL;
}

static struct route *route_copy(const struct route *route)
{
	size_t size = route ? route_size(route->host_count) : 0;
	struct route *out = size ? malloc(size) : NULL;
	if (out)
		memcpy(out, route, size);
	return out;
}

/* Any waiter may cancel others, ask anew or free the resolver. */
static void tell(struct mail *m)
{
	struct resolver *r = (struct resolver *)((char *)m - offsetof(struct resolver, tell));
	struct search *s;
	struct route_wait *w;
	r->tell_due = false;
	r->telling = true;
	while (!r->freed && (s = TAILQ_FIRST(&r->finished))) {
		while (!r->freed && (w = s->waiters)) {
			route_wait_cancel(w);
			w->done(w, s->out_of_memory ? NULL : route_copy(s->route));
		}
		if (!r->freed)
			search_free(s);
	}
	r->telling = false;
	if (r->freed && !r->tell_due)
		free(r);
}

static struct search *search_new(struct resolver *r, const char *domain, size_t len)
{
	struct search *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->resolver = r;
	s->expires_ms = INT64_MAX;
	memcpy(s->domain, domain, len);
	s->mx = (struct step){ .search = s, .type = DNS_MX, .done = on_mx };
	HASH_ADD(hh, r->table, domain, len, s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&r->running, s, entry);
	if (deadline_arm(r->loop, &s->limit, r->limit_ms, on_limit) || step_ask(&s->mx, domain)) {
		search_free(s);
		return NULL;
	}
	return s;
}

err_t resolver_route(struct resolver *r, const char *domain, struct route_wait *w)
{
	struct search *s;
	size_t len = strlen(domain);
	if (!answer_host_name_ok(domain))
		return ERR_INVALID;
	HASH_FIND(hh, r->table, domain, len, s);
	if (!s) {
		s = search_new(r, domain, len);
		if (!s)
			return ERR_NOMEM;
	}
	add_waiter(s, w);
	return ERR_OK;
}

/* ---- life ---- */

err_t resolver_new(struct loop *loop, const struct resolver_options *options, struct resolver **out)
{
	static const struct resolver_options DEFAULTS;
	struct resolver *r = calloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	r->loop = loop;
	r->limit_ms = options && options->limit_ms > 0 ? options->limit_ms : RESOLVER_LIMIT_MS;
	TAILQ_INIT(&r->running);
	TAILQ_INIT(&r->finished);
	err_t err = queries_new(loop, options ? options : &DEFAULTS, &r->queries);
	if (err) {
		free(r);
		return err;
	}
	*out = r;
	return ERR_OK;
}

void resolver_free(struct resolver *r)
{
	struct search *s;
	if (!r)
		return;
	while ((s = TAILQ_FIRST(&r->running)) || (s = TAILQ_FIRST(&r->finished)))
		search_free(s);
	queries_free(r->queries);
	r->freed = true;
	if (!r->tell_due && !r->telling)
		free(r);
}
