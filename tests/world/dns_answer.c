#include <string.h>

#include "tests/world/dns.h"

#define CNAME_DEPTH 8

static void put16(struct buf *out, unsigned value)
{
	uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	buf_append(out, bytes, 2);
}

static void put32(struct buf *out, uint32_t value)
{
	put16(out, value >> 16);
	put16(out, value & 0xFFFF);
}

/* Written in full: who reads a thousand MX finds no pointers, and none can be wrong. */
static void put_name(struct buf *out, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");
		buf_putc(out, (char)n);
		buf_append(out, name, n);
		name += n + (name[n] == '.');
	}
	buf_putc(out, 0);
}

struct answer {
	const struct desc *d;
	struct buf *out;
	struct dns_memory *memory;
	size_t start;	   /* of the message in `out` */
	const char *owner; /* NULL: the question's name, by pointer, in the asker's own spelling */
	uint32_t wrong;	   /* what is, of the name looked at now */
	unsigned answers, authorities;
};

static bool is_wrong(const struct answer *a, enum wrong_place what)
{
	return a->wrong & 1u << what;
}

static void put_pointer_to_itself(struct answer *a)
{
	put16(a->out, 0xC000 | ((unsigned)(a->out->len - a->start) & 0x3FFF));
}

static void put_owner(struct answer *a, const char *owner)
{
	if (is_wrong(a, WRONG_LOOP))
		put_pointer_to_itself(a);
	else if (is_wrong(a, WRONG_OWNER))
		put_name(a->out, "somebody-else.example");
	else if (owner)
		put_name(a->out, owner);
	else
		put16(a->out, 0xC000 | DNS_HEADER);
}

static void put_target(struct answer *a, const char *name)
{
	if (is_wrong(a, WRONG_DATA_LOOP))
		put_pointer_to_itself(a);
	else
		put_name(a->out, name);
}

/* Owner, type, class, TTL, and room for the length, whose place is returned. */
static size_t begin_record(struct answer *a, const char *owner, unsigned type, uint32_t ttl)
{
	put_owner(a, owner);
	put16(a->out, type);
	put16(a->out, 1);
	put32(a->out, ttl);
	put16(a->out, 0);
	return a->out->len;
}

static void end_record(struct answer *a, size_t start)
{
	size_t len = a->out->len - start;

	if (a->out->err)
		return;
	a->out->data[start - 2] = (uint8_t)(len >> 8);
	a->out->data[start - 1] = (uint8_t)len;
}

static void put_addresses(struct answer *a, const struct name *n, uint16_t type, uint32_t nth)
{
	bool is_later = n->laters && nth >= (n->later_from ? n->later_from : 2);
	const struct addr *addr = is_later ? n->later : n->addr;
	size_t addrs = is_later ? n->laters : n->addrs;

	for (size_t i = 0; i < addrs; i++) {
		if (addr[i].v6 != (type == DNS_AAAA))
			continue;
		size_t start = begin_record(a, a->owner, type, n->ttl);
		buf_append(a->out, addr[i].ip, addr[i].v6 ? 16 : 4);
		end_record(a, start);
		a->answers++;
	}
}

static void put_mx(struct answer *a, const struct name *n)
{
	for (size_t i = 0; i < n->mxs; i++) {
		size_t start = begin_record(a, a->owner, DNS_MX, n->ttl);
		put16(a->out, n->mx[i].preference);
		put_target(a, n->mx[i].host);
		end_record(a, start);
		a->answers++;
	}
}

static void put_txt(struct answer *a, const struct name *n)
{
	for (size_t i = 0; i < n->txt.n; i++) {
		const char *text = n->txt.item[i];
		size_t start = begin_record(a, a->owner, DNS_TXT, n->ttl);
		size_t left = strlen(text);
		do {
			size_t piece = left > 255 ? 255 : left;
			buf_putc(a->out, (char)piece);
			buf_append(a->out, text, piece);
			text += piece;
			left -= piece;
		} while (left);
		end_record(a, start);
		a->answers++;
	}
}

