#pragma once
/* What a FileDescriptorSet says, for looking up: files by name and by the symbols defined in them. Built once from
 * bytes that were compiled in and stay; const from then on, any thread. */
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"

struct descriptors;

/* ERR_CORRUPT: no FileDescriptorSet, or an import is missing in it. */
MUST_CHECK err_t descriptors_new(const uint8_t *set, size_t len, struct descriptors **);
void descriptors_free(struct descriptors *);

/* Indexes of files; -1: none. A symbol is the full name of a message, enum, enum value, field, oneof, extension,
 * service or method, without a leading dot. */
int descriptors_by_filename(const struct descriptors *, const char *name);
int descriptors_by_symbol(const struct descriptors *, const char *symbol);

size_t descriptors_file_count(const struct descriptors *);
/* The serialised FileDescriptorProto. */
const uint8_t *descriptors_file(const struct descriptors *, int file, size_t *len);
/* The file itself, then all it needs, each once, into order[descriptors_file_count()]; returns how many. */
size_t descriptors_closure(const struct descriptors *, int file, int *order);

size_t descriptors_service_count(const struct descriptors *);
const char *descriptors_service(const struct descriptors *, size_t i); /* full name */
