#include "server/verdict/rules.h"

#include <libpsl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "server/base/log.h"
#include "server/verdict/rules_data.h"

/* Backtracking steps for one pattern on one text. Ours need a few hundred; a text made to exhaust us gets no further.
 */
#define MATCH_LIMIT 20000
#define PATTERN_MAX (16 * 1024)

/* Where loading is; the first error is written and stays. */
struct load {
	struct rules *rules;
	yaml_document_t *doc;
	struct buf *why;
	const char *name;
	err_t err;
};

static bool fail(struct load *l, const yaml_node_t *at, err_t err, const char *what, const char *which)
{
	if (l->err)
		return false;
	l->err = err;
	buf_printf(l->why, "%s:%zu: %s%s", l->name, at ? at->start_mark.line + 1 : 1, what, which);
	return false;
}

static bool no_memory(struct load *l)
{
	return fail(l, NULL, ERR_NOMEM, err_text(ERR_NOMEM), "");
}

static const char *scalar(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static char *copied(struct load *l, const char *s)
{
	char *copy = strdup(s);
	if (!copy)
		no_memory(l);
	return copy;
}

/* The i-th of a list, or the scalar itself as a list of one; NULL beyond. */
static yaml_node_t *item(struct load *l, yaml_node_t *node, size_t i)
{
	if (node->type == YAML_SCALAR_NODE)
		return i ? NULL : node;
	if (node->type != YAML_SEQUENCE_NODE ||
		i >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
		return NULL;
	return yaml_document_get_node(l->doc, node->data.sequence.items.start[i]);
}

typedef bool field_fn(struct load *, void *into, yaml_node_t *key, yaml_node_t *value);
struct field {
	const char *key;
	field_fn *read;
};

/* Reads a mapping by its table of fields; a key that is not in it, or is there twice, is an error. */
static bool read_map(
	struct load *l, yaml_node_t *map, const struct field *fields, size_t n, const char *allowed, void *into)
{
	if (map->type != YAML_MAPPING_NODE)
		return fail(l, map, ERR_INVALID, "a mapping is wanted here, with the keys ", allowed);
	uint32_t seen = 0;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(l->doc, p->key);
		size_t f = 0;
		while (f < n && !(scalar(key) && strcmp(scalar(key), fields[f].key) == 0))
			f++;
		if (f == n)
			return fail(l, key, ERR_INVALID, "unknown key; allowed: ", allowed);
		if (seen & 1u << f)
			return fail(l, key, ERR_INVALID, "given twice: ", fields[f].key);
		seen |= 1u << f;
		if (!fields[f].read(l, into, key, yaml_document_get_node(l->doc, p->value)))
			return false;
	}
	return true;
}

/* The value's place among `names` (NULL ends them), -1 and an error when it is not there. */
static int one_of(struct load *l, const yaml_node_t *node, const char *const *names, const char *allowed)
{
	for (int i = 0; scalar(node) && names[i]; i++)
		if (strcmp(names[i], scalar(node)) == 0)
			return i;
	fail(l, node, ERR_INVALID, "allowed here: ", allowed);
	return -1;
}

static const char *const CLASS[] = {
#define RULE_CLASS_NAME(name, text) text,
	RULE_CLASS_MAP(RULE_CLASS_NAME)
#undef RULE_CLASS_NAME
		NULL
};

static bool read_id(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	(void)key;
	struct rule *r = into;
	const char *s = scalar(value);
	if (!s || !*s || strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(s) || strlen(s) > 64)
		return fail(l, value, ERR_INVALID, "an id is 1 to 64 of a–z, 0–9, - and .", "");
	for (size_t i = 0; i + 1 < l->rules->n; i++)
		if (l->rules->rule[i].id && strcmp(l->rules->rule[i].id, s) == 0)
			return fail(l, value, ERR_INVALID, "another rule has the id ", s);
	return (r->id = copied(l, s)) != NULL;
}

static bool read_class(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	(void)key;
	int i = one_of(l, value, CLASS,
		"sender, operator, source, identity, quota, disabled, greylisting, unknown, relay, unclear, enhanced, "
		"basic");
	((struct rule *)into)->class = (enum rule_class)(i < 0 ? 0 : i);
	return i >= 0;
}

static bool read_operator(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = item(l, value, i)); i++) {
		struct operator_row *row = NULL;
		if (scalar(it))
			HASH_FIND_STR(l->rules->operators, scalar(it), row);
		if (!row)
			return fail(l, it, ERR_INVALID, "no such operator in the table above", "");
		if (r->operators_n == RULE_OPERATORS)
			return fail(l, it, ERR_LIMIT, "at most 16 operators a rule", "");
		r->operators[r->operators_n++] = row->name;
	}
	return r->operators_n || fail(l, key, ERR_INVALID, "a name or a list of names is wanted", "");
}

