#pragma once
/* One DNS message read as the answer to one question (RFC 1035, 2308). Pure: bytes in, a plain value out, no memory
 * taken, any thread.
 *
 * Every byte is hostile: names are read within RFC 1035's 255 octets with at most 127 compression pointers, each to
 * before where it stands; records beyond ANSWER_RECORDS_MAX and anything malformed in what is read make the whole
 * message a failure. A record counts only when its owner is the question's name or one that a chain of CNAMEs leads to
 * from there. (c-ares' ares_expand_name() takes memory and bounds neither a name's length nor its time.) */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/ip.h"
#include "server/dns/route.h"

#define ANSWER_CNAME_MAX 8
#define ANSWER_RECORDS_MAX 4096 /* more MX than 64 KB can hold */

#define DNS_CLASS_IN 1
enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_MX = 15, DNS_AAAA = 28 };

enum answer_kind {
	ANSWER_FAILURE, /* malformed, truncated, CNAME chain too long, a referral, any code but the two below */
	ANSWER_FOUND,
	ANSWER_CNAME, /* an alias and nothing more: ask for target (an authoritative server does not go on by itself) */
	ANSWER_NODATA,
	ANSWER_NXDOMAIN,
};

struct answer_mx {
	uint16_t preference;
	bool usable;		/* false: an IP literal, or bytes that no host name has ('?' stands for each) */
	char name[DOMAIN_SIZE]; /* lower case, no trailing dot */
};

struct answer {
	enum answer_kind kind;
	uint32_t ttl_s;	      /* as met, unbounded: smallest of the records used; negative: of the SOA; 0 without one */
	unsigned cname_count; /* aliases followed within this message */
	char target[DOMAIN_SIZE];		/* where they led; the question's name if there was none */
	bool null_mx;				/* RFC 7505, alone or beside others; not among mx */
	unsigned count;				/* of address or mx */
	struct ip address[ROUTE_ADDRESSES_MAX]; /* the first ones */
	struct answer_mx mx[ROUTE_HOSTS_MAX];	/* the best, by preference, then as they came; each name once */
};

/* name: lower case, no trailing dot; shorter than DOMAIN_SIZE. type: DNS_A, DNS_AAAA or DNS_MX. */
void answer_parse(const uint8_t *msg, size_t len, const char *name, enum dns_type type, struct answer *out);

/* Can a host have this name: letters, digits, hyphen, underscore in labels of 1 to 63, 253 bytes in all, the last
 * label not a number (that is an IP literal)? Lower case only. */
bool answer_host_name_ok(const char *name);
