#pragma once
/* One domain's turn in a session: which recipient is named next, what the answers come to (docs/VERDICTS.md, "Asking").
 * Targets first, then postmaster where an answer wants it, the random control last. Pure: no socket, no clock; its
 * session holds it. */
#include "server/probe/work.h"

#define POSTMASTER "postmaster" /* every domain has it: RFC 5321 4.5.1 */
#define VISIT_ASKS_MAX 100	/* then it is judged, so that a long list is answered as it goes */

struct visit {
	struct work *work;
	struct asks taken, flying, answered; /* by ask->state; an ask's tag is its place in `tag` */
	unsigned count;			     /* asks taken over its whole turn */
	struct ask *tag[VISIT_ASKS_MAX];
	unsigned flying_count;

	unsigned unknown_max;	  /* of the session, controls included */
	unsigned unknown_used;	  /* of the session */
	unsigned unknown_targets; /* of the session, controls not included: what makes some servers turn */

	bool control_flying;		 /* one of them was said and has no answer yet */
	int control_tag;		 /* which: the one that visit_next() named last */
	bool learned;			 /* what the random control told is remembered */
	bool random_due, postmaster_due; /* an answer was given that wants it */
	bool may_ask;			 /* false: refused, or winding down */
	bool may_ask_controls;
	int64_t now_wall_ms; /* of its beginning, for the age of facts */
	struct session_view view;
};

enum visit_next { VISIT_TARGET, VISIT_CONTROL, VISIT_WAIT, VISIT_OVER };
/* Beyond any ask's tag. */
#define VISIT_TAG_RANDOM 1000
#define VISIT_TAG_POSTMASTER 1001

void visit_begin(struct visit *, struct work *, unsigned unknown_max, unsigned unknown_used, unsigned unknown_targets,
	int64_t now_wall_ms);
/* Takes the next waiting ask of the work; false: it has none, or the visit is full. */
bool visit_take(struct visit *);
/* What to do now. VISIT_TARGET: *ask is to be named (it stays taken until visit_said()). */
enum visit_next visit_next(struct visit *, struct ask **ask);
int visit_said(struct visit *, struct ask *ask);      /* ask NULL: the control. Returns the tag for the dialogue */
struct ask *visit_ask(const struct visit *, int tag); /* NULL: a control */
/* A reply to a RCPT. `order` and `answered` are set here. */
void visit_answered(struct visit *, int tag, struct rcpt_answer);
/* "Too many recipients": it was not asked after all. */
void visit_unsaid(struct visit *, int tag);
/* Not one of us: the session was refused in this scope. Nothing more is asked. */
void visit_refused(struct visit *, const struct reading *);
/* What an ask's answer means. over: nothing more will be asked in this visit. */
struct calibrated visit_judge(const struct visit *, const struct ask *, bool over);
/* The ask leaves the visit; it is in no list after that. */
void visit_drop(struct visit *, struct ask *);
/* Is the random control still wanted, by what is known so far? */
bool visit_wants_random(const struct visit *);
