#include "tests/world/yml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int yml_line(const yaml_node_t *node)
{
	return node ? (int)node->start_mark.line + 1 : 1;
}

bool yml_failed(const struct yml *y)
{
	return y->error[0] != '\0';
}

void yml_fail(struct yml *y, const yaml_node_t *at, const char *fmt, ...)
{
	va_list args;
	int used;

	if (yml_failed(y))
		return;
	used = snprintf(y->error, sizeof y->error, "%s:%d: ", y->file, yml_line(at));
	if (used < 0 || (size_t)used >= sizeof y->error)
		return;
	va_start(args, fmt);
	vsnprintf(y->error + used, sizeof y->error - (size_t)used, fmt, args);
	va_end(args);
}

bool yml_load(struct yml *y, const char *file, const char *text, size_t n, struct arena *arena)
{
	yaml_parser_t parser;

	memset(y, 0, sizeof *y);
	y->file = file;
	y->arena = arena;
	if (!yaml_parser_initialize(&parser)) {
		yml_fail(y, NULL, "out of memory");
		return false;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	if (yaml_parser_load(&parser, &y->doc)) {
		y->loaded = true;
		if (!yaml_document_get_root_node(&y->doc))
			yml_fail(y, NULL, "the file is empty");
	} else {
		snprintf(y->error, sizeof y->error, "%s:%zu: not YAML: %s", file, parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "cannot be read");
	}
	yaml_parser_delete(&parser);
	return !yml_failed(y);
}

void yml_free(struct yml *y)
{
	if (y->loaded)
		yaml_document_delete(&y->doc);
	y->loaded = false;
}

yaml_node_t *yml_root(struct yml *y)
{
	return yaml_document_get_root_node(&y->doc);
}

const char *yml_scalar(struct yml *y, yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE) {
		yml_fail(y, node, "a %s where one value is expected",
			node->type == YAML_SEQUENCE_NODE ? "list" : "mapping");
		return "";
	}
	if (memchr(node->data.scalar.value, 0, node->data.scalar.length)) {
		yml_fail(y, node, "a NUL byte in a text");
		return "";
	}
	return (const char *)node->data.scalar.value;
}

static bool is_duplicate(struct yml *y, yaml_node_t *map, yaml_node_pair_t *pair)
{
	const char *key = yml_scalar(y, yaml_document_get_node(&y->doc, pair->key));

	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++)
		if (!strcmp(key, yml_scalar(y, yaml_document_get_node(&y->doc, p->key))))
			return true;
	return false;
}

void yml_pairs(
	struct yml *y, yaml_node_t *map, void (*each)(struct yml *, yaml_node_t *, yaml_node_t *, void *), void *ctx)
{
	if (map->type != YAML_MAPPING_NODE) {
		yml_fail(y, map, "a mapping (`key: value` lines) is expected here");
		return;
	}
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(&y->doc, p->key);
		const char *text = yml_scalar(y, key);

		/* Quadratic, so only for the small maps; names of thousands are found twice by their table. */
		if (p - map->data.mapping.pairs.start < 256 && is_duplicate(y, map, p))
			yml_fail(y, key, "%s stands here twice", text);
		if (yml_failed(y))
			return;
		each(y, key, yaml_document_get_node(&y->doc, p->value), ctx);
	}
}

struct map_ctx {
	const struct yml_field *table;
	char *into;
};

static void list_keys(const struct yml_field *table, char *out, size_t room)
{
	size_t used = 0;

	out[0] = '\0';
	for (; table->key && used < room; table++)
		used += (size_t)snprintf(out + used, room - used, "%s%s", used ? ", " : "", table->key);
}

static void map_pair(struct yml *y, yaml_node_t *key, yaml_node_t *value, void *arg)
{
	struct map_ctx *ctx = arg;
	const char *text = yml_scalar(y, key);
	char allowed[1600];

	for (const struct yml_field *f = ctx->table; f->key; f++) {
		if (!strcmp(f->key, text)) {
			f->read(y, value, ctx->into + f->offset);
			return;
		}
	}
	list_keys(ctx->table, allowed, sizeof allowed);
	yml_fail(y, key, "unknown key %s; allowed: %s", text, allowed);
}

