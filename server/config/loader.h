#pragma once
/* Between the parts of the configuration's loader; internal to server/config. keys.c knows what each key may hold,
 * walk.c goes through the YAML events, config.c puts them together. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config/config.h"

struct scalar {
	const char *text; /* NUL-terminated; a NUL within is refused before */
	size_t n;
	bool plain; /* not quoted, no block */
};

struct key {
	/* From the top, by dots. "*" is a name the operator of the program chooses, "[]" an item of a list. */
	const char *path;
	/* Returns NULL or what is wrong with the text, static. */
	const char *(*set)(const struct key *, const struct scalar *, void *field);
	size_t offset; /* of the field in struct config, or in the item of the list around it */
	int64_t min, max;
	const char *allowed; /* NULL: the number or duration says it by min and max */
	bool required;
};
extern const struct key CONFIG_KEYS[];
extern const size_t CONFIG_KEYS_N;
#define CONFIG_KEYS_MAX 64

/* Where items go: lists, and mappings whose keys are names ("*"). */
struct key_list {
	const char *path;
	size_t items, count; /* offsets in struct config */
	size_t size, max;
	bool named; /* an item begins with its name, char[DOMAIN_SIZE] */
};
extern const struct key_list CONFIG_LISTS[];
extern const size_t CONFIG_LISTS_N;

void key_allowed(const struct key *, struct buf *out); /* appends what the key may hold */

/* Reads text into config, which holds the defaults. *why as in config_load(). */
MUST_CHECK err_t config_walk(const char *name, const char *text, size_t n, struct config *, struct buf *why);