static bool read_phase(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char *const NAME[] = { "banner", "ehlo", "tls", "mail", "rcpt", NULL };
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = item(l, value, i)); i++) {
		int p = one_of(l, it, NAME, "banner, ehlo, tls, mail, rcpt");
		if (p < 0)
			return false;
		r->phases |= 1u << (PHASE_BANNER + p);
	}
	return r->phases || fail(l, key, ERR_INVALID, "allowed here: banner, ehlo, tls, mail, rcpt", "");
}

static bool read_code(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char HOW[] = "a code is 4 or 5 and two digits, x, y or z standing for any: \"55y\"";
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = item(l, value, i)); i++) {
		const char *s = scalar(it);
		if (!s || strlen(s) != 3 || !strchr("45", s[0]) || strspn(s, "0123456789xyz") != 3)
			return fail(l, it, ERR_INVALID, HOW, "");
		if (r->codes_n == RULE_CODES)
			return fail(l, it, ERR_LIMIT, "at most 12 codes a rule", "");
		memcpy(r->codes[r->codes_n++], s, 4);
	}
	return r->codes_n || fail(l, key, ERR_INVALID, HOW, "");
}

static bool read_enhanced(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char HOW[] = "an enhanced code is like \"5.1.1\", x standing for any number";
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = item(l, value, i)); i++) {
		const char *s = scalar(it);
		if (!s || strlen(s) < 5 || strlen(s) > 9 || !strchr("45x", s[0]) ||
			strspn(s, "0123456789.x") != strlen(s))
			return fail(l, it, ERR_INVALID, HOW, "");
		if (r->enhanced_n == RULE_CODES)
			return fail(l, it, ERR_LIMIT, "at most 12 enhanced codes a rule", "");
		if (!(r->enhanced[r->enhanced_n] = copied(l, s)))
			return false;
		r->enhanced_n++;
	}
	return r->enhanced_n || fail(l, key, ERR_INVALID, HOW, "");
}

static pcre2_code *compiled(struct load *l, const yaml_node_t *at, const char *pattern, size_t n)
{
	int error;
	PCRE2_SIZE where;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, n,
		PCRE2_UTF | PCRE2_CASELESS | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C, &error, &where, NULL);
	if (!code) {
		char text[160] = "";
		pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof text);
		fail(l, at, ERR_INVALID, "not a pattern (PCRE2): ", text);
		return NULL;
	}
	/* where there is no JIT, matching is slower and the same */
	(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	return code;
}

/* One pattern, or several of which one must match: each is tried by itself first, so that an error names its line. */
static bool read_pattern(struct load *l, pcre2_code **into, yaml_node_t *key, yaml_node_t *value)
{
	struct buf all = BUF_INIT(PATTERN_MAX);
	yaml_node_t *it;
	for (size_t i = 0; !l->err && (it = item(l, value, i)); i++) {
		const char *s = scalar(it);
		if (!s || !*s) {
			fail(l, it, ERR_INVALID, "a pattern or a list of patterns is wanted", "");
			break;
		}
		pcre2_code_free(compiled(l, it, s, strlen(s)));
		buf_printf(&all, "%s(?:%s)", i ? "|" : "", s);
	}
	if (!l->err && all.err)
		fail(l, key, all.err, "patterns too long together", "");
	if (!l->err && !all.len)
		fail(l, key, ERR_INVALID, "a pattern or a list of patterns is wanted", "");
	if (!l->err)
		*into = compiled(l, key, (const char *)all.data, all.len);
	buf_free(&all);
	return !l->err;
}

static bool read_text(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	return read_pattern(l, &((struct rule *)into)->text, key, value);
}

static bool read_unless(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	return read_pattern(l, &((struct rule *)into)->unless, key, value);
}

static bool read_links(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	return read_pattern(l, &((struct rule *)into)->links, key, value);
}

static bool read_quotes(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char *const NAME[] = { "sender", "no-recipient", NULL };
	(void)key;
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = item(l, value, i)); i++) {
		int q = one_of(l, it, NAME, "sender, no-recipient");
		if (q < 0)
			return false;
		r->quotes_sender |= q == 0;
		r->quotes_no_recipient |= q == 1;
	}
	return true;
}

