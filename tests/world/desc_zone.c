/* Reads `domains` and `names`: what DNS says, and who has a mailbox. */
#include <string.h>

#include "tests/world/desc_read.h"

void *read_grow(struct yml *y, const void *items, size_t n, size_t size)
{
	void *grown;

	if (n & (n - 1)) /* room is doubled at each power of two */
		return (void *)items;
	grown = arena_get(y->arena, (n ? n * 2 : 1) * size);
	if (n)
		memcpy(grown, items, n * size);
	return grown;
}

int read_word(struct yml *y, yaml_node_t *node, const char *const *words)
{
	const char *text = yml_scalar(y, node);
	char allowed[300] = "";

	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], text))
			return i;
	for (int i = 0; words[i]; i++) {
		size_t used = strlen(allowed);
		snprintf(allowed + used, sizeof allowed - used, "%s%s", i ? ", " : "", words[i]);
	}
	yml_fail(y, node, "%s is not allowed here; allowed: %s", text, allowed);
	return 0;
}

const char *read_domain(struct yml *y, yaml_node_t *node)
{
	const char *text = template_fill(y, node);
	char ascii[256];
	size_t n, label = 0;
	char *name;

	if (desc_a_labels(text, ascii, sizeof ascii))
		text = ascii;
	n = strlen(text);
	name = arena_text(y->arena, text, n);

	if (n && name[n - 1] == '.')
		name[--n] = '\0';
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c >= 'A' && c <= 'Z')
			name[i] = (char)(c + 32);
		label = c == '.' ? 0 : label + 1;
		if (c <= ' ' || c >= 127 || label > 63 || (c == '.' && (!i || name[i - 1] == '.'))) {
			yml_fail(y, node, "%s is no domain name (labels up to 63)", text);
			return "";
		}
	}
	if (n > 253) {
		yml_fail(y, node, "a domain name has at most 253 characters");
		return "";
	}
	return name;
}

struct name *read_name(struct reading *r, yaml_node_t *key)
{
	const char *text = read_domain(&r->y, key);
	struct name *n;

	if (!yml_failed(&r->y) && !text[0])
		yml_fail(&r->y, key, "a domain name is expected here");
	if (yml_failed(&r->y))
		return NULL;
	HASH_FIND_STR(r->d->names, text, n);
	if (n)
		return n;
	n = arena_get(&r->d->arena, sizeof *n);
	n->name = text;
	n->line = yml_line(key);
	n->ttl = r->d->ttl;
	n->negative_ttl = r->d->negative_ttl;
	HASH_ADD_KEYPTR(hh, r->d->names, n->name, strlen(n->name), n);
	return n;
}

static void name_addresses(struct yml *y, yaml_node_t *node, void *field)
{
	struct name *n = field;

	read_addresses(y, node, &n->addr, &n->addrs);
}

static void mx_host(struct yml *y, yaml_node_t *node, void *field)
{
	*(const char **)field = read_domain(y, node);
}

static const struct yml_field MX[] = {
	{ "preference", yml_port, offsetof(struct mx, preference) },
	{ "host", mx_host, offsetof(struct mx, host) },
	{ NULL, NULL, 0 },
};

static yaml_node_t *key_of(struct yml *y, yaml_node_t *map, const char *key)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
		if (!strcmp(yml_scalar(y, yaml_document_get_node(&y->doc, p->key)), key))
			return yaml_document_get_node(&y->doc, p->value);
	return NULL;
}

static void mx_pair(struct yml *y, yaml_node_t *host, yaml_node_t *item, void *ctx)
{
	struct name *n = ctx;
	struct mx mx = { .preference = 10, .line = yml_line(item) };

	if (item->type == YAML_SCALAR_NODE)
		mx.host = read_domain(y, host);
	else
		yml_map(y, item, MX, &mx);
	if (!mx.host)
		yml_fail(y, item, "a mail exchanger needs a host; allowed: {preference: N, host: NAME}, or NAME");
	if (yml_failed(y))
		return;
	n->mx = read_grow(y, n->mx, n->mxs, sizeof mx);
	n->mx[n->mxs++] = mx;
}

static void read_mx(struct yml *y, yaml_node_t *node, void *field)
{
	for (size_t i = 0; i < yml_count(y, node); i++) {
		yaml_node_t *item = yml_item(y, node, i), *host = item;
		if (item->type == YAML_MAPPING_NODE)
			host = key_of(y, item, "host");
		if (host && host->type == YAML_SCALAR_NODE)
			template_each(y, host, mx_pair, item, field);
		else
			mx_pair(y, NULL, item, field);
	}
}

static void read_cname(struct yml *y, yaml_node_t *node, void *field)
{
	*(const char **)field = read_domain(y, node);
}

/* true, false, or a list of types. */
static void read_trouble(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const TYPES[] = { "A", "AAAA", "MX", "CNAME", "TXT", "OTHER", "true", "false", NULL };
	uint32_t *bits = field;

	*bits = 0;
	for (size_t i = 0; i < yml_count(y, node) && !yml_failed(y); i++) {
		int word = read_word(y, yml_item(y, node, i), TYPES);
		if (word < 6)
			*bits |= 1u << word;
		else if (word == 6)
			*bits = 63;
	}
}

