#pragma once
/* A c-ares channel with its sockets watched by a loop. Private to server/dns; the owner asks by ares_query(), calls
 * channel_tick() every now and then while queries are in flight, and ends it with ares_destroy(). Loop's thread. */
#include <ares.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "server/dns/resolver.h"

struct socket_watch;
struct channel {
	ares_channel ares;
	struct loop *loop;
	LIST_HEAD(, socket_watch) sockets;
	bool missed; /* a socket could not be watched; a server's stays open while queries flow, so try again */
};

/* tcp: asks over TCP alone; otherwise over UDP alone, and a truncated answer is handed over as it came. (c-ares takes
 * a TCP connection's end for the server's, and moves every query of its channel off that server.) The struct must not
 * move from here on. */
MUST_CHECK err_t channel_open(struct channel *, struct loop *, const struct resolver_options *, bool tcp);
void channel_tick(struct channel *); /* timeouts */
