#pragma once
/* What the services share. Private to server/api. */
#include <stdatomic.h>
#include <sys/queue.h>

#include <protobuf-c/protobuf-c.h>

#include "server/api/api.h"
#include "server/api/health.h"
#include "server/api/reflection.h"

/* Serialises and sends: one message of the call. ERR_NOMEM, or as rpc_call_send(). On the call's loop. */
MUST_CHECK err_t api_send(struct rpc_call *, const ProtobufCMessage *);

struct verify_call;
TAILQ_HEAD(verify_calls, verify_call);
struct watch_call;
LIST_HEAD(watch_calls, watch_call);

struct api {
	struct engine *engine;
	struct health *health;
	struct reflection *reflection;
	atomic_bool draining;
	atomic_uint held; /* items that all calls have taken in and not sent back */
	struct api_shard {
		struct mail drain; /* first: the mail is its shard */
		struct api *api;
		unsigned index;
		struct verify_calls calls;  /* of that shard's loop */
		struct watch_calls watches; /* of that shard's loop */
	} shard[CONFIG_SHARDS];
};

/* ---- unary calls ---- */

/* One unary call. It lives until its call is done and nothing asynchronous (unary_hold()) still refers to it. */
struct unary;
struct unary_method {
	const char *path;
	void (*handle)(struct unary *, const uint8_t *msg, size_t len); /* answers now, or holds and answers later */
};
extern const struct unary_method VERIFY_METHODS[], DOMAIN_METHODS[], EXEMPTION_METHODS[],
	STATS_METHODS[]; /* end with {0} */

struct api *unary_api(const struct unary *);
struct loop *unary_loop(const struct unary *);
unsigned unary_shard(const struct unary *);
void unary_hold(struct unary *);    /* something will still answer it */
void unary_release(struct unary *); /* and now no more */
void unary_reply(struct unary *, const ProtobufCMessage *);
/* field NULL: no BadRequest detail. */
void unary_fail(struct unary *, enum rpc_code, const char *reason, const char *message, const char *field);
void unary_fail_err(struct unary *, err_t); /* a failure of ours: the store is full, no memory, … */

const struct rpc_handler *unary_open(struct api *, const struct unary_method *, struct rpc_call *, void **call_ctx);

/* ---- verification ---- */

#define VERIFY_PATH "/rcptd.v1.VerificationService/Verify"
#define VERIFY_STREAM_PATH "/rcptd.v1.VerificationService/VerifyStream"
const struct rpc_handler *verify_open(struct api *, bool stream, struct rpc_call *, void **call_ctx);
void verify_drain(struct api *, unsigned shard); /* on that shard's loop */

/* ---- watching the counters ---- */

#define WATCH_STATS_PATH "/rcptd.v1.StatsService/WatchStats"
const struct rpc_handler *watch_stats_open(struct api *, struct rpc_call *, void **call_ctx);
void watch_drain(struct api *, unsigned shard); /* on that shard's loop */

/* ---- checks of requests ---- */

/* A domain out of bytes. NULL: fine; else what is wrong, for a BadRequest. */
const char *check_domain(const ProtobufCBinaryData *, char out[DOMAIN_SIZE]);
/* Text of a person: UTF-8 without control characters, at least `least` and at most size - 1 bytes. */
const char *check_text(const ProtobufCBinaryData *, size_t least, size_t size, char *out);
