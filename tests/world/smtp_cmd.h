#pragma once
/* Reads one SMTP command line: any bytes, never an error beyond "no such command". Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/world/phase.h"

/* The eight that a prober may send, the others by name so that tests can count them, and whatever else came. */
#define VERB_MAP(XX)                                                                                                   \
	XX(EHLO, EHLO)                                                                                                 \
	XX(HELO, HELO)                                                                                                 \
	XX(STARTTLS, STARTTLS)                                                                                         \
	XX(MAIL, MAIL)                                                                                                 \
	XX(RCPT, RCPT)                                                                                                 \
	XX(RSET, RSET)                                                                                                 \
	XX(NOOP, NOOP)                                                                                                 \
	XX(QUIT, QUIT)                                                                                                 \
	XX(DATA, OTHER)                                                                                                \
	XX(BDAT, OTHER)                                                                                                \
	XX(AUTH, OTHER)                                                                                                \
	XX(VRFY, OTHER)                                                                                                \
	XX(EXPN, OTHER)                                                                                                \
	XX(TURN, OTHER)                                                                                                \
	XX(ETRN, OTHER)                                                                                                \
	XX(HELP, OTHER)                                                                                                \
	XX(LHLO, OTHER)                                                                                                \
	XX(OTHER, OTHER)

enum verb {
#define VERB_ENUM(name, phase) VERB_##name,
	VERB_MAP(VERB_ENUM)
#undef VERB_ENUM
		VERBS
};

#define PATH_LOCAL_MAX 256
#define PATH_DOMAIN_MAX 256
struct smtp_cmd {
	enum verb verb;
	char word[17];	 /* the verb as sent, upper-case, cut and with '?' for what is not printable */
	const char *arg; /* points into the line; not ended by a NUL */
	size_t arg_len;
	/* MAIL and RCPT: */
	bool path_ok;		      /* FROM:<…> or TO:<…> was well-formed */
	bool path_empty;	      /* <> */
	bool is_utf8;		      /* the path has bytes over 127 */
	char local[PATH_LOCAL_MAX];   /* unquoted */
	char domain[PATH_DOMAIN_MAX]; /* lower-case; "" for a bare <postmaster> */
	const char *path;	      /* between < and >, into the line */
	size_t path_len;
	const char *params;
	size_t params_len;
};

/* The line without its line end; bytes stay the caller's and must outlive the command. */
void smtp_cmd_read(struct smtp_cmd *, const uint8_t *line, size_t n);
/* The i-th parameter after the path (SIZE=1, BODY=8BITMIME, SMTPUTF8); false after the last. */
bool smtp_cmd_param(const struct smtp_cmd *, size_t i, const char **text, size_t *n);
enum phase verb_phase(enum verb);
const char *verb_name(enum verb);
