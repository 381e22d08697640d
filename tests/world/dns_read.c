#include <stdio.h>

#include "tests/world/dns.h"

#define EXTRA_RECORDS_MAX 16

struct cursor {
	const uint8_t *at, *end;
};

static bool take16(struct cursor *c, uint16_t *value)
{
	if (c->end - c->at < 2)
		return false;
	*value = (uint16_t)(c->at[0] << 8 | c->at[1]);
	c->at += 2;
	return true;
}

static void put_char(char *text, size_t *used, uint8_t byte)
{
	if (byte >= 'A' && byte <= 'Z')
		byte = (uint8_t)(byte + 32);
	if (byte > ' ' && byte < 127 && byte != '.' && byte != '\\')
		text[(*used)++] = (char)byte;
	else
		*used += (size_t)snprintf(text + *used, 5, "\\%03u", byte);
}

/* A question's name. No pointers: there is nothing before it that they could point to. */
static bool take_name(struct cursor *c, char text[DNS_NAME_TEXT])
{
	const uint8_t *start = c->at;
	size_t used = 0;

	while (c->at < c->end) {
		uint8_t label = *c->at++;
		if (label > 63 || c->end - c->at < label || c->at - start + label > 254)
			return false;
		if (!label) {
			text[used] = '\0';
			return true;
		}
		if (used)
			text[used++] = '.';
		for (; label; label--)
			put_char(text, &used, *c->at++);
	}
	return false;
}

/* Any record's owner name, stepped over. A pointer ends it and is not followed, so it cannot loop. */
static bool skip_name(struct cursor *c)
{
	while (c->at < c->end) {
		uint8_t label = *c->at++;
		if (!label)
			return true;
		if (label >= 0xC0) {
			if (c->at == c->end)
				return false;
			c->at++;
			return true;
		}
		if (label > 63 || c->end - c->at < label)
			return false;
		c->at += label;
	}
	return false;
}

static bool take_extra(struct cursor *c, struct dns_query *q)
{
	const uint8_t *owner = c->at;
	uint16_t type, class, ttl_high, ttl_low, len;

	if (!skip_name(c) || !take16(c, &type) || !take16(c, &class) || !take16(c, &ttl_high) || !take16(c, &ttl_low) ||
		!take16(c, &len) || c->end - c->at < len)
		return false;
	c->at += len;
	if (type != DNS_OPT)
		return true;
	if (q->edns || *owner)
		return false; /* one OPT at most, owned by the root (RFC 6891) */
	q->edns = true;
	q->payload = class < 512 ? 512 : class;
	if (ttl_high & 0xFF)
		q->rcode = DNS_BADVERS;
	return true;
}

static bool take_body(struct cursor *c, struct dns_query *q, const uint16_t counts[4])
{
	if (counts[0] != 1 || counts[1] || counts[2] || counts[3] > EXTRA_RECORDS_MAX)
		return false;
	const uint8_t *question = c->at;
	if (!take_name(c, q->name) || !take16(c, &q->type) || !take16(c, &q->class))
		return false;
	q->question_len = (size_t)(c->at - question);
	for (unsigned i = 0; i < counts[3]; i++)
		if (!take_extra(c, q))
			return false;
	return true;
}

bool dns_read(struct dns_query *q, const uint8_t *message, size_t n)
{
	struct cursor c = { message, message + n };
	uint16_t counts[4];

	*q = (struct dns_query){ .payload = 512 };
	if (n < DNS_HEADER)
		return false;
	if (!take16(&c, &q->id) || !take16(&c, &q->flags) || q->flags & 0x8000)
		return false;
	for (int i = 0; i < 4; i++)
		if (!take16(&c, &counts[i]))
			return false;
	if (q->flags >> 11 & 15) {
		q->rcode = DNS_NOTIMP;
	} else if (!take_body(&c, q, counts)) {
		*q = (struct dns_query){ .id = q->id, .flags = q->flags, .payload = 512, .rcode = DNS_FORMERR };
	} else if (!q->rcode && q->class != 1) {
		q->rcode = DNS_REFUSED;
	} else if (!q->rcode && q->type == DNS_ANY) {
		q->rcode = DNS_NOTIMP;
	}
	return true;
}

const char *dns_type_text(uint16_t type, char text[16])
{
	switch (type) {
	case DNS_A: return "A";
	case DNS_NS: return "NS";
	case DNS_CNAME: return "CNAME";
	case DNS_SOA: return "SOA";
	case DNS_PTR: return "PTR";
	case DNS_MX: return "MX";
	case DNS_TXT: return "TXT";
	case DNS_AAAA: return "AAAA";
	case DNS_ANY: return "ANY";
	default: snprintf(text, 16, "TYPE%u", type); return text;
	}
}

void dns_wrong_text(uint32_t wrong, struct buf *out)
{
	static const char *const TEXT[] = {
#define WRONG_TEXT(name, text) text,
		WRONG_MAP(WRONG_TEXT)
#undef WRONG_TEXT
	};
	const char *comma = "";

	for (int i = 0; i < WRONGS; i++) {
		if (!(wrong & 1u << i))
			continue;
		buf_printf(out, "%s%s", comma, TEXT[i]);
		comma = ",";
	}
}

const char *dns_rcode_text(uint8_t rcode)
{
	static const char *const TEXT[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };

	return rcode < sizeof TEXT / sizeof *TEXT ? TEXT[rcode] : rcode == DNS_BADVERS ? "BADVERS" : "OTHER";
}
