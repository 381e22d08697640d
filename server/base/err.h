#pragma once
/* One error type for the whole program. ERR_OK is 0; results must be looked at. Any thread. */

#define ERR_MAP(XX)                                                                                                    \
	XX(OK, "ok")                                                                                                   \
	XX(NOMEM, "out of memory")                                                                                     \
	XX(AGAIN, "busy, ask again")                                                                                   \
	XX(LIMIT, "over its limit")                                                                                    \
	XX(INVALID, "invalid")                                                                                         \
	XX(NOT_FOUND, "not found")                                                                                     \
	XX(EXISTS, "exists already")                                                                                   \
	XX(DENIED, "not allowed")                                                                                      \
	XX(CLOSED, "closed")                                                                                           \
	XX(TIMEOUT, "timed out")                                                                                       \
	XX(CANCELLED, "cancelled")                                                                                     \
	XX(IO, "input/output error")                                                                                   \
	XX(SPACE, "store is full")                                                                                     \
	XX(LOCKED, "in use by another process")                                                                        \
	XX(VERSION, "written by another version")                                                                      \
	XX(CORRUPT, "damaged")                                                                                         \
	XX(UNREACHABLE, "unreachable")                                                                                 \
	XX(IN_USE, "address or port in use")                                                                           \
	XX(UNSUPPORTED, "not supported")

typedef enum err {
#define ERR_ENUM(name, text) ERR_##name,
	ERR_MAP(ERR_ENUM)
#undef ERR_ENUM
} err_t;

#define MUST_CHECK __attribute__((warn_unused_result))

/* A short English text, static; never NULL, also for a value outside the enum. */
const char *err_text(err_t err);
