/* rcptctl: the command-line client of rcptd. Finds the command; each command is a file of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/report.h"
#include "server/base/version.h"

static const struct command *const COMMAND[] = {
	&VERIFY_COMMAND,
	&DOMAIN_SHOW_COMMAND,
	&DOMAIN_FORGET_COMMAND,
	&EXEMPT_ADD_COMMAND,
	&EXEMPT_CHECK_COMMAND,
	&EXEMPT_LIST_COMMAND,
	&EXEMPT_REVOKE_COMMAND,
	&STATS_COMMAND,
};
#define COMMANDS (sizeof COMMAND / sizeof COMMAND[0])

/* group: only commands of that first word; NULL: all. */
static void help(const char *group)
{
	size_t n = group ? strlen(group) : 0;
	printf("Usage: rcptctl [--server HOST:PORT] %s%s...\n\n", group ? group : "", group ? " COMMAND" : "COMMAND");
	if (!group)
		puts("Tell whether email addresses would accept mail, by asking rcptd. No message is ever sent.\n");
	for (size_t i = 0; i < COMMANDS; i++)
		if (!group || strncmp(COMMAND[i]->name, group, n) == 0)
			printf("  %-16s %s\n", COMMAND[i]->name, COMMAND[i]->summary);
	puts("\n"
	     "  --server HOST:PORT  where rcptd listens, or unix:/PATH (default: " DEFAULT_SERVER ")\n"
	     "  --version           the version\n"
	     "  -h, --help          this text; after a command: all about it\n"
	     "\n"
	     "Exit status: 0 done; 1 another failure, such as output that cannot be written; 2 usage or\n"
	     "bad input; 3 server not reached; 130 interrupted.\n"
	     "\n"
	     "Example:");
	if (group && strcmp(group, "domain") == 0)
		puts("  rcptctl domain show example.org");
	else if (group)
		puts("  rcptctl exempt add example.org --by abuse-desk --note 'mail of 12 May'");
	else
		puts("  rcptctl verify ann@example.org ben@example.net\n"
		     "  rcptctl verify --file contacts.csv --format jsonl --output verdicts.jsonl");
}

static enum exit_code no_command(const char *word)
{
	const char *names[COMMANDS + 2] = { "domain", "exempt" };
	for (size_t i = 0; i < COMMANDS; i++)
		names[i + 2] = COMMAND[i]->name;
	const char *near = args_nearest(word, names, COMMANDS + 2);
	if (near)
		complain("there is no command '%.60s'; did you mean '%s'?", word, near);
	else
		complain("there is no command '%.60s'", word);
	fputs("Try 'rcptctl --help'.\n", stderr);
	return EXIT_USAGE;
}

/* The command of argv[0], or of argv[0] and argv[1]; *words: how many it took. */
static const struct command *find(int argc, char **argv, int *words, char *name, size_t size)
{
	bool group = strcmp(argv[0], "domain") == 0 || strcmp(argv[0], "exempt") == 0;
	*words = group && argc > 1 ? 2 : 1;
	snprintf(name, size, *words == 2 ? "%s %s" : "%s", argv[0], argc > 1 ? argv[1] : "");
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(COMMAND[i]->name, name) == 0)
			return COMMAND[i];
	return NULL;
}

static enum exit_code dispatch(const char *server, int argc, char **argv)
{
	char name[256];
	int words;
	const struct command *c = find(argc, argv, &words, name, sizeof name);
	bool group = strcmp(argv[0], "domain") == 0 || strcmp(argv[0], "exempt") == 0;
	if (!c && group && argc == 1) {
		complain("say what to do: rcptctl %s COMMAND", argv[0]);
		fprintf(stderr, "Try 'rcptctl %s --help'.\n", argv[0]);
		return EXIT_USAGE;
	}
	if (!c && group && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		help(argv[0]);
		return report_end(EXIT_DONE);
	}
	if (!c)
		return no_command(name);
	optind = 0; /* getopt starts afresh at the command's own arguments */
	return c->run(c, server, argc - words + 1, argv + words - 1);
}

int main(int argc, char **argv)
{
	static const struct option OPTIONS[] = {
		COMMON_OPTIONS,
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	const char *server = DEFAULT_SERVER;
	int o;
	opterr = 0;
	while ((o = getopt_long(argc, argv, "+:h", OPTIONS, NULL)) != -1) {
		switch (o) {
		case 'h':
		case OPTION_HELP: help(NULL); return (int)report_end(EXIT_DONE);
		case 'V': puts("rcptctl " RCPTD_VERSION); return (int)report_end(EXIT_DONE);
		case OPTION_SERVER: server = optarg; break;
		default:
			complain(o == ':' ? "%s needs a value" : "there is no option %s before the command",
				argv[optind - 1]);
			fputs("Try 'rcptctl --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		complain("say what to do: rcptctl COMMAND...");
		fputs("Try 'rcptctl --help'.\n", stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[optind], "help") == 0) {
		help(NULL);
		return (int)report_end(EXIT_DONE);
	}
	if (!interrupt_init()) {
		complain("no pipe can be made");
		return EXIT_FAILED;
	}
	return (int)dispatch(server, argc - optind, argv + optind);
}
