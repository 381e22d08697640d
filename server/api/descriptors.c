#include "server/api/descriptors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "server/base/buf.h"

#define NAME_MAX_BYTES 512 /* a full name */
#define NESTING_MAX 16	   /* messages in messages */

typedef Google__Protobuf__FileDescriptorProto FileProto;
typedef Google__Protobuf__DescriptorProto MessageProto;
typedef Google__Protobuf__EnumDescriptorProto EnumProto;
typedef Google__Protobuf__ServiceDescriptorProto ServiceProto;

struct symbol {
	UT_hash_handle hh;
	int file;
	char name[];
};

struct file {
	const uint8_t *bytes;
	size_t len;
	char *name;
	int *imports;
	size_t import_count;
};

struct descriptors {
	struct file *files;
	size_t file_count;
	struct symbol *symbols;
	const struct symbol **services;
	size_t service_count;
};

/* ---- building ---- */

/* While one file is walked: the name so far grows and shrinks. */
struct walk {
	struct descriptors *d;
	int file;
	struct buf name;
	err_t err; /* the first */
};

static void fail(struct walk *w, err_t err)
{
	if (!w->err)
		w->err = err;
}

/* Appends ".name" and returns where the scope ended before. */
static size_t enter(struct walk *w, const char *name)
{
	size_t before = w->name.len;
	if (before > 0)
		buf_putc(&w->name, '.');
	buf_puts(&w->name, name ? name : "");
	return before;
}

static void leave(struct walk *w, size_t before)
{
	w->name.len = before;
}

static const struct symbol *put_symbol(struct walk *w)
{
	size_t len = w->name.len;
	struct symbol *s = w->name.err || w->err ? NULL : malloc(sizeof *s + len + 1);
	if (!s) {
		fail(w, w->name.err ? w->name.err : ERR_NOMEM);
		return NULL;
	}
	s->file = w->file;
	memcpy(s->name, w->name.data, len);
	s->name[len] = '\0';
	const struct symbol *old;
	HASH_FIND(hh, w->d->symbols, s->name, len, old);
	if (old) {
		free(s);
		return old;
	}
	HASH_ADD_KEYPTR(hh, w->d->symbols, s->name, len, s);
	if (!s->hh.tbl) {
		free(s);
		fail(w, ERR_NOMEM);
		return NULL;
	}
	return s;
}

static void put_leaf(struct walk *w, const char *name)
{
	size_t before = enter(w, name);
	put_symbol(w);
	leave(w, before);
}

/* An enum's values are named in the scope around it. */
static void walk_enum(struct walk *w, const EnumProto *e)
{
	put_leaf(w, e->name);
	for (size_t i = 0; i < e->n_value; i++)
		put_leaf(w, e->value[i]->name);
}

static void walk_message(struct walk *w, const MessageProto *m, int depth)
{
	if (depth > NESTING_MAX) {
		fail(w, ERR_CORRUPT);
		return;
	}
	size_t before = enter(w, m->name);
	put_symbol(w);
	for (size_t i = 0; i < m->n_field; i++)
		put_leaf(w, m->field[i]->name);
	for (size_t i = 0; i < m->n_oneof_decl; i++)
		put_leaf(w, m->oneof_decl[i]->name);
	for (size_t i = 0; i < m->n_extension; i++)
		put_leaf(w, m->extension[i]->name);
	for (size_t i = 0; i < m->n_enum_type; i++)
		walk_enum(w, m->enum_type[i]);
	for (size_t i = 0; i < m->n_nested_type; i++)
		walk_message(w, m->nested_type[i], depth + 1);
	leave(w, before);
}

static void walk_service(struct walk *w, const ServiceProto *service)
{
	struct descriptors *d = w->d;
	size_t before = enter(w, service->name);
	const struct symbol *s = put_symbol(w);
	const struct symbol **more = s ? realloc(d->services, (d->service_count + 1) * sizeof *more) : NULL;
	if (more) {
		d->services = more;
		d->services[d->service_count++] = s;
	} else
		fail(w, ERR_NOMEM);
	for (size_t i = 0; i < service->n_method; i++)
		put_leaf(w, service->method[i]->name);
	leave(w, before);
}

static void walk_file(struct walk *w, const FileProto *f)
{
	if (f->package && f->package[0])
		enter(w, f->package);
	for (size_t i = 0; i < f->n_message_type; i++)
		walk_message(w, f->message_type[i], 0);
	for (size_t i = 0; i < f->n_enum_type; i++)
		walk_enum(w, f->enum_type[i]);
	for (size_t i = 0; i < f->n_extension; i++)
		put_leaf(w, f->extension[i]->name);
	for (size_t i = 0; i < f->n_service; i++)
		walk_service(w, f->service[i]);
}

