/* STARTTLS on one connection: records in, lines out, over OpenSSL. The engine sees no socket: it reads from `wire` and
 * writes into the connection's `out`, so that the order of the record, drips and delays hold for it too. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/world/smtpd.h"

#define HANDSHAKE_RECORD 0x16

struct session_tls {
	SSL *ssl; /* NULL: the handshake will come to nothing */
	struct buf wire;
	size_t taken; /* bytes of `wire` that the engine has */
	bool is_on, is_over, has_begun;
};

/* --- what the engine reads from and writes to --- */

static int wire_read(BIO *bio, char *bytes, int room)
{
	struct session_tls *t = ((struct session *)BIO_get_data(bio))->tls;
	size_t n = t->wire.len - t->taken;

	BIO_clear_retry_flags(bio);
	if (!n) {
		BIO_set_retry_read(bio);
		return -1;
	}
	n = n < (size_t)room ? n : (size_t)room;
	memcpy(bytes, t->wire.data + t->taken, n);
	t->taken += n;
	return (int)n;
}

static int wire_write(BIO *bio, const char *bytes, int n)
{
	struct session *s = BIO_get_data(bio);

	buf_append(&s->out, bytes, (size_t)n);
	return s->out.err ? -1 : n;
}

static long wire_ctrl(BIO *bio, int what, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return what == BIO_CTRL_FLUSH;
}

static BIO *wire_new(struct session *s)
{
	static BIO_METHOD *method; /* the program's; it ends with it */
	BIO *bio;

	if (!method) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
		BIO_meth_set_read(method, wire_read);
		BIO_meth_set_write(method, wire_write);
		BIO_meth_set_ctrl(method, wire_ctrl);
	}
	bio = BIO_new(method);
	if (!bio)
		abort();
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	return bio;
}

/* --- record and counts --- */

static struct tally *tally_of_host(struct session *s)
{
	return &session_world(s)->counts.host[s->host->number];
}

static void note_tls(struct session *s)
{
	const SSL *ssl = s->tls->ssl;
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	bool is_resumed = SSL_session_reused(ssl);
	struct buf *line = session_note(s, "tls");

	record_text(line, "version", SSL_get_version(ssl));
	record_text(line, "cipher", SSL_get_cipher_name(ssl));
	record_number(line, "resumed", is_resumed);
	record_text(line, "sni", sni ? sni : "");
	record_text(line, "certificate", s->site->tls->fingerprint);
	record_end(session_world(s)->record);
	session_world(s)->counts.all.tls++;
	session_world(s)->counts.all.tls_resumed += is_resumed;
	tally_of_host(s)->tls++;
	tally_of_host(s)->tls_resumed += is_resumed;
}

static void note_failed(struct session *s, const char *reason)
{
	struct buf *line;

	if (s->tls->is_over)
		return;
	s->tls->is_over = true;
	line = session_note(s, "tls_failed");
	record_text(line, "reason", reason);
	record_end(session_world(s)->record);
	session_world(s)->counts.all.tls_failed++;
	tally_of_host(s)->tls_failed++;
}

static void note_plaintext(struct session *s, const uint8_t *bytes, size_t n)
{
	struct buf *line = session_note(s, "plaintext");

	record_bytes(line, "raw", bytes, n);
	record_end(session_world(s)->record);
	session_world(s)->counts.all.plaintext++;
	tally_of_host(s)->plaintext++;
}

/* --- the handshake --- */

void session_tls_start(struct session *s)
{
	struct session_tls *t = calloc(1, sizeof *t);
	struct tls_context *of_host = tls_context_of(s->site);

	if (!t)
		abort();
	s->tls = t;
	t->wire.max = SESSION_INPUT_MAX * 2;
	if (s->host->traits.tls_fault == TLS_CLOSES) {
		note_failed(s, "described: closes");
		session_close(s);
	}
	if (s->host->traits.tls_fault != TLS_GOOD && s->host->traits.tls_fault != TLS_INJECTS)
		return;
	t->ssl = SSL_new(of_host->ctx);
	if (!t->ssl)
		abort();
	BIO *wire = wire_new(s);
	SSL_set_bio(t->ssl, wire, wire);
	SSL_set_accept_state(t->ssl);
}

