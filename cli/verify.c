/* rcptctl verify */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/stream.h"
#include "cli/text.h"
#include "server/base/clock.h"

#define WINDOW_MAX 10000000
#define WIDE 100u /* columns; on a terminal with fewer the addresses of a file get less room */
#define NARROW_ADDRESS 26u

static const char HELP[] =
	"Usage: rcptctl verify [OPTION]... ADDRESS...\n"
	"       rcptctl verify [OPTION]... --file FILE\n"
	"\n"
	"Ask whether addresses would accept mail. No message is ever sent.\n"
	"\n"
	"  -f, --file FILE         read addresses from FILE, '-' is standard input: a CSV with\n"
	"                          a header (comma, semicolon or tab), or one address a line\n"
	"      --column NAME       column of the CSV with the addresses (default: the one\n"
	"                          named email, e-mail, mail or address, or the only one)\n"
	"  -o, --output FILE       write rows to FILE instead of standard output. It gets its name\n"
	"                          at the end: what stood there stays until then, and for good if\n"
	"                          no row was answered or the disk was full. (A run that is killed\n"
	"                          leaves .FILE.XXXXXX beside it.)\n"
	"      --format FORMAT     table, csv or jsonl (default: table)\n"
	"      --max-age DURATION  accept what is remembered only if it is at most so old:\n"
	"                          30s, 5m, 12h, 7d; 0 asks anew (default: any age)\n"
	"      --window ROWS       rows that may be under way at once (default: 100000)\n"
	"  -q, --quiet             no progress and no summary\n"
	"      --server HOST:PORT  where rcptd listens, or unix:/PATH\n"
	"                          (default: 127.0.0.1:50051)\n"
	"  -h, --help              this text\n"
	"\n"
	"Rows come out in the order they went in, as soon as all before them are answered. One\n"
	"slow mail server therefore holds the output up, but not the asking, until the window\n"
	"is full. A window of 100000 rows takes about 50 MB when that happens; with what is kept of\n"
	"a CSV it is full at 256 MB.\n"
	"\n"
	"A jsonl row has these keys, null where there is no value; csv has the same columns:\n"
	"  address, verdict, reason, domain, operator, catch_all (yes, no, unknown), role,\n"
	"  disposable, free, suggestion, phase, code, enhanced, text, rule, mail_host, mail_ip,\n"
	"  source, from_cache, age_s, retry_after_s, attempts\n"
	"In csv a reply text that a spreadsheet would take for a formula begins with a '.\n"
	"\n"
	"From a CSV to csv every column of the input is kept, in front of these, with its name and\n"
	"its bytes (blanks around a cell without quotes are dropped). If the input has a column of\n"
	"one of these names already, whatever the case, ours is called rcptd_NAME: rcptd_address.\n"
	"Short rows are filled up with empty cells; cells beyond the heading come after our columns.\n"
	"The output has commas, LF line ends and no byte order mark, whatever the input had.\n"
	"\n"
	"Progress (on a terminal: rows, rate of the last 10 seconds, time left) and a summary go to\n"
	"standard error. NO_COLOR is honoured.\n"
	"\n"
	"Exit status: 0 every row has its verdict, whichever; 1 output could not be written or\n"
	"the server gave an error; 2 usage or bad input; 3 server not reached, or it went away;\n"
	"130 interrupted (rows answered by then are written, and a FILE of them gets its name).\n"
	"\n"
	"Examples:\n"
	"  rcptctl verify ann@example.org\n"
	"  rcptctl verify --file contacts.csv --column email --format csv -o verdicts.csv\n"
	"  cut -f2 people.tsv | rcptctl verify --file - --format jsonl | jq .reason\n";

enum { OPTION_COLUMN = OPTION_OWN, OPTION_MAX_AGE, OPTION_WINDOW };
static const struct option OPTIONS[] = {
	COMMON_OPTIONS,
	{ "file", required_argument, NULL, 'f' },
	{ "column", required_argument, NULL, OPTION_COLUMN },
	{ "output", required_argument, NULL, 'o' },
	{ "format", required_argument, NULL, OPTION_FORMAT },
	{ "max-age", required_argument, NULL, OPTION_MAX_AGE },
	{ "window", required_argument, NULL, OPTION_WINDOW },
	{ "quiet", no_argument, NULL, 'q' },
	{ 0 },
};

struct verify {
	const struct command *command;
	const char *server, *file, *column, *output;
	bool quiet;
	char *const *addresses;
	size_t address_count;
	struct stream_options stream;
	struct sink sink;
};

static bool read_window(const char *text, size_t *window)
{
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	*window = (size_t)n;
	return !errno && end != text && !*end && n >= 1 && n <= WINDOW_MAX;
}

/* False: *code is what to exit with. */
static bool read_options(struct verify *v, int argc, char **argv, enum exit_code *code)
{
	int o;
	*code = EXIT_USAGE;
	while ((o = args_next(v->command, argc, argv, OPTIONS, &v->server, code)) != ARGS_END) {
		switch (o) {
		case ARGS_EXIT: return false;
		case 'f': v->file = optarg; break;
		case 'o': v->output = optarg; break;
		case 'q': v->quiet = true; break;
		case OPTION_COLUMN: v->column = optarg; break;
		case OPTION_FORMAT:
			if (output_format_named(optarg, &v->stream.style.format))
				break;
			usage_error(v->command, "--format is table, csv or jsonl, not '%s'", optarg);
			return false;
		case OPTION_MAX_AGE:
			if (args_duration(optarg, &v->stream.max_age_s))
				break;
			usage_error(
				v->command, "--max-age is 0 or a duration such as 30s, 5m, 12h, 7d, not '%s'", optarg);
			return false;
		case OPTION_WINDOW:
			if (read_window(optarg, &v->stream.window))
				break;
			usage_error(v->command, "--window is 1 to %d, not '%s'", WINDOW_MAX, optarg);
			return false;
		}
	}
	v->addresses = argv + optind;
	v->address_count = (size_t)(argc - optind);
	if (!v->file && !v->address_count)
		usage_error(v->command, "give addresses, or --file with a list of them");
	else if (v->file && v->address_count)
		usage_error(v->command, "give either addresses or --file, not both");
	else if (v->column && !v->file)
		usage_error(v->command, "--column is about a --file");
	else
		return true;
	return false;
}

