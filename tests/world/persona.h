#pragma once
/* The kinds of mail servers. A persona is a row of the table: hooks that run at a phase before what an ordinary server
 * does, and a fault it starts with. A kind that needs code of its own has a small file (persona_greylist.c). */
#include "tests/world/session.h"

enum outcome { PASS, DONE }; /* on to the next hook, and at last to the ordinary answer; or answered */

struct hook {
	enum phase at;
	enum outcome (*run)(struct session *);
};
#define PERSONA_HOOKS 8

struct persona {
	const char *name, *what;
	struct hook hook[PERSONA_HOOKS]; /* up to the first without a function */
	struct fault fault;		 /* if is_set: its host takes phase, reply, then, nth, from, connections */
	bool accepts_all;
	bool no_hello;		 /* its fault is that of EHLO and of HELO */
	bool no_pipelining;	 /* does not offer it */
	const char *early_reply; /* NULL: takes commands that come early */
};

const struct persona *persona_find(const char *name);
const struct persona *persona_at(size_t i); /* NULL after the last */

/* persona_greylist.c */
enum outcome greylist_rcpt(struct session *);
void greylist_forget(struct site *);
