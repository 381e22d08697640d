#include "server/probe/host.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/text.h"

#define LOCKSTEP_MS ((int64_t)7 * 86400 * 1000) /* then pipelining is tried again */
#define HOSTS_MAX 10000				/* in memory, a shard; older ones are asked of the store */

struct host {
	UT_hash_handle hh;
	TAILQ_ENTRY(host) link;
	int64_t lockstep_until; /* wall clock */
	char name[];
};

static void forget(struct shard *s, struct host *h)
{
	HASH_DEL(s->hosts, h);
	TAILQ_REMOVE(&s->hosts_by_age, h, link);
	s->host_count--;
	free(h);
}

bool host_is_lockstep(struct shard *s, const char *name)
{
	struct host *h;
	HASH_FIND_STR(s->hosts, name, h);
	int64_t until = h ? h->lockstep_until : store_host_lockstep_until(engine_store(s->engine), name);
	return until > clock_wall_ms();
}

void host_spoils_pipelining(struct shard *s, const char *name)
{
	struct host *h;
	int64_t until = clock_wall_ms() + LOCKSTEP_MS;
	store_host_lockstep_put(engine_store(s->engine), name, until);
	HASH_FIND_STR(s->hosts, name, h);
	if (!h) {
		size_t n = strlen(name) + 1;
		h = calloc(1, sizeof *h + n);
		if (!h)
			return; /* the store will tell, a little later */
		memcpy(h->name, name, n);
		HASH_ADD_STR(s->hosts, name, h);
		TAILQ_INSERT_TAIL(&s->hosts_by_age, h, link);
		s->host_count++;
	}
	h->lockstep_until = until;
	if (s->host_count > HOSTS_MAX)
		forget(s, TAILQ_FIRST(&s->hosts_by_age));
}

void host_free_all(struct shard *s)
{
	for (struct host *h; (h = TAILQ_FIRST(&s->hosts_by_age));)
		forget(s, h);
}
