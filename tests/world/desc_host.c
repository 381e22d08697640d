/* Reads `hosts`: which server stands where, and how it behaves. */
#include <string.h>

#include "tests/world/desc_read.h"
#include "tests/world/persona.h"

static void read_persona(struct yml *y, yaml_node_t *node, void *field)
{
	const char *text = yml_scalar(y, node);
	char allowed[1200] = "";
	size_t used = 0;

	*(const struct persona **)field = persona_find(text);
	if (persona_find(text))
		return;
	for (size_t i = 0; persona_at(i) && used < sizeof allowed; i++)
		used += (size_t)snprintf(
			allowed + used, sizeof allowed - used, "%s%s", i ? ", " : "", persona_at(i)->name);
	yml_fail(y, node, "no persona is called %s; allowed: %s", text, allowed);
}

static void host_addresses(struct yml *y, yaml_node_t *node, void *field)
{
	struct name *n = ((struct host *)field)->dns;

	read_addresses(y, node, &n->addr, &n->addrs);
}

static void host_ttl(struct yml *y, yaml_node_t *node, void *field)
{
	yml_u32(y, node, &((struct host *)field)->dns->ttl);
}

static const struct yml_field HOST[] = {
	{ "addresses", host_addresses, 0 },
	{ "persona", read_persona, offsetof(struct host, persona) },
	{ "dead", yml_bool, offsetof(struct host, dead) },
	{ "latency_ms", yml_u32, offsetof(struct host, latency_ms) },
	{ "mailboxes", yml_texts, offsetof(struct host, mailboxes.exist) },
	{ "replies", read_mailbox_replies, offsetof(struct host, mailboxes) },
	{ "postmaster", yml_bool, offsetof(struct host, postmaster) },
	{ "serves", yml_texts, offsetof(struct host, serves) },
	{ "denies", yml_texts, offsetof(struct host, denies) },
	{ "pipelining", yml_bool, offsetof(struct host, pipelining) },
	{ "smtputf8", yml_bool, offsetof(struct host, smtputf8) },
	{ "extensions", yml_texts, offsetof(struct host, extensions) },
	{ "banner", yml_lines, offsetof(struct host, banner) },
	{ "unknown_reply", yml_lines, offsetof(struct host, unknown_reply) },
	{ "relay_reply", yml_lines, offsetof(struct host, relay_reply) },
	{ "early_reply", yml_lines, offsetof(struct host, early_reply) },
	{ "greylist_reply", yml_lines, offsetof(struct host, greylist_reply) },
	{ "after_ms", yml_u32, offsetof(struct host, after_ms) },
	{ "faults", read_faults, 0 },
	{ "ttl", host_ttl, 0 },
	{ NULL, NULL, 0 },
};

/* The host's own keys, those of its persona's fault and those of its traits, as one mapping. */
static const struct yml_field *host_table(void)
{
	static struct yml_field table[64];
	static const struct {
		const struct yml_field *fields;
		size_t base;
	} PART[] = { { HOST, 0 }, { TRAIT_FIELD, offsetof(struct host, traits) },
		{ FAULT_FIELD, offsetof(struct host, own) } };
	size_t n = 0;

	for (size_t i = 0; i < sizeof PART / sizeof *PART; i++) {
		for (const struct yml_field *f = PART[i].fields; f->key && n + 1 < sizeof table / sizeof *table; f++) {
			table[n] = *f;
			table[n++].offset += PART[i].base;
		}
	}
	return table;
}

/* The persona first, wherever it stands: the other keys change what it begins with. */
static void start_host(struct reading *r, yaml_node_t *map, struct host *h)
{
	h->latency_ms = r->d->latency_ms;
	h->postmaster = true;
	h->banner = "220 $host ESMTP";
	h->unknown_reply = "550 5.1.1 <$rcpt>: Recipient address rejected: User unknown";
	h->relay_reply = "554 5.7.1 <$rcpt>: Relay access denied";
	h->greylist_reply = "451 4.7.1 Greylisted for $seconds seconds";
	h->after_ms = 60000;
	h->persona = persona_find("normal");
	if (map->type != YAML_MAPPING_NODE)
		return; /* yml_map() says so */
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
		if (!strcmp(yml_scalar(&r->y, yaml_document_get_node(&r->y.doc, p->key)), "persona"))
			read_persona(&r->y, yaml_document_get_node(&r->y.doc, p->value), &h->persona);
	if (!h->persona)
		return;
	h->own = h->persona->fault;
	if (!h->own.is_set)
		h->own.at = PHASES;
	h->pipelining = !h->persona->no_pipelining;
	h->smtputf8 = h->persona->smtputf8;
	h->early_reply = h->persona->early_reply;
	h->traits = h->persona->traits;
	if (!h->traits.block_reply)
		h->traits.block_reply = "550 5.7.1 Too many unknown recipients from [$client]";
	if (!h->traits.tls_inject)
		h->traits.tls_inject = "250 2.1.5 Ok";
}

