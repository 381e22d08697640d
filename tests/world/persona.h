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
	struct traits traits;
	void (*unknown)(struct session *); /* told of each recipient that was refused as unknown; NULL: nobody */
	bool accepts_all, smtputf8;
	bool no_hello;		 /* its fault is that of EHLO and of HELO */
	bool no_pipelining;	 /* does not offer it */
	const char *early_reply; /* NULL: takes commands that come early */
};

const struct persona *persona_find(const char *name);
const struct persona *persona_at(size_t i); /* NULL after the last */

/* persona_unknown.c: those that count unknown recipients, in a session or of a client. */
enum outcome turn_accepting(struct session *);
enum outcome block_client(struct session *);
void count_unknown(struct session *);
void unknown_forget(struct site *);
/* persona_greylist.c */
enum outcome greylist_rcpt(struct session *);
void greylist_forget(struct site *);