static bool read_meaning(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const struct {
		const char *name;
		enum meaning_kind kind;
		enum reason reason;
	} MEANING[] = {
#define MEANING(name) { #name, MEANS_REASON, REASON_##name },
		MEANING(INVALID_SYNTAX) MEANING(NULL_MX) MEANING(NO_MAIL_HOST) MEANING(MAILBOX_UNKNOWN) MEANING(
			MAILBOX_DISABLED) MEANING(NOT_SERVED_HERE) MEANING(SMTPUTF8_UNSUPPORTED) MEANING(MAILBOX_FULL)
			MEANING(GREYLISTED) MEANING(MAILBOX_BUSY) MEANING(TEMPORARY_FAILURE) MEANING(SOURCE_REFUSED)
				MEANING(IDENTITY_REFUSED) MEANING(REFUSED_UNCLEAR)
#undef MEANING
					{ "TOO_MANY_RECIPIENTS", MEANS_TOO_MANY_RECIPIENTS, REASON_TEMPORARY_FAILURE },
		{ "STARTTLS_FIRST", MEANS_STARTTLS_FIRST, REASON_TLS_FAILED },
		{ "SESSION_QUARREL", MEANS_SESSION_QUARREL, REASON_PROTOCOL_ERROR },
	};
	(void)key;
	struct rule *r = into;
	for (size_t i = 0; scalar(value) && i < sizeof MEANING / sizeof *MEANING; i++)
		if (strcmp(MEANING[i].name, scalar(value)) == 0) {
			r->kind = MEANING[i].kind;
			r->reason = MEANING[i].reason;
			return true;
		}
	return fail(l, value, ERR_INVALID,
		"allowed here: INVALID_SYNTAX, NULL_MX, NO_MAIL_HOST, MAILBOX_UNKNOWN, MAILBOX_DISABLED, "
		"NOT_SERVED_HERE, "
		"SMTPUTF8_UNSUPPORTED, MAILBOX_FULL, GREYLISTED, MAILBOX_BUSY, TEMPORARY_FAILURE, SOURCE_REFUSED, "
		"IDENTITY_REFUSED, REFUSED_UNCLEAR, TOO_MANY_RECIPIENTS, STARTTLS_FIRST, SESSION_QUARREL",
		"");
}

static bool read_strength(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char *const NAME[] = { "ambiguous", "clear", NULL };
	(void)key;
	int i = one_of(l, value, NAME, "ambiguous, clear");
	((struct rule *)into)->strength = (enum strength)(i < 0 ? 0 : i);
	return i >= 0;
}

static bool read_scope(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char *const NAME[] = { "recipient", "domain", "operator", NULL };
	(void)key;
	int i = one_of(l, value, NAME, "recipient, domain, operator");
	((struct rule *)into)->scope = (enum scope)(i < 0 ? 0 : i);
	return i >= 0;
}

static bool read_stop(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char *const NAME[] = { "none", "24h", "30d", NULL };
	(void)key;
	int i = one_of(l, value, NAME, "none, 24h, 30d");
	((struct rule *)into)->stop = (enum stop)(i < 0 ? 0 : i);
	return i >= 0;
}

static bool read_number(struct load *l, const yaml_node_t *value, unsigned max, unsigned *out)
{
	const char *s = scalar(value);
	char *end = NULL;
	unsigned long v = s && *s >= '0' && *s <= '9' ? strtoul(s, &end, 10) : 0;
	if (!v || *end || v > max) {
		char range[48];
		snprintf(range, sizeof range, "1 to %u", max);
		return fail(l, value, ERR_INVALID, "a number is wanted, ", range);
	}
	*out = (unsigned)v;
	return true;
}

static bool read_delay(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	(void)key;
	return read_number(l, value, 86400, &((struct rule *)into)->delay_s);
}

