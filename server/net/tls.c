#include "server/net/tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <uthash.h>

#include "server/base/text.h"

#define SESSIONS_MAX 2000 /* to resume, a loop; about 5 KB each */
#define HOST_SIZE 256

struct resumable {
	UT_hash_handle hh;
	TAILQ_ENTRY(resumable) link;
	SSL_SESSION *session;
	char host[HOST_SIZE];
};
TAILQ_HEAD(resumables, resumable);

struct tls {
	SSL_CTX *ctx;
	struct resumable *by_host;
	struct resumables by_age;
	unsigned count;
};

/* Kept with each connection: whose tickets these are. */
struct peer {
	struct tls *tls;
	char host[HOST_SIZE];
};
static int peer_index = -1;

static void drop(struct tls *t, struct resumable *r)
{
	HASH_DEL(t->by_host, r);
	TAILQ_REMOVE(&t->by_age, r, link);
	t->count--;
	SSL_SESSION_free(r->session);
	free(r);
}

static struct resumable *find(struct tls *t, const char *host)
{
	struct resumable *r;
	HASH_FIND_STR(t->by_host, host, r);
	return r;
}

/* A ticket came. Returns 1 when its reference was taken over. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct peer *p = SSL_get_ex_data(ssl, peer_index);
	struct resumable *r = find(p->tls, p->host);
	if (r)
		drop(p->tls, r);
	r = calloc(1, sizeof *r);
	if (!r)
		return 0;
	text_copy(r->host, sizeof r->host, p->host);
	r->session = session;
	HASH_ADD_STR(p->tls->by_host, host, r);
	if (!r->hh.tbl) {
		free(r);
		return 0;
	}
	TAILQ_INSERT_TAIL(&p->tls->by_age, r, link);
	if (++p->tls->count > SESSIONS_MAX)
		drop(p->tls, TAILQ_FIRST(&p->tls->by_age));
	return 1;
}

err_t tls_new(struct tls **out)
{
	struct tls *t = calloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	TAILQ_INIT(&t->by_age);
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (!t->ctx) {
		free(t);
		return ERR_NOMEM;
	}
	if (peer_index < 0)
		peer_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	SSL_CTX_set_verify(
		t->ctx, SSL_VERIFY_NONE, NULL); /* opportunistic: an unknown certificate is better than none */
	SSL_CTX_set_mode(
		t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(t->ctx, on_session);
	SSL_CTX_set_max_cert_list(t->ctx, 64 * 1024); /* bytes of certificates that a peer may send */
	*out = t;
	return ERR_OK;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	for (struct resumable *r; (r = TAILQ_FIRST(&t->by_age));)
		drop(t, r);
	SSL_CTX_free(t->ctx);
	free(t);
}

/* A TLS 1.3 ticket is used once (RFC 8446 C.4): taken out, and the server gives new ones. */
static void resume(struct tls *t, SSL *ssl, const char *host)
{
	struct resumable *r = find(t, host);
	if (!r)
		return;
	SSL_set_session(ssl, r->session);
	if (SSL_SESSION_get_protocol_version(r->session) >= TLS1_3_VERSION)
		drop(t, r);
}

SSL *tls_begin(struct tls *t, int fd, const char *host)
{
	SSL *ssl = SSL_new(t->ctx);
	struct peer *p = calloc(1, sizeof *p);
	if (!ssl || !p || !SSL_set_ex_data(ssl, peer_index, p) || !SSL_set_fd(ssl, fd)) {
		SSL_free(ssl);
		free(p);
		ERR_clear_error();
		return NULL;
	}
	p->tls = t;
	text_copy(p->host, sizeof p->host, host);
	SSL_set_tlsext_host_name(ssl, host);
	resume(t, ssl, host);
	return ssl;
}

void tls_end(SSL *ssl)
{
	if (!ssl)
		return;
	free(SSL_get_ex_data(ssl, peer_index));
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else the session counts as broken */
	SSL_free(ssl);
	ERR_clear_error();
}

static void read_certificate(X509 *certificate, struct tls_info *out)
{
	static const char HEX[] = "0123456789abcdef";
	unsigned char digest[32];
	unsigned n = sizeof digest;
	if (X509_digest(certificate, EVP_sha256(), digest, &n))
		for (unsigned i = 0; i < n; i++) {
			out->certificate_sha256[2 * i] = HEX[digest[i] >> 4];
			out->certificate_sha256[2 * i + 1] = HEX[digest[i] & 15];
		}
	X509_NAME_oneline(
		X509_get_subject_name(certificate), out->certificate_subject, sizeof out->certificate_subject);
	for (char *c = out->certificate_subject; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = '?';
}

void tls_read_info(SSL *ssl, struct tls_info *out)
{
	memset(out, 0, sizeof *out);
	text_copy(out->version, sizeof out->version, SSL_get_version(ssl));
	text_copy(out->cipher, sizeof out->cipher, SSL_get_cipher_name(ssl));
	out->resumed = SSL_session_reused(ssl);
	X509 *certificate = SSL_get1_peer_certificate(ssl);
	if (certificate)
		read_certificate(certificate, out);
	X509_free(certificate);
}
