#pragma once
/* Reading the rules data: YAML nodes into tables, the first error with its line. Belongs to one rules_load(). */
#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "server/verdict/rules.h"

/* Where loading is; the first error is written and stays. */
struct load {
	struct rules *rules;
	yaml_document_t *doc;
	struct buf *why;
	const char *name;
	err_t err;
};

/* Writes the first error; returns false, for its callers to return. `at` NULL: line 1. */
bool load_fail(struct load *, const yaml_node_t *at, err_t err, const char *what, const char *which);
bool load_no_memory(struct load *);
const char *load_scalar(const yaml_node_t *);	/* NULL when it is none */
char *load_copied(struct load *, const char *); /* NULL: out of memory, which is then the error */
/* The i-th of a list, or the scalar itself as a list of one; NULL beyond. */
yaml_node_t *load_item(struct load *, yaml_node_t *, size_t i);

typedef bool load_field_fn(struct load *, void *into, yaml_node_t *key, yaml_node_t *value);
struct load_field {
	const char *key;
	load_field_fn *read;
};
/* Reads a mapping by its table of fields; a key that is not in it, or is there twice, is an error. */
bool load_map(struct load *, yaml_node_t *map, const struct load_field *, size_t n, const char *allowed, void *into);
/* The value's place among `names` (NULL ends them), -1 and an error when it is not there. */
int load_one_of(struct load *, const yaml_node_t *, const char *const *names, const char *allowed);
bool load_number(struct load *, const yaml_node_t *, unsigned max, unsigned *out); /* 1 to max */

/* operators: in operators.c */
bool load_operators(struct load *, void *into, yaml_node_t *key, yaml_node_t *value);
