#pragma once
/* A test's own folder, with all that is in it. */
#include <stddef.h>

void folder_make(char *out, size_t room); /* fails the test if it cannot */
void folder_remove(const char *path);	  /* stays with PROPERTY_KEEP=1 */
