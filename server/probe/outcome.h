#pragma once
/* What a session's end, failure or answer comes to for the asks of its visit: an answer, the next host, or the queue
 * again (docs/VERDICTS.md, "Which host answers"). Private to server/probe; on the shard's thread. */
#include "server/probe/session.h"

/* A reply as evidence; `reply` NULL: there was none. Frees nothing, allocates; NULL: out of memory. */
struct answer *evidence_new(const struct session *, enum phase, const struct reading_context *, const struct reply *,
	const struct reading *);

/* Answers and moves on what can be judged now. over: nothing more is asked in this visit. */
void outcome_settle(struct session *, bool over);
/* The visit is over in order: judges, puts back what was not asked, leaves the work. */
void outcome_visit_over(struct session *);
/* Before MAIL: the host gave no conversation. Takes evidence over. Everybody who waits for this host goes to the next.
 */
enum host_failure {
	HOST_FAILED,	 /* next address, next host */
	HOST_REFUSED_US, /* a 5yz about us: no further host of that operator */
	HOST_PUT_US_OFF, /* a 4yz about us: no further host now */
};
void outcome_host_failed(struct session *, enum host_failure, enum reason, struct answer *evidence);
/* MAIL was refused: about us, for all targets here; no other host. Takes evidence over. */
void outcome_sender_refused(struct session *, enum reason, struct answer *evidence);
/* After MAIL the session broke off: answers stand, the rest is asked again in at most two more sessions, then `reason`.
 */
void outcome_lost(struct session *, enum reason, enum phase);
/* An answer refused us, in a scope wider than its recipient (visit_refused() was called): so fares everybody who waits
 * here. */
void outcome_refused(struct session *);
/* A reply came that nothing had asked for: whose the others were is not known any more. What was answered and not yet
 * judged is asked again. */
void outcome_out_of_step(struct session *);
/* It was asked in a way that the host does not take (pipelined, in clear, by TLS): everything again, in another
 * session. */
void outcome_again(struct session *);
/* Nothing more may be asked here: the visit's asks get that reason. */
void outcome_all(struct session *, enum reason);
/* One ask needs what this host does not offer: the next host. */
void outcome_not_offered(struct session *, struct ask *, enum reason);
