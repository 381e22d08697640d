/* Operators: who runs a mail host, by the alias table of the rules data. */
#include <libpsl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/verdict/load.h"

static bool read_hosts(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	struct operator_row *row = into;
	yaml_node_t *it;
	size_t i = 0;
	for (; (it = load_item(l, value, i)); i++) {
		struct alias *a = NULL;
		if (!load_scalar(it))
			return load_fail(l, it, ERR_INVALID, "a host name is wanted", "");
		HASH_FIND_STR(l->rules->aliases, load_scalar(it), a);
		if (a)
			return load_fail(l, it, ERR_INVALID, "this host name belongs already to ", a->operator_name);
		if (!(a = calloc(1, sizeof *a)))
			return load_no_memory(l);
		if (!(a->suffix = load_copied(l, load_scalar(it)))) {
			free(a);
			return false;
		}
		a->operator_name = row->name;
		HASH_ADD_KEYPTR(hh, l->rules->aliases, a->suffix, strlen(a->suffix), a);
		if (!a->hh.tbl) {
			free(a->suffix);
			free(a);
			return load_no_memory(l);
		}
	}
	return i || load_fail(l, key, ERR_INVALID, "a list of host names is wanted", "");
}

static bool read_connections(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	(void)key;
	return load_number(l, value, 1000, &((struct operator_row *)into)->connections);
}

bool load_operators(struct load *l, void *into, yaml_node_t *key, yaml_node_t *value)
{
	static const struct load_field FIELDS[] = { { "hosts", read_hosts }, { "connections", read_connections } };
	(void)into;
	if (value->type != YAML_MAPPING_NODE)
		return load_fail(l, key, ERR_INVALID, "a mapping of operators is wanted", "");
	for (yaml_node_pair_t *p = value->data.mapping.pairs.start; p < value->data.mapping.pairs.top; p++) {
		yaml_node_t *name = yaml_document_get_node(l->doc, p->key);
		struct operator_row *row = NULL;
		if (!load_scalar(name))
			return load_fail(l, name, ERR_INVALID, "an operator's name is wanted", "");
		HASH_FIND_STR(l->rules->operators, load_scalar(name), row);
		if (row)
			return load_fail(l, name, ERR_INVALID, "given twice: ", row->name);
		if (!(row = calloc(1, sizeof *row)))
			return load_no_memory(l);
		if (!(row->name = load_copied(l, load_scalar(name)))) {
			free(row);
			return false;
		}
		HASH_ADD_KEYPTR(hh, l->rules->operators, row->name, strlen(row->name), row);
		if (!row->hh.tbl) {
			free(row->name);
			free(row);
			return load_no_memory(l);
		}
		if (!load_map(l, yaml_document_get_node(l->doc, p->value), FIELDS, 2, "hosts, connections", row))
			return false;
	}
	return true;
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
