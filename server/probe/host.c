#include "server/probe/host.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/text.h"

#define LOCKSTEP_MS ((int64_t)7 * 86400 * 1000) /* then pipelining is tried again */
#define TLS_MS ((int64_t)3600 * 1000)		/* then TLS is tried anew */
#define HOSTS_MAX 10000				/* in memory, a shard; older ones are asked of the store */

struct host {
	UT_hash_handle hh;
	TAILQ_ENTRY(host) link;
	int64_t lockstep_until, clear_until, required_until; /* wall clock */
	char name[];
};

static void forget(struct shard *s, struct host *h)
{
	HASH_DEL(s->hosts, h);
	TAILQ_REMOVE(&s->hosts_by_age, h, link);
	s->host_count--;
	free(h);
}

static struct host *find(const struct shard *s, const char *name)
{
	struct host *h;
	HASH_FIND_STR(s->hosts, name, h);
	return h;
}

/* NULL: out of memory; then it is learned again. */
static struct host *get(struct shard *s, const char *name)
{
	struct host *h = find(s, name);
	if (h)
		return h;
	size_t n = strlen(name) + 1;
	h = calloc(1, sizeof *h + n);
	if (!h)
		return NULL;
	memcpy(h->name, name, n);
	if (s->host_count == HOSTS_MAX)
		forget(s, TAILQ_FIRST(&s->hosts_by_age));
	HASH_ADD_STR(s->hosts, name, h);
	if (!h->hh.tbl) {
		free(h);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->hosts_by_age, h, link);
	s->host_count++;
	return h;
}

bool host_is_lockstep(struct shard *s, const char *name)
{
	const struct host *h = find(s, name);
	int64_t until = h ? h->lockstep_until : 0;
	if (!until)
		until = store_host_lockstep_until(engine_store(s->engine), name);
	return until > clock_wall_ms();
}

void host_spoils_pipelining(struct shard *s, const char *name)
{
	int64_t until = clock_wall_ms() + LOCKSTEP_MS;
	store_host_lockstep_put(engine_store(s->engine), name, until);
	struct host *h = get(s, name);
	if (h)
		h->lockstep_until = until;
}

bool host_is_clear(struct shard *s, const char *name)
{
	const struct host *h = find(s, name);
	return h && h->clear_until > clock_wall_ms();
}

void host_spoils_tls(struct shard *s, const char *name)
{
	struct host *h = get(s, name);
	if (h)
		h->clear_until = clock_wall_ms() + TLS_MS;
}

bool host_requires_tls(struct shard *s, const char *name)
{
	const struct host *h = find(s, name);
	return h && h->required_until > clock_wall_ms();
}

void host_demands_tls(struct shard *s, const char *name)
{
	struct host *h = get(s, name);
	if (h)
		h->required_until = clock_wall_ms() + TLS_MS;
}

void host_free_all(struct shard *s)
{
	for (struct host *h; (h = TAILQ_FIRST(&s->hosts_by_age));)
		forget(s, h);
}
