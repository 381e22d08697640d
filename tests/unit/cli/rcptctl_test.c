/* The program itself, run against a server that answers by the book, out of order or not at all. */
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/cli/fake_server.h"
#include "tests/unit/cli/program.h"

static struct fake_server fake;
static char dir[200];

static bool out_has(const char *text)
{
	return strstr(buf_str(&program_out), text) != NULL;
}

static bool err_has(const char *text)
{
	return strstr(buf_str(&program_err), text) != NULL;
}

static const char *write_list(const char *name, const char *text)
{
	const char *path = in_dir(name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	return path;
}

/* `count` addresses; every third does not exist. */
static const char *write_many(int count)
{
	const char *path = in_dir("many.csv");
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("n,email\n", f);
	for (int i = 0; i < count; i++)
		fprintf(f, "%d,%s%d@example.org\n", i, i % 3 ? "ok" : "no", i);
	assert_int_equal(fclose(f), 0);
	return path;
}

static int setup(void **state)
{
	(void)state;
	atomic_store(&fake.mode, FAKE_REVERSED);
	atomic_store(&fake.cancelled, 0);
	atomic_store(&fake.calls, 0);
	atomic_store(&fake.most_waiting, 0);
	return 0;
}

/* ---- verify ---- */

static void rows_in_the_order_of_the_input(void **state)
{
	(void)state;
	enum { COUNT = 20000 };
	const char *path = write_many(COUNT);
	for (int mode = FAKE_REVERSED; mode <= FAKE_SHUFFLED; mode++) {
		atomic_store(&fake.mode, mode);
		assert_int_equal(rcptctl("verify", "--file", path, "--format", "jsonl"), 0);
		const uint8_t *line = program_out.data, *stop = line + program_out.len;
		for (int i = 0; i < COUNT; i++) {
			char expected[128];
			int n = snprintf(expected, sizeof expected,
				"{\"address\":\"%s%d@example.org\",\"verdict\":\"%sDELIVERABLE\",", i % 3 ? "ok" : "no",
				i, i % 3 ? "" : "UN");
			assert_true(stop - line > n);
			assert_memory_equal(line, expected, (size_t)n);
			line = memchr(line, '\n', (size_t)(stop - line));
			assert_non_null(line);
			line++;
		}
		assert_ptr_equal(line, stop);
		assert_true(err_has("20,000 addresses in "));
		assert_true(err_has("MAILBOX_UNKNOWN"));
	}
	json_t *j = json_loads(buf_str(&program_out), JSON_DISABLE_EOF_CHECK, NULL);
	assert_int_equal(json_object_size(j), 22);
	json_decref(j);
}

static void the_window_bounds_what_is_asked(void **state)
{
	(void)state;
	const char *path = write_many(3000);
	assert_int_equal(rcptctl("verify", "--file", path, "--format", "csv", "--window", "7", "-q"), 0);
	assert_in_range(atomic_load(&fake.most_waiting), 1, 7);
	size_t lines = 0;
	for (size_t i = 0; i < program_out.len; i++)
		lines += program_out.data[i] == '\n';
	assert_int_equal(lines, 3001);
	assert_int_equal(program_err.len, 0);
}

static void columns_stay_with_their_rows(void **state)
{
	(void)state;
	enum { COUNT = 5000 };
	const char *path = write_many(COUNT);
	for (int mode = FAKE_REVERSED; mode <= FAKE_SHUFFLED; mode++) {
		atomic_store(&fake.mode, mode);
		assert_int_equal(rcptctl("verify", "--file", path, "--format", "csv", "-q"), 0);
		const char *line = buf_str(&program_out);
		assert_memory_equal(line, "n,email,address,verdict,", 24);
		for (int i = 0; i < COUNT; i++) {
			char expected[128];
			const char *word = i % 3 ? "ok" : "no";
			int n = snprintf(expected, sizeof expected,
				"%d,%s%d@example.org,%s%d@example.org,%sDELIVERABLE,", i, word, i, word, i,
				i % 3 ? "" : "UN");
			line = strchr(line, '\n') + 1;
			assert_memory_equal(line, expected, (size_t)n);
		}
		assert_string_equal(strchr(line, '\n'), "\n");
	}
}

static void a_strange_csv(void **state)
{
	(void)state;
	const char *list = write_list("strange.csv", "\xEF\xBB\xBFid;Address;\"n,1\";Rule\r\n1;ok@example.org;\"say "
						     "\"\"x\"\"\r\ny\"\r\n2;no@example.org;a,b;r;more;;\r\n3");
	assert_int_equal(rcptctl("verify", "--file", list, "--format", "csv", "-q"), 0);
	assert_string_equal(buf_str(&program_out),
		"id,Address,\"n,1\",Rule,rcptd_address,verdict,reason,domain,operator,catch_all,role,disposable,free,"
		"suggestion,phase,code,enhanced,text,rcptd_rule,mail_host,mail_ip,source,from_cache,age_s,"
		"retry_after_s,attempts\n"
		"1,ok@example.org,\"say \"\"x\"\"\r\ny\",,ok@example.org,DELIVERABLE,ACCEPTED,example.org,,unknown,"
		"false,false,false,,rcpt,250,,,,mx.example.org,,,false,,,0\n"
		"2,no@example.org,\"a,b\",r,no@example.org,UNDELIVERABLE,MAILBOX_UNKNOWN,example.org,,unknown,false,"
		"false,false,,rcpt,550,,no such user \xEF\xBF\xBD[2Jh,,mx.example.org,,,false,,,0,more,,\n"
		"3,,,,,DELIVERABLE,ACCEPTED,example.org,,unknown,false,false,false,,rcpt,250,,,,mx.example.org,,,"
		"false,,,0\n");
	/* jsonl has our keys alone; a heading alone is kept too. */
	assert_int_equal(rcptctl("verify", "--file", list, "--format", "jsonl", "-q"), 0);
	assert_false(out_has("more"));
	list = write_list("strange.csv", "id,email\r\n");
	assert_int_equal(rcptctl("verify", "--file", list, "--format", "csv", "-q"), 0);
	assert_memory_equal(buf_str(&program_out), "id,email,address,verdict,", 25);
}

static void arguments_as_a_table(void **state)
{
	(void)state;
	assert_int_equal(rcptctl("verify", "no@example.org", "ok@example.org", "grey@example.org"), 0);
	assert_string_equal(buf_str(&program_out),
		"ADDRESS              VERDICT       REASON                DETAIL\n"
		"no@example.org       UNDELIVERABLE MAILBOX_UNKNOWN       550 no such user \\x1B[2Jh from "
		"mx.example.org\n"
		"ok@example.org       DELIVERABLE   ACCEPTED              250 from mx.example.org\n"
		"grey@example.org     UNKNOWN       GREYLISTED            451 from mx.example.org\n");
	assert_true(err_has("3 addresses in "));
}

static void age_reaches_the_server(void **state)
{
	(void)state;
	assert_int_equal(rcptctl("verify", "ok@example.org"), 0);
	assert_int_equal(atomic_load(&fake.max_age_s), -1);
	assert_int_equal(rcptctl("verify", "--max-age", "0", "ok@example.org"), 0);
	assert_int_equal(atomic_load(&fake.max_age_s), 0);
	assert_int_equal(rcptctl("verify", "--max-age", "7d", "ok@example.org"), 0);
	assert_int_equal(atomic_load(&fake.max_age_s), 7 * 86400);
}

static void colour_and_progress_on_a_terminal(void **state)
{
	(void)state;
	const char *list = write_list("list", "ok0@example.org\nok1@example.org\nok2@example.org\n");
	const char *words[] = { "verify", "--file", list, NULL };
	atomic_store(&fake.mode, FAKE_GAPS); /* the third row stays out, so that there is time for a progress line */
	unsetenv("NO_COLOR");
	buf_reset(&program_out);
	struct run r = program_start_on_terminal(words);
	while (!out_has("2 of 3 (66 %)"))
		assert_true(program_more(&r));
	assert_int_equal(kill(r.pid, SIGINT), 0);
	assert_int_equal(program_end(&r), 130);
	assert_true(out_has("\033[32mDELIVERABLE"));
	assert_true(out_has("\r\033[K")); /* the line is gone before the rows that follow */
	assert_true(out_has("Interrupted. 2 addresses"));

	atomic_store(&fake.mode, FAKE_REVERSED);
	setenv("NO_COLOR", "1", 1);
	buf_reset(&program_out);
	r = program_start_on_terminal(words);
	assert_int_equal(program_end(&r), 0);
	unsetenv("NO_COLOR");
	assert_true(out_has("3 addresses in "));
	assert_false(out_has("m"
			     "DELIVERABLE"));
}

static void standard_input_row_by_row(void **state)
{
	(void)state;
	const char *words[] = { "verify", "--file", "-", "--format", "jsonl", NULL };
	buf_reset(&program_out);
	struct run r = program_start(words);
	assert_int_equal(write(r.in, "ok1@example.org\n", 16), 16);
	program_lines(&r, 1); /* answered while the input stays open */
	assert_true(out_has("ok1@example.org"));
	assert_int_equal(write(r.in, "ok2@example.org\n", 16), 16);
	program_lines(&r, 2);
	assert_int_equal(write(r.in, "ok3@example.org", 15), 15);
	assert_int_equal(program_end(&r), 0);
	assert_true(out_has("ok3@example.org"));
}

static void output_to_a_file(void **state)
{
	(void)state;
	const char *list = write_list("list", "ok@example.org\n"),
		   *to = write_list("verdicts", "what stood here before\n");
	char saved_to[256], saved_list[256];
	snprintf(saved_to, sizeof saved_to, "%s", to);
	snprintf(saved_list, sizeof saved_list, "%s", list);
	assert_int_equal(rcptctl("verify", "--file", saved_list, "--output", saved_to, "--format", "csv"), 0);
	assert_int_equal(program_out.len, 0);
	read_file(saved_to, &program_out);
	assert_memory_equal(buf_str(&program_out), "address,verdict", 15);
	assert_false(out_has("before"));
	assert_int_equal(rcptctl("verify", "--file", saved_list, "--output", saved_list), 2);
	read_file(saved_list, &program_out);
	assert_string_equal(buf_str(&program_out), "ok@example.org\n");
	assert_int_equal(rcptctl("verify", "--output", "/nonexistent/file", "ok@example.org"), 2);
	assert_int_equal(rcptctl("verify", "--output", "/dev/full", "ok@example.org"), 1);
	assert_true(err_has("/dev/full: No space left on device"));
}

static void bad_input(void **state)
{
	(void)state;
	char list[256];
	snprintf(list, sizeof list, "%s", write_list("bad.csv", "name,contact\nAnn,ok@example.org\n"));
	assert_int_equal(rcptctl("verify", "--file", list), 2);
	assert_true(err_has("The columns it has: name, contact"));
	assert_int_equal(rcptctl("verify", "--file", list, "--column", "mail"), 2);
	assert_true(err_has("it has no column 'mail'. The columns it has: name, contact"));
	assert_int_equal(program_out.len, 0);
	assert_int_equal(rcptctl("verify", "--file", "/nonexistent"), 2);
	assert_true(err_has("/nonexistent: No such file or directory"));
	snprintf(list, sizeof list, "%s", write_list("bad.csv", "email,x\nok1@example.org,1\n\"ok2@example.org,2\n"));
	assert_int_equal(rcptctl("verify", "--file", list, "--format", "jsonl"), 2);
	assert_true(out_has("ok1@example.org")); /* what was good is answered */
	assert_true(err_has("a quote in its last row is never closed"));
	snprintf(list, sizeof list, "%s", write_list("empty", ""));
	assert_int_equal(rcptctl("verify", "--file", list, "--format", "csv"), 0);
	assert_memory_equal(buf_str(&program_out), "address,verdict", 15);
}

static void usage(void **state)
{
	(void)state;
	assert_int_equal(rcptctl("verify"), 2);
	assert_true(err_has("Try 'rcptctl verify --help'"));
	assert_int_equal(rcptctl("verify", "--fiel", "x"), 2);
	assert_true(err_has("there is no option --fiel; did you mean --file?"));
	assert_int_equal(rcptctl("verify", "-z", "x"), 2);
	assert_true(err_has("there is no option -z"));
	assert_int_equal(rcptctl("verify", "--file"), 2);
	assert_true(err_has("--file needs a value"));
	assert_int_equal(rcptctl("verify", "--max-age", "1w", "a@example.org"), 2);
	assert_int_equal(rcptctl("verify", "--format", "xml", "a@example.org"), 2);
	assert_int_equal(rcptctl("verify", "--window", "0", "a@example.org"), 2);
	assert_int_equal(rcptctl("verify", "--file", "x", "a@example.org"), 2);
	assert_int_equal(rcptctl("verfy", "a@example.org"), 2);
	assert_true(err_has("did you mean 'verify'?"));
	assert_int_equal(rcptctl("domain"), 2);
	assert_int_equal(rcptctl("domain", "shwo", "x"), 2);
	assert_true(err_has("did you mean 'domain show'?"));
	assert_int_equal(rcptctl("domain", "show"), 2);
	assert_int_equal(rcptctl("exempt", "add", "example.org"), 2);
	assert_true(err_has("--by is needed"));
	assert_int_equal(rcptctl("exempt", "list", "example.org"), 2);
	assert_int_equal(rcptctl("stats", "-q"), 2);
	assert_int_equal(atomic_load(&fake.calls), 0);
}

static void help(void **state)
{
	(void)state;
	static const char *const COMMAND[][2] = { { "verify" }, { "domain" }, { "domain", "show" },
		{ "domain", "forget" }, { "exempt" }, { "exempt", "add" }, { "exempt", "check" }, { "exempt", "list" },
		{ "exempt", "revoke" }, { "stats" } };
	assert_int_equal(rcptctl("--help"), 0);
	assert_true(out_has("Example"));
	for (size_t i = 0; i < sizeof COMMAND / sizeof COMMAND[0]; i++) {
		const char *second = COMMAND[i][1] ? COMMAND[i][1] : "--help";
		assert_int_equal(rcptctl(COMMAND[i][0], second, COMMAND[i][1] ? "--help" : NULL), 0);
		assert_true(out_has("Usage: rcptctl"));
		assert_true(out_has("Example"));
		assert_int_equal(program_err.len, 0);
	}
	assert_int_equal(rcptctl("--version"), 0);
	assert_memory_equal(buf_str(&program_out), "rcptctl ", 8);
	assert_int_equal(rcptctl("--server", "127.0.0.1:1"), 2); /* no command */
}

/* ---- when things go wrong ---- */

static void nobody_there(void **state)
{
	(void)state;
	char keep[256];
	snprintf(keep, sizeof keep, "%s", write_list("keep", "an earlier run\n"));
	/* A unix socket that does not exist: nobody else can come to listen there. */
	char target[300];
	snprintf(target, sizeof target, "unix:%s/nobody", dir);
	assert_int_equal(rcptctl("verify", "--server", target, "--output", keep, "ok@example.org"), 3);
	assert_true(err_has("rcptd cannot be reached at unix:"));
	assert_int_equal(rcptctl("verify", "--server", target, "ok@example.org"), 3);
	assert_int_equal(program_out.len, 0);
	assert_int_equal(rcptctl("stats", "--server", target), 3);
	read_file(keep, &program_out);
	assert_string_equal(buf_str(&program_out), "an earlier run\n");
}

static void a_server_that_goes_away(void **state)
{
	(void)state;
	atomic_store(&fake.mode, FAKE_DRAIN);
	const char *list = write_list("list", "ok0@example.org\nok1@example.org\nok2@example.org\n");
	assert_int_equal(rcptctl("verify", "--file", list, "--format", "jsonl"), 3);
	assert_true(out_has("ok0@example.org"));
	assert_false(out_has("ok1@example.org"));
	assert_true(out_has("ok2@example.org"));
	assert_true(err_has("after 2 answers"));
}

static void an_error_with_its_details(void **state)
{
	(void)state;
	atomic_store(&fake.mode, FAKE_REFUSE);
	assert_int_equal(rcptctl("verify", "ok@example.org"), 2);
	assert_string_equal(buf_str(&program_err), "rcptctl: the request is not valid (INVALID_REQUEST)\n"
						   "rcptctl:   items: is not wanted\n");
}

static void answers_that_make_no_sense(void **state)
{
	(void)state;
	atomic_store(&fake.mode, FAKE_STRANGER);
	assert_int_equal(rcptctl("verify", "ok@example.org"), 1);
	atomic_store(&fake.mode, FAKE_SHORT);
	assert_int_equal(rcptctl("verify", "ok@example.org"), 1);
	assert_true(err_has("before it had answered every row"));
}

static void interrupted(void **state)
{
	(void)state;
	atomic_store(&fake.mode, FAKE_GAPS);
	const char *list = write_list("list", "ok0@example.org\nok1@example.org\nok2@example.org\n");
	const char *words[] = { "verify", "--file", list, "--format", "jsonl", NULL };
	buf_reset(&program_out);
	struct run r = program_start(words);
	program_lines(&r, 1);
	assert_int_equal(kill(r.pid, SIGINT), 0);
	assert_int_equal(program_end(&r), 130);
	assert_true(out_has("ok0@example.org"));
	assert_true(out_has("ok2@example.org")); /* answered, and held back by ok1 */
	assert_false(out_has("ok1@example.org"));
	assert_true(err_has("Interrupted. 2 addresses"));
}

static void interrupted_with_a_file(void **state)
{
	(void)state;
	char to[256];
	snprintf(to, sizeof to, "%s", write_list("part.csv", "an earlier run\n"));
	const char *list = write_list("list.csv", "n,email\n0,ok0@example.org\n1,ok1@example.org\n2,ok2@example.org\n");
	const char *words[] = { "verify", "--file", list, "--format", "csv", "-o", to, NULL };
	atomic_store(&fake.mode, FAKE_GAPS);
	buf_reset(&program_out);
	struct run r = program_start_on_terminal(words);
	while (!out_has("2 of 3 (66 %)"))
		assert_true(program_more(&r));
	read_file(to, &program_err);
	assert_string_equal(buf_str(&program_err), "an earlier run\n");
	assert_int_equal(kill(r.pid, SIGINT), 0);
	assert_int_equal(program_end(&r), 130);
	assert_true(out_has("Interrupted. 2 rows answered by then are in "));
	read_file(to, &program_out);
	assert_true(out_has("\n0,ok0@example.org,ok0@example.org,"));
	assert_true(out_has("\n2,ok2@example.org,ok2@example.org,"));
	assert_false(out_has("ok1@"));
	assert_false(out_has("earlier"));

	/* Before anything was answered: what stood there stays. */
	const char *waiting[] = { "verify", "--file", "-", "--format", "csv", "-o", to, NULL };
	snprintf(to, sizeof to, "%s", write_list("part.csv", "an earlier run\n"));
	unsigned calls = (unsigned)atomic_load(&fake.calls);
	buf_reset(&program_out);
	r = program_start(waiting);
	assert_int_equal(write(r.in, "ok1", 3), 3); /* half a row, so that nothing is asked */
	while ((unsigned)atomic_load(&fake.calls) == calls)
		usleep(1000);
	assert_int_equal(kill(r.pid, SIGINT), 0);
	int in = r.in;
	r.in = -1;
	assert_int_equal(program_end(&r), 130);
	close(in);
	assert_true(err_has("Interrupted. No row was answered; "));
	read_file(to, &program_out);
	assert_string_equal(buf_str(&program_out), "an earlier run\n");
}

static void interrupted_at_its_input(void **state)
{
	(void)state;
	const char *words[] = { "verify", "--file", "-", "--format", "jsonl", NULL };
	buf_reset(&program_out);
	struct run r = program_start(words);
	assert_int_equal(write(r.in, "ok1@example.org\n", 16), 16);
	program_lines(&r, 1);
	assert_int_equal(kill(r.pid, SIGINT), 0);
	int in = r.in;
	r.in = -1; /* still open */
	assert_int_equal(program_end(&r), 130);
	close(in);
}

static void a_reader_that_has_seen_enough(void **state)
{
	(void)state;
	const char *path = write_many(20000);
	const char *words[] = { "verify", "--file", path, "--format", "jsonl", NULL };
	buf_reset(&program_out);
	struct run r = program_start(words);
	program_lines(&r, 1);
	close(r.out);
	r.out = open("/dev/null", O_RDONLY);
	assert_int_equal(program_end(&r), 1);
	assert_int_equal(program_err.len, 0);
}

/* ---- the other commands ---- */

static void domains(void **state)
{
	(void)state;
	assert_int_equal(rcptctl("domain", "show", "example.org"), 0);
	assert_true(out_has("mx.example.org"));
	assert_true(out_has("127.0.0.9"));
	assert_int_equal(rcptctl("domain", "show", "example.org", "--format", "json"), 0);
	json_t *j = json_loads(buf_str(&program_out), 0, NULL);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "catch_all")), "no");
	json_t *host = json_array_get(json_object_get(json_object_get(j, "route"), "hosts"), 0);
	assert_int_equal(json_integer_value(json_object_get(host, "preference")), 10);
	json_decref(j);
	assert_int_equal(rcptctl("domain", "show", "example.net"), 1);
	assert_string_equal(buf_str(&program_err), "rcptctl: nothing is known of that domain (DOMAIN_UNKNOWN)\n");
	assert_int_equal(rcptctl("domain", "forget", "--subdomains", "example.org"), 0);
	assert_string_equal(buf_str(&program_out), "5 records forgotten\n");
}

