/* STARTTLS, by a client with OpenSSL: what works, what breaks and how, and what the record says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/world/talk.h"

static SSL_CTX *ctx;

static int start(void **state)
{
	*state = talk_start("tests/unit/world/starttls.yaml");
	ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(ctx);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_cipher_list(ctx, "DEFAULT:@SECLEVEL=0");
	return 0;
}

static int stop(void **state)
{
	SSL_CTX_free(ctx);
	talk_stop(*state);
	return 0;
}

/* The 220 is read, and not a byte behind it. */
static int say_starttls(struct running *w, const char *ip)
{
	int fd = connect_to(ip, w->smtp);

	assert_true(fd >= 0);
	expect(fd, "ESMTP\r\n");
	send_text(fd, "EHLO me\r\n");
	expect(fd, "250 STARTTLS\r\n");
	send_text(fd, "STARTTLS\r\n");
	expect(fd, "220 2.0.0 Ready to start TLS\r\n");
	return fd;
}

static SSL *tls_on(int fd, SSL_SESSION *session, const char *sni)
{
	SSL *ssl = SSL_new(ctx);

	assert_non_null(ssl);
	SSL_set_fd(ssl, fd);
	if (session)
		SSL_set_session(ssl, session);
	if (sni)
		SSL_set_tlsext_host_name(ssl, sni);
	return ssl;
}

static SSL *shake_hands(int fd, SSL_SESSION *session, const char *sni)
{
	SSL *ssl = tls_on(fd, session, sni);

	if (SSL_connect(ssl) != 1)
		fail_msg("no handshake: %s", ERR_reason_error_string(ERR_peek_error()));
	return ssl;
}

static void tls_say(SSL *ssl, const char *text)
{
	assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), strlen(text));
}

static void tls_expect(SSL *ssl, const char *end)
{
	char text[8192] = "";
	size_t used = 0, len = strlen(end);

	while (used < len || memcmp(text + used - len, end, len)) {
		if (used + 1 == sizeof text || SSL_read(ssl, text + used, 1) != 1)
			fail_msg("wanted: %s\ngot: %s", end, text);
		text[++used] = '\0';
	}
}

static void hang_up(SSL *ssl, int fd)
{
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(ssl);
	close(fd);
}

/* The world sees us go a moment later. */
static char *record_when_closed(struct running *w)
{
	while (strstr(control(w, "GET /connections"), "\"conn\""))
		;
	return control(w, "GET /record?since=0");
}

static void works(void **state)
{
	struct running *w = *state;
	int fd = say_starttls(w, "127.22.0.1");
	SSL *ssl = shake_hands(fd, NULL, "tls.example");
	char *record;

	control(w, "POST /reset");
	tls_say(ssl, "MAIL FROM:<>\r\n"); /* what was said in clear is forgotten */
	tls_expect(ssl, "503 5.5.1 Error: send HELO/EHLO first\r\n");
	tls_say(ssl, "EHLO me\r\n");
	tls_expect(ssl, "250 8BITMIME\r\n"); /* the last line: STARTTLS is not offered any more */
	tls_say(ssl, "STARTTLS\r\n");
	tls_expect(ssl, "503 5.5.1 Error: TLS is in use already\r\n");
	tls_say(ssl, "MAIL FROM:<>\r\nRCPT TO:<u1@tls.example>\r\nRCPT TO:<x@tls.example>\r\nQUIT\r\n");
	tls_expect(ssl, "221 2.0.0 Bye\r\n");
	assert_int_equal(SSL_read(ssl, &(char){ 0 }, 1), 0);
	assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN); /* close_notify */
	hang_up(ssl, fd);
	record = record_when_closed(w);
	has(record, "\"event\":\"tls\",\"conn\":1,\"host\":\"tls.example\",\"version\":\"TLSv1.3\",\"cipher\":\"TLS_"
		    "AES_256_GCM_"
		    "SHA384\",\"resumed\":0,\"sni\":\"tls.example\",\"certificate\":\"");
	has(record, "\"raw\":\"RCPT TO:<u1@tls.example>\\r\\n\",\"tls\":1,");
	has(record, "\"text\":\"250 2.1.5 Ok\",\"tls\":1}");
	/* MAIL, EHLO, STARTTLS and the group: the handshake is no round trip. Before: EHLO and STARTTLS. */
	has(record, "\"round_trips\":6,\"round_trips_rcpt\":6}");
	has(control(w, "GET /counts"), "\"accepted\":1,\"deferred\":0,\"refused\":1");
}

