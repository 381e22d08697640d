#include "tests/unit/dns/message.h"

#include <arpa/inet.h>
#include <string.h>

void message_put(struct message *m, const void *bytes, size_t n)
{
	if (n > sizeof(m->bytes) - m->len)
		n = sizeof(m->bytes) - m->len;
	memcpy(m->bytes + m->len, bytes, n);
	m->len += n;
}

void message_16(struct message *m, unsigned v)
{
	uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };
	message_put(m, b, 2);
}

static void put_32(struct message *m, uint32_t v)
{
	message_16(m, v >> 16);
	message_16(m, v & 0xffff);
}

static size_t encode(const char *name, uint8_t out[256])
{
	size_t n = 0;
	while (*name && n < 190) {
		size_t len = strcspn(name, ".");
		out[n++] = (uint8_t)len;
		memcpy(out + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	out[n++] = 0;
	return n;
}

void message_name(struct message *m, const char *name)
{
	uint8_t wire[256];
	message_put(m, wire, encode(name, wire));
}

void message_start(struct message *m, unsigned id, unsigned flags, const char *name, unsigned type)
{
	m->len = 0;
	message_16(m, id);
	message_16(m, flags);
	message_16(m, 1);
	message_put(m, "\0\0\0\0\0", 6);
	message_name(m, name);
	message_16(m, type);
	message_16(m, 1);
}

void message_record(struct message *m, int section, const char *owner, unsigned type, uint32_t ttl, size_t data_len)
{
	if (++m->bytes[section + 1] == 0)
		m->bytes[section]++;
	message_name(m, owner);
	message_16(m, type);
	message_16(m, 1);
	put_32(m, ttl);
	message_16(m, (unsigned)data_len);
}

void message_a(struct message *m, const char *owner, uint32_t ttl, const char *ip)
{
	uint8_t b[16];
	int v6 = strchr(ip, ':') != NULL;
	inet_pton(v6 ? AF_INET6 : AF_INET, ip, b);
	message_record(m, SECTION_ANSWER, owner, v6 ? 28 : 1, ttl, v6 ? 16 : 4);
	message_put(m, b, v6 ? 16 : 4);
}

void message_mx(struct message *m, const char *owner, uint32_t ttl, unsigned preference, const char *host)
{
	uint8_t wire[256];
	size_t n = encode(host, wire);
	message_record(m, SECTION_ANSWER, owner, 15, ttl, 2 + n);
	message_16(m, preference);
	message_put(m, wire, n);
}

void message_cname(struct message *m, const char *owner, uint32_t ttl, const char *target)
{
	uint8_t wire[256];
	size_t n = encode(target, wire);
	message_record(m, SECTION_ANSWER, owner, 5, ttl, n);
	message_put(m, wire, n);
}

void message_soa(struct message *m, const char *zone, uint32_t ttl, uint32_t minimum)
{
	message_record(m, SECTION_AUTHORITY, zone, 6, ttl, 22);
	message_put(m, "\0\0", 2); /* both names are the root */
	for (int i = 0; i < 4; i++)
		put_32(m, 1);
	put_32(m, minimum);
}

void message_ns(struct message *m, const char *zone, const char *host)
{
	uint8_t wire[256];
	size_t n = encode(host, wire);
	message_record(m, SECTION_AUTHORITY, zone, 2, 300, n);
	message_put(m, wire, n);
}
