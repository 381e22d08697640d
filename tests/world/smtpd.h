#pragma once
/* Shared by the files of the SMTP farm: smtpd.c has the listeners, session_io.c the connections. */
#include "tests/world/session.h"
#include "tests/world/world.h"

TAILQ_HEAD(session_list, session);

struct listener {
	struct watch watch;
	struct timer retry; /* out of descriptors: accepts again then */
	struct site *site;
	struct addr addr;
};

struct smtpd {
	struct world *world;
	struct site *site; /* by host number */
	struct listener *listener;
	size_t listeners;
	int port;
	uint64_t last_id;
	struct session_list all, dirty, ended;
};

void session_start(struct listener *, int fd, const struct sockaddr_storage *peer); /* takes the descriptor */
void session_flush(struct session *); /* writes what it can, and closes after the last byte if that is due */
void session_end(struct session *);   /* into the list of those ended; closed_by says who did it */
void session_free(struct session *);  /* one that ended, at the end of the turn */
