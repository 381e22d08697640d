/* The program itself, spoken to over sockets: what each kind of server says, and what the record and the counters say
 * of it. Ports are chosen by the kernel. */
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

#define DESCRIPTION "tests/unit/world/talk.yaml"

static int start(void **state)
{
	*state = talk_start(DESCRIPTION);
	return 0;
}

static int stop(void **state)
{
	talk_stop(*state);
	return 0;
}

static void ordinary_server(void **state)
{
	char *text = say(*state, "127.20.0.1",
		MAIL "RCPT TO:<u1@normal.example>\r\nRCPT TO:<x@normal.example>\r\nRCPT TO:<u1@other.example>\r\n"
		     "RCPT TO:<Postmaster@normal.example>\r\nRSET\r\nNOOP\r\nQUIT\r\n");

	has(text, "250-PIPELINING\r\n");
	has(text, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 <x@normal.example>: Recipient address rejected: User "
		  "unknown\r\n554 5.7.1 <u1@other.example>: Relay access denied\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok\r\n"
		  "250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n");
}

static void nothing_beyond_the_eight(void **state)
{
	char *text = say(*state, "127.20.0.1",
		MAIL "RCPT TO:<u1@normal.example>\r\nDATA\r\nVRFY u1\r\nfoo\001\377bar\r\nQUIT\r\n");

	has(text, "250 2.1.5 Ok\r\n502 5.5.2 Error: command not recognized\r\n502 5.5.2");
	has(say(*state, "127.20.0.1", "EHLO me\r\nNOOP\r\nRCPT TO:<half"), "250 8BITMIME\r\n250 2.0.0 Ok\r\n");
	text = control(*state, "GET /record?since=0");
	has(text, "\"raw\":\"RCPT TO:<half\",");
	has(text, "\"verb\":\"DATA\",\"arg\":\"\",\"raw\":\"DATA\\r\\n\"");
	has(text, "\"raw\":\"foo\\u0001\\u00ffbar\\r\\n\"");
	has(control(*state, "GET /counts"), "\"DATA\":1");
}

/* Banner, EHLO, then MAIL with n RCPTs in one write: two round trips, whatever n, slow or not. */
static void round_trips(void **state)
{
	static const char *const IP[] = { "127.20.0.1", "127.20.0.2" };
	static const char *const DOMAIN[] = { "normal.example", "slow.example" };

	for (int i = 0; i < 2; i++) {
		for (int n = 1; n <= 10; n += 3) {
			struct buf group = BUF_INIT(4096);
			int fd = connect_to(IP[i], ((struct running *)*state)->smtp);
			char *close_event;
			expect(fd, "220 ");
			expect(fd, "\r\n");
			send_text(fd, "EHLO me\r\n");
			expect(fd, "250 8BITMIME\r\n");
			buf_puts(&group, "MAIL FROM:<p@probe.test>\r\n");
			for (int k = 0; k < n; k++)
				buf_printf(&group, "RCPT TO:<u%d@%s>\r\n", k, DOMAIN[i]);
			send_text(fd, buf_str(&group));
			for (int k = 0; k < n; k++)
				expect(fd, "250 2.1.5 Ok\r\n");
			send_text(fd, "QUIT\r\n");
			expect(fd, "221 2.0.0 Bye\r\n");
			close(fd);
			do { /* the server sees us close a moment later */
				close_event = strstr(control(*state, "GET /connections"), "\"conn\"");
			} while (close_event);
			has(control(*state, "GET /record?since=0"), "\"event\":\"close\"");
			close_event = strrchr(control(*state, "GET /record?since=0"), '{');
			has(close_event, "\"round_trips\":3,\"round_trips_rcpt\":2}");
			buf_free(&group);
		}
	}
}

static void lockstep_round_trips(void **state)
{
	int fd = connect_to("127.20.0.1", ((struct running *)*state)->smtp);

	control(*state, "POST /reset");
	expect(fd, "\r\n");
	send_text(fd, "EHLO me\r\n");
	expect(fd, "250 8BITMIME\r\n");
	send_text(fd, "MAIL FROM:<>\r\n");
	expect(fd, "Ok\r\n");
	send_text(fd, "RCPT TO:<u1@normal.example>\r\n");
	expect(fd, "Ok\r\n");
	send_text(fd, "RCPT TO:<u2@normal.example>\r\n");
	expect(fd, "Ok\r\n");
	has(control(*state, "GET /counts"), "\"round_trips\":4,\"accepted\":2,\"deferred\":0,\"refused\":0");
	close(fd);
}