/* What no single field can tell. */
static bool check_rule(struct load *l, struct rule *r, const yaml_node_t *at)
{
	const struct rule *before = l->rules->n > 1 ? r - 1 : NULL;
	if (!r->id || (r->kind == MEANS_REASON && r->reason == REASON_NONE))
		return fail(l, at, ERR_INVALID, "a rule needs id, class and meaning", "");
	if (before && r->class < before->class)
		return fail(l, at, ERR_INVALID,
			"rules stand in the order in which they are tried; this belongs before ", before->id);
	if ((r->class == RULE_OPERATOR) != (r->operators_n > 0))
		return fail(l, at, ERR_INVALID, "class operator, and only that, needs operator", "");
	if (!r->text && !r->links && !r->codes_n && !r->enhanced_n && !r->quotes_sender)
		return fail(l, at, ERR_INVALID, "it would match everything: text, links, code, enhanced or quotes", "");
	bool about_us = r->reason == REASON_SOURCE_REFUSED || r->reason == REASON_IDENTITY_REFUSED ||
			r->kind != MEANS_REASON || r->reason == REASON_TEMPORARY_FAILURE;
	unsigned rcpt = 1u << PHASE_RCPT, greeting = 1u << PHASE_BANNER;
	if (!r->phases)
		r->phases = about_us ? ~0u : rcpt;
	if (!about_us && r->reason != REASON_GREYLISTED && r->phases != rcpt &&
		!(r->reason == REASON_NO_MAIL_HOST && r->phases == greeting))
		return fail(l, at, ERR_INVALID, "only RCPT says something about a mailbox: phase rcpt", "");
	return true;
}

static bool grow(struct load *l)
{
	struct rules *rules = l->rules;
	if (rules->n == rules->cap) {
		size_t cap = rules->cap ? rules->cap * 2 : 64;
		struct rule *more = realloc(rules->rule, cap * sizeof *more);
		if (!more)
			return no_memory(l);
		rules->rule = more;
		rules->cap = cap;
	}
	rules->rule[rules->n++] = (struct rule){ .strength = STRENGTH_CLEAR };
	return true;
}

static bool read_rules(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const struct field FIELDS[] = { { "id", read_id }, { "class", read_class },
		{ "operator", read_operator }, { "phase", read_phase }, { "code", read_code },
		{ "enhanced", read_enhanced }, { "text", read_text }, { "unless", read_unless },
		{ "links", read_links }, { "quotes", read_quotes }, { "meaning", read_meaning },
		{ "strength", read_strength }, { "scope", read_scope }, { "stop", read_stop },
		{ "delay", read_delay } };
	(void)into;
	if (value->type != YAML_SEQUENCE_NODE)
		return fail(l, key, ERR_INVALID, "a list of rules is wanted", "");
	yaml_node_t *it;
	for (size_t i = 0; (it = item(l, value, i)); i++) {
		if (!grow(l))
			return false;
		struct rule *r = &l->rules->rule[l->rules->n - 1];
		if (!read_map(l, it, FIELDS, sizeof FIELDS / sizeof *FIELDS,
			    "id, class, operator, phase, code, enhanced, text, unless, links, quotes, meaning, "
			    "strength, "
			    "scope, stop, delay",
			    r) ||
			!check_rule(l, r, it))
			return false;
	}
	return true;
}

static bool read_hosts(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	struct operator_row *row = into;
	yaml_node_t *it;
	size_t i = 0;
	for (; (it = item(l, value, i)); i++) {
		struct alias *a = NULL;
		if (!scalar(it))
			return fail(l, it, ERR_INVALID, "a host name is wanted", "");
		HASH_FIND_STR(l->rules->aliases, scalar(it), a);
		if (a)
			return fail(l, it, ERR_INVALID, "this host name belongs already to ", a->operator_name);
		if (!(a = calloc(1, sizeof *a)))
			return no_memory(l);
		if (!(a->suffix = copied(l, scalar(it)))) {
			free(a);
			return false;
		}
		a->operator_name = row->name;
		HASH_ADD_KEYPTR(hh, l->rules->aliases, a->suffix, strlen(a->suffix), a);
	}
	return i || fail(l, key, ERR_INVALID, "a list of host names is wanted", "");
}

static bool read_connections(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	(void)key;
	return read_number(l, value, 1000, &((struct operator_row *)into)->connections);
}

static bool read_operators(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const struct field FIELDS[] = { { "hosts", read_hosts }, { "connections", read_connections } };
	(void)into;
	if (value->type != YAML_MAPPING_NODE)
		return fail(l, key, ERR_INVALID, "a mapping of operators is wanted", "");
	for (yaml_node_pair_t *p = value->data.mapping.pairs.start; p < value->data.mapping.pairs.top; p++) {
		yaml_node_t *name = yaml_document_get_node(l->doc, p->key);
		struct operator_row *row = NULL;
		if (!scalar(name))
			return fail(l, name, ERR_INVALID, "an operator's name is wanted", "");
		HASH_FIND_STR(l->rules->operators, scalar(name), row);
		if (row)
			return fail(l, name, ERR_INVALID, "given twice: ", row->name);
		if (!(row = calloc(1, sizeof *row)))
			return no_memory(l);
		if (!(row->name = copied(l, scalar(name)))) {
			free(row);
			return false;
		}
		HASH_ADD_KEYPTR(hh, l->rules->operators, row->name, strlen(row->name), row);
		if (!read_map(l, yaml_document_get_node(l->doc, p->value), FIELDS, 2, "hosts, connections", row))
			return false;
	}
	return true;
}

