#include "tests/world/desc.h"

#include <errno.h>
#include <fnmatch.h>
#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/buf.h"
#include "tests/world/desc_read.h"

#define FILE_MAX (64 * 1024 * 1024)
#define CNAME_DEPTH 8

static void read_dns(struct yml *y, yaml_node_t *node, void *field)
{
	struct yml_list *list = field;
	struct addr a;

	yml_texts(y, node, list);
	for (size_t i = 0; i < list->n; i++)
		if (!addr_parse_port(&a, list->item[i]) || !addr_is_loopback(&a))
			yml_fail(y, yml_item(y, node, i), "%s is no loopback ADDRESS:PORT, such as 127.0.0.53:15353",
				list->item[i]);
}

static void read_listen(struct yml *y, yaml_node_t *node, void *unused)
{
	static const struct yml_field LISTEN[] = {
		{ "dns", read_dns, offsetof(struct desc, dns) },
		{ "smtp_port", yml_port, offsetof(struct desc, smtp_port) },
		{ "control", yml_text, offsetof(struct desc, control) },
		{ NULL, NULL, 0 },
	};

	(void)unused;
	yml_map(y, node, LISTEN, ((struct reading *)y)->d);
}

static void read_defaults(struct yml *y, yaml_node_t *node, void *unused)
{
	static const struct yml_field DEFAULTS[] = {
		{ "ttl", yml_u32, offsetof(struct desc, ttl) },
		{ "negative_ttl", yml_u32, offsetof(struct desc, negative_ttl) },
		{ "latency_ms", yml_u32, offsetof(struct desc, latency_ms) },
		{ NULL, NULL, 0 },
	};

	(void)unused;
	yml_map(y, node, DEFAULTS, ((struct reading *)y)->d);
}

static void skip(struct yml *y, yaml_node_t *node, void *unused)
{
	(void)y;
	(void)node;
	(void)unused;
}

/* Every MX, CNAME, serves and denies must lead somewhere, or a typing error passes for an NXDOMAIN. */
static void check_targets(struct reading *r)
{
	struct yml *y = &r->y;

	for (struct name *n = r->d->names; n && !yml_failed(y); n = n->hh.next)
		for (size_t i = 0; i < n->mxs; i++)
			if (n->mx[i].host[0] && !desc_name(r->d, n->mx[i].host) && !yml_failed(y))
				snprintf(y->error, sizeof y->error,
					"%s:%d: mail host %s is not described; allowed: a name under hosts, names or "
					"domains (`nxdomain: true` there, if it shall not exist)",
					y->file, n->mx[i].line, n->mx[i].host);
}

/* A name above others exists, though it holds nothing (RFC 8020). */
static void add_ancestors(struct desc *d)
{
	struct name *last = d->names ? ELMT_FROM_HH(d->names->hh.tbl, d->names->hh.tbl->tail) : NULL;

	for (struct name *n = d->names; n; n = n->hh.next) {
		for (const char *dot = strchr(n->name, '.'); dot; dot = strchr(dot + 1, '.')) {
			struct name *above;
			HASH_FIND_STR(d->names, dot + 1, above);
			if (above)
				continue;
			above = arena_get(&d->arena, sizeof *above);
			above->name = dot + 1;
			above->ttl = d->ttl;
			above->negative_ttl = d->negative_ttl;
			HASH_ADD_KEYPTR(hh, d->names, above->name, strlen(above->name), above);
		}
		if (n == last)
			break;
	}
}

/* In this order, wherever they stand in the file: defaults are what the others start from, and hosts make the names
 * that domains may add to. */
static void read_sections(struct reading *r)
{
	enum { PASSES = 3 };
	static const struct {
		int pass;
		struct yml_field field;
	} SECTION[] = {
		{ 0, { "listen", read_listen, 0 } },
		{ 0, { "record", yml_text, offsetof(struct desc, record) } },
		{ 0, { "defaults", read_defaults, 0 } },
		{ 1, { "hosts", read_hosts, 0 } },
		{ 2, { "names", read_names, 0 } },
		{ 2, { "domains", read_domains, 0 } },
	};
	enum { SECTIONS = sizeof SECTION / sizeof *SECTION };

	for (int pass = 0; pass < PASSES && !yml_failed(&r->y); pass++) {
		struct yml_field table[SECTIONS + 1] = { 0 };
		for (int i = 0; i < SECTIONS; i++) {
			table[i] = SECTION[i].field;
			if (SECTION[i].pass != pass)
				table[i].read = skip;
		}
		yml_map(&r->y, yml_root(&r->y), table, r->d);
	}
	check_targets(r);
}

