#include "tests/unit/dns/fixture.h"

static const struct line *zone;
struct world w;

static void put_line(struct message *m, const struct line *l, const char *name)
{
	unsigned ttl = l->ttl ? l->ttl : 600;
	if (l->type == MX)
		message_mx(m, name, ttl, l->preference, l->data);
	else if (l->type == CNAME)
		message_cname(m, name, ttl, l->data);
	else
		message_a(m, name, ttl, l->data);
}

static void from_zone(struct message *m, unsigned id, const char *name, unsigned type)
{
	unsigned code = NXDOMAIN, found = 0;
	for (const struct line *l = zone; l->name; l++)
		if (!strcmp(l->name, name))
			code = l->code && (!l->type || l->type == type) ? l->code : code == NXDOMAIN ? NOERROR : code;
	message_start(m, id, code, name, type);
	if (code == SILENCE)
		m->len = 0;
	for (const struct line *l = zone; l->name && code == NOERROR; l++) {
		if (strcmp(l->name, name) || l->code || (l->type != type && l->type != CNAME))
			continue;
		put_line(m, l, name);
		found++;
	}
	if (!found && (code == NOERROR || code == NXDOMAIN))
		message_soa(m, "test", 120, 120);
}

void on_route(struct route_wait *wait, struct route *route)
{
	struct waiter *me = (struct waiter *)wait;
	me->calls++;
	me->route = route;
	if (me->then)
		me->then(me);
	if (--w.expected == 0)
		loop_stop(w.loop);
}

void open_world(const struct line *lines, unsigned servers, int limit_ms)
{
	zone = lines;
	struct resolver_server at[2] = { 0 };
	memset(&w, 0, sizeof w);
	assert_int_equal(loop_new(&w.loop), ERR_OK);
	for (unsigned i = 0; i < servers; i++) {
		w.server[i] = double_open(w.loop, from_zone);
		assert_true(ip_parse("127.0.0.1", &at[i].ip));
		at[i].port = (uint16_t)double_port(w.server[i]);
	}
	struct resolver_options options = { .servers = at,
		.server_count = servers,
		.timeout_ms = limit_ms ? 50 : 20000,
		.tries = 2,
		.limit_ms = limit_ms };
	assert_int_equal(resolver_new(w.loop, &options, &w.resolver), ERR_OK);
}

void with_options(struct resolver_options *options)
{
	struct resolver_server at = { .port = (uint16_t)double_port(w.server[0]) };
	assert_true(ip_parse("127.0.0.1", &at.ip));
	options->servers = &at;
	options->server_count = 1;
	resolver_free(w.resolver);
	assert_int_equal(resolver_new(w.loop, options, &w.resolver), ERR_OK);
}

void close_world(void)
{
	resolver_free(w.resolver);
	for (int i = 0; i < 2; i++)
		if (w.server[i])
			double_close(w.server[i]);
	loop_free(w.loop);
	for (int i = 0; i < 1000; i++)
		free(w.waiter[i].route);
}

struct waiter *ask(unsigned i, const char *domain)
{
	struct waiter *me = &w.waiter[i];
	me->wait = (struct route_wait){ .done = on_route };
	assert_int_equal(resolver_route(w.resolver, domain, &me->wait), ERR_OK);
	assert_int_equal(me->calls, 0);
	w.expected++;
	return me;
}

const struct route *route_of(const char *domain)
{
	struct waiter *me = &w.waiter[999];
	free(me->route);
	me->route = NULL;
	me->calls = 0;
	ask(999, domain);
	loop_run(w.loop);
	assert_int_equal(me->calls, 1);
	assert_non_null(me->route);
	return me->route;
}

const char *address(const struct route *route, unsigned host, unsigned i)
{
	static char text[IP_TEXT_MAX];
	assert_true(host < route->host_count && i < route->host[host].address_count);
	return ip_text(&route->host[host].address[i], text);
}
