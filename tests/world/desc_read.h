#pragma once
/* Shared by the files that read a description; nobody else's. */
#include "tests/world/desc.h"

/* What readers of one file share. The struct yml is first, so that a field reader finds the rest behind it. */
struct reading {
	struct yml y;
	struct desc *d;
};

/* The entry of a name, made if it is new; NULL and an error if the text is no domain name. */
struct name *read_name(struct reading *, yaml_node_t *key);
const char *read_domain(struct yml *, yaml_node_t *); /* lower-case; "" and an error if it is no domain name */
void read_addresses(struct yml *, yaml_node_t *, struct addr **, size_t *n);
void read_mailbox_replies(struct yml *, yaml_node_t *, void *mailboxes);
void read_domains(struct yml *, yaml_node_t *, void *unused);
void read_names(struct yml *, yaml_node_t *, void *unused);
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
