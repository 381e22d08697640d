#pragma once
/* A store in a folder of its own, a loop, and waiting for what was written. One thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/exemptions.h"
#include "store/facts.h"
#include "store/internal.h"

#define NOW_MS INT64_C(1800000000000)
#define DAY_MS INT64_C(86400000)
#define MAP_BYTES (64u << 20)

struct place {
	char path[256], key[300];
	uint64_t map_bytes;
	struct loop *loop;
	struct store *store; /* NULL while closed */
	struct buf why;
	/* what the last write that was waited for gave */
	err_t err;
	uint64_t removed;
	struct exemption x;
	unsigned done;
};

int place_new(void **state); /* cmocka's setup and teardown; the folder goes with it */
int place_end(void **state);
err_t place_open(struct place *);
void place_must_open(struct place *);
void place_close(struct place *);
/* "<path>/<file>", static. */
const char *place_file(const struct place *, const char *file);

void await(struct place *, unsigned done); /* runs the loop until that many callbacks have come since the last await */
err_t exempt(struct place *, const char *domain); /* by "desk", and waits; p->x */
err_t lift(struct place *, const char *id);
uint64_t forget(struct place *, const char *domain, bool with_subdomains);
void flush(struct place *);				/* until all that was put is committed */
void noted(void *ctx, err_t, const struct exemption *); /* an exemption_done; ctx: the place */

struct verdict_fact a_verdict(int64_t expires_ms);
void put_verdict(struct place *, const char *domain, const char *local);
err_t get_verdict(struct place *, const char *domain, const char *local);
void remove_tree(const char *path);