static void fill_extensions(struct yml *y, struct host *h)
{
	char **item;

	if (h->extensions.item)
		return;
	h->extensions.item = item = arena_get(y->arena, 6 * sizeof *item);
	if (h->pipelining)
		*item++ = "PIPELINING";
	*item++ = "SIZE 10240000";
	*item++ = "ENHANCEDSTATUSCODES";
	*item++ = "8BITMIME";
	if (h->smtputf8)
		*item++ = "SMTPUTF8";
	h->extensions.n = (size_t)(item - h->extensions.item);
}

/* no-helo is EHLO's own fault twice. */
static void double_hello(struct yml *y, struct host *h)
{
	struct fault f = h->own;

	if (!h->persona->no_hello)
		return;
	f.at = f.at == PHASE_EHLO ? PHASE_HELO : PHASE_EHLO;
	h->fault = read_grow(y, h->fault, h->faults, sizeof f);
	h->fault[h->faults++] = f;
}

static bool is_untouched(const struct fault *f)
{
	return f->at == PHASES && !f->reply && !f->raw.data && !f->then && !f->delay_ms && !f->every_ms && !f->nth &&
	       !f->from && !f->only.n && !f->except.n && !f->clients.n && !f->over && !f->connections;
}

/* One socket per address: nobody else may have it. */
static void claim_addresses(struct reading *r, yaml_node_t *key, const struct host *h)
{
	char ip[ADDR_TEXT_MAX];

	for (size_t i = 0; i < h->dns->addrs; i++) {
		const struct addr *a = &h->dns->addr[i];
		struct address_owner *o;
		if (!addr_is_loopback(a))
			continue;
		HASH_FIND(hh, r->owners, a, sizeof *a, o);
		if (o) {
			yml_fail(&r->y, key,
				"%s has the address %s of host %s in line %d already; allowed: give it under names, if "
				"it is a second name of that host",
				h->name, addr_ip_text(a, ip), o->host, o->line);
			return;
		}
		o = arena_get(&r->d->arena, sizeof *o);
		o->addr = *a;
		o->host = h->name;
		o->line = h->line;
		HASH_ADD(hh, r->owners, addr, sizeof o->addr, o);
	}
}

static void check_host(struct reading *r, yaml_node_t *key, struct host *h)
{
	const struct fault *own = &h->own;

	if (!h->dns->addrs)
		yml_fail(&r->y, key, "host %s needs addresses", h->name);
	if (!own->is_set && !is_untouched(own))
		yml_fail(&r->y, key,
			"persona %s has no fault of its own; allowed: phase, reply, then and the like in a list under "
			"faults",
			h->persona->name);
	check_fault(&r->y, key, own);
	check_traits(&r->y, key, &h->traits);
	claim_addresses(r, key, h);
}

static void one_host(struct yml *y, yaml_node_t *key, yaml_node_t *value, void *ctx)
{
	struct reading *r = (struct reading *)y;
	struct host h = { .line = yml_line(key), .number = (unsigned)r->d->hosts };

	(void)ctx;
	h.dns = read_name(r, key);
	if (!h.dns)
		return;
	if (h.dns->is_host || h.dns->line != h.line)
		yml_fail(y, key, "%s is described in line %d already", h.dns->name, h.dns->line);
	h.name = h.dns->name;
	h.dns->is_host = true;
	start_host(r, value, &h);
	if (!yml_failed(y))
		yml_map(y, value, host_table(), &h);
	if (yml_failed(y))
		return;
	check_host(r, key, &h);
	fill_extensions(y, &h);
	double_hello(y, &h);
	r->d->host = read_grow(y, r->d->host, r->d->hosts, sizeof h);
	r->d->host[r->d->hosts++] = h;
}

static void host_pair(struct yml *y, yaml_node_t *key, yaml_node_t *value, void *ctx)
{
	template_each(y, key, one_host, value, ctx);
}

void read_hosts(struct yml *y, yaml_node_t *node, void *unused)
{
	(void)unused;
	yml_pairs(y, node, host_pair, NULL);
}