struct desc *desc_read_text(const char *file, const char *text, size_t n, char *error, size_t room)
{
	struct desc *d = calloc(1, sizeof *d);
	struct reading r = { .d = d };

	if (!d)
		abort();
	d->ttl = 300;
	d->negative_ttl = 60;
	if (yml_load(&r.y, file, text, n, &d->arena))
		read_sections(&r);
	HASH_CLEAR(hh, r.owners); /* they are in the arena */
	yml_free(&r.y);
	if (yml_failed(&r.y)) {
		snprintf(error, room, "%s", r.y.error);
		desc_free(d);
		return NULL;
	}
	add_ancestors(d);
	return d;
}

struct desc *desc_read_file(const char *file, char *error, size_t room)
{
	struct buf text = BUF_INIT(FILE_MAX);
	FILE *f = fopen(file, "re");
	struct desc *d = NULL;
	char chunk[4096];
	size_t n;

	if (!f) {
		snprintf(error, room, "%s: cannot be opened: %s", file, strerror(errno));
		return NULL;
	}
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_append(&text, chunk, n);
	if (ferror(f) || text.err)
		snprintf(error, room, "%s: cannot be read (a folder, or over 64 MiB)", file);
	else
		d = desc_read_text(file, text.data ? (char *)text.data : "", text.len, error, room);
	fclose(f);
	buf_free(&text);
	return d;
}

void desc_free(struct desc *d)
{
	if (!d)
		return;
	HASH_CLEAR(hh, d->names);
	arena_free(&d->arena);
	free(d);
}

bool desc_a_labels(const char *name, char *ascii, size_t room)
{
	char *made = NULL;
	bool fits = false;

	for (const char *c = name; *c; c++) {
		if ((unsigned char)*c < 128)
			continue;
		if (idn2_to_ascii_8z(name, &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
			return false;
		fits = (size_t)snprintf(ascii, room, "%s", made) < room;
		idn2_free(made);
		return fits;
	}
	return false;
}

const struct name *desc_name(const struct desc *d, const char *name)
{
	const struct name *found;
	char wild[260];

	HASH_FIND_STR(d->names, name, found);
	for (const char *dot = strchr(name, '.'); !found && dot; dot = strchr(dot + 1, '.')) {
		const struct name *above;
		if (snprintf(wild, sizeof wild, "*%s", dot) >= (int)sizeof wild)
			continue;
		HASH_FIND_STR(d->names, wild, found);
		HASH_FIND_STR(d->names, dot + 1, above);
		if (!found && above && above->line)
			break; /* the closest name that exists decides (RFC 4592) */
	}
	return found;
}

static const struct name *follow(const struct desc *d, const char *name)
{
	const struct name *n = desc_name(d, name);

	for (int i = 0; n && n->cname && i < CNAME_DEPTH; i++)
		n = desc_name(d, n->cname);
	return n;
}

static bool has_address_of(const struct name *n, const struct host *host)
{
	if (!n || n == host->dns)
		return n;
	for (size_t i = 0; i < n->addrs; i++)
		for (size_t k = 0; k < host->dns->addrs; k++)
			if (addr_same_ip(&n->addr[i], &host->dns->addr[k]))
				return true;
	return false;
}

static bool is_in(const struct yml_list *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->item[i], "*") || !strcasecmp(list->item[i], text))
			return true;
	return false;
}

bool desc_serves(const struct desc *d, const struct host *host, const char *domain)
{
	const struct name *n;

	if (is_in(&host->denies, domain))
		return false;
	if (host->serves.n)
		return is_in(&host->serves, domain);
	n = follow(d, domain);
	if (n && !n->mxs)
		return has_address_of(n, host);
	for (size_t i = 0; n && i < n->mxs; i++)
		if (n->mx[i].host[0] && has_address_of(follow(d, n->mx[i].host), host))
			return true;
	return false;
}

static bool fits(const char *pattern, const char *local)
{
	return !fnmatch(pattern, local, FNM_CASEFOLD | FNM_NOESCAPE);
}

const char *mailboxes_reply(const struct mailboxes *m, const char *local)
{
	for (size_t i = 0; i < m->replies; i++)
		if (fits(m->reply[i].pattern, local))
			return m->reply[i].reply;
	return NULL;
}

bool patterns_fit(const struct yml_list *patterns, const char *local)
{
	for (size_t i = 0; i < patterns->n; i++)
		if (fits(patterns->item[i], local))
			return true;
	return false;
}

bool mailboxes_has(const struct mailboxes *m, const char *local)
{
	return patterns_fit(&m->exist, local);
}