static void read_document(struct load *l)
{
	static const struct field FIELDS[] = { { "operators", read_operators }, { "rules", read_rules } };
	yaml_node_t *root = yaml_document_get_root_node(l->doc);
	if (!root)
		fail(l, NULL, ERR_INVALID, "empty; wanted: operators and rules", "");
	else
		read_map(l, root, FIELDS, 2, "operators, rules", NULL);
}

err_t rules_load(struct rules **out, const char *name, const char *text, size_t n, struct buf *why)
{
	struct rules *rules = calloc(1, sizeof *rules);
	if (!rules)
		return ERR_NOMEM;
	yaml_parser_t parser;
	yaml_document_t doc;
	struct load l = { .rules = rules, .doc = &doc, .why = why, .name = name };
	rules->limits = pcre2_match_context_create(NULL);
	if (!rules->limits || !yaml_parser_initialize(&parser)) {
		rules_free(rules);
		return ERR_NOMEM;
	}
	pcre2_set_match_limit(rules->limits, MATCH_LIMIT);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	if (yaml_parser_load(&parser, &doc)) {
		read_document(&l);
		yaml_document_delete(&doc);
	} else {
		l.err = ERR_INVALID;
		buf_printf(why, "%s:%zu: not YAML: %s", name, parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "cannot be read");
	}
	yaml_parser_delete(&parser);
	if (l.err) {
		rules_free(rules);
		return l.err;
	}
	*out = rules;
	return ERR_OK;
}

err_t rules_load_builtin(struct rules **out)
{
	struct buf why = BUF_INIT(1024);
	err_t err = rules_load(out, "rules.yaml", (const char *)rules_data, rules_data_size, &why);
	if (err)
		log_error("the rules compiled in do not load: %s", buf_str(&why));
	buf_free(&why);
	return err;
}

static void free_rule(struct rule *r)
{
	free(r->id);
	for (unsigned i = 0; i < r->enhanced_n; i++)
		free(r->enhanced[i]);
	pcre2_code_free(r->text);
	pcre2_code_free(r->unless);
	pcre2_code_free(r->links);
}

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	for (size_t i = 0; i < rules->n; i++)
		free_rule(&rules->rule[i]);
	free(rules->rule);
	struct alias *a, *next_a;
	HASH_ITER(hh, rules->aliases, a, next_a)
	{
		HASH_DEL(rules->aliases, a);
		free(a->suffix);
		free(a);
	}
	struct operator_row *o, *next_o;
	HASH_ITER(hh, rules->operators, o, next_o)
	{
		HASH_DEL(rules->operators, o);
		free(o->name);
		free(o);
	}
	pcre2_match_context_free(rules->limits);
	free(rules);
}

void rules_operator(const struct rules *rules, const char *host, char *out, size_t n)
{
	char name[256];
	size_t len = 0;
	for (; host[len] && len < sizeof name - 1; len++)
		name[len] = host[len] >= 'A' && host[len] <= 'Z' ? (char)(host[len] + 32) : host[len];
	if (len && name[len - 1] == '.')
		len--;
	name[len] = 0;
	for (const char *suffix = name; suffix; suffix = strchr(suffix, '.') ? strchr(suffix, '.') + 1 : NULL) {
		struct alias *a = NULL;
		HASH_FIND_STR(rules->aliases, suffix, a);
		if (a) {
			snprintf(out, n, "%s", a->operator_name);
			return;
		}
	}
	const psl_ctx_t *psl = psl_builtin();
	const char *registrable = psl ? psl_registrable_domain(psl, name) : NULL;
	snprintf(out, n, "%s", registrable ? registrable : name);
}

unsigned rules_operator_connections(const struct rules *rules, const char *operator_name)
{
	struct operator_row *row = NULL;
	HASH_FIND_STR(rules->operators, operator_name, row);
	return row ? row->connections : 0;
}
