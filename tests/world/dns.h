#pragma once
/* DNS messages: reads a query of any bytes, and writes the answer that a description gives. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/buf.h"
#include "tests/world/desc.h"

#define DNS_HEADER 12
#define DNS_NAME_TEXT 1024 /* every byte of 255 as \DDD fits */
#define DNS_UDP_OURS 1232
#define DNS_MESSAGE_MAX 65535

enum {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_OPT = 41,
	DNS_ANY = 255
};
enum {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16
};

struct dns_query {
	uint16_t id, flags;
	uint8_t rcode;		  /* DNS_NOERROR: a question that can be looked up; else the refusal */
	char name[DNS_NAME_TEXT]; /* lower-case, without the last dot; "" for the root or no question */
	uint16_t type, class;
	size_t question_len; /* of the question as sent, behind the header; 0: not readable */
	bool edns;
	bool wants_right; /* what is described as wrong is not: the second of two answers */
	uint16_t payload; /* what the asker takes over UDP, at least 512 */
};

/* What was done with it, for the record. */
struct dns_outcome {
	uint8_t rcode;
	bool dropped, truncated;
	unsigned answers;
	uint32_t delay_ms;
	uint32_t wrong;	 /* what it was, as in struct name */
	bool then_right; /* the right answer is due too */
};

/* How often each name was asked for. Owner: struct dnsd. */
struct dns_memory;
struct dns_memory *dns_memory_new(void);
void dns_memory_free(struct dns_memory *);
void dns_memory_forget(struct dns_memory *); /* nobody ever asked */
/* This query counted, from 1. */
uint32_t dns_memory_count(struct dns_memory *, const struct name *, uint16_t type);

/* False: not worth an answer (shorter than a header, or itself an answer). */
bool dns_read(struct dns_query *, const uint8_t *message, size_t n);
/* Appends the answer to out, whose maximum is DNS_MESSAGE_MAX; `message` is what dns_read() read. Nothing is appended
 * when the description says not to answer. Without a memory every query is the first. */
void dns_answer(const struct desc *, struct dns_memory *, const struct dns_query *, const uint8_t *message, bool tcp,
	struct buf *out, struct dns_outcome *);
const char *dns_type_text(uint16_t type, char text[16]);
void dns_wrong_text(uint32_t wrong, struct buf *out); /* its words, by commas */
const char *dns_rcode_text(uint8_t rcode);