static void resumes(struct running *w, const char *ip, int version, bool expected)
{
	SSL_SESSION *session = NULL;

	SSL_CTX_set_max_proto_version(ctx, version);
	control(w, "POST /reset");
	for (int i = 0; i < 3; i++) {
		int fd = say_starttls(w, ip);
		SSL *ssl = shake_hands(fd, session, NULL);
		assert_int_equal(SSL_version(ssl), version);
		assert_int_equal(SSL_session_reused(ssl), i > 0 && expected);
		tls_say(ssl, "NOOP\r\n");
		tls_expect(ssl, "250 2.0.0 Ok\r\n");
		SSL_SESSION_free(session);
		session = SSL_get1_session(ssl); /* behind an answer: the ticket has come */
		hang_up(ssl, fd);
	}
	SSL_SESSION_free(session);
	SSL_CTX_set_max_proto_version(ctx, 0);
	has(control(w, "GET /counts"), expected ? "\"tls\":3,\"tls_resumed\":2,\"tls_failed\":0,\"plaintext\":0"
						: "\"tls\":3,\"tls_resumed\":0,\"tls_failed\":0,\"plaintext\":0");
}

static void resumption(void **state)
{
	resumes(*state, "127.22.0.1", TLS1_3_VERSION, true);
	resumes(*state, "127.22.0.1", TLS1_2_VERSION, true);
	resumes(*state, "127.22.0.12", TLS1_2_VERSION, true);
	resumes(*state, "127.22.0.13", TLS1_3_VERSION, false);
	resumes(*state, "127.22.0.13", TLS1_2_VERSION, false);
}

static void required(void **state)
{
	struct running *w = *state;
	char *text = say(w, "127.22.0.2", MAIL "NOOP\r\nRSET\r\nDATA\r\nQUIT\r\n");
	int fd;
	SSL *ssl;

	has(text, "250 STARTTLS\r\n530 5.7.0 Must issue a STARTTLS command first\r\n250 2.0.0 Ok\r\n530 5.7.0 Must "
		  "issue a "
		  "STARTTLS command first\r\n530 5.7.0 Must issue a STARTTLS command first\r\n221");
	fd = say_starttls(w, "127.22.0.2");
	ssl = shake_hands(fd, NULL, NULL);
	tls_say(ssl, MAIL "RCPT TO:<u1@required.example>\r\n");
	tls_expect(ssl, "250 2.1.5 Ok\r\n");
	hang_up(ssl, fd);
}

static void breaks(struct running *w, const char *ip, const char *counted, const char *reason)
{
	int fd = say_starttls(w, ip);
	SSL *ssl = tls_on(fd, NULL, NULL);

	assert_true(SSL_connect(ssl) < 1);
	ERR_clear_error();
	hang_up(ssl, fd);
	has(record_when_closed(w), reason);
	has(control(w, "GET /counts"), counted);
}

static void breakages(void **state)
{
	struct running *w = *state;

	control(w, "POST /reset");
	breaks(w, "127.22.0.3", "\"tls_failed\":1", "\"host\":\"fails.example\",\"reason\":\"described: fails\"");
	breaks(w, "127.22.0.4", "\"tls_failed\":2", "\"host\":\"garbage.example\",\"reason\":\"described: garbage\"");
	breaks(w, "127.22.0.5", "\"tls_failed\":3", "\"host\":\"closes.example\",\"reason\":\"described: closes\"");
	breaks(w, "127.22.0.7", "\"tls_failed\":4", "\"host\":\"resets.example\",\"reason\":\"described: reset\"");
	/* No byte of a handshake is taken for a command. */
	has(control(w, "GET /counts"), "\"OTHER\":0");
}

