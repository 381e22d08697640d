#pragma once
/* A small service for tests: it echoes, floods, hangs and fails on demand, and counts what it saw.
 *
 * /t/Echo sends each message back. /t/Hang reads and never answers, /t/Deaf does not even read. /t/Flood sends as many
 * messages of 1,000 bytes as the first four bytes of the request say, numbered downwards. /t/Fail echoes once, then
 * ends with NOT_FOUND, ODD_WHY and ODD_DETAILS. /t/AtOnce fails before a message has come. */
#include "tests/unit/rpc/world.h"

#define ODD_WHY "line one\nl\xc3\xafne two \x01 100% \xff\xfe"
#define ODD_DETAILS "\x00\xff\x0a\x00\x25\x2c"
#define ODD_DETAILS_LEN 6

/* Counted on the server's loops. late: what came after a finish, or should not have worked. */
struct seen {
	struct world world;
	atomic_uint opened, messages, half_closed, done, cancelled, accepted, late;
	atomic_llong time_left_ms;
};

struct fixture {
	struct seen seen;
	struct world *world;
	struct rpc_client *client;
};

/* For cmocka. The end fails unless each call had its on_done() once and nothing was late. */
int service_set_up(void **state);
int service_tear_down(void **state);
