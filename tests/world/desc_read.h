#pragma once
/* Shared by the files that read a description; nobody else's. */
#include "tests/world/desc.h"

/* The names that {FROM-TO} in a key stands for, while they are read one after the other. */
struct template
{
	uint32_t from, to, at;
	bool is_set;
};

/* Who has an address already. */
struct address_owner {
	struct addr addr;
	const char *host;
	int line;
	UT_hash_handle hh;
};

/* What readers of one file share. The struct yml is first, so that a field reader finds the rest behind it. */
struct reading {
	struct yml y;
	struct desc *d;
	struct template template;
	struct address_owner *owners;
};

/* The entry of a name, made if it is new; NULL and an error if the text is no domain name. */
struct name *read_name(struct reading *, yaml_node_t *key);
const char *read_domain(struct yml *, yaml_node_t *); /* lower-case; "" and an error if it is no domain name */
void read_mailbox_replies(struct yml *, yaml_node_t *, void *mailboxes);
void read_domains(struct yml *, yaml_node_t *, void *unused);
void read_names(struct yml *, yaml_node_t *, void *unused);
/* desc_template.c: has the text a range? (An error, if it has half of one.) The text with its number filled in; each
 * name of a key; addresses, which go up with the number. */
bool template_range(struct yml *, yaml_node_t *, struct template *);
const char *template_fill(struct yml *, yaml_node_t *);
void template_each(struct yml *, yaml_node_t *key, void (*each)(struct yml *, yaml_node_t *, yaml_node_t *, void *),
	yaml_node_t *value, void *ctx);
void read_addresses(struct yml *, yaml_node_t *, struct addr **, size_t *n);
/* desc_fault.c: the keys of a fault, a list of them, and those of traits. */
extern const struct yml_field FAULT_FIELD[], TRAIT_FIELD[];
void read_faults(struct yml *, yaml_node_t *, void *host);
void check_fault(struct yml *, const yaml_node_t *at, const struct fault *);
void check_traits(struct yml *, const yaml_node_t *at, const struct traits *);
void read_hosts(struct yml *, yaml_node_t *, void *unused);
/* One of the words of a list ended by NULL; its place. */
int read_word(struct yml *, yaml_node_t *, const char *const *words);
/* The n items with room for one more, moved if need be. */
void *read_grow(struct yml *, const void *items, size_t n, size_t size);
