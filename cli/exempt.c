/* rcptctl exempt add, check, list, revoke */
#include <stdio.h>
#include <string.h>

#include "cli/connect.h"
#include "cli/output.h"
#include "cli/report.h"
#include "rcptd/v1/exemption.pb-c.h"

#define SERVICE "/rcptd.v1.ExemptionService/"
#define PAGE 1000u

#define HELP_TAIL                                                                                                      \
	"      --format FORMAT     text or json (default: text)\n"                                                     \
	"      --server HOST:PORT  where rcptd listens, or unix:/PATH (default: 127.0.0.1:50051)\n"                    \
	"  -h, --help              this text\n"                                                                        \
	"\n"                                                                                                           \
	"Exit status: 0 done; 1 an error of the server; 2 usage or bad input; 3 server not reached;\n"                 \
	"130 interrupted.\n"                                                                                           \
	"\n"                                                                                                           \
	"Example:\n"

static const char ADD_HELP[] = "Usage: rcptctl exempt add --by WHO [OPTION]... DOMAIN\n"
			       "\n"
			       "Leave a domain and its subdomains alone: they are not contacted from now on. It is\n"
			       "durable when this command says so.\n"
			       "\n"
			       "      --by WHO            who grants it: a person or a desk; recorded as claimed\n"
			       "      --note TEXT         why: a ticket, the date of a mail\n" HELP_TAIL
			       "  rcptctl exempt add example.org --by abuse-desk --note 'mail of 12 May'\n";

static const char CHECK_HELP[] =
	"Usage: rcptctl exempt check [OPTION]... DOMAIN|ADDRESS\n"
	"\n"
	"Tell which exemption, if any, covers a domain or an address. The exit status is 0 either\n"
	"way; the first word of the answer is yes or no.\n"
	"\n" HELP_TAIL "  rcptctl exempt check ann@mail.example.org\n";

static const char LIST_HELP[] =
	"Usage: rcptctl exempt list [OPTION]...\n"
	"\n"
	"List exemptions by domain: those in force, unless told otherwise. In json each is a line.\n"
	"\n"
	"      --domain DOMAIN     only this domain and its subdomains\n"
	"      --all               revoked ones too\n" HELP_TAIL "  rcptctl exempt list --domain example.org --all\n";

static const char REVOKE_HELP[] = "Usage: rcptctl exempt revoke --by WHO [OPTION]... ID\n"
				  "\n"
				  "End an exemption. The record of it stays.\n"
				  "\n"
				  "      --by WHO            who revokes it; recorded as claimed\n"
				  "      --note TEXT         why\n" HELP_TAIL
				  "  rcptctl exempt revoke 42 --by ann --note 'asked us to come back'\n";

enum { OPTION_BY = OPTION_OWN, OPTION_NOTE, OPTION_DOMAIN, OPTION_ALL };
#define FORMAT_OPTION                                                                                                  \
	{                                                                                                              \
		"format", required_argument, NULL, OPTION_FORMAT                                                       \
	}
static const struct option GRANT_OPTIONS[] = { /* add and revoke */
	COMMON_OPTIONS, FORMAT_OPTION, { "by", required_argument, NULL, OPTION_BY },
	{ "note", required_argument, NULL, OPTION_NOTE }, { 0 }
};
static const struct option CHECK_OPTIONS[] = { COMMON_OPTIONS, FORMAT_OPTION, { 0 } };
static const struct option LIST_OPTIONS[] = { COMMON_OPTIONS, FORMAT_OPTION,
	{ "domain", required_argument, NULL, OPTION_DOMAIN }, { "all", no_argument, NULL, OPTION_ALL }, { 0 } };

struct exempt_options {
	const char *server, *by, *note, *domain, *operand;
	bool all, json;
};

static ProtobufCBinaryData bytes(const char *s)
{
	return (ProtobufCBinaryData){ s ? strlen(s) : 0, (uint8_t *)s };
}

/* operand: what the one operand is, NULL if there is none. */
static bool read_options(const struct command *c, int argc, char **argv, const struct option *table,
	const char *operand, struct exempt_options *e, enum exit_code *code)
{
	int o;
	*code = EXIT_USAGE;
	while ((o = args_next(c, argc, argv, table, &e->server, code)) != ARGS_END) {
		switch (o) {
		case ARGS_EXIT: return false;
		case OPTION_BY: e->by = optarg; break;
		case OPTION_NOTE: e->note = optarg; break;
		case OPTION_DOMAIN: e->domain = optarg; break;
		case OPTION_ALL: e->all = true; break;
		case OPTION_FORMAT:
			if (args_json(optarg, &e->json))
				break;
			usage_error(c, "--format is text or json, not '%s'", optarg);
			return false;
		}
	}
	if (argc - optind != (operand ? 1 : 0)) {
		if (operand)
			usage_error(c, "give one %s", operand);
		else
			usage_error(c, "takes no operand; is --domain meant?");
		return false;
	}
	e->operand = argv[optind];
	if (table != GRANT_OPTIONS || (e->by && *e->by))
		return true;
	usage_error(c, "--by is needed: who asks for it");
	return false;
}

