#pragma once
/* A random mail internet as a description of tests/world, and what its record may hold. Owned by the test; one thread.
 * Everything here fails the test that calls it when it goes wrong. */
#include <stdbool.h>
#include <stddef.h>

#include "server/address/address.h"
#include "tests/property/random.h"

#define DOMAINS_MAX 40
#define NEVER ((size_t)-1)

struct farm_domain {
	char name[64];
	bool plain;	     /* one host of its own, which behaves */
	bool lies;	     /* a host of its may say what is not so: no answer is wrong then */
	bool exempt;	     /* before anything is asked */
	size_t granted_from; /* where in the record its exemption, granted later, is in force; NEVER */
};

struct internet {
	struct farm_domain domain[DOMAINS_MAX];
	unsigned domains;
	char description[512], record[512]; /* files */
};

/* Writes the description below `folder`. timeless: nothing in it depends on time, on chance or on which of several
 * sessions comes first. */
void internet_make(struct internet *, struct random *, const char *folder, bool timeless);
/* A random address of it, or of a domain that it does not know; *domain: its place, or -1. */
void internet_address(const struct internet *, struct random *, char *out, size_t room, int *domain);

/* Local parts that begin so have a mailbox; or none, wherever nobody lies. */
bool local_exists(const char *local);
bool local_is_nobody(const char *local);

size_t internet_record_end(const struct internet *);
/* Reads the record and fails unless: no verb but the eight was said, whole lines only; nobody exempt was asked about
 * or looked up; who was granted an exemption meanwhile was not asked about from then on; every connection is closed.
 * Gives the number of RCPTs. */
unsigned internet_check_record(const struct internet *);
