#include <string.h>

#include <unistr.h>

#include "server/api/internal.h"

const char *check_domain(const ProtobufCBinaryData *bytes, char out[DOMAIN_SIZE])
{
	const char *why = "no domain was given";
	if (!bytes->len)
		return why;
	switch (domain_parse(bytes->data, bytes->len, out, &why)) {
	case ERR_OK: return NULL;
	case ERR_INVALID: return why;
	default: return "out of memory";
	}
}

const char *check_text(const ProtobufCBinaryData *bytes, size_t least, size_t size, char *out)
{
	if (bytes->len < least)
		return "required";
	if (bytes->len >= size)
		return "too long";
	if (bytes->len && u8_check(bytes->data, bytes->len))
		return "not UTF-8";
	for (size_t i = 0; i < bytes->len; i++)
		if (bytes->data[i] < 0x20 || bytes->data[i] == 0x7f)
			return "holds a control character";
	if (bytes->len)
		memcpy(out, bytes->data, bytes->len);
	out[bytes->len] = 0;
	return NULL;
}
