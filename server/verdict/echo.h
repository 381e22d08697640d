#pragma once
/* Echoes in a reply: what a server repeats of what it was told. Finding them is shared by reading (which strips them,
 * because they hold misleading words) and masking (which hides whom they name). Pure; any thread. */
#include <stdbool.h>
#include <stddef.h>

/* The lines of a reply are joined by '\n'; servers fold inside words, so an echo may run across one. */

/* Length of the address that starts at s[i], 0 when none does; *at is where its last at sign stands ("@", or "%40",
 * "=40", "+40" as in xtext and URLs). Local parts may be quoted; the domain may be missing ("alice@"). in_url: s[i] is
 * inside a URL, where "/", "?", "&" and "#" end what comes before. */
size_t echo_address(const char *s, size_t n, size_t i, bool in_url, size_t *at);

/* Length of what at s[i] is `needle` (its case and folds apart), 0 when it is not, or when a word goes on on either
 * side. */
size_t echo_needle(const char *s, size_t n, size_t i, const char *needle, size_t needle_n);

/* Length of the IP literal at s[i] ("192.0.2.1", "192.0.2.0/24", "IPv6:2001:db8::1"), 0 when there is none. */
size_t echo_ip(const char *s, size_t n, size_t i);

/* Length of the URL at s[i], 0 when there is none. */
size_t echo_url(const char *s, size_t n, size_t i);

/* Ends a word: anything but a letter, a digit or a byte of a character beyond ASCII. */
bool echo_breaks(char c);
