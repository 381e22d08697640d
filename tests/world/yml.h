#pragma once
/* A YAML document read by tables of fields, with errors that name file and line. Owner: whoever called yml_load();
 * yml_free() ends it. The first error wins and stops every reader: check yml_failed() once at the end. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "tests/world/arena.h"

struct yml {
	yaml_document_t doc;
	const char *file;
	struct arena *arena; /* where texts are copied to */
	char error[2048];    /* `FILE:LINE: what is wrong, what is allowed`; "" while all is well */
	bool loaded;
};

struct yml_field {
	const char *key;
	void (*read)(struct yml *, yaml_node_t *value, void *field);
	size_t offset; /* of the field in the struct that is being filled */
};
struct yml_list {
	char **item;
	size_t n;
};

struct yml_bytes {
	const char *data; /* NULL: not there */
	size_t len;
};

/* Reads the text; false with `error` set when it is no YAML or holds nothing. */
bool yml_load(struct yml *, const char *file, const char *text, size_t n, struct arena *);
void yml_free(struct yml *);
bool yml_failed(const struct yml *);
void yml_fail(struct yml *, const yaml_node_t *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int yml_line(const yaml_node_t *);

yaml_node_t *yml_root(struct yml *);
/* Fills `into` from a mapping whose keys are those of the table (ended by a NULL key). */
void yml_map(struct yml *, yaml_node_t *, const struct yml_field *table, void *into);
/* Calls `each` for every pair of a mapping; a key that comes twice is an error. */
void yml_pairs(struct yml *, yaml_node_t *, void (*each)(struct yml *, yaml_node_t *key, yaml_node_t *value, void *ctx),
	void *ctx);
/* The i-th item of a sequence, or the node itself if it is none and i is 0; NULL after the last. */
yaml_node_t *yml_item(struct yml *, yaml_node_t *, size_t i);
size_t yml_count(struct yml *, yaml_node_t *);
const char *yml_scalar(struct yml *, yaml_node_t *); /* "" and an error if it is no scalar */

/* Readers of fields. */
void yml_text(struct yml *, yaml_node_t *, void *field);  /* const char * */
void yml_lines(struct yml *, yaml_node_t *, void *field); /* const char *: a text, or a list of lines joined by LF */
void yml_texts(struct yml *, yaml_node_t *, void *field); /* struct yml_list: a list, or one text */
void yml_bool(struct yml *, yaml_node_t *, void *field);  /* bool */
void yml_u32(struct yml *, yaml_node_t *, void *field);	  /* uint32_t */
/* struct yml_bytes: a text with \r \n \t \\ and \xHH, NUL included */
void yml_raw(struct yml *, yaml_node_t *, void *field);
void yml_port(struct yml *, yaml_node_t *, void *field); /* int, 0 to 65535 */
