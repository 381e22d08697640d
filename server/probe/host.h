#pragma once
/* What is remembered of a mail host itself: in memory at once; what is worth it in the store for later. Private to
 * server/probe; on the shard's thread. */
#include "server/probe/shard.h"

/* Do commands go one by one there, because it spoiled them in a pipeline? */
bool host_is_lockstep(struct shard *, const char *name);
void host_spoils_pipelining(struct shard *, const char *name);
/* STARTTLS was offered and did not work: for a while it is spoken to in clear. */
bool host_is_clear(struct shard *, const char *name);
void host_spoils_tls(struct shard *, const char *name);
/* It said that STARTTLS must come first. */
bool host_requires_tls(struct shard *, const char *name);
void host_demands_tls(struct shard *, const char *name);
void host_free_all(struct shard *);
