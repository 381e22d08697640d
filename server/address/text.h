#pragma once
/* What address.c and domain.c share: octets given by anyone. Internal to server/address; any thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
	const uint8_t *at;
	size_t n;
};

struct span text_trim(struct span); /* without the spaces and tabs around it */

/* NULL when every character may stand in an address; otherwise the reason, static: no UTF-8, or a control (so neither
 * CR nor LF passes), invisible or direction-changing character. */
const char *text_refusal(struct span);

bool text_is_ascii(struct span);
