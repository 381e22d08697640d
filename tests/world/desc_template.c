/* One line for many names: `d{1-5000}.example` stands for each of them, and `{}` in what is said of it for its number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/world/desc_read.h"

#define TEMPLATE_MAX 100000

static const char HOW[] =
	"allowed: {FROM-TO} once in a name, such as d{1-100}.example, at most 100000, and {} below it";

bool template_range(struct yml *y, yaml_node_t *node, struct template *t)
{
	const char *text = yml_scalar(y, node), *open = strchr(text, '{');
	unsigned from, to;
	int end = 0;

	if (!open || open[1] == '}')
		return false;
	if (sscanf(open, "{%6u-%6u}%n", &from, &to, &end) != 2 || !end || from > to || to - from >= TEMPLATE_MAX ||
		strchr(open + end, '{')) {
		yml_fail(y, node, "%s is no range of names; %s", text, HOW);
		return false;
	}
	*t = (struct template){ .from = from, .to = to, .at = from, .is_set = true };
	return true;
}

const char *template_fill(struct yml *y, yaml_node_t *node)
{
	const struct template *t = &((struct reading *)y)->template;
	const char *text = yml_scalar(y, node), *open = strchr(text, '{'), *close = open ? strchr(open, '}') : NULL;
	size_t room = strlen(text) + 11;
	char *filled;

	if (!open)
		return text;
	if (!close || !t->is_set) {
		yml_fail(y, node, "%s: {} stands for the number of a range of names; %s", text, HOW);
		return "";
	}
	filled = arena_get(y->arena, room);
	snprintf(filled, room, "%.*s%u%s", (int)(open - text), text, t->at, close + 1);
	return filled;
}

void template_each(struct yml *y, yaml_node_t *key, void (*each)(struct yml *, yaml_node_t *, yaml_node_t *, void *),
	yaml_node_t *value, void *ctx)
{
	struct template *t = &((struct reading *)y)->template, outer = *t;

	if (!template_range(y, key, t)) {
		if (!yml_failed(y))
			each(y, key, value, ctx);
		return;
	}
	for (; t->at <= t->to && !yml_failed(y); t->at++)
		each(y, key, value, ctx);
	*t = outer;
}

/* --- addresses --- */

static uint32_t low_word(const struct addr *a)
{
	const uint8_t *p = a->ip + (a->v6 ? 12 : 0);

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void set_low_word(struct addr *a, uint32_t word)
{
	uint8_t *p = a->ip + (a->v6 ? 12 : 0);

	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* FIRST-LAST, or one address. False: neither. */
static bool parse_range(const char *text, struct addr *first, struct addr *last)
{
	const char *dash = strchr(text, '-');
	char ip[ADDR_TEXT_MAX];

	if (!dash || (size_t)(dash - text) >= sizeof ip) {
		bool is_one = addr_parse(first, text);
		*last = *first;
		return is_one;
	}
	memcpy(ip, text, (size_t)(dash - text));
	ip[dash - text] = '\0';
	return addr_parse(first, ip) && addr_parse(last, dash + 1) && first->v6 == last->v6 &&
	       low_word(last) >= low_word(first) && low_word(last) - low_word(first) < 65536;
}

void read_addresses(struct yml *y, yaml_node_t *node, struct addr **addrs, size_t *n)
{
	const struct template *t = &((struct reading *)y)->template;

	for (size_t i = 0; i < yml_count(y, node) && !yml_failed(y); i++) {
		yaml_node_t *item = yml_item(y, node, i);
		const char *text = yml_scalar(y, item);
		struct addr a, last;
		if (!parse_range(text, &a, &last)) {
			yml_fail(y, item,
				"%s is no IPv4 or IPv6 address; allowed: one, or FIRST-LAST with at most 65536 between "
				"them",
				text);
			return;
		}
		uint32_t words = low_word(&last) - low_word(&a) + 1, first = low_word(&a);
		if (t->is_set) /* each name of a range has the next ones */
			first += (t->at - t->from) * words;
		for (uint32_t k = 0; k < words; k++) {
			set_low_word(&a, first + k);
			*addrs = read_grow(y, *addrs, *n, sizeof a);
			(*addrs)[(*n)++] = a;
		}
	}
}
