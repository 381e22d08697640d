/* rcptctl domain show, rcptctl domain forget */
#include <stdio.h>
#include <string.h>

#include "cli/connect.h"
#include "cli/output.h"
#include "cli/report.h"
#include "rcptd/v1/domain.pb-c.h"

#define SERVICE "/rcptd.v1.DomainService/"

static const char SHOW_HELP[] =
	"Usage: rcptctl domain show [OPTION]... DOMAIN\n"
	"\n"
	"Show what is remembered of a mail domain: its route (hosts in the order of their\n"
	"preference, with addresses, operator and what is left of the TTL), whether it accepts\n"
	"every mailbox, and whether an exemption covers it. Nobody is asked.\n"
	"\n"
	"      --format FORMAT     text or json (default: text)\n"
	"      --server HOST:PORT  where rcptd listens, or unix:/PATH (default: 127.0.0.1:50051)\n"
	"  -h, --help              this text\n"
	"\n"
	"Exit status: 0 shown; 1 nothing is known of it, or another error of the server; 2 usage or\n"
	"bad input; 3 server not reached; 130 interrupted.\n"
	"\n"
	"Example:\n"
	"  rcptctl domain show example.org\n";

static const char FORGET_HELP[] =
	"Usage: rcptctl domain forget [OPTION]... DOMAIN\n"
	"\n"
	"Forget the route, the facts and the verdicts of a mail domain, so that it is asked anew.\n"
	"Exemptions stay.\n"
	"\n"
	"      --subdomains        those of its subdomains too\n"
	"      --format FORMAT     text or json (default: text)\n"
	"      --server HOST:PORT  where rcptd listens, or unix:/PATH (default: 127.0.0.1:50051)\n"
	"  -h, --help              this text\n"
	"\n"
	"Exit status: 0 done; 1 an error of the server; 2 usage or bad input; 3 server not reached;\n"
	"130 interrupted.\n"
	"\n"
	"Example:\n"
	"  rcptctl domain forget --subdomains example.org\n";

enum { OPTION_SUBDOMAINS = OPTION_OWN };
static const struct option SHOW_OPTIONS[] = {
	COMMON_OPTIONS,
	{ "format", required_argument, NULL, OPTION_FORMAT },
	{ 0 },
};
static const struct option FORGET_OPTIONS[] = {
	COMMON_OPTIONS,
	{ "format", required_argument, NULL, OPTION_FORMAT },
	{ "subdomains", no_argument, NULL, OPTION_SUBDOMAINS },
	{ 0 },
};

struct domain_options {
	const char *server, *domain;
	bool json, subdomains;
};

static bool read_options(const struct command *c, int argc, char **argv, const struct option *table,
	struct domain_options *d, enum exit_code *code)
{
	int o;
	*code = EXIT_USAGE;
	while ((o = args_next(c, argc, argv, table, &d->server, code)) != ARGS_END) {
		if (o == ARGS_EXIT)
			return false;
		if (o == OPTION_SUBDOMAINS)
			d->subdomains = true;
		if (o == OPTION_FORMAT && !args_json(optarg, &d->json)) {
			usage_error(c, "--format is text or json, not '%s'", optarg);
			return false;
		}
	}
	if (argc - optind != 1) {
		usage_error(c, argc == optind ? "give a domain" : "give one domain");
		return false;
	}
	d->domain = argv[optind];
	return true;
}

/* ---- show ---- */

static const char *status_name(Rcptd__V1__RouteStatus s)
{
	static const char *const NAME[] = { NULL, "FOUND", "DOMAIN_NOT_FOUND", "NULL_MX", "NO_MAIL_HOST", "FAILURE" };
	return (unsigned)s < sizeof NAME / sizeof NAME[0] ? NAME[s] : NULL;
}

static json_t *host_json(const Rcptd__V1__MailHost *h)
{
	json_t *addresses = json_array();
	for (size_t i = 0; i < h->n_addresses; i++)
		json_array_append_new(addresses, report_json_text(h->addresses[i]));
	return json_pack("{s:o, s:i, s:o, s:o}", "name", report_json_text(h->name), "preference", (int)h->preference,
		"addresses", addresses, "operator", report_json_text(h->operator_));
}

static json_t *route_json(const Rcptd__V1__Route *r)
{
	if (!r)
		return json_null();
	json_t *hosts = json_array();
	for (size_t i = 0; i < r->n_hosts; i++)
		json_array_append_new(hosts, host_json(r->hosts[i]));
	return json_pack("{s:o, s:b, s:o, s:o, s:o}", "status", report_json_text(status_name(r->status)), "implicit",
		(int)r->implicit, "age_s", report_json_seconds(r->age), "ttl_s", report_json_seconds(r->ttl), "hosts",
		hosts);
}

