#pragma once
/* Reading one reply: what it says, how clearly, about how much beyond us, by which rule (docs/VERDICTS.md, "Reading one
 * reply"). Pure. A `struct rules` is const once loaded: any thread. */
#include <stddef.h>
#include <stdint.h>

#include "server/base/buf.h"
#include "server/base/err.h"
#include "server/smtp/reply.h"
#include "server/verdict/verdict.h"

enum meaning_kind {
	MEANS_REASON,		   /* see `reason` (ACCEPTED among them) */
	MEANS_TOO_MANY_RECIPIENTS, /* the session is full, not the mailbox: 452 4.5.3 */
	MEANS_STARTTLS_FIRST,	   /* 530: again with TLS */
	MEANS_PIPELINE_QUARREL,	   /* 503 or 500–504 whose words match no rule: for a pipelined command, once more in
				      lockstep */
	MEANS_SESSION_QUARREL, /* a quarrel about protocol ("synchronization error", "too many nonmail commands"): no
				  refusal of us */
};
enum strength { STRENGTH_AMBIGUOUS, STRENGTH_CLEAR };
enum scope { SCOPE_RECIPIENT, SCOPE_DOMAIN, SCOPE_OPERATOR };
enum stop { STOP_NONE, STOP_24H, STOP_30D };

struct reading {
	enum meaning_kind kind;
	enum reason reason; /* for MEANS_REASON; otherwise the reason to give when nothing better comes */
	enum strength strength;
	enum scope scope;
	enum stop stop;
	bool unclassified; /* no rule matched: judged by the basic code */
	bool about_us; /* SOURCE_REFUSED, IDENTITY_REFUSED and the like: our address, network, reputation or identity */
	uint32_t delay_s; /* stated in the reply, at most 86,400; 0: none stated */
	const char *rule; /* id, for evidence; lives as long as the rules; never NULL */
};

/* An ambiguous 5yz to RCPT is of one of two classes, told apart by `reason`: MAILBOX_UNKNOWN is "ambiguous 550, 551,
 * 5.0.0", which an acceptance after it makes an unknown mailbox; any other reason (REFUSED_UNCLEAR as a rule) is
 * "ambiguous 554, 5.7.x", which only controls can explain. At 4yz the strength says nothing. For a kind other than
 * MEANS_REASON, `reason` is TEMPORARY_FAILURE (too many recipients), TLS_FAILED (STARTTLS first) or PROTOCOL_ERROR
 * (quarrels). */

/* What the reply answers. recipient, sender, source_ip and source_name are what *we* sent or are ("" when not
 * applicable): their echoes are stripped, and a quoted sender or source is noticed first. */
struct reading_context {
	enum phase phase; /* PHASE_BANNER, EHLO, TLS, MAIL or RCPT */
	const char *operator_name;
	const char *recipient;
	const char *sender;
	const char *source_ip;
	const char *source_name;
};

struct rules;
/* The rules compiled in. */
MUST_CHECK err_t rules_load_builtin(struct rules **);
/* Rules from a text of the same format; `why` gets "LINE: what is wrong" (name: what messages call the source). */
MUST_CHECK err_t rules_load(struct rules **, const char *name, const char *text, size_t n, struct buf *why);
void rules_free(struct rules *);

struct reading reading_of(const struct rules *, const struct reading_context *, const struct reply *);

/* Two refusals are the same when their codes are and, echoes stripped, their words (case and white space folded):
 * CONTROL_REFUSED and NOT_SERVED_HERE rest on it. Writes a fingerprint of that into *out. */
uint64_t reading_fingerprint(const struct reading_context *, const struct reply *);

/* The reply's text for evidence appended to `out`: every email address in it masked as `***@domain`, whosever it is,
 * also as xtext or in a URL, and the local parts of our recipient and sender where they stand alone, as `***`; lines
 * joined by a space; invalid UTF-8 and control characters become U+FFFD; at most 512 bytes, cut at a character. */
void reading_mask(const struct reading_context *, const struct reply *, struct buf *out);

/* Operators (docs/VERDICTS.md): who runs a mail host. Alias table of the rules, else the registrable domain (Public
 * Suffix List), else the host name itself. Writes at most n bytes with the NUL. */
void rules_operator(const struct rules *, const char *host, char *out, size_t n);
/* Connections at once that a large operator is good for; 0: no row for it. */
unsigned rules_operator_connections(const struct rules *, const char *operator_name);