static void read_wrong(struct yml *y, yaml_node_t *node, void *field)
{
	static const char *const WRONG[] = {
#define WRONG_TEXT(name, text) text,
		WRONG_MAP(WRONG_TEXT)
#undef WRONG_TEXT
			NULL,
	};

	for (size_t i = 0; i < yml_count(y, node) && !yml_failed(y); i++)
		*(uint32_t *)field |= 1u << read_word(y, yml_item(y, node, i), WRONG);
}

static void name_later(struct yml *y, yaml_node_t *node, void *field)
{
	struct name *n = field;

	read_addresses(y, node, &n->later, &n->laters);
}

static void reply_pair(struct yml *y, yaml_node_t *key, yaml_node_t *value, void *ctx)
{
	struct mailboxes *m = ctx;
	struct mailbox_reply reply = { NULL, NULL };

	yml_text(y, key, &reply.pattern);
	yml_lines(y, value, &reply.reply);
	m->reply = read_grow(y, m->reply, m->replies, sizeof reply);
	m->reply[m->replies++] = reply;
}

void read_mailbox_replies(struct yml *y, yaml_node_t *node, void *field)
{
	yml_pairs(y, node, reply_pair, field);
}

static const struct yml_field NAME[] = {
	{ "mx", read_mx, 0 },
	{ "null_mx", yml_bool, offsetof(struct name, null_mx) },
	{ "no_mx", yml_bool, offsetof(struct name, no_mx) },
	{ "addresses", name_addresses, 0 },
	{ "later", name_later, 0 },
	{ "later_from", yml_u32, offsetof(struct name, later_from) },
	{ "wrong", read_wrong, offsetof(struct name, wrong) },
	{ "then_right", yml_bool, offsetof(struct name, then_right) },
	{ "no_chase", yml_bool, offsetof(struct name, no_chase) },
	{ "drop_first", yml_u32, offsetof(struct name, drop_first) },
	{ "cname", read_cname, offsetof(struct name, cname) },
	{ "txt", yml_texts, offsetof(struct name, txt) },
	{ "nxdomain", yml_bool, offsetof(struct name, nxdomain) },
	{ "servfail", read_trouble, offsetof(struct name, servfail) },
	{ "drop", read_trouble, offsetof(struct name, drop) },
	{ "ttl", yml_u32, offsetof(struct name, ttl) },
	{ "negative_ttl", yml_u32, offsetof(struct name, negative_ttl) },
	{ "delay_ms", yml_u32, offsetof(struct name, delay_ms) },
	{ "mailboxes", yml_texts, offsetof(struct name, mailboxes.exist) },
	{ "replies", read_mailbox_replies, offsetof(struct name, mailboxes) },
	{ NULL, NULL, 0 },
};

static void check_name(struct yml *y, yaml_node_t *key, struct name *n)
{
	if (n->null_mx) {
		n->mx = read_grow(y, n->mx, n->mxs, sizeof *n->mx);
		n->mx[n->mxs++] = (struct mx){ .preference = 0, .host = "" };
	}
	if (n->then_right && !n->wrong)
		yml_fail(y, key, "%s has then_right and nothing wrong; allowed: with wrong", n->name);
	else if (n->later_from && !n->laters)
		yml_fail(y, key, "%s has later_from and no later; allowed: with later", n->name);
	else if (n->no_mx && n->mxs)
		yml_fail(y, key, "%s has mx and no_mx; allowed: one of them", n->name);
	else if (n->nxdomain && (n->mxs || n->addrs || n->cname || n->txt.n))
		yml_fail(y, key, "%s has nxdomain and records; allowed: one of them", n->name);
	else if (n->cname && (n->mxs || n->addrs || n->txt.n))
		yml_fail(y, key, "%s has cname and other records; allowed: one of them", n->name);
}

static void read_entry(struct yml *y, yaml_node_t *key, yaml_node_t *value, bool is_domain)
{
	struct name *n = read_name((struct reading *)y, key);

	if (!n)
		return;
	if (n->line != yml_line(key) && !n->is_host) {
		yml_fail(y, key, "%s is described in line %d already", n->name, n->line);
		return;
	}
	yml_map(y, value, NAME, n);
	check_name(y, key, n);
	if (is_domain && !(n->mxs || n->no_mx || n->nxdomain || n->servfail || n->drop || n->cname))
		yml_fail(y, key,
			"domain %s says nothing about mail; allowed: one of mx, null_mx, no_mx, nxdomain, servfail, "
			"drop, "
			"cname",
			n->name);
}

static void read_domain_entry(struct yml *y, yaml_node_t *key, yaml_node_t *value, void *ctx)
{
	(void)ctx;
	read_entry(y, key, value, true);
}

static void read_name_entry(struct yml *y, yaml_node_t *key, yaml_node_t *value, void *ctx)
{
	(void)ctx;
	read_entry(y, key, value, false);
}

static void domain_pair(struct yml *y, yaml_node_t *key, yaml_node_t *value, void *ctx)
{
	(void)ctx;
	template_each(y, key, read_domain_entry, value, NULL);
}

static void name_pair(struct yml *y, yaml_node_t *key, yaml_node_t *value, void *ctx)
{
	(void)ctx;
	template_each(y, key, read_name_entry, value, NULL);
}

void read_domains(struct yml *y, yaml_node_t *node, void *unused)
{
	(void)unused;
	yml_pairs(y, node, domain_pair, NULL);
}

void read_names(struct yml *y, yaml_node_t *node, void *unused)
{
	(void)unused;
	yml_pairs(y, node, name_pair, NULL);
}