static void break_off(struct session *s, const char *reason, const void *last_words, size_t n)
{
	note_failed(s, reason);
	buf_append(&s->out, last_words, n);
	session_close(s);
}

/* The peer's first move was made. */
static void answer_as_described(struct session *s)
{
	static const uint8_t ALERT[] = { 21, 3, 1, 0, 2, 2, 40 }; /* fatal, handshake_failure */
	static const char GARBAGE[] = "\xff\x00\x17no handshake was ever like this one\r\n";

	switch (s->host->traits.tls_fault) {
	case TLS_FAILS: break_off(s, "described: fails", ALERT, sizeof ALERT); break;
	case TLS_GARBAGE: break_off(s, "described: garbage", GARBAGE, sizeof GARBAGE - 1); break;
	case TLS_SILENT: note_failed(s, "described: silent"); break;
	case TLS_RESETS:
		note_failed(s, "described: reset");
		session_reset(s);
		break;
	default: break;
	}
}

static const char *reason_of(int error)
{
	unsigned long code = ERR_peek_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	return text ? text : error == SSL_ERROR_ZERO_RETURN ? "closed by the peer" : "protocol error";
}

/* False: not done, or failed. */
static bool shake_hands(struct session *s)
{
	struct session_tls *t = s->tls;
	int done, error;

	if (t->is_on)
		return true;
	done = SSL_do_handshake(t->ssl);
	session_mark_dirty(s);
	if (done == 1) {
		t->is_on = true;
		s->not_owed = s->out.len;
		note_tls(s);
		return true;
	}
	error = SSL_get_error(t->ssl, done);
	if (error != SSL_ERROR_WANT_READ) {
		note_failed(s, reason_of(error));
		session_close(s);
	}
	return false;
}

static void read_records(struct session *s)
{
	static uint8_t clear[16384];
	struct session_tls *t = s->tls;
	int n = 0;

	while (s->state != SESSION_CLOSED && (n = SSL_read(t->ssl, clear, sizeof clear)) > 0)
		session_take(s, clear, (size_t)n);
	if (s->state == SESSION_CLOSED || t->is_over)
		return;
	n = SSL_get_error(t->ssl, n);
	if (n == SSL_ERROR_WANT_READ || n == SSL_ERROR_ZERO_RETURN)
		return; /* the peer's end of TLS is followed by its end of the connection */
	t->is_over = true;
	session_close(s);
}

void session_tls_take(struct session *s, const uint8_t *bytes, size_t n)
{
	struct session_tls *t = s->tls;

	if (!t->has_begun && bytes[0] != HANDSHAKE_RECORD)
		note_plaintext(s, bytes, n);
	t->has_begun = true;
	if (t->is_over)
		return;
	if (!t->ssl) {
		answer_as_described(s);
		return;
	}
	buf_append(&t->wire, bytes, n);
	ERR_clear_error();
	if (shake_hands(s))
		read_records(s);
	buf_consume(&t->wire, t->taken);
	t->taken = 0;
	if (!t->wire.len)
		buf_free(&t->wire);
}

void session_tls_take_back(struct session *s)
{
	struct buf early = s->in;

	s->in = (struct buf){ .max = early.max };
	session_tls_take(s, early.data, early.len);
	buf_free(&early);
}

void session_tls_write(struct session *s, const void *bytes, size_t n)
{
	ERR_clear_error();
	if (n && !s->tls->is_over)
		SSL_write(s->tls->ssl, bytes, (int)n); /* never blocks: `out` takes it all, or has its error set */
}

bool session_is_tls(const struct session *s)
{
	return s->tls && s->tls->is_on;
}

void session_tls_bye(struct session *s)
{
	ERR_clear_error();
	if (!s->tls->is_over)
		SSL_shutdown(s->tls->ssl);
}

void session_tls_lost(struct session *s)
{
	note_failed(s, "the peer went away");
}

void session_tls_free(struct session *s)
{
	if (!s->tls)
		return;
	SSL_free(s->tls->ssl);
	buf_free(&s->tls->wire);
	free(s->tls);
}
