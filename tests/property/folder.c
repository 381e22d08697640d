#include "tests/property/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <ftw.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void folder_make(char *out, size_t room)
{
	const char *tmp = getenv("TEST_TMPDIR");
	snprintf(out, room, "%s/propertyXXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(out));
}

void folder_remove(const char *path)
{
	const char *keep = getenv("PROPERTY_KEEP");
	if (!keep || !*keep)
		nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
