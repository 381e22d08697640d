/* DomainService. */
#include <stdlib.h>
#include <string.h>

#include "proto/rcptd/v1/domain.pb-c.h"
#include "server/api/internal.h"
#include "server/api/result.h"
#include "server/base/clock.h"
#include "store/facts.h"

/* A route as a message, with all that the message points to. */
struct shown_route {
	Rcptd__V1__Route message;
	Rcptd__V1__MailHost host[ROUTE_HOSTS_MAX], *hosts[ROUTE_HOSTS_MAX];
	char operator_name[ROUTE_HOSTS_MAX][OPERATOR_SIZE];
	char ip[ROUTE_HOSTS_MAX][ROUTE_ADDRESSES_MAX][IP_TEXT_MAX], *ips[ROUTE_HOSTS_MAX][ROUTE_ADDRESSES_MAX];
	Google__Protobuf__Duration age, ttl;
};

static Rcptd__V1__RouteStatus status_of(enum route_status s)
{
	switch (s) {
	case ROUTE_FOUND: return RCPTD__V1__ROUTE_STATUS__ROUTE_STATUS_FOUND;
	case ROUTE_NOT_FOUND: return RCPTD__V1__ROUTE_STATUS__ROUTE_STATUS_DOMAIN_NOT_FOUND;
	case ROUTE_NULL_MX: return RCPTD__V1__ROUTE_STATUS__ROUTE_STATUS_NULL_MX;
	case ROUTE_NO_MAIL_HOST: return RCPTD__V1__ROUTE_STATUS__ROUTE_STATUS_NO_MAIL_HOST;
	case ROUTE_UNSET:
	case ROUTE_FAILURE: break;
	}
	return RCPTD__V1__ROUTE_STATUS__ROUTE_STATUS_FAILURE;
}

static Rcptd__V1__Route *show_route(
	struct shown_route *s, const struct route *r, const struct rules *rules, int64_t now)
{
	rcptd__v1__route__init(&s->message);
	s->message.status = status_of(r->status);
	s->message.implicit = r->implicit;
	s->message.age = result_duration(&s->age, now - r->learned_ms);
	s->message.ttl = result_duration(&s->ttl, r->expires_ms - now);
	for (unsigned i = 0; i < r->host_count; i++) {
		Rcptd__V1__MailHost *h = &s->host[i];
		rcptd__v1__mail_host__init(h);
		h->name = (char *)r->host[i].name;
		h->preference = r->host[i].preference;
		rules_operator(rules, r->host[i].name, s->operator_name[i], OPERATOR_SIZE);
		h->operator_ = s->operator_name[i];
		for (unsigned k = 0; k < r->host[i].address_count; k++)
			s->ips[i][k] = (char *)ip_text(&r->host[i].address[k], s->ip[i][k]);
		h->addresses = s->ips[i];
		h->n_addresses = r->host[i].address_count;
		s->hosts[i] = h;
	}
	s->message.hosts = s->hosts;
	s->message.n_hosts = r->host_count;
	return &s->message;
}

static void reply_domain(struct unary *u, const char *domain)
{
	struct engine *engine = unary_api(u)->engine;
	struct store *store = engine_store(engine);
	int64_t now = clock_wall_ms();
	struct route *route = NULL;
	struct catch_all_fact fact;
	bool has_route = store_route_get(store, domain, &route) == ERR_OK;
	bool has_fact = store_catch_all_get(store, domain, &fact) == ERR_OK;
	bool exempt = engine_is_exempt(engine, unary_shard(u), domain);
	struct shown_route *shown = has_route ? malloc(sizeof *shown) : NULL;
	Google__Protobuf__Duration age;
	Google__Protobuf__Timestamp expires;
	Rcptd__V1__GetDomainResponse r = RCPTD__V1__GET_DOMAIN_RESPONSE__INIT;
	if (!has_route && !has_fact && !exempt) {
		unary_fail(u, RPC_NOT_FOUND, "NOT_KNOWN", "nothing is known of that domain", NULL);
		return;
	}
	r.domain = (char *)domain;
	r.exempt = exempt;
	r.catch_all = RCPTD__V1__CATCH_ALL__CATCH_ALL_UNKNOWN;
	if (shown)
		r.route = show_route(shown, route, engine_rules(engine), now);
	if (has_fact) {
		r.catch_all = result_catch_all(fact.accepts_all ? CATCH_ALL_YES : CATCH_ALL_NO);
		r.catch_all_host = fact.host;
		r.catch_all_age = result_duration(&age, now - fact.learned_ms);
		r.catch_all_expires = result_time(&expires, fact.expires_ms);
	}
	unary_reply(u, &r.base);
	free(shown);
	free(route);
}

