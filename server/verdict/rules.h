#pragma once
/* The rules data in memory: which words of a reply mean what, who runs which mail host. Filled by rules_load(), const
 * from then on; any thread. reading.h is the door for everybody else. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <uthash.h>

#include "server/verdict/reading.h"

/* In the order in which they are tried (docs/VERDICTS.md, "Reading one reply"). */
#define RULE_CLASS_MAP(XX)                                                                                             \
	XX(SENDER, "sender")	 /* it is our sender that they checked */                                              \
	XX(OPERATOR, "operator") /* what one operator says its own way */                                              \
	XX(SOURCE, "source")	 /* refusal of our address, network, reputation */                                     \
	XX(IDENTITY, "identity") /* our PTR, EHLO name, sender domain, SPF */                                          \
	XX(QUOTA, "quota")                                                                                             \
	XX(DISABLED, "disabled")                                                                                       \
	XX(GREYLISTING, "greylisting") /* and rate */                                                                  \
	XX(UNKNOWN, "unknown")                                                                                         \
	XX(RELAY, "relay")                                                                                             \
	XX(UNCLEAR, "unclear")	 /* words with two uses */                                                             \
	XX(ENHANCED, "enhanced") /* the enhanced code alone */                                                         \
	XX(BASIC, "basic")	 /* the basic code alone */

enum rule_class {
#define RULE_CLASS_ENUM(name, text) RULE_##name,
	RULE_CLASS_MAP(RULE_CLASS_ENUM)
#undef RULE_CLASS_ENUM
		RULE_CLASSES
};

#define RULE_CODES 12
#define RULE_OPERATORS 16

struct rule {
	char *id;
	enum rule_class class;
	char *operators[RULE_OPERATORS]; /* of class OPERATOR; else none */
	unsigned operators_n;
	unsigned phases;	   /* bit 1 << PHASE_… */
	char codes[RULE_CODES][4]; /* "55y": x, y and z are any digit; none: any code */
	unsigned codes_n;
	char *enhanced[RULE_CODES]; /* "5.7.x" */
	unsigned enhanced_n;
	pcre2_code *text, *unless, *links; /* NULL: no matter */
	bool quotes_sender, quotes_no_recipient;
	enum meaning_kind kind;
	enum reason reason;
	enum strength strength;
	enum scope scope;
	enum stop stop;
	uint32_t delay_s;
};

struct alias {
	char *suffix; /* the key: a host name or what it ends with after a dot */
	const char *operator_name;
	UT_hash_handle hh;
};

struct operator_row {
	char *name; /* the key */
	unsigned connections;
	UT_hash_handle hh;
};

struct rules {
	struct rule *rule;
	size_t n, cap;
	struct alias *aliases;
	struct operator_row *operators;
	pcre2_match_context *limits;
};
