#include "server/dns/answer.h"

#include <string.h>

#define NAME_OCTETS_MAX 255
#define POINTERS_MAX 127 /* no name has more labels */
#define HEADER_SIZE 12
#define RECORD_FIXED_SIZE 10
#define SOA_NUMBERS_SIZE 20

struct message {
	const uint8_t *bytes;
	size_t len;
	unsigned questions, answers, authorities;
	size_t answers_at;
};

struct name {
	char text[DOMAIN_SIZE]; /* lower case; '?' for each odd byte */
	bool odd;		/* has bytes that no host name has */
};

struct record {
	struct name owner;
	unsigned type, class;
	uint32_t ttl;
	size_t data, data_len;
};

static unsigned get16(const struct message *m, size_t at)
{
	return (unsigned)m->bytes[at] << 8 | m->bytes[at + 1];
}

static uint32_t get32(const struct message *m, size_t at)
{
	return (uint32_t)get16(m, at) << 16 | get16(m, at + 2);
}

static bool host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t put_label(struct name *out, size_t n, const uint8_t *label, size_t len)
{
	if (n > 0)
		out->text[n++] = '.';
	for (size_t i = 0; i < len; i++) {
		uint8_t c = label[i];
		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + 'a' - 'A');
		bool ok = c < 0x80 && host_char((char)c);
		out->text[n++] = ok ? (char)c : '?';
		out->odd |= !ok;
	}
	return n;
}

/* Reads the name at *at and moves *at behind it. */
static bool read_name(const struct message *m, size_t *at, struct name *out)
{
	size_t p = *at, start = p, n = 0, octets = 1;
	unsigned pointers = 0;
	out->odd = false;
	for (;;) {
		if (p >= m->len)
			return false;
		uint8_t b = m->bytes[p];
		if (b >= 0xc0) {
			if (p + 1 >= m->len || pointers == POINTERS_MAX)
				return false;
			if (!pointers++)
				*at = p + 2;
			p = get16(m, p) & 0x3fff;
			if (p >= start) /* only to an earlier name, so there is no way round */
				return false;
			start = p;
			continue;
		}
		if (b > 63)
			return false;
		p++;
		if (b == 0)
			break;
		octets += b + 1u;
		if (octets > NAME_OCTETS_MAX || b > m->len - p)
			return false;
		n = put_label(out, n, m->bytes + p, b);
		p += b;
	}
	if (!pointers)
		*at = p;
	out->text[n] = 0;
	return true;
}

static bool read_record(const struct message *m, size_t *at, struct record *r)
{
	if (!read_name(m, at, &r->owner) || m->len - *at < RECORD_FIXED_SIZE)
		return false;
	r->type = get16(m, *at);
	r->class = get16(m, *at + 2);
	r->ttl = get32(m, *at + 4);
	if (r->ttl > INT32_MAX) /* RFC 2181 8 */
		r->ttl = 0;
	r->data_len = get16(m, *at + 8);
	r->data = *at + RECORD_FIXED_SIZE;
	*at = r->data;
	if (m->len - *at < r->data_len)
		return false;
	*at += r->data_len;
	return true;
}

static bool owned(const struct record *r, const char *name)
{
	return r->class == DNS_CLASS_IN && !strcmp(r->owner.text, name);
}

/* The name that fills the record's data from skip on. */
static bool read_data_name(const struct message *m, const struct record *r, size_t skip, struct name *out)
{
	size_t at = r->data + skip;
	return r->data_len > skip && read_name(m, &at, out) && at == r->data + r->data_len;
}

static bool is_ancestor(const char *zone, const char *name)
{
	size_t zone_len = strlen(zone), len = strlen(name);
	if (!zone_len)
		return true;
	if (zone_len > len || strcmp(name + len - zone_len, zone))
		return false;
	return zone_len == len || name[len - zone_len - 1] == '.';
}