static void get_domain(struct unary *u, const uint8_t *msg, size_t len)
{
	Rcptd__V1__GetDomainRequest *r = rcptd__v1__get_domain_request__unpack(NULL, len, msg);
	if (!r) {
		unary_fail(u, RPC_INVALID_ARGUMENT, "MALFORMED", "not a GetDomainRequest", NULL);
		return;
	}
	char domain[DOMAIN_SIZE];
	const char *why = check_domain(&r->domain, domain);
	rcptd__v1__get_domain_request__free_unpacked(r, NULL);
	if (why)
		unary_fail(u, RPC_INVALID_ARGUMENT, "BAD_DOMAIN", why, "domain");
	else
		reply_domain(u, domain);
}

/* A forgetting on its way: from the shards' memory first, so that it is not written again, then from the store. */
struct forgetting {
	struct unary *unary;
	bool below;
	char domain[DOMAIN_SIZE];
};

static void forgotten(void *ctx, err_t err, uint64_t removed)
{
	struct forgetting *f = ctx;
	if (err) {
		unary_fail_err(f->unary, err);
	} else {
		Rcptd__V1__ForgetDomainResponse r = RCPTD__V1__FORGET_DOMAIN_RESPONSE__INIT;
		r.removed = removed;
		unary_reply(f->unary, &r.base);
	}
	unary_release(f->unary);
	free(f);
}

static void forget_in_store(void *ctx)
{
	struct forgetting *f = ctx;
	err_t err = store_forget(
		engine_store(unary_api(f->unary)->engine), f->domain, f->below, unary_loop(f->unary), forgotten, f);
	if (err)
		forgotten(f, err, 0);
}

static void forget_domain(struct unary *u, const uint8_t *msg, size_t len)
{
	Rcptd__V1__ForgetDomainRequest *r = rcptd__v1__forget_domain_request__unpack(NULL, len, msg);
	if (!r) {
		unary_fail(u, RPC_INVALID_ARGUMENT, "MALFORMED", "not a ForgetDomainRequest", NULL);
		return;
	}
	struct forgetting *f = calloc(1, sizeof *f);
	const char *why = f ? check_domain(&r->domain, f->domain) : NULL;
	bool below = r->include_subdomains;
	rcptd__v1__forget_domain_request__free_unpacked(r, NULL);
	if (!f || why) {
		if (why)
			unary_fail(u, RPC_INVALID_ARGUMENT, "BAD_DOMAIN", why, "domain");
		else
			unary_fail_err(u, ERR_NOMEM);
		free(f);
		return;
	}
	f->unary = u;
	f->below = below;
	unary_hold(u);
	err_t err = engine_forget(unary_api(u)->engine, f->domain, below, unary_loop(u), forget_in_store, f);
	if (err)
		forgotten(f, err, 0);
}

const struct unary_method DOMAIN_METHODS[] = {
	{ "/rcptd.v1.DomainService/GetDomain", get_domain },
	{ "/rcptd.v1.DomainService/ForgetDomain", forget_domain },
	{ 0 },
};
