#pragma once
/* TLS for outgoing connections (RFC 3207), by OpenSSL: opportunistic, so certificates are recorded and not verified.
 * One tls per loop, used on that loop's thread alone; it holds the sessions to resume, by mail host, bounded. */
#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "server/base/err.h"
#include "server/net/tls_info.h"

struct tls;
MUST_CHECK err_t tls_new(struct tls **);
void tls_free(struct tls *); /* NULL is fine; after the last connection */

/* A client's connection on a connected, non-blocking descriptor, ready for SSL_connect(). host: for SNI and as key of
 * what is resumed. NULL: out of memory. tls_end() ends it. */
SSL *tls_begin(struct tls *, int fd, const char *host);
void tls_end(SSL *); /* without a word on the wire; what was negotiated stays good for resumption */
void tls_read_info(SSL *, struct tls_info *out);
