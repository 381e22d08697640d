#pragma once
/* What is known of domains and mail hosts, and verdicts of addresses: all can be learned again. Reads on any thread;
 * writes are queued to the writer thread, and nobody waits for them (a queue over its limit drops the write and counts
 * it: it is a cache). A read sees what is queued, in the order of queueing: the newest put, and nothing of what a later
 * deletion will take; else the last commit. A put about an exempt domain is not seen, and the writer drops it: it
 * checks inside its transaction. A put whose transaction fails is seen until then. Times are wall clock milliseconds.
 */
#include "server/base/err.h"
#include "server/dns/route.h"
#include "server/net/tls_info.h"
#include "server/verdict/verdict.h"
#include "store/store.h"

/* ERR_NOT_FOUND: not known, or expired. *out is malloc'ed, the caller's to free(). */
MUST_CHECK err_t store_route_get(struct store *, const char *domain, struct route **out);
void store_route_put(struct store *, const char *domain, const struct route *); /* copies */

struct catch_all_fact {
	bool accepts_all;
	char host[DOMAIN_SIZE]; /* that it was learned from */
	int64_t learned_ms, expires_ms;
};
MUST_CHECK err_t store_catch_all_get(struct store *, const char *domain, struct catch_all_fact *out);
void store_catch_all_put(struct store *, const char *domain, const struct catch_all_fact *);

/* Until when commands go in lockstep to that mail host; 0: no such memory. */
int64_t store_host_lockstep_until(struct store *, const char *host);
void store_host_lockstep_put(struct store *, const char *host, int64_t until_ms);

/* A remembered verdict, with the evidence it rests on. */
struct verdict_fact {
	enum reason reason;
	enum phase phase;
	enum catch_all catch_all;
	uint8_t random_control, postmaster_control; /* enum control, server/verdict/calibrate.h */
	uint16_t code;
	uint32_t attempt, attempts;
	char operator_name[128], mail_host[DOMAIN_SIZE], mail_ip[IP_TEXT_MAX], source_ip[IP_TEXT_MAX];
	char enhanced[12], rule[64], text[513]; /* text: masked, UTF-8 */
	struct tls_info tls;
	int64_t learned_ms, expires_ms;
};
MUST_CHECK err_t store_verdict_get(
	struct store *, const char *domain, const uint8_t address_hash[STORE_KEY_BYTES], struct verdict_fact *out);
void store_verdict_put(
	struct store *, const char *domain, const uint8_t address_hash[STORE_KEY_BYTES], const struct verdict_fact *);

/* The random control recipient of a domain. Kept, so that a mail server that greylists by the tuple of client, sender
 * and recipient is asked about the same one again, also after a restart. */
#define CONTROL_LOCAL_MAX 32
#define CONTROL_KEPT_MS (INT64_C(7) * 86400 * 1000)
struct control_fact {
	char local[CONTROL_LOCAL_MAX + 1];
	int64_t drawn_ms; /* known for CONTROL_KEPT_MS from then */
};
MUST_CHECK err_t store_control_get(struct store *, const char *domain, struct control_fact *out);
void store_control_put(struct store *, const char *domain, const struct control_fact *);

/* Forgets route, catch-all, verdicts and control of a domain (and its subdomains): reads find nothing of it from now
 * on. done(ctx, err, removed) on loop, after the commit; on an error all is as it was. */
MUST_CHECK err_t store_forget(struct store *, const char *domain, bool with_subdomains, struct loop *,
	void (*done)(void *ctx, err_t, uint64_t removed), void *ctx);
