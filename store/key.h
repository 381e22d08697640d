#pragma once
/* Keys of the tables. A domain stands reversed and with a dot behind each label: "com.example.". So a domain and all
 * below it are one range, the keys that begin with it; neither "com.example-x." nor "com.examples." does. What follows
 * the domain is set off by a NUL, which no domain holds. Pure; any thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"

#define KEY_DOMAIN_MAX 254 /* bytes: 253 of the domain and the last dot */
#define KEY_MAX (KEY_DOMAIN_MAX + 1 + 32)

struct key {
	size_t len;
	uint8_t bytes[KEY_MAX];
};

/* ERR_INVALID: not a domain in the one form that is stored (lower case ASCII, no empty label, no final dot, at most 253
 * octets). Nothing else may become a key: an exemption under another spelling would protect nobody. */
MUST_CHECK err_t key_of_domain(struct key *, const char *domain);
void key_append(struct key *, const void *bytes, size_t n); /* a NUL and the bytes, at most 32 */
bool key_begins(const void *bytes, size_t n, const struct key *prefix);

/* Text for strangers to hold and give back: "com.example./01J…". False: no such text was given out. */
#define KEY_TOKEN_MAX (KEY_DOMAIN_MAX + 1 + 32 + 1)
void key_token(const struct key *, char out[KEY_TOKEN_MAX]);
bool key_of_token(struct key *, const char *token);