/* ---- showing one ---- */

static json_t *exemption_json(const Rcptd__V1__Exemption *x)
{
	if (!x)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", report_json_text(x->id), "domain",
		report_json_text(x->domain), "by", report_json_text(x->by), "note", report_json_text(x->note),
		"created", report_json_time(x->create_time), "revoked", report_json_time(x->revoke_time), "revoked_by",
		report_json_text(x->revoked_by), "revoke_note", report_json_text(x->revoke_note));
}

static void print_exemption(const Rcptd__V1__Exemption *x)
{
	report_line("id", x->id);
	report_line("domain", x->domain);
	report_line("granted by", x->by);
	report_time("granted", x->create_time);
	report_line("note", x->note);
	report_line("revoked by", x->revoked_by);
	report_time("revoked", x->revoke_time);
	report_line("revoked because", x->revoke_note);
}

static enum exit_code show_one(const struct exempt_options *e, const Rcptd__V1__Exemption *x)
{
	if (e->json)
		return report_json(exemption_json(x));
	if (x)
		print_exemption(x);
	return EXIT_DONE;
}

/* ---- the commands; each asks, shows and frees the answer ---- */

typedef enum exit_code ask_fn(struct connection *, struct exempt_options *);

static enum exit_code with_connection(struct exempt_options *e, ask_fn *ask)
{
	struct connection connection;
	if (!connect_open(&connection, e->server))
		return EXIT_USAGE;
	enum exit_code code = ask(&connection, e);
	connect_close(&connection);
	return report_end(code);
}

static enum exit_code ask_create(struct connection *c, struct exempt_options *e)
{
	Rcptd__V1__CreateExemptionRequest question = RCPTD__V1__CREATE_EXEMPTION_REQUEST__INIT;
	ProtobufCMessage *answer;
	question.domain = bytes(e->operand);
	question.by = bytes(e->by);
	question.note = bytes(e->note);
	enum exit_code code = connect_ask(c, SERVICE "CreateExemption", &question.base,
		&rcptd__v1__create_exemption_response__descriptor, &answer);
	if (code != EXIT_DONE)
		return code;
	code = show_one(e, ((Rcptd__V1__CreateExemptionResponse *)answer)->exemption);
	protobuf_c_message_free_unpacked(answer, NULL);
	return code;
}

static enum exit_code ask_check(struct connection *c, struct exempt_options *e)
{
	Rcptd__V1__CheckExemptionRequest question = RCPTD__V1__CHECK_EXEMPTION_REQUEST__INIT;
	ProtobufCMessage *answer;
	question.subject = bytes(e->operand);
	enum exit_code code = connect_ask(
		c, SERVICE "CheckExemption", &question.base, &rcptd__v1__check_exemption_response__descriptor, &answer);
	if (code != EXIT_DONE)
		return code;
	const Rcptd__V1__CheckExemptionResponse *found = (Rcptd__V1__CheckExemptionResponse *)answer;
	if (e->json) {
		code = report_json(json_pack(
			"{s:b, s:o}", "exempt", (int)found->exempt, "exemption", exemption_json(found->exemption)));
	} else {
		puts(found->exempt ? "yes" : "no");
		if (found->exemption)
			print_exemption(found->exemption);
	}
	protobuf_c_message_free_unpacked(answer, NULL);
	return code;
}

static enum exit_code ask_revoke(struct connection *c, struct exempt_options *e)
{
	Rcptd__V1__RevokeExemptionRequest question = RCPTD__V1__REVOKE_EXEMPTION_REQUEST__INIT;
	ProtobufCMessage *answer;
	question.id = (char *)e->operand;
	question.by = bytes(e->by);
	question.note = bytes(e->note);
	enum exit_code code = connect_ask(c, SERVICE "RevokeExemption", &question.base,
		&rcptd__v1__revoke_exemption_response__descriptor, &answer);
	if (code != EXIT_DONE)
		return code;
	code = show_one(e, ((Rcptd__V1__RevokeExemptionResponse *)answer)->exemption);
	protobuf_c_message_free_unpacked(answer, NULL);
	return code;
}

