/* The servers that behave badly, on sockets: what each says, to whom and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/buf.h"
#include "tests/unit/world/talk.h"

static int start(void **state)
{
	*state = talk_start("tests/unit/world/hostile.yaml");
	return 0;
}

static int stop(void **state)
{
	talk_stop(*state);
	return 0;
}

static void has_not(const char *text, const char *words)
{
	if (strstr(text, words))
		fail_msg("%s in: %s", words, text);
}

/* As say(), from one of our addresses. */
static char *say_from(struct running *w, const char *source, const char *ip, const char *text)
{
	static char answer[65536];
	int fd = connect_from(source, ip, w->smtp);

	assert_true(fd >= 0);
	send_text(fd, text);
	shutdown(fd, SHUT_WR);
	read_all(fd, answer, sizeof answer);
	close(fd);
	return answer;
}

static void one_recipient(void **state)
{
	char *text = say(
		*state, "127.21.0.1", MAIL "RCPT TO:<u1@one.example>\r\nRCPT TO:<u2@one.example>\r\nRSET\r\nQUIT\r\n");

	has(text, "250 2.1.5 Ok\r\n452 4.5.3 Error: too many recipients\r\n250 2.0.0");
}

static void listing(void **state)
{
	struct running *w = *state;

	has(say_from(w, "127.0.0.9", "127.21.0.2", MAIL),
		"554 5.7.1 Service unavailable; Client host [127.0.0.9] "
		"blocked using bl.example; https://bl.example/query/127.0.0.9");
	has(say(w, "127.21.0.3", MAIL), "8BITMIME\r\n554 5.7.1 Service");
	/* One of our addresses is on the list, the other is not. */
	has(say_from(w, "127.0.0.9", "127.21.0.4", MAIL "RCPT TO:<u@listed-rcpt.example>\r\n"),
		"2.1.0 Ok\r\n554 5.7.1");
	has(say_from(w, "127.0.0.8", "127.21.0.4", MAIL "RCPT TO:<u@listed-rcpt.example>\r\n"),
		"2.1.0 Ok\r\n250 2.1.5");
}

static void turning(void **state)
{
	char *text = say(*state, "127.21.0.5",
		MAIL "RCPT TO:<u1@turns.example>\r\nRCPT TO:<u2@turns.example>\r\nRCPT TO:<u1@turns.example>\r\n"
		     "RCPT TO:<postmaster@turns.example>\r\n");

	has(text, "250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n550 Requested action not taken: mailbox unavailable\r\n550 Req");
	text = say(*state, "127.21.0.6",
		MAIL "RCPT TO:<a@lies.example>\r\nRCPT TO:<b@lies.example>\r\nRCPT TO:<c@lies.example>\r\n"
		     "RCPT TO:<c@other.example>\r\n");
	has(text, "<a@lies.example>: Recipient address rejected: User unknown\r\n550 5.1.1 <b@lies.example>: Recipient "
		  "address rejected: User unknown\r\n250 2.1.5 Ok\r\n554 5.7.1");
}

/* A source that asked for too many is blocked in this and every later session; another source is not. */
static void counting(void **state)
{
	struct running *w = *state;
	static const char TWO[] = MAIL "RCPT TO:<a@counts.example>\r\nRCPT TO:<b@counts.example>\r\n";

	has_not(say_from(w, "127.0.0.2", "127.21.0.7", TWO), "Too many");
	has(say_from(w, "127.0.0.2", "127.21.0.7", TWO),
		"550 5.1.1 <a@counts.example>: Recipient address rejected: User unknown\r\n"
		"550 5.7.1 Too many unknown recipients from [127.0.0.2]");
	has(say_from(w, "127.0.0.2", "127.21.0.7", "QUIT\r\n"), "550 5.7.1 Too many");
	has(say_from(w, "127.0.0.3", "127.21.0.7", MAIL "RCPT TO:<u1@counts.example>\r\n"), "2.1.5 Ok");
	control(w, "POST /forget");
	has(say_from(w, "127.0.0.2", "127.21.0.7", MAIL "RCPT TO:<u1@counts.example>\r\n"), "2.1.5 Ok");

	has(say(w, "127.21.0.8", MAIL "RCPT TO:<a@accepts.example>\r\nRCPT TO:<b@accepts.example>\r\n"),
		"User unknown\r\n250 2.1.5 Ok");
	char *text = say(w, "127.21.0.9", MAIL "RCPT TO:<a@shuts.example>\r\nRCPT TO:<postmaster>\r\n");
	has(text, "User unknown\r\n");
	has_not(text, "2.1.5");
}

static double number_behind(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	assert_non_null(at);
	return strtod(at + strlen(key), NULL);
}

/* The time of the first record line of a host that has these words. */
static double time_of(const char *record, const char *host, const char *words)
{
	char of_host[80];

	snprintf(of_host, sizeof of_host, "\"host\":\"%s\"", host);
	for (const char *line = record, *end; (end = strchr(line, '\n')); line = end + 1) {
		size_t n = (size_t)(end - line);
		if (memmem(line, n, of_host, strlen(of_host)) && memmem(line, n, words, strlen(words)))
			return number_behind(line, "\"t\":");
	}
	fail_msg("no %s of %s in: %s", words, host, record);
	return 0;
}

