#pragma once
/* How far two short texts are apart, for "did you mean". Pure; any thread. */

#define EDIT_TEXT_MAX 64 /* octets; a longer text is as far as can be */

/* Insertions, removals, replacements and swaps of neighbours (each place edited once) that turn a into b; limit + 1
 * when it is more than limit. By octets. */
unsigned edit_distance(const char *a, const char *b, unsigned limit);
