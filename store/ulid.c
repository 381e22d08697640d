#include "store/ulid.h"

#include <openssl/rand.h>
#include <string.h>

static const char DIGIT[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#define BYTES 16 /* 6 of time, 10 random; big endian, so that the whole counts up */

/* The one before, plus one. False: all its bits were set. */
static bool count_up(uint8_t id[BYTES])
{
	for (int i = BYTES - 1; i >= 0; i--)
		if (++id[i])
			return true;
	return false;
}

err_t ulid_next(int64_t wall_ms, char out[ULID_SIZE])
{
	static _Thread_local uint8_t last[BYTES];
	uint8_t id[BYTES];
	for (int i = 0; i < 6; i++)
		id[i] = (uint8_t)((uint64_t)wall_ms >> (40 - 8 * i));
	if (RAND_bytes(id + 6, BYTES - 6) != 1)
		return ERR_IO;
	if (memcmp(id, last, 6) <= 0) { /* same millisecond, or the clock went back */
		memcpy(id, last, BYTES);
		if (!count_up(id))
			return ERR_LIMIT;
	}
	memcpy(last, id, BYTES);
	for (int i = 0; i < ULID_SIZE - 1; i++) { /* 26 digits of 5 bits are 130: the first has two zero bits */
		unsigned v = 0;
		for (int b = 5 * i - 2; b < 5 * i + 3; b++)
			v = v << 1 | (b < 0 ? 0u : (unsigned)(id[b / 8] >> (7 - b % 8)) & 1u);
		out[i] = DIGIT[v];
	}
	out[ULID_SIZE - 1] = 0;
	return ERR_OK;
}

bool ulid_valid(const char *text)
{
	size_t n = strnlen(text, ULID_SIZE);
	return n == ULID_SIZE - 1 && strspn(text, DIGIT) == n;
}
