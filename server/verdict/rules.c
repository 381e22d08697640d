#include "server/verdict/rules.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/verdict/load.h"
#include "server/verdict/rules_data.h"

/* Backtracking steps for one pattern on one text. Ours need a few hundred; a text made to exhaust us gets no further.
 */
#define MATCH_LIMIT 20000
#define PATTERN_MAX (16 * 1024)

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
	const char *s = load_scalar(value);
	if (!s || !*s || strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(s) || strlen(s) > 64)
		return load_fail(l, value, ERR_INVALID, "an id is 1 to 64 of a–z, 0–9, - and .", "");
	for (size_t i = 0; i + 1 < l->rules->n; i++)
		if (l->rules->rule[i].id && strcmp(l->rules->rule[i].id, s) == 0)
			return load_fail(l, value, ERR_INVALID, "another rule has the id ", s);
	return (r->id = load_copied(l, s)) != NULL;
}

static bool read_class(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	(void)key;
	int i = load_one_of(l, value, CLASS,
		"sender, operator, source, identity, quota, disabled, greylisting, unknown, relay, unclear, enhanced, "
		"basic");
	((struct rule *)into)->class = (enum rule_class)(i < 0 ? 0 : i);
	return i >= 0;
}

static bool read_operator(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = load_item(l, value, i)); i++) {
		struct operator_row *row = NULL;
		if (load_scalar(it))
			HASH_FIND_STR(l->rules->operators, load_scalar(it), row);
		if (!row)
			return load_fail(l, it, ERR_INVALID, "no such operator in the table above", "");
		if (r->operators_n == RULE_OPERATORS)
			return load_fail(l, it, ERR_LIMIT, "at most 16 operators a rule", "");
		r->operators[r->operators_n++] = row->name;
	}
	return r->operators_n || load_fail(l, key, ERR_INVALID, "a name or a list of names is wanted", "");
}

static bool read_phase(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char *const NAME[] = { "banner", "ehlo", "tls", "mail", "rcpt", NULL };
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = load_item(l, value, i)); i++) {
		int p = load_one_of(l, it, NAME, "banner, ehlo, tls, mail, rcpt");
		if (p < 0)
			return false;
		r->phases |= 1u << (PHASE_BANNER + p);
	}
	return r->phases || load_fail(l, key, ERR_INVALID, "allowed here: banner, ehlo, tls, mail, rcpt", "");
}

static bool read_code(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char HOW[] = "a code is 4 or 5 and two digits, x, y or z standing for any: \"55y\"";
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = load_item(l, value, i)); i++) {
		const char *s = load_scalar(it);
		if (!s || strlen(s) != 3 || !strchr("45", s[0]) || strspn(s, "0123456789xyz") != 3)
			return load_fail(l, it, ERR_INVALID, HOW, "");
		if (r->codes_n == RULE_CODES)
			return load_fail(l, it, ERR_LIMIT, "at most 12 codes a rule", "");
		memcpy(r->codes[r->codes_n++], s, 4);
	}
	return r->codes_n || load_fail(l, key, ERR_INVALID, HOW, "");
}

