#pragma once
/* The words of an answer: verdicts, their reasons, the phase they were reached in. Plain values; any thread.
 * What each reason means stands in docs/VERDICTS.md. */
#include <stdbool.h>

enum verdict { VERDICT_UNKNOWN, VERDICT_DELIVERABLE, VERDICT_UNDELIVERABLE, VERDICT_RISKY, VERDICTS };

/* reason, the verdict that it belongs to. A reason has exactly one verdict. */
#define REASON_MAP(XX)                                                                                                 \
	XX(NONE, UNKNOWN) /* not decided yet; never leaves the program */                                              \
	XX(ACCEPTED, DELIVERABLE)                                                                                      \
	XX(INVALID_SYNTAX, UNDELIVERABLE)                                                                              \
	XX(DOMAIN_NOT_FOUND, UNDELIVERABLE)                                                                            \
	XX(NULL_MX, UNDELIVERABLE)                                                                                     \
	XX(NO_MAIL_HOST, UNDELIVERABLE)                                                                                \
	XX(UNROUTABLE_HOST, UNDELIVERABLE)                                                                             \
	XX(MAILBOX_UNKNOWN, UNDELIVERABLE)                                                                             \
	XX(MAILBOX_DISABLED, UNDELIVERABLE)                                                                            \
	XX(NOT_SERVED_HERE, UNDELIVERABLE)                                                                             \
	XX(SMTPUTF8_UNSUPPORTED, UNDELIVERABLE)                                                                        \
	XX(ACCEPT_ALL, RISKY)                                                                                          \
	XX(CATCH_ALL_UNKNOWN, RISKY)                                                                                   \
	XX(MAILBOX_FULL, RISKY)                                                                                        \
	XX(GREYLISTED, UNKNOWN)                                                                                        \
	XX(MAILBOX_BUSY, UNKNOWN)                                                                                      \
	XX(TEMPORARY_FAILURE, UNKNOWN)                                                                                 \
	XX(SOURCE_REFUSED, UNKNOWN)                                                                                    \
	XX(IDENTITY_REFUSED, UNKNOWN)                                                                                  \
	XX(CONTROL_REFUSED, UNKNOWN)                                                                                   \
	XX(REFUSED_UNCLEAR, UNKNOWN)                                                                                   \
	XX(COURTESY_STOP, UNKNOWN)                                                                                     \
	XX(NO_EGRESS, UNKNOWN)                                                                                         \
	XX(NO_CONNECTION, UNKNOWN)                                                                                     \
	XX(TIMEOUT, UNKNOWN)                                                                                           \
	XX(TLS_FAILED, UNKNOWN)                                                                                        \
	XX(PROTOCOL_ERROR, UNKNOWN)                                                                                    \
	XX(DNS_FAILURE, UNKNOWN)                                                                                       \
	XX(EXEMPT, UNKNOWN)                                                                                            \
	XX(CANCELLED, UNKNOWN)                                                                                         \
	XX(DEADLINE, UNKNOWN)

enum reason {
#define REASON_ENUM(name, verdict) REASON_##name,
	REASON_MAP(REASON_ENUM)
#undef REASON_ENUM
		REASONS
};

enum phase {
	PHASE_NONE,
	PHASE_DNS,
	PHASE_CONNECT,
	PHASE_BANNER,
	PHASE_EHLO,
	PHASE_TLS,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASES
};

enum catch_all { CATCH_ALL_NOT_KNOWN, CATCH_ALL_YES, CATCH_ALL_NO };

enum verdict reason_verdict(enum reason);
const char *reason_name(enum reason); /* "ACCEPTED", … */
const char *phase_name(enum phase);   /* "dns", …; "" for PHASE_NONE */
/* REASON_NONE when no reason has that name. */
enum reason reason_named(const char *name);
