#pragma once
/* What an address alone suggests about itself, without asking anybody. Hints never change a verdict. Pure, no state:
 * any thread. The lists are compiled in (server/address/data). */
#include <stdbool.h>

#include "server/address/address.h"

struct hints {
	bool role;		      /* the local part names a function (info, sales, postmaster), not a person */
	bool disposable;	      /* the domain, or one above it, gives out throw-away mailboxes */
	bool free;		      /* anyone may get a mailbox at the domain */
	char suggestion[DOMAIN_SIZE]; /* the domain that may have been meant; "" when none */
};

struct hints hints_of(const struct address *);
