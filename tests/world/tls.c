/* Keys and certificates, made in memory: one key for the world, a self-signed certificate per host. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/world/smtpd.h"

#define DAY (24L * 3600)

EVP_PKEY *tls_key_new(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (!key)
		abort();
	return key;
}

void tls_key_free(EVP_PKEY *key)
{
	EVP_PKEY_free(key);
}

static void add_alt_name(X509 *cert, const char *name)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	if (!names || !one || !text || !ASN1_STRING_set(text, name, -1))
		abort();
	GENERAL_NAME_set0_value(one, GEN_DNS, text);
	sk_GENERAL_NAME_push(names, one);
	X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0);
	GENERAL_NAMES_free(names);
}

static X509 *make_certificate(EVP_PKEY *key, const char *name, long serial, bool is_expired)
{
	X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
	char common[65]; /* all that a common name may have */

	if (!cert)
		abort();
	snprintf(common, sizeof common, "%s", name);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), is_expired ? -2 * 365 * DAY : -DAY);
	X509_gmtime_adj(X509_getm_notAfter(cert), is_expired ? -365 * DAY : 365 * DAY);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common, -1, -1, 0);
	X509_set_issuer_name(cert, subject);
	add_alt_name(cert, name);
	X509_set_pubkey(cert, key);
	if (!X509_sign(cert, key, EVP_sha256()))
		abort();
	return cert;
}

static void take_fingerprint(struct tls_context *t, const X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	X509_digest(cert, EVP_sha256(), digest, &n);
	for (unsigned i = 0; i < n && i < 32; i++)
		snprintf(t->fingerprint + i * 2, 3, "%02x", digest[i]);
}

static SSL_CTX *make_context(const struct traits *t)
{
	static const int VERSION[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int min = t->tls_max ? VERSION[t->tls_min - 10] : TLS1_2_VERSION;
	int max = t->tls_max ? VERSION[t->tls_max - 10] : TLS1_3_VERSION;

	if (!ctx)
		abort();
	SSL_CTX_set_security_level(ctx, 0); /* TLS 1.0 signs with SHA-1 */
	if (!SSL_CTX_set_min_proto_version(ctx, min) || !SSL_CTX_set_max_proto_version(ctx, max) ||
		!SSL_CTX_set_cipher_list(ctx, "DEFAULT:@SECLEVEL=0"))
		abort();
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | (t->tls_no_tickets ? SSL_OP_NO_TICKET : 0));
	SSL_CTX_set_num_tickets(ctx, t->tls_no_tickets ? 0 : 2);
	/* Sessions are in the tickets: ten thousand clients fill no cache of ours. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"world", 5);
	return ctx;
}

struct tls_context *tls_context_of(struct site *site)
{
	const struct traits *traits = &site->host->traits;
	EVP_PKEY *key = site->smtpd->key;
	struct tls_context *t = site->tls;
	X509 *cert;

	if (t)
		return t;
	t = calloc(1, sizeof *t);
	if (!t)
		abort();
	cert = make_certificate(key, traits->tls_name ? traits->tls_name : site->host->name, site->host->number + 1L,
		traits->tls_expired);
	t->ctx = make_context(traits);
	if (SSL_CTX_use_certificate(t->ctx, cert) != 1 || SSL_CTX_use_PrivateKey(t->ctx, key) != 1)
		abort();
	take_fingerprint(t, cert);
	X509_free(cert);
	site->tls = t;
	return t;
}

void tls_context_free(struct tls_context *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}
