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
	struct evp_pkey_st *key; /* everybody's */
	struct session_list all, dirty, ended;
};

static inline struct world *session_world(const struct session *s)
{
	return s->site->smtpd->world;
}

/* session_io.c */
void session_start(struct listener *, int fd, const struct sockaddr_storage *peer); /* takes the descriptor */
void session_end(struct session *);  /* into the list of those ended; closed_by says who did it */
void session_free(struct session *); /* one that ended, at the end of the turn */
struct buf *session_note(struct session *, const char *event);	     /* a line of the record, to be ended */
void session_take(struct session *, const uint8_t *bytes, size_t n); /* what the peer said, in clear */

/* session_out.c */
void session_out_init(struct session *);
void session_flush(struct session *);	   /* writes what it can, and closes after the last byte if that is due */
void session_mark_dirty(struct session *); /* session_flush() at the end of the turn */
void session_want_events(struct session *);

/* session_tls.c */
void session_tls_take(struct session *, const uint8_t *bytes, size_t n); /* from the socket, once there is a `tls` */
void session_tls_take_back(struct session *); /* what stands in `in` behind STARTTLS was no line */
void session_tls_write(struct session *, const void *bytes, size_t n);
void session_tls_bye(struct session *);	 /* close_notify */
void session_tls_lost(struct session *); /* the peer went away in the handshake */
void session_tls_free(struct session *);

/* tls.c: what a host shows in handshakes. Owner: the site; made when it is needed first. */
struct evp_pkey_st;
struct ssl_ctx_st;
struct tls_context {
	struct ssl_ctx_st *ctx;
	char fingerprint[65]; /* of the certificate: SHA-256, lower-case */
};
struct tls_context *tls_context_of(struct site *);
void tls_context_free(struct tls_context *);
struct evp_pkey_st *tls_key_new(void);
void tls_key_free(struct evp_pkey_st *);
