#pragma once
/* What every command of rcptctl shares: exit codes, messages, options, durations. Main thread. */
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEFAULT_SERVER "127.0.0.1:50051"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* output that cannot be written, an error that the server answered */
	EXIT_USAGE = 2,	 /* or bad input */
	EXIT_UNREACHABLE = 3,
	EXIT_INTERRUPTED = 130,
};

struct command {
	const char *name;    /* as typed: "verify", "domain show" */
	const char *summary; /* one line */
	const char *help;    /* all of --help */
	enum exit_code (*run)(const struct command *, const char *server, int argc, char **argv);
};
extern const struct command VERIFY_COMMAND, STATS_COMMAND, DOMAIN_SHOW_COMMAND, DOMAIN_FORGET_COMMAND,
	EXEMPT_ADD_COMMAND, EXEMPT_CHECK_COMMAND, EXEMPT_LIST_COMMAND, EXEMPT_REVOKE_COMMAND;

/* "rcptctl: …" and a newline on standard error; what is not fit for a terminal is escaped. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, then where to find help. Returns EXIT_USAGE. */
enum exit_code usage_error(const struct command *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Options that every command has: the first rows of its table. --file, --output, --quiet and --watch have the
 * letters that they can be written with as their values. */
enum { OPTION_HELP = 1, OPTION_SERVER, OPTION_FORMAT, OPTION_OWN };
/* clang-format off */
#define COMMON_OPTIONS \
	{ "help", no_argument, NULL, OPTION_HELP }, \
	{ "server", required_argument, NULL, OPTION_SERVER }
/* clang-format on */

/* One step through the options. Returns the option's value; ARGS_END after the last, optind at the first operand;
 * ARGS_EXIT when the command is over with *code (help was shown, or an error was). --help and --server are dealt
 * with in here. */
enum { ARGS_END = -1, ARGS_EXIT = -2 };
int args_next(const struct command *, int argc, char **argv, const struct option *, const char **server,
	enum exit_code *code);

/* "0", "30s", "5m", "12h", "7d". False if it is none. */
bool args_duration(const char *text, int64_t *seconds);
/* "text" or "json" for --format; false if it is neither. */
bool args_json(const char *text, bool *json);
/* The nearest of count names within two edits, NULL if none is near. */
const char *args_nearest(const char *word, const char *const *names, size_t count);
