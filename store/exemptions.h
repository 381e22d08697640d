#pragma once
/* The table of exemptions: a set that only grows, of records signed off by somebody; revoking adds a record. Reads on
 * any thread. Writes are durable (fsync) before they are acknowledged. */
#include "server/base/err.h"
#include "server/dns/route.h"
#include "store/store.h"

#define EXEMPTION_ID_MAX 27 /* 26 characters: time-ordered, unique (ULID) */
#define EXEMPTION_BY_MAX 200
#define EXEMPTION_NOTE_MAX 1000

struct exemption {
	char id[EXEMPTION_ID_MAX];
	char domain[DOMAIN_SIZE]; /* A-labels; its subdomains are covered too */
	char by[EXEMPTION_BY_MAX + 1], note[EXEMPTION_NOTE_MAX + 1];
	int64_t created_ms;
	int64_t revoked_ms; /* 0: in force */
	char revoked_by[EXEMPTION_BY_MAX + 1], revoke_note[EXEMPTION_NOTE_MAX + 1];
};

/* done(ctx, err, exemption) on loop after the commit; exemption is valid during the call only. ERR_EXISTS: the domain
 * itself has one in force (it is passed). Only `domain`, `by` and `note` are read. */
typedef void (*exemption_done)(void *ctx, err_t, const struct exemption *);
MUST_CHECK err_t store_exemption_create(
	struct store *, const struct exemption *, struct loop *, exemption_done, void *ctx);
/* ERR_NOT_FOUND, or ERR_DENIED when it was revoked already. */
MUST_CHECK err_t store_exemption_revoke(
	struct store *, const char *id, const char *by, const char *note, struct loop *, exemption_done, void *ctx);

/* The one in force that covers the domain: its own or an ancestor's, the widest. ERR_NOT_FOUND. */
MUST_CHECK err_t store_exemption_covering(struct store *, const char *domain, struct exemption *out);

/* Walks in the order of the reversed domain. after: resume behind that position ("" from the start), as given to visit;
 * within: only that domain and its subdomains ("" all). visit returns false to stop. */
MUST_CHECK err_t store_exemption_walk(struct store *, const char *after, const char *within,
	bool (*visit)(void *ctx, const struct exemption *, const char *position), void *ctx);