void yml_map(struct yml *y, yaml_node_t *map, const struct yml_field *table, void *into)
{
	struct map_ctx ctx = { table, into };

	yml_pairs(y, map, map_pair, &ctx);
}

size_t yml_count(struct yml *y, yaml_node_t *node)
{
	(void)y;
	if (node->type != YAML_SEQUENCE_NODE)
		return 1;
	return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

yaml_node_t *yml_item(struct yml *y, yaml_node_t *node, size_t i)
{
	if (i >= yml_count(y, node))
		return NULL;
	if (node->type != YAML_SEQUENCE_NODE)
		return node;
	return yaml_document_get_node(&y->doc, node->data.sequence.items.start[i]);
}

void yml_text(struct yml *y, yaml_node_t *node, void *field)
{
	const char *text = yml_scalar(y, node);

	*(const char **)field = arena_text(y->arena, text, strlen(text));
}

void yml_texts(struct yml *y, yaml_node_t *node, void *field)
{
	struct yml_list *list = field;

	list->n = yml_count(y, node);
	list->item = arena_get(y->arena, (list->n + 1) * sizeof *list->item);
	for (size_t i = 0; i < list->n; i++)
		yml_text(y, yml_item(y, node, i), &list->item[i]);
}

void yml_lines(struct yml *y, yaml_node_t *node, void *field)
{
	struct yml_list list;
	size_t len = 0;
	char *text, *end;

	yml_texts(y, node, &list);
	for (size_t i = 0; i < list.n; i++)
		len += strlen(list.item[i]) + 1;
	end = text = arena_get(y->arena, len + 1);
	for (size_t i = 0; i < list.n; i++) {
		end = mempcpy(end, list.item[i], strlen(list.item[i]));
		if (i + 1 < list.n)
			*end++ = '\n';
	}
	*(const char **)field = text;
}

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 32) : NULL;

	return at ? (int)(at - digits) : -1;
}

void yml_raw(struct yml *y, yaml_node_t *node, void *field)
{
	const char *text = yml_scalar(y, node);
	struct yml_bytes *bytes = field;
	char *out = arena_get(y->arena, strlen(text) + 1);

	*bytes = (struct yml_bytes){ out, 0 };
	for (; *text; text++) {
		static const char NAME[] = "rnt\\", BYTE[] = "\r\n\t\\";
		const char *at;
		if (*text != '\\') {
			out[bytes->len++] = *text;
		} else if (text[1] && (at = strchr(NAME, text[1]))) {
			out[bytes->len++] = BYTE[at - NAME];
			text++;
		} else if (text[1] == 'x' && hex(text[2]) >= 0 && hex(text[3]) >= 0) {
			out[bytes->len++] = (char)(hex(text[2]) << 4 | hex(text[3]));
			text += 3;
		} else {
			yml_fail(y, node, "%.4s is no escape; allowed: \\r \\n \\t \\\\ \\xHH", text);
			return;
		}
	}
}

void yml_bool(struct yml *y, yaml_node_t *node, void *field)
{
	const char *text = yml_scalar(y, node);

	if (!strcmp(text, "true"))
		*(bool *)field = true;
	else if (!strcmp(text, "false"))
		*(bool *)field = false;
	else
		yml_fail(y, node, "%s is neither true nor false", text);
}

static uint32_t number(struct yml *y, yaml_node_t *node, uint32_t most)
{
	const char *text = yml_scalar(y, node);
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || value > most) {
		yml_fail(y, node, "%s is no whole number from 0 to %u", text, (unsigned)most);
		return 0;
	}
	return (uint32_t)value;
}

void yml_u32(struct yml *y, yaml_node_t *node, void *field)
{
	*(uint32_t *)field = number(y, node, UINT32_MAX);
}

void yml_port(struct yml *y, yaml_node_t *node, void *field)
{
	*(int *)field = (int)number(y, node, 65535);
}
