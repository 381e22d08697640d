/* rcptctl stats */
#include "cli/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/report.h"

static const char HELP[] =
	"Usage: rcptctl stats [OPTION]...\n"
	"       rcptctl stats --watch [--interval DURATION] [OPTION]...\n"
	"\n"
	"Show what rcptd has done since its start, and what it is doing now.\n"
	"\n"
	"  -w, --watch             again and again, with what each number grew by a second: a screen\n"
	"                          on a terminal, else one line a time; Ctrl-C ends it\n"
	"      --interval DURATION how often: 100ms to 1h (default: 1s)\n"
	"      --format FORMAT     text or json (default: text); with --watch one object a line, with\n"
	"                          elapsed_s and rates, which are null in the first\n"
	"      --server HOST:PORT  where rcptd listens, or unix:/PATH (default: 127.0.0.1:50051)\n"
	"  -h, --help              this text\n"
	"\n"
	"Exit status: 0 done; 1 an error of the server; 2 usage; 3 server not reached, or it\n"
	"went away; 130 interrupted.\n"
	"\n"
	"Example:\n"
	"  rcptctl stats --format json | jq .sessions_open\n";

enum { OPTION_INTERVAL = OPTION_OWN };
static const struct option OPTIONS[] = {
	COMMON_OPTIONS,
	{ "watch", no_argument, NULL, 'w' },
	{ "interval", required_argument, NULL, OPTION_INTERVAL },
	{ "format", required_argument, NULL, OPTION_FORMAT },
	{ 0 },
};

/* The plain numbers, by the key in JSON and by what a person reads. */
static const struct {
	const char *key, *name;
	size_t at;
} NUMBER[] = {
#define NUMBER_ROW(field, name)                                                                                        \
	{                                                                                                              \
#field, name, offsetof(Rcptd__V1__GetStatsResponse, field)                                             \
	}
	NUMBER_ROW(addresses, "addresses taken in"),
	NUMBER_ROW(cache_hits, "answers remembered"),
	NUMBER_ROW(cache_misses, "not remembered"),
	NUMBER_ROW(connections, "connections begun"),
	NUMBER_ROW(recipients_asked, "RCPTs sent"),
	NUMBER_ROW(unclassified_replies, "replies unclassified"),
	NUMBER_ROW(dns_queries, "DNS queries sent"),
	NUMBER_ROW(sessions_open, "sessions open now"),
	NUMBER_ROW(addresses_waiting, "addresses waiting"),
	NUMBER_ROW(calls_open, "calls open now"),
#undef NUMBER_ROW
};
#define NUMBERS (sizeof NUMBER / sizeof NUMBER[0])

static uint64_t number(const Rcptd__V1__GetStatsResponse *s, size_t i)
{
	return *(const uint64_t *)((const char *)s + NUMBER[i].at);
}

/* A word that this version does not know counts under its own name all the same. */
static const char *known(const char *word)
{
	return word ? word : "OTHER";
}

static const char *phase(Rcptd__V1__Phase p)
{
	return p == RCPTD__V1__PHASE__PHASE_UNSPECIFIED ? "none" : known(output_phase(p));
}

json_t *stats_json(const Rcptd__V1__GetStatsResponse *s)
{
	json_t *j = json_object(), *verdicts = json_object(), *reasons = json_object(), *phases = json_object();
	json_object_set_new(j, "start_time", report_json_time(s->start_time));
	json_object_set_new(j, "uptime_s", report_json_seconds(s->uptime));
	for (size_t i = 0; i < NUMBERS; i++)
		json_object_set_new(j, NUMBER[i].key, json_integer((json_int_t)number(s, i)));
	for (size_t i = 0; i < s->n_verdicts; i++)
		json_object_set_new(verdicts, known(output_verdict(s->verdicts[i]->verdict)),
			json_integer((json_int_t)s->verdicts[i]->count));
	for (size_t i = 0; i < s->n_reasons; i++)
		json_object_set_new(reasons, known(output_reason(s->reasons[i]->reason)),
			json_integer((json_int_t)s->reasons[i]->count));
	for (size_t i = 0; i < s->n_phases; i++)
		json_object_set_new(phases, phase(s->phases[i]->phase), json_integer((json_int_t)s->phases[i]->count));
	json_object_set_new(j, "verdicts", verdicts);
	json_object_set_new(j, "reasons", reasons);
	json_object_set_new(j, "phases", phases);
	return j;
}