static void faults(void **state)
{
	struct running *w = *state;
	char *text;
	int fd;

	assert_int_equal(connect_to("127.20.0.3", w->smtp), -1); /* dead */
	has(say(w, "127.20.0.4", MAIL "RCPT TO:<u1@grey.example>\r\nQUIT\r\n"), "250 2.1.5");
	text = say(w, "127.20.0.5", MAIL "RCPT TO:<u1@x.example>\r\n");
	has(text, "250 8BITMIME\r\n");
	assert_null(strstr(text, "2.1.0"));
	text = say(w, "127.20.0.6", MAIL "RCPT TO:<u1@hangup.example>\r\nRCPT TO:<u2@hangup.example>\r\nQUIT\r\n");
	has(text, "250 2.1.5 Ok\r\n421 4.3.2 hangup.example");
	assert_null(strstr(text, "221"));
	text = say(w, "127.20.0.7", MAIL "RCPT TO:<u1@early.example>\r\nQUIT\r\n");
	has(text, "250 8BITMIME\r\n503 5.5.1 Error: command out of order\r\n503");
	has(say(w, "127.20.0.8", "EHLO me\r\nHELO me\r\nQUIT\r\n"), "450 4.3.2 not now\r\n450 4.3.2 not now\r\n221");
	has(say(w, "127.20.0.9", MAIL "QUIT\r\n"), "503 5.5.1");
	fd = connect_to("127.20.0.9", w->smtp);
	expect(fd, "554 5.7.1 not 127.0.0.1\r\n");
	close(fd);
	fd = connect_to("127.20.0.10", w->smtp);
	expect(fd, "\r\n");
	send_text(fd, MAIL "RCPT TO:<u1@x.example>\r\n");
	while (read(fd, &(char){ 0 }, 1) == 1)
		;
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	text = say(
		w, "127.20.0.12", MAIL "RCPT TO:<full@replies.example>\r\nRCPT TO:<OLD1@replies.example>\r\nRSET\r\n");
	has(text, "452-4.2.2 <full@replies.example>\r\n452 4.2.2 over quota\r\n550 5.2.1 disabled\r\n421 4.7.0");
}

static void only_the_first_connection(void **state)
{
	struct running *w = *state;
	int fd = connect_to("127.20.0.11", w->smtp);

	expect(fd, "421 4.3.2 busy\r\n");
	close(fd);
	fd = connect_to("127.20.0.11", w->smtp);
	expect(fd, "220 once.example ESMTP\r\n");
	close(fd);
}

static void ends_with_a_code(int wanted, const char *words, char *const argv[])
{
	char text[2048];
	int out;
	pid_t pid = talk_launch(argv, &out, 1);

	read_all(out, text, sizeof text);
	close(out);
	assert_int_equal(talk_status(pid), wanted);
	has(text, words);
}

static void exit_codes(void **state)
{
	struct running *w = *state;
	char port[12];

	snprintf(port, sizeof port, "%d", w->smtp);
	ends_with_a_code(
		1, "the port is in use", (char *[]){ WORLD, "--config", DESCRIPTION, "--smtp-port", port, NULL });
	ends_with_a_code(2, "no/such/file", (char *[]){ WORLD, "--config", "no/such/file", NULL });
	ends_with_a_code(2, "not YAML", (char *[]){ WORLD, "--config", WORLD, NULL });
	ends_with_a_code(2, "Usage", (char *[]){ WORLD, NULL });
	ends_with_a_code(0, "is good: 12 hosts", (char *[]){ WORLD, "--config", DESCRIPTION, "--check", NULL });
}

static void quits(void **state)
{
	(void)state;
	void *other;

	start(&other);
	has(control(other, "POST /quit"), "200 OK");
	assert_int_equal(talk_status(((struct running *)other)->pid), 0);
	free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_server),
		cmocka_unit_test(nothing_beyond_the_eight),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(lockstep_round_trips),
		cmocka_unit_test(faults),
		cmocka_unit_test(only_the_first_connection),
		cmocka_unit_test(exit_codes),
		cmocka_unit_test(quits),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
