#pragma once
/* The one door that every contact passes: may this domain be asked about, may this address be connected to? One guard
 * per loop, used on that loop's thread alone; what it knows of exemptions comes from the store at start and by
 * guard_exempt()/guard_unexempt() on every loop. */
#include <stdbool.h>

#include "server/base/err.h"
#include "server/base/ip.h"
#include "store/exemptions.h"

struct guard;
/* allowed: networks that may be contacted although they are special (tests use loopback). Borrowed. */
MUST_CHECK err_t guard_new(const struct ip_net *allowed, size_t n, struct guard **);
void guard_free(struct guard *);
/* The exemptions in force, from the store. Fails rather than knowing some only. */
MUST_CHECK err_t guard_load(struct guard *, struct store *);

/* An exemption of a domain with its subdomains. Several for the same domain count as one. */
MUST_CHECK err_t guard_exempt(struct guard *, const char *domain);
void guard_unexempt(struct guard *, const char *domain);
bool guard_is_exempt(const struct guard *, const char *domain); /* it or an ancestor */

/* False for loopback, private, link-local, unique local, multicast, documentation, reserved, v4-mapped and NAT64
 * addresses and the like, by the IANA special-purpose registries (RFC 6890), unless a network that is allowed holds it.
 */
bool guard_may_contact(const struct guard *, const struct ip *);