static void exemptions(void **state)
{
	(void)state;
	assert_int_equal(rcptctl("exempt", "add", "example.org", "--by", "desk", "--note", "x"), 0);
	assert_true(out_has("42"));
	assert_true(out_has("2023-11-14 22:13:20 UTC"));
	assert_int_equal(rcptctl("exempt", "check", "ann@example.org"), 0);
	assert_memory_equal(buf_str(&program_out), "yes\n", 4);
	assert_int_equal(rcptctl("exempt", "check", "ann@example.net"), 0);
	assert_string_equal(buf_str(&program_out), "no\n");
	assert_int_equal(rcptctl("exempt", "list", "--all"), 0); /* both pages */
	assert_true(out_has("42           example.net"));
	assert_true(out_has("43           example.org"));
	assert_int_equal(rcptctl("exempt", "list", "--format", "json"), 0);
	json_t *j = json_loads(buf_str(&program_out), JSON_DISABLE_EOF_CHECK, NULL);
	assert_string_equal(json_string_value(json_object_get(j, "id")), "42");
	assert_true(json_is_null(json_object_get(j, "revoked")));
	json_decref(j);
	assert_int_equal(rcptctl("exempt", "revoke", "42", "--by", "desk"), 0);
}

int main(void)
{
	const char *base = getenv("TEST_TMPDIR");
	snprintf(dir, sizeof dir, "%s/rcptctl.XXXXXX", base && strlen(base) < 80 ? base : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	fake_start(&fake);
	program_init(dir, fake.target);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rows_in_the_order_of_the_input, setup),
		cmocka_unit_test_setup(the_window_bounds_what_is_asked, setup),
		cmocka_unit_test_setup(columns_stay_with_their_rows, setup),
		cmocka_unit_test_setup(a_strange_csv, setup),
		cmocka_unit_test_setup(arguments_as_a_table, setup),
		cmocka_unit_test_setup(age_reaches_the_server, setup),
		cmocka_unit_test_setup(colour_and_progress_on_a_terminal, setup),
		cmocka_unit_test_setup(standard_input_row_by_row, setup),
		cmocka_unit_test_setup(output_to_a_file, setup),
		cmocka_unit_test_setup(bad_input, setup),
		cmocka_unit_test_setup(usage, setup),
		cmocka_unit_test_setup(help, setup),
		cmocka_unit_test_setup(nobody_there, setup),
		cmocka_unit_test_setup(a_server_that_goes_away, setup),
		cmocka_unit_test_setup(an_error_with_its_details, setup),
		cmocka_unit_test_setup(answers_that_make_no_sense, setup),
		cmocka_unit_test_setup(interrupted, setup),
		cmocka_unit_test_setup(interrupted_with_a_file, setup),
		cmocka_unit_test_setup(interrupted_at_its_input, setup),
		cmocka_unit_test_setup(a_reader_that_has_seen_enough, setup),
		cmocka_unit_test_setup(domains, setup),
		cmocka_unit_test_setup(exemptions, setup),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_stop(&fake);
	buf_free(&program_out);
	buf_free(&program_err);
	return failed;
}
