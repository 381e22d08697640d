#pragma once
/* What lies below server/api, played for a fuzz target: a call without gRPC, a loop without time, an engine and a store
 * that answer as they are told. One call at a time, one thread. */
#include "server/rpc/call.h"
#include "tests/fuzz/fuzz.h"

struct rpc_call {
	unsigned credit;
	bool waits; /* was told ERR_AGAIN */
	bool finished;
	enum rpc_code code;
	unsigned sends_refused;					 /* that many sends get ERR_AGAIN first */
	bool has_deadline;					 /* the peer set one */
	void (*sent)(void *ctx, const uint8_t *msg, size_t len); /* each message that goes out */
	void *ctx;
};

struct engine *below_engine(void);

/* How engine and store answer from now on. */
void below_begin(struct choices *how);
/* Runs what was sent to the loop. False: there was nothing. */
bool below_turn(void);
/* Answers the addresses that the engine has. False: it had none. */
bool below_answer(void);
/* Fires the deadlines that are armed. */
void below_pass_time(void);
/* After the call: nothing may be left. */
void below_end(void);
