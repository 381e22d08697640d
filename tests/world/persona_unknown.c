/* Servers that count unknown recipients: one that turns to accepting everybody, and one that remembers its clients. */
#include <stdlib.h>
#include <string.h>

#include "tests/world/persona.h"

#define CLIENTS_MAX 1000000

struct client_tally {
	struct addr client; /* port 0; padding too, for it is the key */
	uint32_t unknown;
	UT_hash_handle hh;
};

static bool may_deliver(const struct session *s)
{
	return s->state == SESSION_MAIL && s->cmd->path_ok && desc_serves(session_desc(s), s->host, s->cmd->domain);
}

enum outcome turn_accepting(struct session *s)
{
	if (s->unknown < s->host->traits.after_unknown || !may_deliver(s))
		return PASS;
	session_reply(s, "250 2.1.5 Ok");
	return DONE;
}

static struct client_tally *tally_of(struct session *s, bool make)
{
	struct client_tally *t;
	struct addr key;

	memset(&key, 0, sizeof key);
	memcpy(key.ip, s->peer.ip, sizeof key.ip);
	key.v6 = s->peer.v6;
	HASH_FIND(hh, s->site->clients, &key, sizeof key, t);
	if (t || !make || HASH_COUNT(s->site->clients) >= CLIENTS_MAX)
		return t;
	t = calloc(1, sizeof *t);
	if (!t)
		abort();
	memcpy(&t->client, &key, sizeof key);
	HASH_ADD(hh, s->site->clients, client, sizeof t->client, t);
	return t;
}

void count_unknown(struct session *s)
{
	struct client_tally *t = tally_of(s, true);

	if (t)
		t->unknown++;
}

enum outcome block_client(struct session *s)
{
	const struct traits *how = &s->host->traits;
	const struct client_tally *t = tally_of(s, false);

	if (!t || t->unknown < how->after_unknown)
		return PASS;
	switch (how->blocks_by) {
	case BLOCK_REFUSE: session_reply(s, how->block_reply); return DONE;
	case BLOCK_CLOSE: session_close(s); return DONE;
	case BLOCK_ACCEPT: break;
	}
	if (!s->cmd || s->cmd->verb != VERB_RCPT || !may_deliver(s))
		return PASS;
	session_reply(s, "250 2.1.5 Ok");
	return DONE;
}

void unknown_forget(struct site *site)
{
	struct client_tally *t, *next;

	HASH_ITER (hh, site->clients, t, next) {
		HASH_DEL(site->clients, t);
		free(t);
	}
}