static void print_stats(const Rcptd__V1__GetStatsResponse *s)
{
	report_time("started", s->start_time);
	report_duration("up for", s->uptime);
	for (size_t i = 0; i < NUMBERS; i++)
		report_number(NUMBER[i].name, number(s, i));
	if (s->n_verdicts)
		puts("\nanswers by verdict");
	for (size_t i = 0; i < s->n_verdicts; i++)
		report_number(known(output_verdict(s->verdicts[i]->verdict)), s->verdicts[i]->count);
	if (s->n_reasons)
		puts("\nby reason");
	for (size_t i = 0; i < s->n_reasons; i++)
		report_number(known(output_reason(s->reasons[i]->reason)), s->reasons[i]->count);
	if (s->n_phases)
		puts("\nby phase");
	for (size_t i = 0; i < s->n_phases; i++)
		report_number(phase(s->phases[i]->phase), s->phases[i]->count);
}

static bool read_interval(const char *text, int64_t *ms)
{
	size_t digits = strspn(text, "0123456789");
	int64_t s;
	if (digits && digits < 8 && strcmp(text + digits, "ms") == 0)
		*ms = strtoll(text, NULL, 10);
	else if (args_duration(text, &s))
		*ms = s * 1000;
	else
		return false;
	return *ms >= 100 && *ms <= 3600 * 1000;
}

static enum exit_code once(struct connection *connection, bool json)
{
	Rcptd__V1__GetStatsRequest question = RCPTD__V1__GET_STATS_REQUEST__INIT;
	ProtobufCMessage *answer;
	enum exit_code code = connect_ask(connection, "/rcptd.v1.StatsService/GetStats", &question.base,
		&rcptd__v1__get_stats_response__descriptor, &answer);
	if (code != EXIT_DONE)
		return code;
	if (json)
		code = report_json(stats_json((Rcptd__V1__GetStatsResponse *)answer));
	else
		print_stats((Rcptd__V1__GetStatsResponse *)answer);
	protobuf_c_message_free_unpacked(answer, NULL);
	return report_end(code);
}

static enum exit_code run(const struct command *c, const char *server, int argc, char **argv)
{
	struct connection connection;
	enum exit_code code;
	bool json = false, watch = false;
	int64_t interval_ms = 0;
	int o;
	while ((o = args_next(c, argc, argv, OPTIONS, &server, &code)) != ARGS_END) {
		if (o == ARGS_EXIT)
			return code;
		if (o == 'w')
			watch = true;
		if (o == OPTION_FORMAT && !args_json(optarg, &json))
			return usage_error(c, "--format is text or json, not '%s'", optarg);
		if (o == OPTION_INTERVAL && !read_interval(optarg, &interval_ms))
			return usage_error(c, "--interval is 100ms to 1h, such as 500ms, 5s, 1m, not '%s'", optarg);
	}
	if (optind != argc)
		return usage_error(c, "takes no operand");
	if (interval_ms && !watch)
		return usage_error(c, "--interval is about --watch");
	if (!connect_open(&connection, server))
		return EXIT_USAGE;
	code = watch ? watch_run(&connection, interval_ms ? interval_ms : WATCH_INTERVAL_MS, json)
		     : once(&connection, json);
	connect_close(&connection);
	return code;
}

const struct command STATS_COMMAND = { "stats", "what rcptd has done and is doing", HELP, run };
