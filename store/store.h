#pragma once
/* The store: two LMDB environments below one folder. `keep` holds what must never be lost (exemptions), `known` what
 * can be learned again (routes, catch-all, hosts, verdicts, controls). One writer thread owns all write transactions
 * and commits in groups; any thread reads.
 *
 * Life: store_open(), once in a process; store_close() waits until what was queued is committed. The loops that were
 * given to writes outlive it. Never open it twice in a process or use it across fork (LMDB). A lock file names the
 * process that has it. */
#include <stdbool.h>
#include <stdint.h>

#include "server/base/buf.h"
#include "server/base/err.h"
#include "server/loop/loop.h"

#define STORE_KEY_BYTES 32 /* HMAC-SHA-256 */

struct store;

struct store_options {
	const char *path;     /* folder; made (mode 0700) if missing */
	const char *hmac_key; /* file, mode 0600; made at the first start. Missing beside existing data: refused */
	uint64_t map_bytes;   /* address space of each environment; 0: 64 GiB */
};

/* On an error `why` gets a sentence for the operator: who holds the lock, which version wrote it, what to do.
 * ERR_LOCKED, ERR_VERSION, ERR_CORRUPT, ERR_DENIED (the key), ERR_SPACE, ERR_IO. Starts the writer thread. */
MUST_CHECK err_t store_open(const struct store_options *, struct store **, struct buf *why);
void store_close(struct store *); /* NULL is fine */

/* The key under which an address is remembered. Any thread. */
void store_address_hash(const struct store *, const void *canonical, size_t n, uint8_t out[STORE_KEY_BYTES]);

/* The writes of the other headers copy what they are given and wait in a queue. Their `done` runs on `loop`'s thread
 * after the commit or the failure; loop NULL: nobody is told. */
