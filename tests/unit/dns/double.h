#pragma once
/* A DNS server for tests, UDP and TCP on one port of 127.0.0.1, run by the loop it is given. What it answers is its
 * test's to say. */
#include <stdbool.h>

#include "server/loop/loop.h"
#include "tests/unit/dns/message.h"

struct double_server;
enum double_manner {
	DOUBLE_ANSWERS,
	DOUBLE_SILENT,	  /* never answers */
	DOUBLE_TRUNCATES, /* over UDP: TC and nothing else */
	DOUBLE_WRONG_ID,  /* sends the answer of `liar` with a wrong id before the right one */
	DOUBLE_HOLDS,	  /* answers come with double_release() */
};

/* Fills an answer to a question; fn has the whole say. len 0: no answer. */
typedef void (*double_fn)(struct message *, unsigned id, const char *name, unsigned type);

struct double_server *double_open(struct loop *, double_fn);
unsigned double_port(const struct double_server *);
void double_manner(struct double_server *, enum double_manner);
void double_liar(struct double_server *, double_fn);
void double_release(struct double_server *);
unsigned double_asked(const struct double_server *, const char *name, unsigned type); /* how often */
unsigned double_total(const struct double_server *);
unsigned double_over_tcp(const struct double_server *);
void double_close(struct double_server *);
