#pragma once
/* What a target's answer means in the light of the controls (docs/VERDICTS.md, "Calibrating"): a pure function, one row
 * of that table after the other. T is the target, R the random control, P postmaster. Any thread. */
#include <stdint.h>

#include "server/verdict/reading.h"

enum control { CONTROL_NOT_ASKED, CONTROL_ACCEPTED, CONTROL_TEMPORARY, CONTROL_REFUSED };

/* The answer to one RCPT. */
struct rcpt_answer {
	bool answered;
	uint16_t code;
	unsigned order; /* 1, 2, … in its session, in the order of the replies; also across the sessions of one domain
			   at one host */
	struct reading reading;
	uint64_t fingerprint; /* of a refusal: reading_fingerprint() */
};

enum known_catch_all {
	KNOWN_NOTHING,
	KNOWN_YES,
	KNOWN_NO_HERE
}; /* by a fresh fact; NO only counts at the host it was learned from */

/* What else the session told. */
struct session_view {
	struct rcpt_answer random, postmaster;
	unsigned unknown_before_random; /* unknown targets answered before R was */
	bool best_preference;		/* does this host have the domain's best preference? */
	enum known_catch_all fact;
	unsigned last_accepted;	   /* order of the last ordinary target that was accepted; 0: none */
	struct reading refused_us; /* the refusal, in a scope wider than one recipient, that ended the asking;
				      REASON_NONE: none */
};

struct calibrated {
	enum reason reason;
	bool next_host; /* ask the next host; `reason` is for when there is none */
	bool final;	/* nothing later in this session can change it: post it now */
};

/* `over`: the session's asking is over, and what was not asked will not be. Until then rows that wait for more are not
 * final. */
struct calibrated calibrate(const struct rcpt_answer *target, const struct session_view *, bool over);

enum control control_outcome(const struct rcpt_answer *);
/* 2yz with a check behind it: not 252 or another 2yz (RFC 5321 3.5.3). */
bool rcpt_accepted(const struct rcpt_answer *);
/* For budgets: answered 5yz, and not clearly about us. */
bool rcpt_unknown(const struct rcpt_answer *);
/* Refused 5yz in words that may mean several things. */
bool rcpt_ambiguous(const struct rcpt_answer *);
bool rcpt_relay_denied(const struct rcpt_answer *);
/* What the domain's fact becomes by R's answer: CATCH_ALL_NOT_KNOWN: none is learned. */
enum catch_all learned_catch_all(const struct session_view *);