bool answer_host_name_ok(const char *name)
{
	size_t len = strlen(name), label = 0;
	bool digits = true;
	if (len >= DOMAIN_SIZE)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
			digits = true;
			continue;
		}
		if (!host_char(name[i]) || ++label > 63)
			return false;
		digits &= name[i] >= '0' && name[i] <= '9';
	}
	return label > 0 && !digits;
}

static void drop_mx(struct answer *out, unsigned i)
{
	memmove(&out->mx[i], &out->mx[i + 1], (--out->count - i) * sizeof(out->mx[0]));
}

static void add_mx(struct answer *out, unsigned preference, const struct name *host)
{
	for (unsigned i = 0; i < out->count; i++) {
		if (strcmp(out->mx[i].name, host->text))
			continue;
		if (out->mx[i].preference <= preference)
			return;
		drop_mx(out, i);
		break;
	}
	unsigned place = out->count;
	while (place > 0 && out->mx[place - 1].preference > preference)
		place--;
	if (place == ROUTE_HOSTS_MAX)
		return;
	if (out->count == ROUTE_HOSTS_MAX)
		drop_mx(out, ROUTE_HOSTS_MAX - 1);
	struct answer_mx *mx = &out->mx[place];
	memmove(mx + 1, mx, (out->count++ - place) * sizeof(*mx));
	mx->preference = (uint16_t)preference;
	mx->usable = !host->odd && answer_host_name_ok(host->text);
	memcpy(mx->name, host->text, sizeof(mx->name));
}

/* A record of the type asked for. */
static bool take_record(const struct message *m, const struct record *r, struct answer *out)
{
	if (r->type == DNS_MX) {
		struct name host = { .odd = false };
		if (!read_data_name(m, r, 2, &host))
			return false;
		if (host.text[0])
			add_mx(out, get16(m, r->data), &host);
		else
			out->null_mx = true;
		return true;
	}
	size_t size = r->type == DNS_A ? 4 : 16;
	if (r->data_len != size)
		return false;
	if (out->count == ROUTE_ADDRESSES_MAX)
		return true;
	struct ip *ip = &out->address[out->count++];
	*ip = (struct ip){ .v6 = r->type == DNS_AAAA };
	memcpy(ip->bytes, m->bytes + r->data, size);
	return true;
}

static void note_ttl(struct answer *out, uint32_t ttl)
{
	if (ttl < out->ttl_s)
		out->ttl_s = ttl;
}

/* Takes the records that out->target owns. *alias: where it is an alias for, if no record was found. False: malformed.
 */
static bool take_owned(
	const struct message *m, enum dns_type type, struct answer *out, struct name *alias, bool *is_alias)
{
	size_t at = m->answers_at;
	uint32_t alias_ttl = 0;
	*is_alias = false;
	for (unsigned i = 0; i < m->answers; i++) {
		struct record r;
		if (!read_record(m, &at, &r))
			return false;
		if (!owned(&r, out->target))
			continue;
		if (r.type == (unsigned)type) {
			if (!take_record(m, &r, out))
				return false;
			note_ttl(out, r.ttl);
		} else if (r.type == DNS_CNAME && !*is_alias) {
			if (!read_data_name(m, &r, 0, alias))
				return false;
			alias_ttl = r.ttl;
			*is_alias = true;
		}
	}
	if (out->count || out->null_mx)
		*is_alias = false;
	if (*is_alias)
		note_ttl(out, alias_ttl);
	return true;
}

/* Walks the aliases from out->target on and takes what the last one owns. */
static bool follow(const struct message *m, enum dns_type type, struct answer *out)
{
	struct name alias = { .odd = false };
	bool is_alias;
	for (;;) {
		if (!take_owned(m, type, out, &alias, &is_alias))
			return false;
		if (!is_alias)
			return true;
		if (++out->cname_count > ANSWER_CNAME_MAX || alias.odd || !alias.text[0])
			return false;
		memcpy(out->target, alias.text, sizeof(out->target));
	}
}

