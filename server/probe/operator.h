#pragma once
/* Who runs a mail host, and what courtesy allows there: how many connections at once, recipients a transaction, unknown
 * recipients a session. Private to server/probe. */
#include "server/probe/work.h"

struct mail_operator {
	UT_hash_handle hh;		 /* in shard->operators, by name */
	TAILQ_ENTRY(mail_operator) link; /* in shard->dirty or ->starved */
	enum { OPERATOR_QUIET, OPERATOR_DIRTY, OPERATOR_STARVED } listed;
	unsigned open;	     /* sessions */
	unsigned asking;     /* permits for more */
	unsigned work_count; /* works, ready or not */
	struct works ready;
	unsigned connections, recipients, unknown_per_session; /* caps */
	unsigned ip_connections; /* of each destination address, as far as this operator is concerned */
	char name[OPERATOR_SIZE];
};
