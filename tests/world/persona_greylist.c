/* Greylisting by tuple: (client IP, sender, recipient). */
#include <stdlib.h>
#include <string.h>

#include "server/base/buf.h"
#include "tests/world/persona.h"

#define TUPLES_MAX 1000000

struct tuple {
	int64_t first_ms;
	UT_hash_handle hh;
	size_t len;
	char key[];
};

static struct tuple *find(struct site *site, struct buf *key)
{
	struct tuple *t;

	HASH_FIND(hh, site->greylist, key->data, key->len, t);
	return t;
}

static struct tuple *add(struct site *site, struct buf *key, int64_t now)
{
	struct tuple *t = calloc(1, sizeof *t + key->len);

	if (!t)
		abort();
	t->first_ms = now;
	t->len = key->len;
	memcpy(t->key, key->data, key->len);
	HASH_ADD(hh, site->greylist, key, key->len, t);
	return t;
}

enum outcome greylist_rcpt(struct session *s)
{
	struct buf key = BUF_INIT(4096);
	char client[ADDR_TEXT_MAX];
	struct tuple *t;
	int64_t now = session_now_ms(s);

	if (s->state != SESSION_MAIL || !s->cmd->path_ok || !desc_serves(session_desc(s), s->host, s->cmd->domain))
		return PASS;
	buf_printf(&key, "%s\n%s\n%s@%s", addr_ip_text(&s->peer, client), s->sender ? s->sender : "", s->cmd->local,
		s->cmd->domain);
	if (key.err) { /* a sender of thousands of characters: put off for ever */
		buf_free(&key);
		session_reply(s, s->host->greylist_reply);
		return DONE;
	}
	t = find(s->site, &key);
	if (!t && HASH_COUNT(s->site->greylist) < TUPLES_MAX)
		t = add(s->site, &key, now);
	buf_free(&key);
	if (t && now - t->first_ms >= s->host->after_ms)
		return PASS;
	session_reply(s, s->host->greylist_reply);
	return DONE;
}

void greylist_forget(struct site *site)
{
	struct tuple *t, *next;

	HASH_ITER (hh, site->greylist, t, next) {
		HASH_DEL(site->greylist, t);
		free(t);
	}
}
