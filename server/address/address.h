#pragma once
/* Email addresses and mail domains: parsed, checked and brought to one form (RFC 5321 mailbox, RFC 6531 UTF-8, IDNA
 * 2008). Plain values, no state: any thread. The input may be hostile; no result holds a byte below 0x20 or a 0x7f, so
 * a result can stand in an SMTP command line. */
#include <stdbool.h>
#include <stddef.h>

#include "server/base/buf.h"
#include "server/base/err.h"

#define ADDRESS_MAX 320 /* octets, as given */
#define DOMAIN_SIZE 254 /* bytes: 253 octets and a NUL */

struct address {
	/* As RCPT TO carries it: quoted only when it must be, NFC, case kept. The content, without quoting, is at most
	 * 64 octets (RFC 5321 4.5.3.1.1); quoting may double it. */
	char local[132];
	char domain[DOMAIN_SIZE]; /* A-labels, lower case, no trailing dot; mail is routed by it */
	bool utf8;		  /* the local part is not ASCII: needs SMTPUTF8 */
};

/* Parses n octets; spaces and tabs around them are dropped. On ERR_INVALID (no mailbox one could ask about) *why is a
 * static English reason, with nothing of the text in it. Otherwise ERR_OK or ERR_NOMEM. *out is written on success. */
MUST_CHECK err_t address_parse(const void *text, size_t n, struct address *out, const char **why);

/* Appends "local@domain", the canonical text. address_parse() of it gives the same address. */
void address_text(const struct address *, struct buf *out);

/* Appends the key that an exemption of this address goes by: the local part unquoted, case-folded and NFC, '@' and the
 * domain. Every spelling of an address has the same key. Not an address: it may need quoting. */
void address_exempt_key(const struct address *, struct buf *out);

/* The same for a domain alone. *why as in address_parse(). */
MUST_CHECK err_t domain_parse(const void *text, size_t n, char out[DOMAIN_SIZE], const char **why);

/* For parsed domains: is it the ancestor itself or below it? */
bool domain_is_within(const char *domain, const char *ancestor);

/* "mail.example.com" becomes "com.example.mail": in this order a domain and what is below it are neighbours. A name
 * longer than a domain may be is cut. */
void domain_reverse(const char *domain, char out[DOMAIN_SIZE]);
