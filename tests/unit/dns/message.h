#pragma once
/* DNS messages written by hand for tests: nothing is checked, so that wrong ones can be written too. Names are given
 * as text ("a.example") and never compressed. */
#include <stddef.h>
#include <stdint.h>

struct message {
	uint8_t bytes[65535];
	size_t len;
};

enum { SECTION_ANSWER = 6, SECTION_AUTHORITY = 8 }; /* where the header counts its records */

/* flags: 0x8180 is a recursive server's answer, 0x8400 an authoritative one's; the code in the last 4 bits. */
void message_start(struct message *, unsigned id, unsigned flags, const char *name, unsigned type);
void message_put(struct message *, const void *bytes, size_t n);
void message_16(struct message *, unsigned);
void message_name(struct message *, const char *name);
/* The fixed part of a record, counted in its section; rdata of data_len bytes is for the caller to put. */
void message_record(struct message *, int section, const char *owner, unsigned type, uint32_t ttl, size_t data_len);
void message_a(struct message *, const char *owner, uint32_t ttl, const char *ip); /* AAAA with a colon in it */
void message_mx(struct message *, const char *owner, uint32_t ttl, unsigned preference, const char *host);
void message_cname(struct message *, const char *owner, uint32_t ttl, const char *target);
void message_soa(struct message *, const char *zone, uint32_t ttl, uint32_t minimum);
void message_ns(struct message *, const char *zone, const char *host);