static void put_cname(struct answer *a, const struct name *n)
{
	size_t start = begin_record(a, a->owner, DNS_CNAME, n->ttl);

	put_target(a, n->cname);
	end_record(a, start);
	a->answers++;
}

/* The zone that says no: the closest name above that the file describes, else the last label. */
static const char *zone_of(const struct desc *d, const char *name)
{
	const char *last = name;

	for (const char *dot = name; dot; dot = strchr(dot, '.')) {
		const struct name *n;
		dot += *dot == '.';
		HASH_FIND_STR(d->names, dot, n);
		if (n && n->line && !n->is_host)
			return dot;
		last = dot;
	}
	return strchr(last, '\\') ? "" : last; /* an escaped label could outgrow its 63 bytes */
}

static void put_soa(struct answer *a, const char *name, const struct name *n)
{
	uint32_t negative = n ? n->negative_ttl : a->d->negative_ttl;
	const char *zone = zone_of(a->d, name);
	const struct name *of_zone = desc_name(a->d, zone);
	size_t start;

	if (!n && of_zone)
		negative = of_zone->negative_ttl;
	start = begin_record(a, zone, DNS_SOA, negative);
	put_name(a->out, "ns.world.test");
	put_name(a->out, "hostmaster.world.test");
	put32(a->out, 1);
	put32(a->out, 7200);
	put32(a->out, 900);
	put32(a->out, 1209600);
	put32(a->out, negative);
	end_record(a, start);
	a->authorities++;
}

static uint32_t trouble_bit(uint16_t type)
{
	switch (type) {
	case DNS_A: return TROUBLE_A;
	case DNS_AAAA: return TROUBLE_AAAA;
	case DNS_MX: return TROUBLE_MX;
	case DNS_CNAME: return TROUBLE_CNAME;
	case DNS_TXT: return TROUBLE_TXT;
	default: return TROUBLE_REST;
	}
}

static void put_records(struct answer *a, const struct name *n, uint16_t type, uint32_t nth)
{
	if (type == DNS_A || type == DNS_AAAA)
		put_addresses(a, n, type, nth);
	else if (type == DNS_MX)
		put_mx(a, n);
	else if (type == DNS_TXT)
		put_txt(a, n);
}

/* The how-manieth answer to this question it is, from 1; 0: it is one of those that are dropped. */
static uint32_t how_manieth(struct answer *a, const struct name *n, const struct dns_query *q)
{
	uint32_t times;

	if (!a->memory || q->wants_right || (!n->drop_first && !n->laters))
		return 1;
	times = dns_memory_count(a->memory, n, q->type);
	return times > n->drop_first ? times - n->drop_first : 0;
}

/* True: an alias, to be followed. */
static bool look_at(struct answer *a, const char *name, const struct dns_query *q, struct dns_outcome *o)
{
	const struct name *n = desc_name(a->d, name);
	unsigned before = a->answers;
	uint32_t nth = n ? how_manieth(a, n, q) : 1;

	a->wrong = n && !q->wants_right ? n->wrong : 0;
	o->wrong |= a->wrong;
	o->then_right |= n && n->then_right && a->wrong;
	o->delay_ms += n ? n->delay_ms : 0;
	if (!nth || (n && n->drop & trouble_bit(q->type))) {
		o->dropped = true;
	} else if (n && n->servfail & trouble_bit(q->type)) {
		o->rcode = DNS_SERVFAIL;
	} else if (is_wrong(a, WRONG_REFUSED)) {
		o->rcode = DNS_REFUSED;
	} else if (!n || n->nxdomain) {
		o->rcode = DNS_NXDOMAIN;
		put_soa(a, name, n);
	} else if (n->cname) {
		put_cname(a, n);
		a->owner = n->cname;
		return q->type != DNS_CNAME && !n->no_chase;
	} else {
		put_records(a, n, q->type, nth);
		if (a->answers == before)
			put_soa(a, name, n);
	}
	return false;
}

