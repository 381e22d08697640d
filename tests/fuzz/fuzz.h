#pragma once
/* For the fuzz targets: what must hold for every input, and an input's bytes as decisions. One thread. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A finding: the promise that an input broke. */
#define MUST(holds)                                                                                                    \
	do {                                                                                                           \
		if (!(holds)) {                                                                                        \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);                     \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

struct choices {
	const uint8_t *at;
	size_t left;
};

/* The next byte; 0 when there is none left. */
static inline unsigned choose_byte(struct choices *c)
{
	if (!c->left)
		return 0;
	c->left--;
	return *c->at++;
}

/* 0 to n - 1, n at most 256. */
static inline unsigned choose(struct choices *c, unsigned n)
{
	return choose_byte(c) % n;
}

/* A copy on the heap in its exact length, where any read or write beyond it is seen. free() ends it. */
static inline void *copied(const void *bytes, size_t n)
{
	void *copy = malloc(n ? n : 1);
	if (!copy)
		abort();
	if (n)
		memcpy(copy, bytes, n);
	return copy;
}

/* Is there a byte that would steer a terminal or end a line? */
static inline int has_control(const void *text, size_t n)
{
	for (const uint8_t *p = text; n; n--, p++)
		if (*p < 0x20 || *p == 0x7f)
			return 1;
	return 0;
}
