#pragma once
/* What the description file says, checked: domains, names and hosts. Owner: main(); desc_free() ends it. Constant once
 * read. Names are lower-case A-labels without the last dot. */
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "tests/world/addr.h"
#include "tests/world/phase.h"
#include "tests/world/yml.h"

/* Who has a mailbox: patterns ("alice", "user*"), and answers of their own for some. The first that fits decides. */
struct mailbox_reply {
	const char *pattern;
	const char *reply;
};
struct mailboxes {
	struct yml_list exist;
	struct mailbox_reply *reply;
	size_t replies;
};

struct mx {
	uint32_t preference;
	const char *host; /* "" in a null MX */
	int line;
};

enum { TROUBLE_A = 1, TROUBLE_AAAA = 2, TROUBLE_MX = 4, TROUBLE_CNAME = 8, TROUBLE_TXT = 16, TROUBLE_REST = 32 };

/* What is wrong with the answers to a name. */
#define WRONG_MAP(XX)                                                                                                  \
	XX(TRUNCATED, "truncated") /* over UDP, however short */                                                       \
	XX(TCP_CLOSED, "tcp_closed")                                                                                   \
	XX(OWNER, "owner")                                                                                             \
	XX(ID, "id")                                                                                                   \
	XX(PORT, "port") /* comes from another one */                                                                  \
	XX(QUESTION, "question")                                                                                       \
	XX(LOOP, "loop")	   /* the owner's name points to itself */                                             \
	XX(DATA_LOOP, "data_loop") /* the mail host's, or the alias's target, does */                                  \
	XX(FORMERR_EDNS, "formerr_edns")                                                                               \
	XX(REFUSED, "refused")                                                                                         \
	XX(CUT, "cut") /* ends in the middle */

enum wrong_place {
#define WRONG_ENUM(name, text) WRONG_##name,
	WRONG_MAP(WRONG_ENUM)
#undef WRONG_ENUM
		WRONGS
};

/* Everything DNS says of one name, and who has a mailbox there. */
struct name {
	const char *name;
	int line; /* 0: nothing was said of it, it only lies above others */
	struct mx *mx;
	size_t mxs;
	bool null_mx, no_mx, nxdomain, is_host;
	const char *cname;
	struct addr *addr;
	size_t addrs;
	struct addr *later; /* instead of addr, from the later_from-th answer on */
	size_t laters;
	uint32_t later_from;
	struct yml_list txt;
	uint32_t wrong;		    /* bits by enum wrong_place */
	bool then_right;	    /* the right answer follows the wrong one */
	bool no_chase;		    /* a CNAME is answered alone */
	uint32_t drop_first;	    /* so many queries of each type are not answered */
	uint32_t servfail, drop;    /* TROUBLE_… bits: types answered with SERVFAIL, or not at all */
	uint32_t ttl, negative_ttl; /* seconds */
	uint32_t delay_ms;
	struct mailboxes mailboxes;
	UT_hash_handle hh;
};

enum then {
	THEN_GO_ON,
	THEN_CLOSE,
	THEN_SILENT,
	THEN_RESET,
	THEN_ENDLESS, /* the reply again and again, for ever */
	THEN_ADD,     /* the ordinary answer, and the reply behind it */
};
enum over { OVER_ANY, OVER_CLEAR, OVER_TLS };

/* Something a host does at one phase instead of what it would do. */
struct fault {
	enum phase at;
	bool is_set;
	const char *reply;    /* NULL: none */
	struct yml_bytes raw; /* instead: bytes as they are, without a line end of ours */
	enum then then;
	uint32_t delay_ms, every_ms; /* before it acts; between the replies of `endless` */
	uint32_t nth, from; /* only the n-th command of its phase in a connection; or that and all later; 0: any */
	struct yml_list only, except,
		clients; /* recipients by local part, as in mailboxes, and peers by IP; empty: everybody, nobody */
	enum over over;
	uint32_t connections; /* only in the first so many connections to the host; 0: in all */
};

enum tls_offer { TLS_NONE, TLS_OFFERED, TLS_REQUIRED };
/* What becomes of the handshake, after the 220. */
enum tls_fault { TLS_GOOD, TLS_FAILS, TLS_GARBAGE, TLS_CLOSES, TLS_SILENT, TLS_RESETS, TLS_INJECTS };
enum line_end { LINE_CRLF, LINE_LF };
enum block_by { BLOCK_REFUSE, BLOCK_ACCEPT, BLOCK_CLOSE };

/* How a host treats every connection. A persona's are what the keys of its host change. */
struct traits {
	enum tls_offer tls;
	enum tls_fault tls_fault;
	int tls_min, tls_max;		   /* 10 to 13; 0: all that are in use, 1.2 and 1.3 */
	const char *tls_name, *tls_inject; /* whose certificate; NULL: the host's own; what `inject` adds */
	bool tls_expired, tls_no_tickets;
	uint32_t banner_delay_ms, reply_delay_ms,
		unknown_delay_ms;			/* beside latency_ms, and each in a burst of its own */
	uint32_t drip_ms;				/* between two bytes; 0: all at once */
	const char *banner_teaser, *early_talker_reply; /* at once, before a late banner; to who speaks before it */
	enum line_end line_end;
	uint32_t line_length;	/* each line of a reply is filled up to so many characters; 0: as it is */
	uint32_t after_unknown; /* the personas that count unknown recipients change after so many */
	const char *block_reply;
	enum block_by blocks_by;
};

struct host {
	const char *name;
	int line;
	unsigned number; /* from 0, in the order of the file */
	struct name *dns;
	const struct persona *persona;
	bool dead; /* nothing listens there */
	const char *banner, *unknown_reply, *relay_reply, *early_reply, *greylist_reply;
	struct yml_list extensions;
	bool pipelining, smtputf8, postmaster;
	uint32_t latency_ms; /* before each reply; those to one burst go out together */
	struct traits traits;
	uint32_t after_ms; /* greylist: a tuple is accepted that long after its first try */
	struct yml_list serves, denies;
	struct mailboxes mailboxes;
	struct fault own; /* the persona's, changed by phase, reply, then, nth, from, connections */
	struct fault *fault;
	size_t faults;
};

struct desc {
	struct arena arena;
	struct yml_list dns; /* addresses with ports */
	int smtp_port;	     /* 0: any that is free on all addresses */
	const char *control;
	const char *record;
	uint32_t ttl, negative_ttl, latency_ms;
	struct name *names; /* hash by name */
	struct host *host;
	size_t hosts;
};

/* Reads a file. NULL, and the reason in error, when it cannot be used. */
struct desc *desc_read_file(const char *file, char *error, size_t room);
struct desc *desc_read_text(const char *file, const char *text, size_t n, char *error, size_t room);
void desc_free(struct desc *);

/* The entry of a name, or of the wildcard that covers it; NULL if there is none. The name is lower-case. */
const struct name *desc_name(const struct desc *, const char *name);
/* A name with letters beyond ASCII as A-labels. False: it has none, or they are no IDNA2008 labels, or there is no
 * room. */
bool desc_a_labels(const char *name, char *ascii, size_t room);
/* Do the mail hosts that DNS gives for this domain include the host? */
bool desc_serves(const struct desc *, const struct host *, const char *domain);
/* The answer of its own that a mailbox has, or NULL; and is it in the list of those that exist? */
const char *mailboxes_reply(const struct mailboxes *, const char *local);
bool mailboxes_has(const struct mailboxes *, const char *local);
bool patterns_fit(const struct yml_list *patterns, const char *local);