/* What the authority section says about there being nothing. False: malformed. */
static bool read_authority(
	const struct message *m, const struct answer *out, const char *name, bool *has_soa, bool *has_ns, uint32_t *ttl)
{
	size_t at = m->answers_at;
	*has_soa = *has_ns = false;
	for (unsigned i = 0; i < m->answers + m->authorities; i++) {
		struct record r;
		if (!read_record(m, &at, &r))
			return false;
		if (i < m->answers || r.class != DNS_CLASS_IN)
			continue;
		if (r.type == DNS_NS)
			*has_ns = true;
		if (r.type != DNS_SOA || *has_soa)
			continue;
		if (!is_ancestor(r.owner.text, out->target) && !is_ancestor(r.owner.text, name))
			continue;
		if (r.data_len < SOA_NUMBERS_SIZE)
			return false;
		uint32_t minimum = get32(m, r.data + r.data_len - 4);
		*ttl = minimum < r.ttl ? minimum : r.ttl; /* RFC 2308 5 */
		*has_soa = true;
	}
	return true;
}

static bool read_header(const uint8_t *msg, size_t len, struct message *m, unsigned *flags)
{
	*m = (struct message){ .bytes = msg, .len = len };
	if (len < HEADER_SIZE)
		return false;
	*flags = get16(m, 2);
	m->questions = get16(m, 4);
	m->answers = get16(m, 6);
	m->authorities = get16(m, 8);
	if (m->questions != 1 || m->answers + m->authorities > ANSWER_RECORDS_MAX)
		return false;
	size_t at = HEADER_SIZE;
	struct name question;
	if (!read_name(m, &at, &question) || len - at < 4)
		return false;
	m->answers_at = at + 4;
	return true;
}

static enum answer_kind judge(
	const struct message *m, unsigned flags, const char *name, enum dns_type type, struct answer *out)
{
	enum { RESPONSE = 0x8000, OPCODE = 0x7800, AUTHORITATIVE = 0x0400, TRUNCATED = 0x0200, CODE = 0x000f };
	enum { NOERROR = 0, NXDOMAIN = 3 };
	unsigned code = flags & CODE;
	if (!(flags & RESPONSE) || (flags & (OPCODE | TRUNCATED)) || (code != NOERROR && code != NXDOMAIN))
		return ANSWER_FAILURE;
	if (!follow(m, type, out))
		return ANSWER_FAILURE;
	bool has_soa, has_ns;
	uint32_t negative_ttl = 0;
	if (code == NOERROR && (out->count || out->null_mx))
		return ANSWER_FOUND;
	out->count = 0; /* records beside NXDOMAIN: the code decides */
	out->null_mx = false;
	if (!read_authority(m, out, name, &has_soa, &has_ns, &negative_ttl))
		return ANSWER_FAILURE;
	if (code == NOERROR && out->cname_count && !has_soa)
		return ANSWER_CNAME;
	if (code == NOERROR && has_ns && !has_soa && !(flags & AUTHORITATIVE))
		return ANSWER_FAILURE; /* a referral: whether there is such a record is not known */
	if (code == NOERROR && m->answers && !out->cname_count && !has_soa)
		return ANSWER_FAILURE; /* records that nobody asked for do not say that there is none of this name */
	note_ttl(out, negative_ttl);
	return code == NXDOMAIN ? ANSWER_NXDOMAIN : ANSWER_NODATA;
}

void answer_parse(const uint8_t *msg, size_t len, const char *name, enum dns_type type, struct answer *out)
{
	struct message m;
	unsigned flags;
	memset(out, 0, sizeof(*out));
	size_t name_len = strlen(name);
	if (name_len >= sizeof(out->target) || !read_header(msg, len, &m, &flags))
		return;
	memcpy(out->target, name, name_len + 1);
	out->ttl_s = UINT32_MAX;
	enum answer_kind kind = judge(&m, flags, name, type, out);
	if (kind == ANSWER_FAILURE)
		memset(out, 0, sizeof(*out));
	out->kind = kind;
}
