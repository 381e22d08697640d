#pragma once
/* The answer for one address, with the evidence it rests on. A plain value. */
#include <stdint.h>

#include "server/address/address.h"
#include "server/base/ip.h"
#include "server/net/tls_info.h"
#include "server/verdict/calibrate.h"

#define OPERATOR_SIZE 128 /* bytes of an operator's name with its NUL */
#define EVIDENCE_TEXT_SIZE 513

struct evidence {
	enum phase phase;
	enum control random, postmaster;
	uint16_t code; /* 0: no reply */
	uint16_t attempt;
	bool contact_begun; /* a conversation about this address had begun before it was broken off */
	int64_t time_ms;    /* wall clock */
	char mail_host[DOMAIN_SIZE], mail_ip[IP_TEXT_MAX], source_ip[IP_TEXT_MAX];
	struct tls_info tls;				       /* of the session; version "": in clear */
	char enhanced[12], rule[64], text[EVIDENCE_TEXT_SIZE]; /* text: masked, UTF-8 */
};

struct answer {
	enum reason reason;
	enum catch_all catch_all;
	bool from_cache;
	uint16_t attempts;	/* conversations begun for it */
	int64_t age_ms;		/* with from_cache */
	int64_t retry_after_ms; /* -1: not known */
	char operator_name[OPERATOR_SIZE];
	struct evidence evidence;
};