static void tarpit(void **state)
{
	const char *record;

	has(say(*state, "127.21.0.10", MAIL "RCPT TO:<u1@tarpit.example>\r\nRCPT TO:<x@tarpit.example>\r\nQUIT\r\n"),
		"250 2.1.5 Ok\r\n550 5.1.1 <x@tarpit.example>: Recipient address rejected: User unknown\r\n221 2.0.0");
	record = control(*state, "GET /record?since=0");
	static const char HOST[] = "tarpit.example";
	assert_true(time_of(record, HOST, "\"text\":\"250 2.1.0") - time_of(record, HOST, "\"verb\":\"MAIL\"") >= 5);
	assert_true(time_of(record, HOST, "\"text\":\"550") - time_of(record, HOST, "\"text\":\"250 2.1.5") >= 45);
	assert_true(time_of(record, HOST, "\"text\":\"221") - time_of(record, HOST, "\"text\":\"550") >= 5);
}

static void dripping(void **state)
{
	struct running *w = *state;
	char *record;
	double took;

	has(say(w, "127.21.0.11", MAIL "RCPT TO:<u1@drip.example>\r\nQUIT\r\n"), "250 2.1.5 Ok\r\n221 2.0.0 Bye\r\n");
	record = control(w, "GET /record?since=0");
	took = time_of(record, "drip.example", "\"event\":\"close\"") -
	       time_of(record, "drip.example", "\"event\":\"connect\"");
	has(record, "\"bytes_out\":");
	assert_true(took >= 150); /* so many bytes and more, each a millisecond behind the other */
}

static void late_banner(void **state)
{
	struct running *w = *state;
	char *record;
	int fd = connect_to("127.21.0.12", w->smtp);

	expect(fd, "220-wait\r\n");
	expect(fd, "220 late.example ESMTP\r\n");
	close(fd);
	record = control(w, "GET /record?since=0");
	assert_true(time_of(record, "late.example", "220 late.example") -
			    time_of(record, "late.example", "\"event\":\"connect\"") >=
		    50);
	/* The other would wait for 30 s; half a command is too much already. */
	has(say_from(w, "127.0.0.1", "127.21.0.13", "EH"), "554 5.5.1 Protocol error: you must wait");
	has(control(w, "GET /record?since=0"), "\"raw\":\"EH\"");
}

static void without_end(void **state)
{
	struct running *w = *state;
	int fd = connect_to("127.21.0.14", w->smtp);

	for (int i = 0; i < 20; i++)
		expect(fd, "220-banner.example has more to say\r\n");
	close(fd);
	fd = connect_to("127.21.0.15", w->smtp);
	expect(fd, "220 reply.example ESMTP\r\n");
	send_text(fd, "EHLO me\r\n");
	for (int i = 0; i < 3; i++)
		expect(fd, "250-X-AND-ANOTHER\r\n");
	close(fd);
}

static void stays_after_quit(void **state)
{
	struct running *w = *state;
	int fd = connect_to("127.21.0.16", w->smtp);
	char *open;

	expect(fd, "ESMTP\r\n");
	send_text(fd, "QUIT\r\n");
	expect(fd, "221 2.0.0 Bye\r\n");
	send_text(fd, "NOOP\r\n");
	do { /* it reads, and is still there */
		open = control(w, "GET /record?since=0");
	} while (!strstr(open, "\"verb\":\"NOOP\""));
	has(control(w, "GET /connections"), "\"host\":\"stays.example\"");
	close(fd);
}

static void other_protocols(void **state)
{
	struct running *w = *state;
	char *text;
	int fd;

	has(say(w, "127.21.0.17", "EHLO me\r\n"), "250 8BITMIME\r\n250 2.1.0 Ok\r\n");
	fd = connect_to("127.21.0.18", w->smtp);
	expect(fd, "ESMTP\r\n");
	send_text(fd, MAIL);
	expect(fd, "250 2.1.0 Ok\r\n<html>\r\n250\r\n\r\n25");
	close(fd);
	has(say(w, "127.21.0.19", MAIL "RCPT TO:<u@mixed.example>\r\n"),
		"250-2.1.5 Ok\r\n450-4.2.1 or later\r\n550 5.1.1");
	text = say_from(w, "127.0.0.1", "127.21.0.20", "QUIT\r\n");
	has(text, "221 2.0.0 Bye\n");
	has_not(text, "\r");
	has(say(w, "127.21.0.22", MAIL "RCPT TO:<u@x.example>\r\n"), "354 End data");
	has(say(w, "127.21.0.23", MAIL "RCPT TO:<u@x.example>\r\n"), "999 Request denied\r\n");
	fd = connect_to("127.21.0.21", w->smtp);
	expect(fd, "ESMTP\r\n");
	send_text(fd, MAIL "RCPT TO:<u@binary.example>\r\n");
	expect(fd, "Ok\r\n");
	expect(fd, "\xff\xfe Ok");
	close(fd);
	has(control(w, "GET /record?since=0"), "\"text\":\"250 2.1.5 \\u0000\\u0001\\u00ff\\u00fe Ok\\u0000\"");
}

