#pragma once
/* What the files of store/ share. Nobody else includes it, but for tests. */
#include "store/env.h"
#include "store/store.h"
#include "store/writer.h"

struct store {
	struct env keep, known;
	int lock_fd;
	uint8_t hmac_key[STORE_KEY_BYTES];
	struct writer writer;
};

/* store/hmac_key.c. have_data: a missing key is refused. */
MUST_CHECK err_t hmac_key_load(const char *file, bool have_data, uint8_t key[STORE_KEY_BYTES], struct buf *why);

/* store/exemptions.c. ERR_OK: one covers the reversed domain `of` (its own or an ancestor's); *key and *value are its
 * record of the widest, either may be NULL. ERR_NOT_FOUND. Any other error: cannot be told, so treat it as exempt. */
MUST_CHECK err_t exemption_covering(struct txn *keep, const uint8_t *of, size_t n, MDB_val *key, MDB_val *value);
/* Every record can be read? `why` names what cannot. */
MUST_CHECK err_t exemptions_check(struct env *keep, struct buf *why);

/* store/forget.c. The deletion of what is known of a domain and all below it, as an op that is retried; NULL: no
 * memory. */
struct op *purge_new(const struct key *domain);
void purge_free(struct op *);
/* Purges of all exemptions in force, one after the other: a crash may have come between an exemption and its purge. */
struct op *purge_all_new(void);

/* store/facts.c. 0 when the record cannot be read. */
int64_t fact_expires_ms(enum table, const MDB_val *);
