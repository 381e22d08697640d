/* A DNS message as the answer to a question. The first byte says which question: the type, and one of a few names. */
#include <string.h>

#include "server/dns/answer.h"
#include "tests/fuzz/fuzz.h"

static void check_mx(const struct answer *a)
{
	MUST(a->count <= ROUTE_HOSTS_MAX);
	for (unsigned i = 0; i < a->count; i++) {
		const struct answer_mx *mx = &a->mx[i];
		MUST(memchr(mx->name, 0, sizeof mx->name) && mx->name[0] && !has_control(mx->name, strlen(mx->name)));
		MUST(!mx->usable || answer_host_name_ok(mx->name));
		MUST(!i || a->mx[i - 1].preference <= mx->preference);
		for (unsigned k = 0; k < i; k++)
			MUST(strcmp(a->mx[k].name, mx->name) != 0);
	}
}

static void check(const struct answer *a, const char *name, enum dns_type type)
{
	static const struct answer NOTHING;
	MUST(a->kind <= ANSWER_NXDOMAIN);
	if (a->kind == ANSWER_FAILURE) {
		MUST(memcmp(a, &NOTHING, sizeof *a) == 0);
		return;
	}
	MUST(a->cname_count <= ANSWER_CNAME_MAX && memchr(a->target, 0, sizeof a->target));
	MUST(a->cname_count || strcmp(a->target, name) == 0);
	MUST((a->kind == ANSWER_FOUND) == (a->count || a->null_mx));
	MUST(a->kind != ANSWER_CNAME || a->cname_count);
	if (type == DNS_MX) {
		check_mx(a);
		return;
	}
	MUST(a->count <= ROUTE_ADDRESSES_MAX && !a->null_mx);
	for (unsigned i = 0; i < a->count; i++)
		MUST(a->address[i].v6 == (type == DNS_AAAA));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const enum dns_type TYPES[] = { DNS_MX, DNS_A, DNS_AAAA };
	static const char *const NAMES[] = { "d.example", "mx.d.example", "example", "" };
	struct choices c = { data, len };
	unsigned question = choose(&c, 12);
	enum dns_type type = TYPES[question % 3];
	static const struct answer EMPTY;
	struct answer *a = copied(&EMPTY, sizeof EMPTY);
	uint8_t *msg = copied(c.at, c.left);
	answer_parse(msg, c.left, NAMES[question / 3], type, a);
	check(a, NAMES[question / 3], type);
	free(msg);
	free(a);
	return 0;
}
