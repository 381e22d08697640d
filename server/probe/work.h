#pragma once
/* What waits to be asked. An ask is one address with everybody who waits for it; a work is the asks of one domain at
 * one address of a mail host, in the queue of that host's operator. Owned by the operator's shard; an ask moves to
 * another shard whole, by mail. */
#include <sys/queue.h>
#include <uthash.h>

#include "server/probe/plan.h"
#include "server/probe/target.h"

#define ASK_SESSIONS_MAX 3 /* sessions lost after MAIL: the first and two more */
#define ASK_AGAIN_MAX 4	   /* sessions begun anew to be spoken to otherwise: in lockstep, by TLS, in clear */

struct shard;

enum ask_state {
	ASK_WAITING,  /* in its work's queue */
	ASK_TAKEN,    /* by a visit, not said yet */
	ASK_FLYING,   /* RCPT said, no answer yet */
	ASK_ANSWERED, /* and not yet judged: the controls decide. It keeps its answer when the session is lost */
};

struct ask {
	struct mail mail;
	struct shard *to;      /* while it moves */
	TAILQ_ENTRY(ask) link; /* of work->waiting or of a list of its visit, by state */
	UT_hash_handle hh;     /* in work->asks, by address.local */
	struct work *work;
	struct plan *plan; /* counted */
	unsigned hop;	   /* in the plan: where it is asked */
	enum ask_state state;
	struct targets targets;
	struct address address;
	int64_t not_before_ms; /* the latest of its targets' */
	uint8_t lost;	       /* sessions lost after MAIL */
	uint8_t again;	       /* sessions begun anew */
	bool said;	       /* a RCPT for it was ever sent */
	uint16_t attempts;     /* conversations begun */
	bool hosts_differ;     /* hosts failed for different reasons */
	bool outlived;	       /* its session: `answer` is of an earlier one */
	struct rcpt_answer answer;
	struct answer *best; /* evidence of its answer, or of the failed host that got furthest */
};
TAILQ_HEAD(asks, ask);

struct mail_operator;
struct work {
	UT_hash_handle hh;	 /* in shard->works, by key */
	TAILQ_ENTRY(work) ready; /* in operator->ready while anything waits */
	bool is_ready;
	struct mail_operator *op;
	struct asks waiting;
	unsigned serving;	       /* visits that are at it */
	unsigned asking;	       /* permits for it */
	unsigned waiting_count, count; /* count: all asks, also those of visits */
	struct ask *asks;	       /* by local part */
	struct hop hop;
	char domain[DOMAIN_SIZE];
	char control[CONTROL_SIZE];
	bool has_fact;
	struct catch_all_fact fact; /* the newest known */
	unsigned order;		    /* of the last reply to a RCPT here */
	unsigned crowded;	    /* sessions in a row that took nobody: "too many recipients" */
	struct {
		char domain[DOMAIN_SIZE]; /* zero-padded */
		struct ip ip;
	} key;
};
TAILQ_HEAD(works, work);

/* Makes an ask of a target (taken over). NULL: out of memory, the target is still the caller's. */
struct ask *ask_new(struct target *);
void ask_free(struct ask *); /* without answering anybody */
void ask_add_target(struct ask *, struct target *);
/* Drops targets whose caller went away. False: nobody wants it any more. */
bool ask_is_wanted(struct ask *);
/* Answers all its targets and frees it. It must be in no work. */
void ask_answer(struct ask *, struct answer *);

struct work *work_new(const struct plan *, unsigned hop);
void work_free(struct work *); /* empty */
/* Takes the ask in, waiting; one with the same address swallows it. */
void work_add(struct work *, struct ask *);
void work_remove(struct work *, struct ask *); /* one that a visit took: after visit_drop() */
struct ask *work_find(const struct work *, const struct address *);
/* The fact counts for this ask: it is known, valid and not older than asked for. */
bool work_fact_is_fresh(const struct work *, const struct ask *, int64_t now_wall_ms);
