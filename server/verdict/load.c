#include "server/verdict/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool load_fail(struct load *l, const yaml_node_t *at, err_t err, const char *what, const char *which)
{
	if (l->err)
		return false;
	l->err = err;
	buf_printf(l->why, "%s:%zu: %s%s", l->name, at ? at->start_mark.line + 1 : 1, what, which);
	return false;
}

bool load_no_memory(struct load *l)
{
	return load_fail(l, NULL, ERR_NOMEM, err_text(ERR_NOMEM), "");
}

const char *load_scalar(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

char *load_copied(struct load *l, const char *s)
{
	char *copy = strdup(s);
	if (!copy)
		load_no_memory(l);
	return copy;
}

/* The i-th of a list, or the scalar itself as a list of one; NULL beyond. */
yaml_node_t *load_item(struct load *l, yaml_node_t *node, size_t i)
{
	if (node->type == YAML_SCALAR_NODE)
		return i ? NULL : node;
	if (node->type != YAML_SEQUENCE_NODE ||
		i >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
		return NULL;
	return yaml_document_get_node(l->doc, node->data.sequence.items.start[i]);
}

/* Reads a mapping by its table of fields; a key that is not in it, or is there twice, is an error. */
bool load_map(
	struct load *l, yaml_node_t *map, const struct load_field *fields, size_t n, const char *allowed, void *into)
{
	if (map->type != YAML_MAPPING_NODE)
		return load_fail(l, map, ERR_INVALID, "a mapping is wanted here, with the keys ", allowed);
	uint32_t seen = 0;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(l->doc, p->key);
		size_t f = 0;
		while (f < n && !(load_scalar(key) && strcmp(load_scalar(key), fields[f].key) == 0))
			f++;
		if (f == n)
			return load_fail(l, key, ERR_INVALID, "unknown key; allowed: ", allowed);
		if (seen & 1u << f)
			return load_fail(l, key, ERR_INVALID, "given twice: ", fields[f].key);
		seen |= 1u << f;
		if (!fields[f].read(l, into, key, yaml_document_get_node(l->doc, p->value)))
			return false;
	}
	return true;
}

/* The value's place among `names` (NULL ends them), -1 and an error when it is not there. */
int load_one_of(struct load *l, const yaml_node_t *node, const char *const *names, const char *allowed)
{
	for (int i = 0; load_scalar(node) && names[i]; i++)
		if (strcmp(names[i], load_scalar(node)) == 0)
			return i;
	load_fail(l, node, ERR_INVALID, "allowed here: ", allowed);
	return -1;
}

bool load_number(struct load *l, const yaml_node_t *value, unsigned max, unsigned *out)
{
	const char *s = load_scalar(value);
	char *end = NULL;
	unsigned long v = s && *s >= '0' && *s <= '9' ? strtoul(s, &end, 10) : 0;
	if (!v || *end || v > max) {
		char range[48];
		snprintf(range, sizeof range, "1 to %u", max);
		return load_fail(l, value, ERR_INVALID, "a number is wanted, ", range);
	}
	*out = (unsigned)v;
	return true;
}
