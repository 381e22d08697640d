#pragma once
/* What a server offers in its answer to EHLO (RFC 5321 4.1.1.1), as far as we care. Pure. */
#include <stdbool.h>

#include "server/smtp/reply.h"

struct ehlo {
	bool pipelining; /* RFC 2920 */
	bool smtputf8;	 /* RFC 6531 */
	bool starttls;	 /* RFC 3207 */
};

struct ehlo ehlo_of(const struct reply *);
