#include "cli/columns.h"

#include <string.h>
#include <strings.h>

#include "cli/heading.h"
#include "cli/text.h"

#define COLUMNS_NAMED 30u /* columns that a message names */

void columns_add(struct columns *c, const void *name, size_t n)
{
	buf_append(&c->names, name, strnlen(name, n));
	buf_putc(&c->names, 0);
	c->count++;
}

static const char *next_name(const char *name)
{
	return name + strlen(name) + 1;
}

/* ---- finding ---- */

static size_t find(const struct columns *c, bool (*is)(const char *name, const char *wanted), const char *wanted)
{
	const char *name = (const char *)c->names.data;
	size_t i = 0;
	for (; i < c->count && !is(name, wanted); i++)
		name = next_name(name);
	return i;
}

static bool same(const char *name, const char *wanted)
{
	return strcmp(name, wanted) == 0;
}

static bool same_but_case(const char *name, const char *wanted)
{
	return strcasecmp(name, wanted) == 0;
}

static bool by_its_name(const char *name, const char *wanted)
{
	(void)wanted;
	return heading_names_address(name);
}

static void name_them(const struct columns *c, struct buf *why)
{
	buf_puts(why, ". The columns it has: ");
	size_t i = 0;
	for (const char *name = (const char *)c->names.data; i < c->count && i < COLUMNS_NAMED; i++) {
		buf_printf(why, "%s%.60s", i ? ", " : "", *name ? name : "(no name)");
		name = next_name(name);
	}
	if (i < c->count)
		buf_printf(why, ", and %zu more", c->count - i);
	if (c->names.data && memchr(c->names.data, '@', c->names.len))
		buf_puts(why, ". Its first line looks like data: a CSV needs a header");
}

size_t columns_choose(const struct columns *c, const char *wanted, struct buf *why)
{
	size_t i = find(c, wanted ? same : by_its_name, wanted);
	if (wanted && i == c->count)
		i = find(c, same_but_case, wanted);
	if (!wanted && i == c->count && c->count == 1)
		i = 0;
	if (i < c->count)
		return i;
	if (wanted)
		buf_printf(why, "it has no column '%.60s'", wanted);
	else
		buf_puts(why, "no column is named email, e-mail, mail or address; say which with --column");
	name_them(c, why);
	return i;
}

bool columns_has(const struct columns *c, const char *name)
{
	return find(c, same_but_case, name) < c->count;
}

/* ---- the heading, put out again ---- */

void columns_heading(const struct columns *c, struct buf *out)
{
	const char *name = (const char *)c->names.data;
	for (size_t i = 0; i < c->count; i++) {
		text_csv_kept(out, name, strlen(name));
		buf_putc(out, ',');
		name = next_name(name);
	}
}
