#include "server/base/edit.h"

#include <string.h>

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned edit_distance(const char *a, const char *b, unsigned limit)
{
	size_t n = strnlen(a, EDIT_TEXT_MAX + 1), m = strnlen(b, EDIT_TEXT_MAX + 1);
	if (n > EDIT_TEXT_MAX || m > EDIT_TEXT_MAX || (n > m ? n - m : m - n) > limit)
		return limit + 1;
	unsigned rows[3][EDIT_TEXT_MAX + 1]; /* row i lives in rows[i % 3]: a swap looks two back */
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned cost = above[j - 1] + (a[i - 1] != b[j - 1]);
			cost = least(cost, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				cost = least(cost, two_above[j - 2] + 1);
			row[j] = cost;
		}
	}
	return least(rows[n % 3][m], limit + 1);
}
