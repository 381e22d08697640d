#pragma once
/* The phases of an SMTP connection at which a server can misbehave: the greeting, and one per command. */

#define PHASE_MAP(XX)                                                                                                  \
	XX(BANNER, "banner")                                                                                           \
	XX(EHLO, "ehlo")                                                                                               \
	XX(HELO, "helo")                                                                                               \
	XX(STARTTLS, "starttls")                                                                                       \
	XX(MAIL, "mail")                                                                                               \
	XX(RCPT, "rcpt")                                                                                               \
	XX(RSET, "rset")                                                                                               \
	XX(NOOP, "noop")                                                                                               \
	XX(QUIT, "quit")                                                                                               \
	XX(OTHER, "other")

enum phase {
#define PHASE_ENUM(name, text) PHASE_##name,
	PHASE_MAP(PHASE_ENUM)
#undef PHASE_ENUM
		PHASES
};
