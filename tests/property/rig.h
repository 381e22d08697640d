#pragma once
/* The engine in this process with a store of its own, asked about a random mail internet that runs beside it. What
 * happens while it is asked (further addresses, callers that go away, exemptions, forgetting, the end) is drawn
 * beforehand and happens when so many answers are home. One thread drives it, the engine's loops call back.
 * Everything here fails the test that calls it when it goes wrong. */
#include <pthread.h>

#include "server/probe/engine.h"
#include "tests/property/internet.h"
#include "tests/unit/world/talk.h"

#define ADDRESSES_MAX 400
#define CALLERS_MAX 6
#define BATCHES_MAX 16
#define DEEDS_MAX 24

struct slot {
	char text[ADDRESS_MAX];
	struct address address;
	int domain; /* its place in the internet; -1: none of its */
	unsigned caller;
	bool anew;	   /* nothing remembered counts */
	bool must_exempt;  /* asked when the exemption was in force */
	unsigned answered; /* how many times */
	struct answer answer;
	bool without_answer; /* memory ran out */
};

struct rig;
struct batch {
	struct rig *rig;
	unsigned from, to; /* slots; all of one caller */
};

enum deed_kind { DEED_ASK, DEED_CANCEL, DEED_EXEMPT, DEED_FORGET, DEED_DRAIN, DEED_HURRY };
struct deed {
	enum deed_kind kind;
	unsigned after; /* so many answers; or when none comes for a while */
	unsigned which; /* batch, caller or domain */
};

struct rig {
	struct internet internet;
	struct running *world;
	char folder[256];
	struct config *config;
	struct rules *rules;
	struct store *store;
	struct engine *engine;
	struct caller *caller[CALLERS_MAX];
	unsigned callers, shard_of[CALLERS_MAX];
	bool cancelled[CALLERS_MAX], drained_early;
	bool tight; /* few descriptors are left to the engine */
	struct slot slot[ADDRESSES_MAX];
	unsigned slots;
	struct batch batch[BATCHES_MAX];
	unsigned batches;
	struct deed deed[DEEDS_MAX];
	unsigned deeds;

	pthread_mutex_t mu; /* guards what follows, and the slots' answers */
	pthread_cond_t news;
	unsigned home, submitted;
	bool granted[DOMAINS_MAX]; /* an exemption, in force on all shards */
	unsigned done;		   /* orders to the engine that were carried out */
	unsigned drained;
};

/* timeless: see internet_make(); then one caller asks for all at once, and nothing else happens. *out is set also when
 * it fails. */
void rig_new(struct rig **out, uint64_t seed, unsigned shards, bool timeless);
/* Asks and waits until all is answered, every session is over and every gauge is back where it was; ends the engine. */
void rig_run(struct rig *);
void rig_free(struct rig *); /* also after a failure; NULL is fine */