static void field(const char *text, uint32_t width)
{
	for (uint32_t used = report_text(text); used < width; used++)
		putchar(' ');
	putchar(' ');
}

static enum exit_code list_row(const struct exempt_options *e, const Rcptd__V1__Exemption *x)
{
	if (e->json)
		return report_json(exemption_json(x));
	struct buf when = BUF_INIT(128);
	if (x->create_time)
		output_time(&when, x->create_time);
	field(x->id, 12);
	field(x->domain, 32);
	field(buf_str(&when), 23);
	report_text(x->by);
	buf_reset(&when);
	if (x->revoke_time) {
		output_time(&when, x->revoke_time);
		printf("  (revoked %s by ", buf_str(&when));
		report_text(x->revoked_by);
		putchar(')');
	}
	putchar('\n');
	buf_free(&when);
	return EXIT_DONE;
}

/* One page. *token: of the next, the caller's to free; NULL after the last. */
static enum exit_code list_page(struct connection *c, const struct exempt_options *e, char **token, bool *any)
{
	Rcptd__V1__ListExemptionsRequest question = RCPTD__V1__LIST_EXEMPTIONS_REQUEST__INIT;
	ProtobufCMessage *answer;
	question.page_size = PAGE;
	question.include_revoked = e->all;
	question.domain = bytes(e->domain);
	if (*token)
		question.page_token = *token;
	enum exit_code code = connect_ask(
		c, SERVICE "ListExemptions", &question.base, &rcptd__v1__list_exemptions_response__descriptor, &answer);
	free(*token);
	*token = NULL;
	if (code != EXIT_DONE)
		return code;
	const Rcptd__V1__ListExemptionsResponse *page = (Rcptd__V1__ListExemptionsResponse *)answer;
	if (!e->json && !*any && page->n_exemptions)
		printf("%-26s %-32s %-23s %s\n", "ID", "DOMAIN", "GRANTED", "BY");
	for (size_t i = 0; i < page->n_exemptions && code == EXIT_DONE; i++)
		code = list_row(e, page->exemptions[i]);
	*any |= page->n_exemptions > 0;
	if (code == EXIT_DONE && *page->next_page_token) {
		*token = strdup(page->next_page_token);
		code = *token ? EXIT_DONE : EXIT_FAILED;
	}
	protobuf_c_message_free_unpacked(answer, NULL);
	return code;
}

static enum exit_code ask_list(struct connection *c, struct exempt_options *e)
{
	char *token = NULL;
	bool any = false;
	enum exit_code code;
	do
		code = list_page(c, e, &token, &any);
	while (code == EXIT_DONE && token);
	free(token);
	if (code == EXIT_DONE && !any && !e->json)
		fprintf(stderr, "No exemption%s.\n", e->all ? "" : " is in force");
	return code;
}

static enum exit_code add(const struct command *c, const char *server, int argc, char **argv)
{
	struct exempt_options e = { .server = server };
	enum exit_code code;
	return read_options(c, argc, argv, GRANT_OPTIONS, "domain", &e, &code) ? with_connection(&e, ask_create) : code;
}

static enum exit_code check(const struct command *c, const char *server, int argc, char **argv)
{
	struct exempt_options e = { .server = server };
	enum exit_code code;
	return read_options(c, argc, argv, CHECK_OPTIONS, "domain or address", &e, &code)
		       ? with_connection(&e, ask_check)
		       : code;
}

static enum exit_code list(const struct command *c, const char *server, int argc, char **argv)
{
	struct exempt_options e = { .server = server };
	enum exit_code code;
	return read_options(c, argc, argv, LIST_OPTIONS, NULL, &e, &code) ? with_connection(&e, ask_list) : code;
}

static enum exit_code revoke(const struct command *c, const char *server, int argc, char **argv)
{
	struct exempt_options e = { .server = server };
	enum exit_code code;
	return read_options(c, argc, argv, GRANT_OPTIONS, "id (see: rcptctl exempt list)", &e, &code)
		       ? with_connection(&e, ask_revoke)
		       : code;
}

const struct command EXEMPT_ADD_COMMAND = { "exempt add", "leave a domain and its subdomains alone", ADD_HELP, add };
const struct command EXEMPT_CHECK_COMMAND = { "exempt check", "whether a domain or an address is exempt", CHECK_HELP,
	check };
const struct command EXEMPT_LIST_COMMAND = { "exempt list", "list exemptions", LIST_HELP, list };
const struct command EXEMPT_REVOKE_COMMAND = { "exempt revoke", "end an exemption", REVOKE_HELP, revoke };
