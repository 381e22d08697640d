/* Goes through the events of a YAML text along the table of keys. It asks for the next event only after it has accepted
 * the one before, so neither depth nor number of events is the text's to choose; anchors and aliases are refused. */
#include "server/config/loader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>
#include <yaml.h>

#include "server/base/edit.h"

#define PLACE_MAX 512 /* bytes of a path of keys */
#define PART_MAX 64   /* bytes of one of the table's keys */

struct loader {
	const char *name;
	struct config *config;
	struct buf *why;
	yaml_parser_t parser;
	yaml_event_t event; /* the current one; owned */
	void *item;	    /* that fields go to; NULL: config */
	bool given[CONFIG_KEYS_MAX];
	err_t err;
};

/* Where we are: by the table's words, and as shown to people. */
struct place {
	char path[PLACE_MAX], shown[PLACE_MAX];
	size_t line; /* of the key, or of the item in a list */
};

static void fail(struct loader *l, size_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void walk_value(struct loader *l, const struct place *p);

static void fail(struct loader *l, size_t line, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	if (l->err)
		return;
	l->err = ERR_INVALID;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_printf(l->why, "%s:%zu: %s", l->name, line, text);
}

/* Text from the file, for a message: short and without what a terminal would obey. */
static const char *printable(const char *text, size_t n, char out[48])
{
	size_t i;
	for (i = 0; i < n && i < 47; i++)
		out[i] = (char)(text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
	out[i] = 0;
	return out;
}

static size_t event_line(const struct loader *l)
{
	return l->event.start_mark.line + 1;
}

static size_t line_at(const uint8_t *text, size_t offset)
{
	size_t line = 1;
	for (size_t i = 0; i < offset; i++)
		line += text[i] == '\n';
	return line;
}

static void fail_yaml(struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	const char *problem = p->problem ? p->problem : "unknown error";
	if (p->error == YAML_MEMORY_ERROR)
		l->err = ERR_NOMEM;
	else if (p->error == YAML_READER_ERROR)
		fail(l, line_at(p->input.string.start, p->problem_offset), "not valid YAML: %s", problem);
	else
		fail(l, p->problem_mark.line + 1, "not valid YAML: %s", problem);
}

/* Makes the next event the current one; false: l->err says why there is none. */
static bool next(struct loader *l)
{
	yaml_event_delete(&l->event);
	memset(&l->event, 0, sizeof l->event);
	if (l->err)
		return false;
	if (!yaml_parser_parse(&l->parser, &l->event)) {
		fail_yaml(l);
		return false;
	}
	const yaml_event_t *e = &l->event;
	const yaml_char_t *anchor = NULL, *tag = NULL;
	if (e->type == YAML_SCALAR_EVENT) {
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
	}
	if (anchor || e->type == YAML_ALIAS_EVENT)
		fail(l, event_line(l), "anchors and aliases (& and *) are not allowed; write the value out");
	else if (tag)
		fail(l, event_line(l), "tags (!) are not allowed; write the value alone");
	return !l->err;
}

/* The part of path that comes after parent's, NULL when it is not below it. */
static const char *below(const char *path, const char *parent)
{
	size_t n = strlen(parent);
	if (!n)
		return path;
	return strncmp(path, parent, n) == 0 && path[n] == '.' ? path + n + 1 : NULL;
}

/* Is the first part of rest (up to a dot) this name? */
static bool part_is(const char *rest, const char *name)
{
	size_t n = strcspn(rest, ".");
	return strlen(name) == n && strncmp(rest, name, n) == 0;
}

static bool has_child(const char *path, const char *name)
{
	for (size_t i = 0; i < CONFIG_KEYS_N; i++) {
		const char *rest = below(CONFIG_KEYS[i].path, path);
		if (rest && part_is(rest, name))
			return true;
	}
	return false;
}

static const struct key *key_at(const char *path)
{
	for (size_t i = 0; i < CONFIG_KEYS_N; i++)
		if (strcmp(CONFIG_KEYS[i].path, path) == 0)
			return &CONFIG_KEYS[i];
	return NULL;
}

static const struct key_list *list_at(const char *path)
{
	for (size_t i = 0; i < CONFIG_LISTS_N; i++)
		if (strcmp(CONFIG_LISTS[i].path, path) == 0)
			return &CONFIG_LISTS[i];
	return NULL;
}

/* Appends the keys that may stand at path to out; nearest gets the one that name may have meant, or "". */
static void list_children(const char *path, const char *name, struct buf *out, char nearest[PART_MAX])
{
	char last[PART_MAX] = "";
	unsigned best = 3;
	nearest[0] = 0;
	for (size_t i = 0; i < CONFIG_KEYS_N; i++) {
		const char *rest = below(CONFIG_KEYS[i].path, path);
		if (!rest || part_is(rest, last)) /* a section's keys stand together in the table */
			continue;
		size_t n = strcspn(rest, ".");
		memcpy(last, rest, n);
		last[n] = 0;
		buf_printf(out, "%s%s", out->len ? ", " : "", last);
		unsigned distance = edit_distance(name, last, 2);
		if (distance < best && distance < n) {
			best = distance;
			memcpy(nearest, last, n + 1);
		}
	}
}

static void fail_unknown(struct loader *l, const struct place *p, const char *name, size_t n)
{
	char shown[48], nearest[PART_MAX];
	struct buf children = BUF_INIT(1024);
	list_children(p->path, name, &children, nearest);
	printable(name, n, shown);
	if (strcmp(name, "<<") == 0)
		fail(l, event_line(l), "merge keys (<<) are not allowed; write the keys out");
	else
		fail(l, event_line(l), "unknown key \"%s\"%s%s%s%s%s; allowed: %s", shown, p->shown[0] ? " in " : "",
			p->shown, nearest[0] ? "; did you mean \"" : "", nearest, nearest[0] ? "\"?" : "",
			buf_str(&children));
	buf_free(&children);
}

/* The keys that a mapping had so far. */
struct seen {
	size_t n;
	struct {
		char name[DOMAIN_SIZE];
		size_t line;
	} keys[CONFIG_OPERATORS];
};

static bool note_seen(struct loader *l, const struct place *p, struct seen *seen, const char *name)
{
	for (size_t i = 0; i < seen->n; i++) {
		if (strcmp(seen->keys[i].name, name) == 0) {
			fail(l, event_line(l), "duplicate key %s%s%s; it stands on line %zu already, once is allowed",
				p->shown, p->shown[0] ? "." : "", name, seen->keys[i].line);
			return false;
		}
	}
	if (seen->n == CONFIG_OPERATORS) {
		fail(l, event_line(l), "%s has too many entries; at most %d are allowed", p->shown, CONFIG_OPERATORS);
		return false;
	}
	memcpy(seen->keys[seen->n].name, name, strlen(name) + 1);
	seen->keys[seen->n++].line = event_line(l);
	return true;
}

/* An operator's name in lower case into out; false when it cannot be one. */
static bool operator_name(const char *text, size_t n, char out[DOMAIN_SIZE])
{
	if (n < 1 || n >= DOMAIN_SIZE)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = text[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !strchr(".-_", c))
			return false;
		out[i] = c;
	}
	out[n] = 0;
	return true;
}

static bool join(char out[PLACE_MAX], const char *parent, const char *name)
{
	return snprintf(out, PLACE_MAX, "%s%s%s", parent, *parent ? "." : "", name) < PLACE_MAX;
}

/* A new item at the end of the list; fields go to it until l->item is set back. */
static void *begin_item(struct loader *l, const struct place *p, const struct key_list *list)
{
	size_t *count = (size_t *)((char *)l->config + list->count);
	if (*count == list->max) {
		fail(l, event_line(l), "%s has too many entries; at most %zu are allowed", p->shown, list->max);
		return NULL;
	}
	for (size_t i = 0; i < CONFIG_KEYS_N; i++)
		if (below(CONFIG_KEYS[i].path, list->path))
			l->given[i] = false;
	return (char *)l->config + list->items + (*count)++ * list->size;
}

/* The current event is a key of the mapping at p: where does its value belong? */
static bool enter_key(struct loader *l, const struct place *p, struct seen *seen, struct place *child)
{
	const struct key_list *list = list_at(p->path);
	char name[DOMAIN_SIZE];
	if (l->event.type != YAML_SCALAR_EVENT) {
		fail(l, event_line(l), "a key is a list or a mapping; plain text is allowed");
		return false;
	}
	const char *text = (const char *)l->event.data.scalar.value;
	size_t n = l->event.data.scalar.length;
	if (list && list->named) {
		if (!operator_name(text, n, name)) {
			char shown[48];
			fail(l, event_line(l), "\"%s\" in %s is no name; letters, digits, '.', '-' and '_' are allowed",
				printable(text, n, shown), p->shown);
			return false;
		}
	} else if (n >= sizeof name || strlen(text) != n || !has_child(p->path, text)) {
		fail_unknown(l, p, text, n);
		return false;
	} else {
		memcpy(name, text, n + 1);
	}
	if (!note_seen(l, p, seen, name))
		return false;
	if (list) {
		l->item = begin_item(l, p, list);
		if (!l->item)
			return false;
		memcpy(l->item, name, strlen(name) + 1);
	}
	child->line = event_line(l);
	if (!join(child->path, p->path, list ? "*" : name) || !join(child->shown, p->shown, name))
		fail(l, child->line, "the key is too long; 253 octets are allowed");
	return !l->err;
}

/* The required keys right below p, or below all of it when p is the whole file. */
static void check_required(struct loader *l, const struct place *p)
{
	for (size_t i = 0; i < CONFIG_KEYS_N; i++) {
		const struct key *key = &CONFIG_KEYS[i];
		const char *rest = below(key->path, p->path);
		if (!key->required || l->given[i] || !rest)
			continue;
		if (p->path[0] ? strchr(rest, '.') != NULL : strstr(rest, "[]") != NULL)
			continue;
		fail(l, p->line, "%s%s%s is missing; it is required: %s", p->shown, p->shown[0] ? "." : "", rest,
			key->allowed);
	}
}

static void walk_mapping(struct loader *l, const struct place *p)
{
	struct seen *seen = calloc(1, sizeof *seen);
	struct place child;
	if (!seen) {
		l->err = ERR_NOMEM;
		return;
	}
	while (next(l) && l->event.type != YAML_MAPPING_END_EVENT) {
		if (!enter_key(l, p, seen, &child))
			break;
		if (next(l))
			walk_value(l, &child);
	}
	if (!l->err)
		check_required(l, p);
	free(seen);
}

static void walk_sequence(struct loader *l, const struct place *p)
{
	const struct key_list *list = list_at(p->path);
	while (next(l) && l->event.type != YAML_SEQUENCE_END_EVENT) {
		struct place child = { .line = event_line(l) };
		l->item = begin_item(l, p, list);
		if (!l->item || !join(child.path, p->path, "[]"))
			return;
		memcpy(child.shown, p->shown, sizeof child.shown);
		walk_value(l, &child);
		l->item = NULL;
	}
}

static bool is_null(const struct scalar *s)
{
	static const char *const NULLS[] = { "", "~", "null", "Null", "NULL" };
	for (size_t i = 0; s->plain && i < sizeof NULLS / sizeof *NULLS; i++)
		if (strcmp(s->text, NULLS[i]) == 0)
			return true;
	return false;
}

static void set_value(struct loader *l, const struct place *p, const struct key *key)
{
	const struct scalar s = {
		.text = (const char *)l->event.data.scalar.value,
		.n = l->event.data.scalar.length,
		.plain = l->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE,
	};
	struct buf allowed = BUF_INIT(512);
	const char *wrong;
	key_allowed(key, &allowed);
	if (strlen(s.text) != s.n)
		wrong = "a NUL is not allowed";
	else if (is_null(&s))
		wrong = "empty";
	else
		wrong = key->set(key, &s, (char *)(l->item ? l->item : l->config) + key->offset);
	if (wrong)
		fail(l, p->line, "%s: %s; allowed: %s", p->shown, wrong, buf_str(&allowed));
	l->given[key - CONFIG_KEYS] = true;
	buf_free(&allowed);
}

/* The current event begins the value that belongs to p. */
static void walk_value(struct loader *l, const struct place *p)
{
	const struct key *key = key_at(p->path);
	yaml_event_type_t type = l->event.type;
	if (key && type == YAML_SCALAR_EVENT) {
		set_value(l, p, key);
	} else if (key) {
		struct buf allowed = BUF_INIT(512);
		key_allowed(key, &allowed);
		fail(l, p->line, "%s must be a single value; allowed: %s", p->shown, buf_str(&allowed));
		buf_free(&allowed);
	} else if (has_child(p->path, "[]")) {
		if (type == YAML_SEQUENCE_START_EVENT)
			walk_sequence(l, p);
		else
			fail(l, p->line, "%s must be a list; allowed: [item, item] or lines that begin with \"- \"",
				p->shown);
	} else if (type == YAML_MAPPING_START_EVENT) {
		walk_mapping(l, p);
		if (strstr(p->path, ".*"))
			l->item = NULL;
	} else {
		struct buf children = BUF_INIT(1024);
		char nearest[PART_MAX];
		list_children(p->path, "", &children, nearest);
		fail(l, p->line, "%s must be a mapping; allowed: %s", p->shown[0] ? p->shown : "the file",
			buf_str(&children));
		buf_free(&children);
	}
}

static void walk_stream(struct loader *l)
{
	struct place top = { .line = 1 };
	if (!next(l) || !next(l)) /* the stream's start, then a document's */
		return;
	if (l->event.type == YAML_STREAM_END_EVENT) {
		fail(l, 1, "the file is empty; store.path and probe.mail_from are required");
		return;
	}
	if (!next(l))
		return;
	walk_value(l, &top);
	if (!next(l) || !next(l)) /* the document's end, then the stream's */
		return;
	if (l->event.type != YAML_STREAM_END_EVENT)
		fail(l, event_line(l), "a second document begins here; one is allowed");
}

err_t config_walk(const char *name, const char *text, size_t n, struct config *config, struct buf *why)
{
	struct loader l = { .name = name, .config = config, .why = why };
	const uint8_t *bad = u8_check((const uint8_t *)text, n);
	if (bad) {
		fail(&l, line_at((const uint8_t *)text, (size_t)(bad - (const uint8_t *)text)),
			"not UTF-8; only UTF-8 is allowed");
		return l.err;
	}
	if (!yaml_parser_initialize(&l.parser))
		return ERR_NOMEM;
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, n);
	walk_stream(&l);
	yaml_event_delete(&l.event);
	yaml_parser_delete(&l.parser);
	return l.err;
}
