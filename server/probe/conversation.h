#pragma once
/* What is said on a session and what the answers mean: replies are read, the dialogue is asked what they ask of us,
 * recipients are named. Private to server/probe; on the shard's thread. Any of these may end the session. */
#include "server/probe/session.h"

/* A whole reply came. */
void conversation_reply(struct session *, const struct reply *);
/* Something else happened; why: the reason for what is left without an answer by it. */
void conversation_event(struct session *, enum dlg_event, enum reason why);
/* Bounds the wait for the reply that is owed now. */
void conversation_expect_reply(struct session *);
/* Takes the work's asks into a visit. */
void conversation_begin_visit(struct session *, struct work *);