static void silence(void **state)
{
	struct running *w = *state;
	int fd = say_starttls(w, "127.22.0.6");
	SSL *ssl = tls_on(fd, NULL, NULL);
	char byte;

	SSL_set_connect_state(ssl);
	shutdown(fd, SHUT_RD); /* the hello goes out, and nothing will ever come */
	assert_true(SSL_do_handshake(ssl) < 1);
	ERR_clear_error();
	while (!strstr(
		control(w, "GET /record?since=0"), "\"host\":\"silent.example\",\"reason\":\"described: silent\""))
		;
	has(control(w, "GET /connections"), "silent.example"); /* it hangs, and does not close */
	assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) < 1);
	hang_up(ssl, fd);
	has(record_when_closed(w), "\"host\":\"silent.example\",\"by\":\"client\"");
}

/* The 220 and a reply that nobody asked for come in one segment; then the handshake goes on as if nothing had been. */
static void injection(void **state)
{
	struct running *w = *state;
	static const char BOTH[] = "220 2.0.0 Ready to start TLS\r\n250 2.1.5 Ok\r\n";
	int fd = connect_to("127.22.0.8", w->smtp);
	char text[200];
	SSL *ssl;

	expect(fd, "ESMTP\r\n");
	send_text(fd, "EHLO me\r\n");
	expect(fd, "250 STARTTLS\r\n");
	send_text(fd, "STARTTLS\r\n");
	assert_int_equal(recv(fd, text, sizeof text, 0), sizeof BOTH - 1);
	assert_memory_equal(text, BOTH, sizeof BOTH - 1);
	ssl = shake_hands(fd, NULL, NULL);
	tls_say(ssl, "NOOP\r\n");
	tls_expect(ssl, "250 2.0.0 Ok\r\n");
	hang_up(ssl, fd);
}

/* A client that does not wait for the handshake, or starts none. */
static void plaintext(void **state)
{
	struct running *w = *state;
	char *text, *record;

	control(w, "POST /reset");
	text = say(w, "127.22.0.1", "EHLO me\r\nSTARTTLS\r\nMAIL FROM:<>\r\nRCPT TO:<u1@tls.example>\r\n");
	has(text, "220 2.0.0 Ready to start TLS\r\n");
	assert_null(strstr(text, "2.1.0"));
	record = record_when_closed(w);
	has(record, "\"event\":\"plaintext\",\"conn\":");
	has(record, "\"raw\":\"MAIL FROM:<>\\r\\nRCPT TO:<u1@tls.example>\\r\\n\"}");
	text = control(w, "GET /counts");
	has(text, "\"tls\":0,\"tls_resumed\":0,\"tls_failed\":1,\"plaintext\":1");
	has(text, "\"MAIL\":0,\"RCPT\":0");
}

static void pipelined_behind_a_refusal(void **state)
{
	struct running *w = *state;

	has(say(w, "127.22.0.14", "EHLO me\r\nSTARTTLS\r\nNOOP\r\nQUIT\r\n"),
		"454 4.7.0 TLS not available\r\n250 2.0.0 Ok\r\n221");
	has(say(w, "127.22.0.1",
		    "EHLO me\r\nMAIL FROM:<>\r\nSTARTTLS\r\nSTARTTLS now\r\nRSET\r\nSTARTTLS now\r\nQUIT\r\n"),
		"503 5.5.1 Error: inside a transaction\r\n503 5.5.1 Error: inside a transaction\r\n250 2.0.0 Ok\r\n501 "
		"5.5.4 "
		"Syntax: STARTTLS\r\n221");
}

