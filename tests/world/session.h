#pragma once
/* One SMTP connection as a server sees it. Owner: smtpd; it ends with its descriptor, and is freed at the end of the
 * loop's turn. One thread. Personas use the verbs below and the fields above the line. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/base/buf.h"
#include "tests/world/desc.h"
#include "tests/world/loop.h"
#include "tests/world/smtp_cmd.h"

#define SESSION_LINE_MAX 16384
#define SESSION_INPUT_MAX (64 * 1024)
#define SESSION_OUTPUT_MAX (4 * 1024 * 1024)

enum session_state {
	SESSION_BANNER,	 /* connected, not greeted */
	SESSION_REFUSED, /* greeted with 4yz or 5yz: only QUIT helps */
	SESSION_OPEN,	 /* greeted, no EHLO or HELO yet */
	SESSION_READY,	 /* outside a transaction */
	SESSION_MAIL,	 /* inside one */
	SESSION_SILENT,	 /* reads, and never answers again */
	SESSION_CLOSING, /* writes what is left, then closes; what comes is read and recorded */
	SESSION_CLOSED,
};

struct smtpd;
struct site;

struct session {
	struct site *site;
	const struct host *host;
	uint64_t id;
	struct addr peer, local;
	enum session_state state;
	uint32_t seen[PHASES]; /* commands of each phase so far, this one included */
	uint32_t number;       /* of this connection among those to its host, from 1 */
	bool is_early;	       /* this command came with the one before, unasked for its answer */
	bool is_esmtp, has_utf8;
	uint32_t unknown;	    /* recipients refused as unknown so far */
	char *helo, *sender;	    /* as given; NULL: not yet */
	const struct smtp_cmd *cmd; /* the one being answered; NULL at the banner */

	/* --- the files' that carry the bytes: session_io.c, session_out.c, session_tls.c --- */
	struct watch watch;
	struct timer timer;	 /* until it speaks: latency, delays; at the end, until it lingers no more */
	struct timer pump;	 /* until the next byte of a drip, the next line of what has no end */
	struct buf in;		 /* what the peer said; under TLS, in clear */
	struct buf out;		 /* what is on its way to the peer; under TLS, records */
	size_t noted;		 /* bytes of `in` whose lines are in the record */
	size_t sent;		 /* bytes of `out` gone */
	size_t not_owed;	 /* bytes of `out` that are no reply: the end of a handshake */
	struct session_tls *tls; /* from the 220 to STARTTLS on */
	struct buf endless;	 /* said again and again; empty: nothing */
	uint32_t endless_ms;
	bool has_waited;  /* the delay of the command that stands first in `in` is over */
	bool is_starting; /* STARTTLS was read and not answered: what follows may be no lines */
	bool is_dirty, is_blocked, is_shut, is_reset, is_peer_done;
	uint32_t round_trips, round_trips_rcpt;
	uint64_t bytes_in, bytes_out;
	const char *closed_by; /* client, reset (by it), server, world (its end); NULL: still open */
	int64_t since_us;
	TAILQ_ENTRY(session) all, dirty;
};

/* Where a host's connections meet: what lives longer than one of them. */
struct site {
	struct smtpd *smtpd;
	const struct host *host;
	uint32_t connections;	      /* since the start or the last reset */
	struct tuple *greylist;	      /* persona_greylist.c's */
	struct client_tally *clients; /* persona_unknown.c's */
	struct tls_context *tls;      /* session_tls.c's */
};

/* Queues a reply: lines parted by LF, with $rcpt, $local, $domain, $sender, $client, $host, $helo and $seconds filled
 * in. A 421 closes the connection after it. */
void session_reply(struct session *, const char *text);
void session_close(struct session *);  /* after what is queued */
void session_reset(struct session *);  /* at once, with a TCP reset */
void session_silent(struct session *); /* from now on */
int64_t session_now_ms(const struct session *);

/* session.c: the conversation, called by session_io.c. */
uint32_t session_banner_delay(struct session *); /* ms */
void session_greet(struct session *);
/* False: it has to wait, and the timer was set; the line comes again when that is over. */
bool session_line(struct session *, const uint8_t *line, size_t n);
/* session_text.c: fills in a text, as session_reply() does. */
void session_fill(struct session *, const char *text, struct buf *out);
/* session_out.c */
void session_tell(struct session *, const char *bytes, size_t n); /* to the peer, recorded as one reply */
void session_endless(
	struct session *, const char *bytes, size_t n, uint32_t every_ms); /* and from now on nothing else */
/* session_io.c */
void session_count_rcpt(struct session *, const char *domain, int code);
void session_wait(struct session *, uint32_t ms); /* before the line that is being answered */
const struct desc *session_desc(const struct session *);
/* session_tls.c: the handshake is the peer's next move. */
void session_tls_start(struct session *);
bool session_is_tls(const struct session *); /* the handshake is done */