static void look_up(struct answer *a, const struct dns_query *q, struct dns_outcome *o)
{
	const char *name = q->name;

	for (int depth = 0; depth <= CNAME_DEPTH && look_at(a, name, q, o); depth++)
		name = a->owner;
}

static void put_opt(struct buf *out, uint8_t rcode)
{
	buf_putc(out, 0);
	put16(out, DNS_OPT);
	put16(out, DNS_UDP_OURS);
	put16(out, (unsigned)(rcode >> 4) << 8);
	put16(out, 0);
	put16(out, 0);
}

static void fill_header(
	const struct dns_query *q, const struct answer *a, const struct dns_outcome *o, bool edns, uint8_t *at)
{
	unsigned flags = 0x8000 | (q->flags & 0x7900) | 0x0400 | (o->truncated ? 0x0200 : 0) | (o->rcode & 15);
	unsigned words[6] = { q->id, flags, q->question_len ? 1 : 0, a->answers, a->authorities, edns ? 1 : 0 };

	for (int i = 0; i < 6; i++) {
		at[i * 2] = (uint8_t)(words[i] >> 8);
		at[i * 2 + 1] = (uint8_t)words[i];
	}
}

static bool was_wrong(const struct dns_outcome *o, enum wrong_place what)
{
	return o->wrong & 1u << what;
}

/* Once the message is complete: what is wrong with it as a whole. */
static void spoil(struct buf *out, size_t start, const struct dns_query *q, const struct dns_outcome *o)
{
	uint8_t *message = out->data + start;

	if (was_wrong(o, WRONG_ID))
		message[0] ^= 0x55;
	if (was_wrong(o, WRONG_QUESTION) && q->question_len > 5)
		message[DNS_HEADER + 1] ^= 1; /* a letter becomes another: of a name it stays one */
	if (was_wrong(o, WRONG_CUT))
		out->len = start + DNS_HEADER + (out->len - start - DNS_HEADER) / 2;
}

void dns_answer(const struct desc *d, struct dns_memory *memory, const struct dns_query *q, const uint8_t *message,
	bool tcp, struct buf *out, struct dns_outcome *o)
{
	struct answer a = { .d = d, .out = out, .memory = memory, .start = out->len };
	size_t start = out->len, body = start + DNS_HEADER + q->question_len;
	size_t limit = tcp ? DNS_MESSAGE_MAX : q->payload;
	bool edns = q->edns;

	*o = (struct dns_outcome){ .rcode = q->rcode };
	buf_append(out, "\0\0\0\0\0\0\0\0\0\0\0", DNS_HEADER);
	buf_append(out, message + DNS_HEADER, q->question_len);
	if (!q->rcode)
		look_up(&a, q, o);
	if (o->dropped) {
		out->len = start;
		return;
	}
	if (was_wrong(o, WRONG_FORMERR_EDNS) && edns) { /* as who never heard of it */
		o->rcode = DNS_FORMERR;
		edns = false;
	}
	bool is_bare = o->rcode == DNS_SERVFAIL || o->rcode == DNS_FORMERR || o->rcode == DNS_REFUSED;
	bool is_cut = out->err || out->len - start + (edns ? 11 : 0) > limit || (was_wrong(o, WRONG_TRUNCATED) && !tcp);
	if (is_bare || is_cut) {
		out->err = ERR_OK; /* what does not fit is cut off; over TCP too, though nobody can help that */
		o->truncated = !is_bare;
		out->len = body;
		a.answers = a.authorities = 0;
	}
	if (edns)
		put_opt(out, o->rcode);
	o->answers = a.answers;
	fill_header(q, &a, o, edns, out->data + start);
	spoil(out, start, q, o);
}
