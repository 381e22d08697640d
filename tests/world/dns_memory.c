/* What the DNS server remembers between two questions. */
#include <stdlib.h>
#include <string.h>

#include "tests/world/dns.h"

struct asked {
	struct asked_key {
		const struct name *name;
		uint64_t type;
	} key;
	uint32_t times;
	UT_hash_handle hh;
};

struct dns_memory {
	struct asked *asked;
};

struct dns_memory *dns_memory_new(void)
{
	struct dns_memory *m = calloc(1, sizeof *m);

	if (!m)
		abort();
	return m;
}

void dns_memory_forget(struct dns_memory *m)
{
	struct asked *a, *next;

	HASH_ITER (hh, m->asked, a, next) {
		HASH_DEL(m->asked, a);
		free(a);
	}
}

void dns_memory_free(struct dns_memory *m)
{
	if (!m)
		return;
	dns_memory_forget(m);
	free(m);
}

uint32_t dns_memory_count(struct dns_memory *m, const struct name *name, uint16_t type)
{
	struct asked_key key = { name, type };
	struct asked *a;

	HASH_FIND(hh, m->asked, &key, sizeof key, a);
	if (!a) { /* as many as there are names described, by types: bounded by the file */
		a = calloc(1, sizeof *a);
		if (!a)
			abort();
		a->key = key;
		HASH_ADD(hh, m->asked, key, sizeof a->key, a);
	}
	return ++a->times;
}
