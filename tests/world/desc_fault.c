/* Reads what a host does wrong, or otherwise than others: its faults and its traits. */
#include <string.h>

#include "tests/world/desc_read.h"

/* --- faults --- */

static void fault_phase(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const PHASE[] = {
#define PHASE_TEXT(name, text) text,
		PHASE_MAP(PHASE_TEXT)
#undef PHASE_TEXT
			NULL,
	};

	*(enum phase *)field = (enum phase)read_word(y, node, PHASE);
}

static void fault_then(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const THEN[] = { "go_on", "close", "silent", "reset", "endless", "add", NULL };

	*(enum then *)field = (enum then)read_word(y, node, THEN);
}

static void fault_over(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const OVER[] = { "any", "clear", "tls", NULL };

	*(enum over *)field = (enum over)read_word(y, node, OVER);
}

const struct yml_field FAULT_FIELD[] = {
	{ "phase", fault_phase, offsetof(struct fault, at) },
	{ "reply", yml_lines, offsetof(struct fault, reply) },
	{ "raw", yml_raw, offsetof(struct fault, raw) },
	{ "then", fault_then, offsetof(struct fault, then) },
	{ "delay_ms", yml_u32, offsetof(struct fault, delay_ms) },
	{ "every_ms", yml_u32, offsetof(struct fault, every_ms) },
	{ "nth", yml_u32, offsetof(struct fault, nth) },
	{ "from", yml_u32, offsetof(struct fault, from) },
	{ "only", yml_texts, offsetof(struct fault, only) },
	{ "except", yml_texts, offsetof(struct fault, except) },
	{ "clients", yml_texts, offsetof(struct fault, clients) },
	{ "over", fault_over, offsetof(struct fault, over) },
	{ "connections", yml_u32, offsetof(struct fault, connections) },
	{ NULL, NULL, 0 },
};

void check_fault(struct yml *y, const yaml_node_t *at, const struct fault *f)
{
	bool speaks = f->reply || f->raw.data;

	/* The reset would overtake the reply, and the record would tell of what nobody got. */
	if (f->then == THEN_RESET && speaks)
		yml_fail(y, at, "then: reset goes without a reply; allowed: close, after a reply");
	else if ((f->then == THEN_ENDLESS || f->then == THEN_ADD) && !speaks)
		yml_fail(y, at, "then: endless and then: add need a reply, or raw");
	else if (f->reply && f->raw.data)
		yml_fail(y, at, "a fault has reply and raw; allowed: one of them");
	else if (f->every_ms && f->then != THEN_ENDLESS)
		yml_fail(y, at, "every_ms goes with then: endless alone");
}

void read_faults(struct yml *y, yaml_node_t *node, void *field)
{
	struct host *h = field;

	for (size_t i = 0; i < yml_count(y, node) && !yml_failed(y); i++) {
		yaml_node_t *item = yml_item(y, node, i);
		struct fault f = { .at = PHASES, .is_set = true };
		yml_map(y, item, FAULT_FIELD, &f);
		if (f.at == PHASES)
			yml_fail(y, item, "a fault needs a phase");
		else if (!f.reply && !f.raw.data && !f.delay_ms && f.then == THEN_GO_ON)
			yml_fail(y, item, "a fault needs a reply, raw, delay_ms, or then: close, silent or reset");
		else
			check_fault(y, item, &f);
		h->fault = read_grow(y, h->fault, h->faults, sizeof f);
		h->fault[h->faults++] = f;
	}
}

/* --- traits --- */

static void trait_tls(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const OFFER[] = { "none", "offered", "required", NULL };

	*(enum tls_offer *)field = (enum tls_offer)read_word(y, node, OFFER);
}

static void trait_tls_fault(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const FAULT[] = { "none", "fails", "garbage", "close", "silent", "reset", "inject", NULL };

	*(enum tls_fault *)field = (enum tls_fault)read_word(y, node, FAULT);
}

static void trait_tls_versions(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const VERSION[] = { "1.0", "1.1", "1.2", "1.3", NULL };
	struct traits *t = field;

	t->tls_min = 13;
	t->tls_max = 10;
	if (!yml_count(y, node))
		yml_fail(y, node, "tls_versions needs one of 1.0, 1.1, 1.2, 1.3");
	for (size_t i = 0; i < yml_count(y, node); i++) {
		int version = 10 + read_word(y, yml_item(y, node, i), VERSION);
		t->tls_min = version < t->tls_min ? version : t->tls_min;
		t->tls_max = version > t->tls_max ? version : t->tls_max;
	}
}

static void trait_tls_tickets(struct yml *y, yaml_node_t *node, void *field)
{
	bool tickets = true;

	yml_bool(y, node, &tickets);
	*(bool *)field = !tickets;
}

static void trait_line_end(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const END[] = { "crlf", "lf", NULL };

	*(enum line_end *)field = (enum line_end)read_word(y, node, END);
}

static void trait_blocks_by(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const BY[] = { "refuse", "accept", "close", NULL };

	*(enum block_by *)field = (enum block_by)read_word(y, node, BY);
}

const struct yml_field TRAIT_FIELD[] = {
	{ "tls", trait_tls, offsetof(struct traits, tls) },
	{ "tls_fault", trait_tls_fault, offsetof(struct traits, tls_fault) },
	{ "tls_versions", trait_tls_versions, 0 },
	{ "tls_name", yml_text, offsetof(struct traits, tls_name) },
	{ "tls_inject", yml_lines, offsetof(struct traits, tls_inject) },
	{ "tls_expired", yml_bool, offsetof(struct traits, tls_expired) },
	{ "tls_tickets", trait_tls_tickets, offsetof(struct traits, tls_no_tickets) },
	{ "banner_delay_ms", yml_u32, offsetof(struct traits, banner_delay_ms) },
	{ "banner_teaser", yml_lines, offsetof(struct traits, banner_teaser) },
	{ "early_talker_reply", yml_lines, offsetof(struct traits, early_talker_reply) },
	{ "reply_delay_ms", yml_u32, offsetof(struct traits, reply_delay_ms) },
	{ "unknown_delay_ms", yml_u32, offsetof(struct traits, unknown_delay_ms) },
	{ "drip_ms", yml_u32, offsetof(struct traits, drip_ms) },
	{ "line_end", trait_line_end, offsetof(struct traits, line_end) },
	{ "line_length", yml_u32, offsetof(struct traits, line_length) },
	{ "after_unknown", yml_u32, offsetof(struct traits, after_unknown) },
	{ "block_reply", yml_lines, offsetof(struct traits, block_reply) },
	{ "blocks_by", trait_blocks_by, offsetof(struct traits, blocks_by) },
	{ NULL, NULL, 0 },
};

void check_traits(struct yml *y, const yaml_node_t *at, const struct traits *t)
{
	if (t->tls == TLS_NONE && (t->tls_fault || t->tls_max || t->tls_name || t->tls_expired || t->tls_no_tickets))
		yml_fail(y, at,
			"tls_fault, tls_versions, tls_name, tls_expired and tls_tickets go with tls; allowed: "
			"tls: offered, or tls: required");
	else if (t->line_length > 100000)
		yml_fail(y, at, "line_length %u; allowed: up to 100000", (unsigned)t->line_length);
}