static void versions(void **state)
{
	struct running *w = *state;
	int fd = say_starttls(w, "127.22.0.9");
	SSL *ssl = shake_hands(fd, NULL, NULL);

	assert_int_equal(SSL_version(ssl), TLS1_VERSION);
	hang_up(ssl, fd);
	has(record_when_closed(w), "\"host\":\"old.example\",\"version\":\"TLSv1\"");
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	breaks(w, "127.22.0.9", "\"tls_failed\":", "\"host\":\"old.example\",\"reason\":\"unsupported protocol\"");
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
}

static void certificate_of(struct running *w, const char *ip, const char *name, int is_good_today)
{
	int fd = say_starttls(w, ip);
	SSL *ssl = shake_hands(fd, NULL, NULL);
	X509 *cert = SSL_get_peer_certificate(ssl);

	assert_int_equal(X509_check_host(cert, name, 0, 0, NULL), 1);
	assert_int_equal(X509_cmp_current_time(X509_get0_notAfter(cert)) > 0, is_good_today);
	X509_free(cert);
	hang_up(ssl, fd);
}

static void certificates(void **state)
{
	certificate_of(*state, "127.22.0.1", "tls.example", 1);
	certificate_of(*state, "127.22.0.10", "mail.somebody-else.example", 1);
	certificate_of(*state, "127.22.0.11", "expired.example", 0);
}

static void delays_and_faults_hold_under_tls(void **state)
{
	struct running *w = *state;
	int fd = say_starttls(w, "127.22.0.15");
	SSL *ssl = shake_hands(fd, NULL, NULL);

	tls_say(ssl, "EHLO me\r\nQUIT\r\n");
	tls_expect(ssl, "250 8BITMIME\r\n221 2.0.0 Bye\r\n");
	hang_up(ssl, fd);
	fd = say_starttls(w, "127.22.0.16");
	ssl = shake_hands(fd, NULL, NULL);
	tls_say(ssl, MAIL "RCPT TO:<u@x.example>\r\n");
	while (SSL_read(ssl, &(char){ 0 }, 1) == 1)
		;
	assert_int_equal(errno, ECONNRESET);
	ERR_clear_error();
	hang_up(ssl, fd);
}

/* Bytes that only look like TLS, and a client that leaves in the middle. */
static void no_handshake(void **state)
{
	struct running *w = *state;
	char rest[512];
	int fd = say_starttls(w, "127.22.0.1");

	send_text(fd, "\x16\x03\x01hello, this is no hello\r\n");
	read_all(fd, rest, sizeof rest); /* an alert, and the end */
	assert_int_equal(rest[0], 21);
	close(fd);
	fd = say_starttls(w, "127.22.0.1");
	send_text(fd, "\x16\x03");
	close(fd);
	has(record_when_closed(w), "\"reason\":\"the peer went away\"");
}

static void junk_between_records(void **state)
{
	struct running *w = *state;
	char rest[512];
	int fd = say_starttls(w, "127.22.0.1");
	SSL *ssl = shake_hands(fd, NULL, NULL);

	tls_say(ssl, "NOOP\r\n");
	tls_expect(ssl, "250 2.0.0 Ok\r\n");
	send_text(fd, "EHLO in clear\r\nQUIT\r\n"); /* what a man in the middle might add */
	read_all(fd, rest, sizeof rest);
	hang_up(ssl, fd);
	assert_null(strstr(record_when_closed(w), "in clear"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(works),
		cmocka_unit_test(resumption),
		cmocka_unit_test(required),
		cmocka_unit_test(breakages),
		cmocka_unit_test(silence),
		cmocka_unit_test(injection),
		cmocka_unit_test(plaintext),
		cmocka_unit_test(pipelined_behind_a_refusal),
		cmocka_unit_test(no_handshake),
		cmocka_unit_test(junk_between_records),
		cmocka_unit_test(versions),
		cmocka_unit_test(certificates),
		cmocka_unit_test(delays_and_faults_hold_under_tls),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