/* protoc writes a file behind those it imports. */
static err_t link_imports(struct descriptors *d, struct file *file, const FileProto *f)
{
	file->imports = calloc(f->n_dependency + 1, sizeof *file->imports);
	if (!file->imports)
		return ERR_NOMEM;
	for (size_t i = 0; i < f->n_dependency; i++) {
		int import = descriptors_by_filename(d, f->dependency[i]);
		if (import < 0)
			return ERR_CORRUPT;
		file->imports[file->import_count++] = import;
	}
	return ERR_OK;
}

static err_t add_file(struct descriptors *d, const uint8_t *bytes, size_t len)
{
	FileProto *f = google__protobuf__file_descriptor_proto__unpack(NULL, len, bytes);
	if (!f || !f->name) {
		if (f)
			google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
		return ERR_CORRUPT;
	}
	err_t err = ERR_NOMEM;
	struct file *more = realloc(d->files, (d->file_count + 1) * sizeof *more);
	if (more) {
		d->files = more;
		struct file *file = &d->files[d->file_count];
		*file = (struct file){ .bytes = bytes, .len = len, .name = strdup(f->name) };
		struct walk w = { .d = d, .file = (int)d->file_count, .name = BUF_INIT(NAME_MAX_BYTES) };
		err = file->name ? link_imports(d, file, f) : ERR_NOMEM;
		d->file_count++;
		if (!err)
			walk_file(&w, f);
		if (!err)
			err = w.err;
		buf_free(&w.name);
	}
	google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
	return err;
}

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
		uint8_t byte = *(*at)++;
		*out |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/* The set has one field, file = 1, length-delimited; each file's bytes are served as they are. */
err_t descriptors_new(const uint8_t *set, size_t len, struct descriptors **out)
{
	struct descriptors *d = calloc(1, sizeof *d);
	if (!d)
		return ERR_NOMEM;
	err_t err = ERR_OK;
	const uint8_t *at = set, *end = set + len;
	while (!err && at < end) {
		uint64_t tag, size;
		if (!read_varint(&at, end, &tag) || tag != (1 << 3 | 2) || !read_varint(&at, end, &size) ||
			size > (uint64_t)(end - at))
			err = ERR_CORRUPT;
		else {
			err = add_file(d, at, (size_t)size);
			at += size;
		}
	}
	if (err)
		descriptors_free(d);
	else
		*out = d;
	return err;
}

void descriptors_free(struct descriptors *d)
{
	if (!d)
		return;
	struct symbol *s, *next;
	HASH_ITER (hh, d->symbols, s, next) {
		HASH_DEL(d->symbols, s);
		free(s);
	}
	for (size_t i = 0; i < d->file_count; i++) {
		free(d->files[i].name);
		free(d->files[i].imports);
	}
	free(d->files);
	free(d->services);
	free(d);
}

/* ---- looking up ---- */

int descriptors_by_filename(const struct descriptors *d, const char *name)
{
	for (size_t i = 0; i < d->file_count; i++)
		if (strcmp(d->files[i].name, name) == 0)
			return (int)i;
	return -1;
}

int descriptors_by_symbol(const struct descriptors *d, const char *symbol)
{
	const struct symbol *s;
	HASH_FIND_STR(d->symbols, symbol, s);
	return s ? s->file : -1;
}

size_t descriptors_file_count(const struct descriptors *d)
{
	return d->file_count;
}

const uint8_t *descriptors_file(const struct descriptors *d, int file, size_t *len)
{
	*len = d->files[file].len;
	return d->files[file].bytes;
}

size_t descriptors_closure(const struct descriptors *d, int file, int *order)
{
	size_t count = 0;
	order[count++] = file;
	for (size_t next = 0; next < count; next++) {
		const struct file *f = &d->files[order[next]];
		for (size_t i = 0; i < f->import_count; i++) {
			size_t k = 0;
			while (k < count && order[k] != f->imports[i])
				k++;
			if (k == count)
				order[count++] = f->imports[i];
		}
	}
	return count;
}

size_t descriptors_service_count(const struct descriptors *d)
{
	return d->service_count;
}

const char *descriptors_service(const struct descriptors *d, size_t i)
{
	return d->services[i]->name;
}
