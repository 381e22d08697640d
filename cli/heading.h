#pragma once
/* Is the first line of a file the heading of a CSV, and of which kind? Pure; any thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heading {
	bool is;	/* a heading, not an address */
	char delimiter; /* the most frequent of comma, semicolon and tab; comma if there is none */
};

struct heading heading_read(const uint8_t *line, size_t n);
bool heading_names_address(const char *column); /* email, e-mail, mail, address */
