#pragma once
/* Small helpers on NUL-terminated text. Pure. */
#include <stddef.h>
#include <stdint.h>

void text_copy(char *to, size_t size, const char *from); /* cut to size - 1 bytes; always terminated */
uint32_t text_hash(const char *);			 /* FNV-1a; for sharding, not for secrets */