static bool read_enhanced(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char HOW[] = "an enhanced code is like \"5.1.1\", x standing for any number";
	struct rule *r = into;
	yaml_node_t *it;
	for (size_t i = 0; (it = load_item(l, value, i)); i++) {
		const char *s = load_scalar(it);
		if (!s || strlen(s) < 5 || strlen(s) > 9 || !strchr("45x", s[0]) ||
			strspn(s, "0123456789.x") != strlen(s))
			return load_fail(l, it, ERR_INVALID, HOW, "");
		if (r->enhanced_n == RULE_CODES)
			return load_fail(l, it, ERR_LIMIT, "at most 12 enhanced codes a rule", "");
		if (!(r->enhanced[r->enhanced_n] = load_copied(l, s)))
			return false;
		r->enhanced_n++;
	}
	return r->enhanced_n || load_fail(l, key, ERR_INVALID, HOW, "");
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
		load_fail(l, at, ERR_INVALID, "not a pattern (PCRE2): ", text);
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
	for (size_t i = 0; !l->err && (it = load_item(l, value, i)); i++) {
		const char *s = load_scalar(it);
		if (!s || !*s) {
			load_fail(l, it, ERR_INVALID, "a pattern or a list of patterns is wanted", "");
			break;
		}
		pcre2_code_free(compiled(l, it, s, strlen(s)));
		buf_printf(&all, "%s(?:%s)", i ? "|" : "", s);
	}
	if (!l->err && all.err)
		load_fail(l, key, all.err, "patterns too long together", "");
	if (!l->err && !all.len)
		load_fail(l, key, ERR_INVALID, "a pattern or a list of patterns is wanted", "");
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
	for (size_t i = 0; (it = load_item(l, value, i)); i++) {
		int q = load_one_of(l, it, NAME, "sender, no-recipient");
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
	for (size_t i = 0; load_scalar(value) && i < sizeof MEANING / sizeof *MEANING; i++)
		if (strcmp(MEANING[i].name, load_scalar(value)) == 0) {
			r->kind = MEANING[i].kind;
			r->reason = MEANING[i].reason;
			return true;
		}
	return load_fail(l, value, ERR_INVALID,
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
	int i = load_one_of(l, value, NAME, "ambiguous, clear");
	((struct rule *)into)->strength = (enum strength)(i < 0 ? 0 : i);
	return i >= 0;
}

static bool read_scope(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char *const NAME[] = { "recipient", "domain", "operator", NULL };
	(void)key;
	int i = load_one_of(l, value, NAME, "recipient, domain, operator");
	((struct rule *)into)->scope = (enum scope)(i < 0 ? 0 : i);
	return i >= 0;
}

static bool read_stop(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const char *const NAME[] = { "none", "24h", "30d", NULL };
	(void)key;
	int i = load_one_of(l, value, NAME, "none, 24h, 30d");
	((struct rule *)into)->stop = (enum stop)(i < 0 ? 0 : i);
	return i >= 0;
}

static bool read_delay(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	(void)key;
	return load_number(l, value, 86400, &((struct rule *)into)->delay_s);
}

/* What no single field can tell. */
static bool check_rule(struct load *l, struct rule *r, const yaml_node_t *at)
{
	const struct rule *before = l->rules->n > 1 ? r - 1 : NULL;
	if (!r->id || (r->kind == MEANS_REASON && r->reason == REASON_NONE))
		return load_fail(l, at, ERR_INVALID, "a rule needs id, class and meaning", "");
	if (before && r->class < before->class)
		return load_fail(l, at, ERR_INVALID,
			"rules stand in the order in which they are tried; this belongs before ", before->id);
	if ((r->class == RULE_OPERATOR) != (r->operators_n > 0))
		return load_fail(l, at, ERR_INVALID, "class operator, and only that, needs operator", "");
	if (!r->text && !r->links && !r->codes_n && !r->enhanced_n && !r->quotes_sender)
		return load_fail(
			l, at, ERR_INVALID, "it would match everything: text, links, code, enhanced or quotes", "");
	bool about_us = r->reason == REASON_SOURCE_REFUSED || r->reason == REASON_IDENTITY_REFUSED ||
			r->kind != MEANS_REASON || r->reason == REASON_TEMPORARY_FAILURE;
	unsigned rcpt = 1u << PHASE_RCPT, greeting = 1u << PHASE_BANNER;
	if (!r->phases)
		r->phases = about_us ? ~0u : rcpt;
	if (!about_us && r->reason != REASON_GREYLISTED && r->phases != rcpt &&
		!(r->reason == REASON_NO_MAIL_HOST && r->phases == greeting))
		return load_fail(l, at, ERR_INVALID, "only RCPT says something about a mailbox: phase rcpt", "");
	return true;
}

static bool grow(struct load *l)
{
	struct rules *rules = l->rules;
	if (rules->n == rules->cap) {
		size_t cap = rules->cap ? rules->cap * 2 : 64;
		struct rule *more = realloc(rules->rule, cap * sizeof *more);
		if (!more)
			return load_no_memory(l);
		rules->rule = more;
		rules->cap = cap;
	}
	rules->rule[rules->n++] = (struct rule){ .strength = STRENGTH_CLEAR };
	return true;
}

static bool read_rules(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const struct load_field FIELDS[] = { { "id", read_id }, { "class", read_class },
		{ "operator", read_operator }, { "phase", read_phase }, { "code", read_code },
		{ "enhanced", read_enhanced }, { "text", read_text }, { "unless", read_unless },
		{ "links", read_links }, { "quotes", read_quotes }, { "meaning", read_meaning },
		{ "strength", read_strength }, { "scope", read_scope }, { "stop", read_stop },
		{ "delay", read_delay } };
	(void)into;
	if (value->type != YAML_SEQUENCE_NODE)
		return load_fail(l, key, ERR_INVALID, "a list of rules is wanted", "");
	yaml_node_t *it;
	for (size_t i = 0; (it = load_item(l, value, i)); i++) {
		if (!grow(l))
			return false;
		struct rule *r = &l->rules->rule[l->rules->n - 1];
		if (!load_map(l, it, FIELDS, sizeof FIELDS / sizeof *FIELDS,
			    "id, class, operator, phase, code, enhanced, text, unless, links, quotes, meaning, "
			    "strength, "
			    "scope, stop, delay",
			    r) ||
			!check_rule(l, r, it))
			return false;
	}
	return true;
}

static void read_document(struct load *l)
{
	static const struct load_field FIELDS[] = { { "operators", load_operators }, { "rules", read_rules } };
	yaml_node_t *root = yaml_document_get_root_node(l->doc);
	if (!root)
		load_fail(l, NULL, ERR_INVALID, "empty; wanted: operators and rules", "");
	else
		load_map(l, root, FIELDS, 2, "operators, rules", NULL);
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
	HASH_ITER (hh, rules->aliases, a, next_a) {
		HASH_DEL(rules->aliases, a);
		free(a->suffix);
		free(a);
	}
	struct operator_row *o, *next_o;
	HASH_ITER (hh, rules->operators, o, next_o) {
		HASH_DEL(rules->operators, o);
		free(o->name);
		free(o);
	}
	pcre2_match_context_free(rules->limits);
	free(rules);
}