static bool open_input(struct verify *v)
{
	struct buf why = BUF_INIT(8 * 1024);
	err_t err = v->file ? input_open(v->file, v->column, &v->stream.input, &why)
			    : input_from_arguments(v->addresses, v->address_count, &v->stream.input);
	if (err)
		complain("%s", why.len ? buf_str(&why) : err_text(err));
	buf_free(&why);
	return err == ERR_OK;
}

static bool open_output(struct verify *v)
{
	v->stream.sink = &v->sink;
	if (v->output && input_is_file(v->stream.input, v->output))
		complain("%s: is the input; give the output another name", v->output);
	else if (!sink_open(&v->sink, v->output))
		complain("%s: %s", v->output, strerror(errno));
	else
		return true;
	return false;
}

/* The table's columns: as wide as the addresses need where they are known. */
static void lay_out(struct verify *v)
{
	struct output_style *style = &v->stream.style;
	struct buf scratch = BUF_INIT(64 * 1024);
	uint32_t widest = 20;
	for (size_t i = 0; i < v->address_count; i++) {
		uint32_t width = text_terminal(&scratch, v->addresses[i], strlen(v->addresses[i]), 60);
		widest = width > widest ? width : widest;
		buf_reset(&scratch);
	}
	buf_free(&scratch);
	style->line_width = progress_width(v->sink.fd);
	style->address_width = widest;
	if (v->file)
		style->address_width =
			style->line_width && style->line_width < WIDE ? NARROW_ADDRESS : OUTPUT_ADDRESS_WIDTH;
	style->colour = progress_colour(v->sink.fd);
}

static void summarise(const struct verify *v, const struct tally *t, enum exit_code code)
{
	if (v->quiet || t->rows == 0 || (t->rows == 1 && code == EXIT_DONE))
		return;
	struct buf text = BUF_INIT(64 * 1024);
	if (code == EXIT_INTERRUPTED && !v->output)
		buf_puts(&text, "Interrupted. ");
	tally_summary(t, clock_mono_ms(), progress_colour(STDERR_FILENO), &text);
	bool below_rows = !v->output && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
	fprintf(stderr, "%s%s", below_rows ? "\n" : "", buf_str(&text));
	buf_free(&text);
}

/* A file that is not what was asked for says how much of it it is. */
static void tell_part(const struct verify *v, const struct tally *t)
{
	struct buf text = BUF_INIT(16 * 1024);
	progress_number(&text, t->rows);
	if (t->rows == 0)
		complain("Interrupted. No row was answered; %s was not written", v->output);
	else
		complain("Interrupted. %s row%s answered by then %s in %s", buf_str(&text), t->rows == 1 ? "" : "s",
			t->rows == 1 ? "is" : "are", v->output);
	buf_free(&text);
}

static enum exit_code close_output(struct verify *v, const struct tally *t, enum exit_code code)
{
	/* Rows that were answered are worth having, however it ended; a full disk leaves what stood there. */
	if (code != EXIT_DONE && t->rows == 0)
		sink_drop(&v->sink);
	else
		(void)sink_keep(&v->sink);
	if (!v->sink.error) {
		if (code == EXIT_INTERRUPTED && v->output)
			tell_part(v, t);
		return code;
	}
	if (v->sink.error == EPIPE) /* whoever read it has seen enough */
		v->quiet = true;
	else
		complain("%s: %s", v->output ? v->output : "standard output", strerror(v->sink.error));
	return code == EXIT_INTERRUPTED ? code : EXIT_FAILED;
}

static enum exit_code verify(struct verify *v)
{
	struct connection connection;
	struct tally tally = { 0 };
	if (!open_input(v) || !open_output(v))
		return EXIT_USAGE;
	if (v->stream.style.format == OUTPUT_CSV)
		input_keep(v->stream.input);
	lay_out(v);
	v->stream.progress = !v->quiet && isatty(STDERR_FILENO);
	if (!connect_open(&connection, v->server)) {
		sink_drop(&v->sink);
		return EXIT_USAGE;
	}
	enum exit_code code = stream_run(&connection, &v->stream, &tally);
	code = close_output(v, &tally, code);
	summarise(v, &tally, code);
	connect_close(&connection);
	return code;
}

static enum exit_code run(const struct command *command, const char *server, int argc, char **argv)
{
	struct verify v = {
		.command = command,
		.server = server,
		.stream = { .window = STREAM_WINDOW, .max_age_s = -1 },
	};
	enum exit_code code;
	if (!read_options(&v, argc, argv, &code))
		return code;
	code = verify(&v);
	input_close(v.stream.input);
	return code;
}

const struct command VERIFY_COMMAND = { "verify", "ask whether addresses would accept mail", HELP, run };
