#pragma once
/* One outgoing TCP connection to a mail server, on one loop. Only whole commands of server/smtp/command.h can be sent
 * through it.
 *
 * No callback comes before conn_open() has returned, or after conn_close(). The owner ends it with conn_close(), also
 * after on_closed(). */
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/ip.h"
#include "server/loop/loop.h"
#include "server/net/tls.h"
#include "server/smtp/command.h"

struct conn;
struct conn_events {
	void (*on_connected)(void *ctx);
	void (*on_bytes)(void *ctx, const uint8_t *bytes, size_t n);
	void (*on_secured)(void *ctx); /* after conn_start_tls() */
	/* The connection is gone; errnum 0: the peer closed it in order. Once, last. Also when connecting or the
	 * handshake failed. */
	void (*on_closed)(void *ctx, int errnum);
};

/* source: our address, NULL for the system's choice. ERR_LIMIT: no descriptors or ports left; ERR_UNREACHABLE: it could
 * not even be begun (errno tells; EADDRNOTAVAIL: the source is not on this machine); ERR_NOMEM. */
MUST_CHECK err_t conn_open(struct loop *, const struct ip *source, const struct ip *to, uint16_t port,
	const struct conn_events *, void *ctx, struct conn **);
/* Moves the lines out of `commands` and sends what the kernel takes now; the rest follows. ERR_NOMEM, ERR_LIMIT: the
 * connection is as it was. */
MUST_CHECK err_t conn_send(struct conn *, struct commands *);
/* From here on all goes through TLS; on_secured() or on_closed() follows. Nothing may be waiting to be sent.
 * ERR_INVALID: the peer has sent something already, which is no TLS: it must not be taken for an answer later (RFC
 * 3207 4.2). ERR_NOMEM. host: its name, for SNI. */
MUST_CHECK err_t conn_start_tls(struct conn *, struct tls *, const char *host);
/* Of the handshake; NULL: in clear. */
const struct tls_info *conn_tls(const struct conn *);
/* Takes back what was not yet handed to the kernel, but for the rest of a line begun. */
void conn_unsend(struct conn *);
struct ip conn_source(const struct conn *); /* our address of it, once connected */
void conn_close(struct conn *);		    /* NULL is fine */