static void long_lines(void **state)
{
	char *text = say(*state, "127.21.0.24", "NOOP\r\n");

	has(text, "250 2.0.0 Okxxx");
	assert_int_equal(strcspn(text, "\r"), 8000);
}

static void raw_bytes(void **state)
{
	struct running *w = *state;
	char bytes[64];
	int fd = connect_to("127.21.0.26", w->smtp);

	assert_int_equal(recv(fd, bytes, 10, MSG_WAITALL), 10);
	assert_memory_equal(bytes, "220 a\0\xfe\\\r\n", 10);
	send_text(fd, "RSET\r\n"); /* a delay alone: the ordinary answer, later */
	expect(fd, "250 2.0.0 Ok\r\n");
	send_text(fd, "NOOP\r\n");
	read_all(fd, bytes, sizeof bytes);
	assert_string_equal(bytes, "25");
	close(fd);
}

static void smtputf8_and_idn(void **state)
{
	has(say(*state, "127.21.0.25",
		    "EHLO me\r\nMAIL FROM:<p@probe.test> SMTPUTF8\r\nRCPT TO:<jörg@utf8.example>\r\n"
		    "RCPT TO:<anna@bücher.example>\r\nRCPT TO:<anna@xn--bcher-kva.example>\r\nRCPT "
		    "TO:<x@bücher.example>\r\n"),
		"250 SMTPUTF8\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1");
	has(say(*state, "127.21.0.25", MAIL "RCPT TO:<jörg@utf8.example>\r\n"), "553 5.6.7");
}

static void relay_denied_on_one_host(void **state)
{
	has(say(*state, "127.21.0.27", MAIL "RCPT TO:<u@shared.example>\r\n"), "554 5.7.1 <u@shared.example>: Relay");
	has(say(*state, "127.21.0.28", MAIL "RCPT TO:<u@shared.example>\r\n"), "250 2.1.5 Ok");
}

/* 421, and a TCP reset, at each phase in its turn: all before it is answered, nothing after it. */
static void every_phase(void **state)
{
	static const char *const SAY[] = { "", "EHLO me\r\n", "HELO me\r\n", "MAIL FROM:<>\r\n",
		"RCPT TO:<u@x.example>\r\n", "RSET\r\n", "NOOP\r\n", "QUIT\r\n", "DATA\r\n" };
	enum { PHASES = sizeof SAY / sizeof *SAY };
	struct running *w = *state;
	char ip[32], text[1024];

	for (int i = 0; i < 2 * PHASES; i++) {
		int fd, phase = i % PHASES;
		snprintf(ip, sizeof ip, "127.21.0.%d", 30 + i);
		fd = connect_to(ip, w->smtp);
		if (fd < 0 && i == PHASES)
			continue; /* the reset came while we connected */
		if (phase) {
			expect(fd, "ESMTP\r\n");
			send_text(fd, SAY[phase]);
		}
		errno = 0;
		read_all(fd, text, sizeof text);
		close(fd);
		if (i < PHASES)
			has(text, "421 4.3.2 hangup-");
		else if (errno != ECONNRESET || text[0])
			fail_msg("phase %d: %s", phase, text);
	}
}

/* A client that resets its connection at whatever moment, at every kind of server: the world goes on. */
static void who_goes_away(void **state)
{
	static const char *const SAID[] = { "", "EH", "EHLO me\r\n",
		MAIL "RCPT TO:<u1@x.example>\r\nNOOP\r\nQUIT\r\nNO" };
	struct running *w = *state;
	struct linger now = { .l_onoff = 1 };
	char ip[32];

	for (int i = 1; i < 48; i++) {
		for (size_t k = 0; k < 2 * sizeof SAID / sizeof *SAID; k++) {
			int fd;
			snprintf(ip, sizeof ip, "127.21.0.%d", i);
			fd = connect_to(ip, w->smtp);
			if (fd < 0)
				continue; /* it was faster */
			(void)!send(fd, SAID[k / 2], strlen(SAID[k / 2]), MSG_NOSIGNAL);
			if (k % 2)
				setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
			close(fd);
		}
	}
	has(control(w, "GET /counts"), "\"connections\":");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_recipient),
		cmocka_unit_test(listing),
		cmocka_unit_test(turning),
		cmocka_unit_test(counting),
		cmocka_unit_test(tarpit),
		cmocka_unit_test(dripping),
		cmocka_unit_test(late_banner),
		cmocka_unit_test(without_end),
		cmocka_unit_test(stays_after_quit),
		cmocka_unit_test(other_protocols),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(raw_bytes),
		cmocka_unit_test(smtputf8_and_idn),
		cmocka_unit_test(relay_denied_on_one_host),
		cmocka_unit_test(every_phase),
		cmocka_unit_test(who_goes_away),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