static json_t *domain_json(const Rcptd__V1__GetDomainResponse *a)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:b}", "domain", report_json_text(a->domain), "route",
		route_json(a->route), "catch_all", output_catch_all(a->catch_all), "catch_all_host",
		report_json_text(a->catch_all_host), "catch_all_age_s", report_json_seconds(a->catch_all_age),
		"catch_all_expires", report_json_time(a->catch_all_expires), "exempt", (int)a->exempt);
}

static void print_route(const Rcptd__V1__Route *r)
{
	static const char *const SENTENCE[] = { "unknown", "", "the domain does not exist",
		"the domain says that it takes no mail (null MX)", "no host takes mail for it", "DNS did not answer" };
	if (!r) {
		report_line("route", "not known");
		return;
	}
	if (r->status != RCPTD__V1__ROUTE_STATUS__ROUTE_STATUS_FOUND)
		report_line("route",
			(unsigned)r->status < sizeof SENTENCE / sizeof SENTENCE[0] ? SENTENCE[r->status] : "?");
	else
		report_line("route", r->implicit ? "its own addresses (no MX)" : "by MX");
	report_duration("route known for", r->age);
	report_duration("route counts for", r->ttl);
	for (size_t i = 0; i < r->n_hosts; i++) {
		const Rcptd__V1__MailHost *h = r->hosts[i];
		printf("  %5u ", h->preference);
		report_text(h->name);
		if (*h->operator_) {
			fputs("  (", stdout);
			report_text(h->operator_);
			putchar(')');
		}
		putchar('\n');
		for (size_t j = 0; j < h->n_addresses; j++) {
			printf("        ");
			report_text(h->addresses[j]);
			putchar('\n');
		}
	}
}

static void print_domain(const Rcptd__V1__GetDomainResponse *a)
{
	report_line("domain", a->domain);
	report_line("exempt", a->exempt ? "yes: it is not contacted" : "no");
	report_line("accepts every mailbox", output_catch_all(a->catch_all));
	report_line("learned from", a->catch_all_host);
	report_duration("learned ago", a->catch_all_age);
	report_time("counts until", a->catch_all_expires);
	print_route(a->route);
}

static enum exit_code show(const struct command *c, const char *server, int argc, char **argv)
{
	struct domain_options d = { .server = server };
	struct connection connection;
	enum exit_code code;
	Rcptd__V1__GetDomainRequest question = RCPTD__V1__GET_DOMAIN_REQUEST__INIT;
	ProtobufCMessage *answer;
	if (!read_options(c, argc, argv, SHOW_OPTIONS, &d, &code))
		return code;
	question.domain = (ProtobufCBinaryData){ strlen(d.domain), (uint8_t *)d.domain };
	if (!connect_open(&connection, d.server))
		return EXIT_USAGE;
	code = connect_ask(
		&connection, SERVICE "GetDomain", &question.base, &rcptd__v1__get_domain_response__descriptor, &answer);
	if (code == EXIT_DONE) {
		const Rcptd__V1__GetDomainResponse *known = (Rcptd__V1__GetDomainResponse *)answer;
		if (d.json)
			code = report_json(domain_json(known));
		else
			print_domain(known);
		protobuf_c_message_free_unpacked(answer, NULL);
	}
	connect_close(&connection);
	return report_end(code);
}

/* ---- forget ---- */

static enum exit_code forget(const struct command *c, const char *server, int argc, char **argv)
{
	struct domain_options d = { .server = server };
	struct connection connection;
	enum exit_code code;
	Rcptd__V1__ForgetDomainRequest question = RCPTD__V1__FORGET_DOMAIN_REQUEST__INIT;
	ProtobufCMessage *answer;
	if (!read_options(c, argc, argv, FORGET_OPTIONS, &d, &code))
		return code;
	question.domain = (ProtobufCBinaryData){ strlen(d.domain), (uint8_t *)d.domain };
	question.include_subdomains = d.subdomains;
	if (!connect_open(&connection, d.server))
		return EXIT_USAGE;
	code = connect_ask(&connection, SERVICE "ForgetDomain", &question.base,
		&rcptd__v1__forget_domain_response__descriptor, &answer);
	if (code == EXIT_DONE) {
		uint64_t removed = ((Rcptd__V1__ForgetDomainResponse *)answer)->removed;
		if (d.json)
			code = report_json(json_pack("{s:I}", "removed", (json_int_t)removed));
		else
			printf("%llu record%s forgotten\n", (unsigned long long)removed, removed == 1 ? "" : "s");
		protobuf_c_message_free_unpacked(answer, NULL);
	}
	connect_close(&connection);
	return report_end(code);
}

const struct command DOMAIN_SHOW_COMMAND = { "domain show", "what is remembered of a mail domain", SHOW_HELP, show };
const struct command DOMAIN_FORGET_COMMAND = { "domain forget", "forget it, so that it is asked anew", FORGET_HELP,
	forget };
