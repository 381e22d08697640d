#include "server/guard/guard.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "server/guard/special.h"

struct entry {
	UT_hash_handle hh;
	unsigned count;
	char domain[];
};

struct guard {
	const struct ip_net *allowed;
	size_t allowed_count;
	struct entry *exempt;
};

err_t guard_new(const struct ip_net *allowed, size_t n, struct guard **out)
{
	struct guard *g = calloc(1, sizeof *g);
	if (!g)
		return ERR_NOMEM;
	g->allowed = allowed;
	g->allowed_count = n;
	*out = g;
	return ERR_OK;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	struct entry *e, *next;
	HASH_ITER (hh, g->exempt, e, next) {
		HASH_DEL(g->exempt, e);
		free(e);
	}
	free(g);
}

static struct entry *find(const struct guard *g, const char *domain)
{
	struct entry *e;
	HASH_FIND_STR(g->exempt, domain, e);
	return e;
}

err_t guard_exempt(struct guard *g, const char *domain)
{
	struct entry *e = find(g, domain);
	if (!e) {
		size_t n = strlen(domain) + 1;
		e = calloc(1, sizeof *e + n);
		if (!e)
			return ERR_NOMEM;
		memcpy(e->domain, domain, n);
		HASH_ADD_STR(g->exempt, domain, e);
		if (!e->hh.tbl) {
			free(e);
			return ERR_NOMEM;
		}
	}
	e->count++;
	return ERR_OK;
}

void guard_unexempt(struct guard *g, const char *domain)
{
	struct entry *e = find(g, domain);
	if (e && !--e->count) {
		HASH_DEL(g->exempt, e);
		free(e);
	}
}

bool guard_is_exempt(const struct guard *g, const char *domain)
{
	if (!g->exempt)
		return false;
	for (const char *name = domain; name; name = strchr(name, '.')) {
		if (*name == '.')
			name++;
		if (find(g, name))
			return true;
	}
	return false;
}

bool guard_may_contact(const struct guard *g, const struct ip *ip)
{
	if (!ip_is_special(ip))
		return true;
	for (size_t i = 0; i < g->allowed_count; i++)
		if (ip_net_contains(&g->allowed[i], ip))
			return true;
	return false;
}

struct loading {
	struct guard *guard;
	err_t err;
};

static bool load_one(void *ctx, const struct exemption *e, const char *position)
{
	(void)position;
	struct loading *l = ctx;
	if (!e->revoked_ms)
		l->err = guard_exempt(l->guard, e->domain);
	return l->err == ERR_OK;
}

err_t guard_load(struct guard *g, struct store *store)
{
	struct loading l = { .guard = g };
	err_t err = store_exemption_walk(store, "", "", load_one, &l);
	return err ? err : l.err;
}
