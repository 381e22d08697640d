#pragma once
/* The words of a reply as rules see them. Plain value, filled by said_prepare(); any thread. */
#include <stdbool.h>
#include <stddef.h>

#include "server/smtp/reply.h"
#include "server/verdict/reading.h"

/* Only that much of a reply is read. Real refusals say what they mean in far less; the rest could only cost time. */
#define SAID_MAX 4096

struct said {
	/* The lines joined with a space and without one, echoes stripped, enhanced codes at their start gone, accents
	 * folded to ASCII, white space to one space. Valid UTF-8. Tokens stand for what was ours or an address:
	 * OURSENDER, OURDOMAIN (of our sender), OURNAME (our EHLO name), IPADDR. The second is empty when there is
	 * nothing folded. */
	char text[2][SAID_MAX + 1];
	size_t n[2];
	char links[1025]; /* URLs in it, each followed by a space: a block list's page is evidence too */
	size_t links_n;
	char enhanced[12]; /* "" for none */
	bool sender;	   /* our sender was quoted */
	bool recipient;	   /* our recipient was quoted */
};

void said_prepare(struct said *, const struct reading_context *, const struct reply *);

/* The delay that text[..n) states, in seconds, at most 86,400; 0 for none. */
uint32_t said_delay(const char *text, size_t n);
