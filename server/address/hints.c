#include "server/address/hints.h"

#include <stdint.h>
#include <string.h>

#include "server/address/disposable_domains.h"
#include "server/address/free_domains.h"
#include "server/address/popular_domains.h"
#include "server/address/role_locals.h"
#include "server/address/text.h"
#include "server/base/edit.h"

#define LOCAL_PART_MAX 64 /* octets; a folded one may be longer, no role is */

/* From this length on a name is long enough for two slips of the finger. */
#define LONG_DOMAIN 11
/* A first label shorter than this is one edit away from too much ("me.com", "gmx.de"). */
#define SHORT_LABEL 5

/* Takes the next line of a list off its front, without the line break; n is 0 for a comment. False at the end. */
static bool take_line(struct span *list, struct span *line)
{
	if (!list->n)
		return false;
	const uint8_t *end = memchr(list->at, '\n', list->n);
	*line = (struct span){ list->at, end ? (size_t)(end - list->at) : list->n };
	size_t taken = line->n + (end != NULL);
	list->at += taken;
	list->n -= taken;
	if (line->n && line->at[0] == '#')
		line->n = 0;
	return true;
}

static int compare(struct span a, struct span b)
{
	int order = memcmp(a.at, b.at, a.n < b.n ? a.n : b.n);
	return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* Binary search in the text itself, whose lines are sorted by octets behind the comments at its head: no index to
 * build, to hold or to free. */
static bool is_listed(const unsigned char *text, size_t size, struct span word)
{
	struct span list = { text, size };
	while (list.n && list.at[0] == '#') {
		struct span comment;
		take_line(&list, &comment);
	}
	while (list.n) {
		size_t middle = list.n / 2;
		while (middle && list.at[middle - 1] != '\n')
			middle--;
		struct span rest = { list.at + middle, list.n - middle }, line;
		take_line(&rest, &line);
		int order = compare(word, line);
		if (!order)
			return true;
		if (order < 0)
			list.n = middle;
		else
			list = rest;
	}
	return false;
}

#define IS_LISTED(list, word) is_listed(list, list##_size, word)

static struct span span_of(const char *text)
{
	return (struct span){ (const uint8_t *)text, strlen(text) };
}

/* "Info+list", "no-reply" and "no_reply" stand in the list as "info" and "noreply". */
static bool is_role(const struct address *a)
{
	struct buf key = BUF_INIT(1024);
	char word[LOCAL_PART_MAX];
	size_t n = 0;
	address_exempt_key(a, &key); /* unquoted and folded, which is what is wanted here as well */
	size_t end = key.err ? 0 : key.len - strlen(a->domain) - 1;
	for (size_t i = 0; i < end && n < sizeof word; i++) {
		if (key.data[i] == '+' && i)
			break;
		if (!strchr(".-_", key.data[i]))
			word[n++] = (char)key.data[i];
	}
	buf_free(&key);
	return n && n < sizeof word && IS_LISTED(role_locals, ((struct span){ (const uint8_t *)word, n }));
}

/* Whoever gives out mailboxes below one domain often does so below each of its subdomains. */
static bool is_disposable(const char *domain)
{
	for (const char *dot; (dot = strchr(domain, '.')) != NULL; domain = dot + 1)
		if (IS_LISTED(disposable_domains, span_of(domain)))
			return true;
	return false;
}

/* One bit for each kind of octet in the word. An edit changes at most two. */
static uint64_t octets_in(struct span word)
{
	uint64_t set = 0;
	for (size_t i = 0; i < word.n; i++)
		set |= 1ULL << (word.at[i] & 63);
	return set;
}

static bool is_near(struct span domain, uint64_t octets, struct span popular, unsigned limit)
{
	size_t longer = domain.n > popular.n ? domain.n - popular.n : popular.n - domain.n;
	return longer <= limit && __builtin_popcountll(octets ^ octets_in(popular)) <= 2 * (int)limit;
}

/* The popular domain nearest to this one, the more popular of two; into out. */
static bool find_popular(const char *domain, char out[DOMAIN_SIZE])
{
	struct span given = span_of(domain), list = { popular_domains, popular_domains_size }, line;
	uint64_t octets = octets_in(given);
	unsigned best = 3;
	while (best && take_line(&list, &line)) {
		char popular[EDIT_TEXT_MAX + 1];
		unsigned limit = line.n >= LONG_DOMAIN ? 2 : 1;
		if (!line.n || line.n >= sizeof popular || !is_near(given, octets, line, limit))
			continue;
		memcpy(popular, line.at, line.n);
		popular[line.n] = 0;
		unsigned distance = edit_distance(domain, popular, limit);
		if (distance > limit || distance >= best || (distance && strcspn(popular, ".") < SHORT_LABEL))
			continue;
		best = distance;
		memcpy(out, popular, line.n + 1);
	}
	return best < 3;
}

/* Last labels that do not exist and the one that was meant. */
static const char *const TLD_TYPOS[][2] = {
	{ "con", "com" },
	{ "cmo", "com" },
	{ "ocm", "com" },
	{ "vom", "com" },
	{ "xom", "com" },
	{ "comm", "com" },
	{ "coom", "com" },
	{ "ccom", "com" },
	{ "conm", "com" },
	{ "comn", "com" },
	{ "cpm", "com" },
	{ "clm", "com" },
	{ "c0m", "com" },
	{ "cim", "com" },
	{ "nte", "net" },
	{ "ner", "net" },
	{ "ent", "net" },
	{ "nett", "net" },
	{ "nrt", "net" },
	{ "ogr", "org" },
	{ "orgg", "org" },
	{ "orq", "org" },
	{ "rog", "org" },
};

/* The domain with a last label that exists, into out; false when it has one already or another is not known. */
static bool mend_tld(const char *domain, char out[DOMAIN_SIZE])
{
	const char *tld = strrchr(domain, '.') + 1; /* a parsed domain has a dot */
	size_t before = (size_t)(tld - domain);
	for (size_t i = 0; i < sizeof TLD_TYPOS / sizeof *TLD_TYPOS; i++) {
		if (strcmp(tld, TLD_TYPOS[i][0]) != 0)
			continue;
		size_t n = strlen(TLD_TYPOS[i][1]);
		if (before + n >= DOMAIN_SIZE)
			return false;
		memcpy(out, domain, before);
		memcpy(out + before, TLD_TYPOS[i][1], n + 1);
		return true;
	}
	return false;
}

static void suggest(const char *domain, char out[DOMAIN_SIZE])
{
	char mended[DOMAIN_SIZE];
	bool typo = mend_tld(domain, mended);
	const char *likely = typo ? mended : domain;
	if (IS_LISTED(free_domains, span_of(likely)) || !find_popular(likely, out))
		memcpy(out, likely, strlen(likely) + 1);
	if (strcmp(out, domain) == 0)
		out[0] = 0;
}

struct hints hints_of(const struct address *a)
{
	struct hints h = {
		.role = is_role(a),
		.disposable = is_disposable(a->domain),
		.free = IS_LISTED(free_domains, span_of(a->domain)),
	};
	if (!h.free)
		suggest(a->domain, h.suggestion);
	return h;
}
