#pragma once
/* An rcptd without mail servers behind it: answers by what the local part says. Runs on a thread of its own; the test
 * talks to it through the address in `target`. */
#include <pthread.h>
#include <stdatomic.h>

#include "server/rpc/server.h"

enum fake_mode {
	FAKE_REVERSED, /* each message's rows at once, the last one first */
	FAKE_SHUFFLED, /* every row when the caller has sent its last one, in a random order */
	FAKE_GAPS,     /* rows 0 and 2 of the first message, then nothing */
	FAKE_DRAIN,    /* rows 0 and 2 of the first message, then UNAVAILABLE */
	FAKE_REFUSE,   /* INVALID_ARGUMENT with the field */
	FAKE_STRANGER, /* an answer for a row that was not asked */
	FAKE_SHORT,    /* OK without an answer */
};

struct fake_server {
	char target[64];
	atomic_int mode;
	atomic_llong max_age_s; /* of the last message; -1: it had none */
	atomic_int calls, cancelled;
	atomic_int interval_ms;	  /* of the last WatchStats */
	atomic_uint most_waiting; /* rows of one call that had come in and were not answered */
	struct loop *loop;
	struct rpc_server *server;
	pthread_t thread;
};

void fake_start(struct fake_server *);
void fake_stop(struct fake_server *);
