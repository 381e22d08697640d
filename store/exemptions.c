#include "store/exemptions.h"

#include <stdlib.h>
#include <string.h>

#include "rcptd/store/v1/records.pb-c.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "store/internal.h"
#include "store/ulid.h"

typedef Rcptd__Store__V1__ExemptionRecord exemption_record;
typedef Rcptd__Store__V1__RevocationRecord revocation_record;

#define ID_BYTES (EXEMPTION_ID_MAX - 1)

/* ---- records ---- */

static bool take_bytes(char *to, size_t size, const ProtobufCBinaryData *from)
{
	if (from->len >= size || memchr(from->data ? from->data : (uint8_t *)"", 0, from->len))
		return false;
	if (from->len)
		memcpy(to, from->data, from->len);
	to[from->len] = 0;
	return true;
}

static bool take_string(char *to, size_t size, const char *from)
{
	ProtobufCBinaryData bytes = { strlen(from), (uint8_t *)from };
	return take_bytes(to, size, &bytes);
}

static err_t decode_exemption(const MDB_val *key, const MDB_val *value, struct exemption *x)
{
	exemption_record *r = rcptd__store__v1__exemption_record__unpack(NULL, value->mv_size, value->mv_data);
	if (!r)
		return ERR_CORRUPT;
	struct key expect;
	memset(x, 0, sizeof *x);
	bool ok = take_string(x->id, sizeof x->id, r->id) && take_string(x->domain, sizeof x->domain, r->domain) &&
		  take_bytes(x->by, sizeof x->by, &r->by) && take_bytes(x->note, sizeof x->note, &r->note) &&
		  ulid_valid(x->id) && !key_of_domain(&expect, x->domain);
	x->created_ms = r->created_ms;
	if (ok) {
		key_append(&expect, x->id, ID_BYTES);
		ok = key->mv_size == expect.len && memcmp(key->mv_data, expect.bytes, expect.len) == 0;
	}
	rcptd__store__v1__exemption_record__free_unpacked(r, NULL);
	return ok ? ERR_OK : ERR_CORRUPT;
}

static err_t decode_revocation(const MDB_val *value, struct exemption *x)
{
	revocation_record *r = rcptd__store__v1__revocation_record__unpack(NULL, value->mv_size, value->mv_data);
	if (!r)
		return ERR_CORRUPT;
	x->revoked_ms = r->revoked_ms;
	bool ok = r->revoked_ms > 0 && strcmp(r->id, x->id) == 0 &&
		  take_bytes(x->revoked_by, sizeof x->revoked_by, &r->by) &&
		  take_bytes(x->revoke_note, sizeof x->revoke_note, &r->note);
	rcptd__store__v1__revocation_record__free_unpacked(r, NULL);
	return ok ? ERR_OK : ERR_CORRUPT;
}

static struct key key_of_id(const void *id)
{
	struct key k = { .len = ID_BYTES };
	memcpy(k.bytes, id, ID_BYTES);
	return k;
}

/* The record with its revocation, if it has one. */
static err_t load(struct txn *txn, const MDB_val *key, const MDB_val *value, struct exemption *x)
{
	MDB_val revocation;
	err_t err = decode_exemption(key, value, x);
	if (err) {
		log_error("event=store_record_damaged environment=keep table=exemption");
		return err;
	}
	struct key id = key_of_id(x->id);
	err = txn_get(txn, TABLE_REVOCATION, &id, &revocation);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	err = decode_revocation(&revocation, x);
	if (err)
		log_error("event=store_record_damaged environment=keep table=revocation id=%s", x->id);
	return err;
}

/* ---- reading ---- */

/* The exemption in force of that very domain; rests on keys alone, so that a damaged value protects nobody less. */
static err_t in_force(struct txn *txn, MDB_cursor *c, const struct key *domain, MDB_val *key, MDB_val *value)
{
	struct key prefix = *domain;
	key_append(&prefix, "", 0);
	*key = (MDB_val){ prefix.len, prefix.bytes };
	bool some = txn_move(txn, c, key, value, MDB_SET_RANGE);
	while (some && key_begins(key->mv_data, key->mv_size, &prefix)) {
		if (key->mv_size != prefix.len + ID_BYTES)
			return ERR_CORRUPT;
		struct key id = key_of_id((uint8_t *)key->mv_data + prefix.len);
		MDB_val revocation;
		err_t err = txn_get(txn, TABLE_REVOCATION, &id, &revocation);
		if (err)
			return err == ERR_NOT_FOUND ? ERR_OK : err;
		some = txn_move(txn, c, key, value, MDB_NEXT);
	}
	return txn->err ? txn->err : ERR_NOT_FOUND;
}

err_t exemption_covering(struct txn *keep, const uint8_t *of, size_t n, MDB_val *key, MDB_val *value)
{
	MDB_val k, v;
	MDB_cursor *c = txn_cursor(keep, TABLE_EXEMPTION);
	if (!c)
		return keep->err;
	err_t err = ERR_NOT_FOUND;
	struct key domain = { 0 };
	for (size_t i = 0; i < n && i < KEY_DOMAIN_MAX && err == ERR_NOT_FOUND; i++) {
		domain.bytes[domain.len++] = of[i];
		if (of[i] == '.')
			err = in_force(keep, c, &domain, &k, &v);
	}
	mdb_cursor_close(c);
	if (!err && key)
		*key = k;
	if (!err && value)
		*value = v;
	return err;
}

err_t store_exemption_covering(struct store *s, const char *domain, struct exemption *out)
{
	struct key of;
	struct txn txn;
	MDB_val key, value;
	err_t err = key_of_domain(&of, domain);
	if (err)
		return err;
	txn_begin_read(&txn, &s->keep);
	err = exemption_covering(&txn, of.bytes, of.len, &key, &value);
	if (!err)
		err = load(&txn, &key, &value, out);
	err_t end = txn_end(&txn);
	return err ? err : end;
}

/* Where a walk begins, and what its keys begin with. */
static err_t walk_range(const char *after, const char *within, struct key *start, struct key *prefix)
{
	*start = *prefix = (struct key){ 0 };
	if (*within && key_of_domain(prefix, within))
		return ERR_INVALID;
	if (*after && !key_of_token(start, after))
		return ERR_INVALID;
	size_t n = start->len < prefix->len ? start->len : prefix->len;
	int order = memcmp(start->bytes, prefix->bytes, n);
	if (order < 0 || (order == 0 && start->len < prefix->len))
		*start = *prefix;
	return ERR_OK;
}

err_t store_exemption_walk(struct store *s, const char *after, const char *within,
	bool (*visit)(void *ctx, const struct exemption *, const char *position), void *ctx)
{
	struct key start, prefix, at;
	struct exemption x;
	char position[KEY_TOKEN_MAX];
	err_t err = walk_range(after, within, &start, &prefix);
	if (err)
		return err;
	struct txn txn;
	txn_begin_read(&txn, &s->keep);
	MDB_cursor *c = txn_cursor(&txn, TABLE_EXEMPTION);
	MDB_val key = { start.len, start.bytes }, value;
	bool some = txn_move(&txn, c, &key, &value, start.len ? MDB_SET_RANGE : MDB_FIRST);
	if (some && key.mv_size == start.len && memcmp(key.mv_data, start.bytes, start.len) == 0)
		some = txn_move(&txn, c, &key, &value, MDB_NEXT);
	while (some && key_begins(key.mv_data, key.mv_size, &prefix)) {
		err = load(&txn, &key, &value, &x);
		if (err)
			break;
		at.len = key.mv_size; /* at most KEY_MAX: load() has compared it */
		memcpy(at.bytes, key.mv_data, key.mv_size);
		key_token(&at, position);
		if (!visit(ctx, &x, position))
			break;
		some = txn_move(&txn, c, &key, &value, MDB_NEXT);
	}
	if (c)
		mdb_cursor_close(c);
	err_t end = txn_end(&txn);
	return err ? err : end;
}

/* Every revocation belongs to an id and can be read. */
static err_t check_revocations(struct txn *txn)
{
	struct exemption x;
	MDB_cursor *c = txn_cursor(txn, TABLE_REVOCATION);
	MDB_val key, value;
	err_t err = ERR_OK;
	bool some = txn_move(txn, c, &key, &value, MDB_FIRST);
	while (some && !err) {
		memset(&x, 0, sizeof x);
		if (key.mv_size != ID_BYTES)
			err = ERR_CORRUPT;
		else
			memcpy(x.id, key.mv_data, ID_BYTES);
		if (!err)
			err = decode_revocation(&value, &x);
		some = txn_move(txn, c, &key, &value, MDB_NEXT);
	}
	if (c)
		mdb_cursor_close(c);
	return err ? err : txn->err;
}

err_t exemptions_check(struct env *keep, struct buf *why)
{
	struct exemption x;
	struct txn txn;
	MDB_val key, value;
	txn_begin_read(&txn, keep);
	MDB_cursor *c = txn_cursor(&txn, TABLE_EXEMPTION);
	err_t err = ERR_OK;
	uint64_t n = 0;
	bool some = txn_move(&txn, c, &key, &value, MDB_FIRST);
	for (; some && !err; n++) {
		err = decode_exemption(&key, &value, &x);
		some = txn_move(&txn, c, &key, &value, MDB_NEXT);
	}
	if (c)
		mdb_cursor_close(c);
	err = err ? err : txn.err;
	const char *table = "exemption";
	if (!err) {
		table = "revocation";
		err = check_revocations(&txn);
	}
	(void)txn_end(&txn);
	if (err)
		buf_printf(why,
			"a record of table %s in environment keep is damaged (after %llu good exemptions). Without all "
			"of "
			"them somebody who asked to be left alone could be asked: restore keep from a backup. Nothing "
			"was "
			"changed",
			table, (unsigned long long)n);
	return err;
}

/* ---- writing ---- */

struct change {
	struct op op;
	struct exemption x; /* what is asked for, then the outcome */
	struct op *purge;   /* of the domain, once it is exempt */
	exemption_done done;
	void *ctx;
};

static void change_end(struct op *op)
{
	struct change *c = (struct change *)op;
	if (c->done && op->loop)
		c->done(c->ctx, op->err, &c->x);
	if (c->purge)
		purge_free(c->purge);
	free(c);
}

static bool text_ok(const char *text, size_t max, bool required)
{
	size_t n = strnlen(text, max + 1);
	return n <= max && (n || !required);
}

static ProtobufCBinaryData bytes_of(char *text)
{
	return (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
}

static void put_message(struct txn *txn, enum table table, const struct key *k, const ProtobufCMessage *m)
{
	uint8_t bytes[DOMAIN_SIZE + EXEMPTION_BY_MAX + EXEMPTION_NOTE_MAX + 128];
	if (protobuf_c_message_get_packed_size(m) > sizeof bytes) {
		txn->err = txn->err ? txn->err : ERR_LIMIT;
		return;
	}
	txn_put(txn, table, k, bytes, protobuf_c_message_pack(m, bytes));
}

static void create_run(struct op *op, struct round *r)
{
	struct change *c = (struct change *)op;
	struct key k;
	MDB_val key, value;
	op->err = key_of_domain(&k, c->x.domain);
	MDB_cursor *cursor = op->err ? NULL : txn_cursor(r->txn, TABLE_EXEMPTION);
	if (!cursor)
		return;
	err_t err = in_force(r->txn, cursor, &k, &key, &value);
	mdb_cursor_close(cursor);
	if (err != ERR_NOT_FOUND) {
		struct exemption was;
		op->err = err ? err : load(r->txn, &key, &value, &was);
		if (op->err)
			return;
		c->x = was;
		op->err = ERR_EXISTS;
		return;
	}
	c->x.created_ms = clock_wall_ms();
	op->err = ulid_next(c->x.created_ms, c->x.id);
	if (op->err)
		return;
	exemption_record record = RCPTD__STORE__V1__EXEMPTION_RECORD__INIT;
	record.id = c->x.id;
	record.domain = c->x.domain;
	record.by = bytes_of(c->x.by);
	record.note = bytes_of(c->x.note);
	record.created_ms = c->x.created_ms;
	key_append(&k, c->x.id, ID_BYTES);
	put_message(r->txn, TABLE_EXEMPTION, &k, &record.base);
}

static void create_committed(struct op *op, struct store *s)
{
	struct change *c = (struct change *)op;
	writer_add_own(s, c->purge);
	c->purge = NULL;
}

static struct change *change_new(struct loop *loop, exemption_done done, void *ctx)
{
	struct change *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->op = (struct op){ .loop = loop, .on_keep = true, .fate = OP_TELL, .bytes = sizeof *c, .end = change_end };
	c->done = done;
	c->ctx = ctx;
	return c;
}

err_t store_exemption_create(
	struct store *s, const struct exemption *x, struct loop *loop, exemption_done done, void *ctx)
{
	struct key domain;
	if (strnlen(x->domain, sizeof x->domain) == sizeof x->domain || key_of_domain(&domain, x->domain) ||
		!text_ok(x->by, EXEMPTION_BY_MAX, true) || !text_ok(x->note, EXEMPTION_NOTE_MAX, false))
		return ERR_INVALID;
	struct change *c = change_new(loop, done, ctx);
	struct op *purge = purge_new(&domain);
	if (!c || !purge) {
		free(c);
		purge_free(purge);
		return ERR_NOMEM;
	}
	c->purge = purge;
	c->op.run = create_run;
	c->op.committed = create_committed;
	memcpy(c->x.domain, x->domain, sizeof x->domain);
	memcpy(c->x.by, x->by, sizeof x->by);
	memcpy(c->x.note, x->note, sizeof x->note);
	writer_add(s, &c->op);
	return ERR_OK;
}

/* An exemption by its id: a look at every key, for revoking is rare and a second index could disagree. */
static err_t find_id(struct txn *txn, const char *id, struct exemption *x)
{
	MDB_cursor *c = txn_cursor(txn, TABLE_EXEMPTION);
	MDB_val key, value;
	err_t err = ERR_NOT_FOUND;
	bool some = txn_move(txn, c, &key, &value, MDB_FIRST);
	while (some && err == ERR_NOT_FOUND) {
		if (key.mv_size > ID_BYTES && memcmp((char *)key.mv_data + key.mv_size - ID_BYTES, id, ID_BYTES) == 0)
			err = load(txn, &key, &value, x);
		else
			some = txn_move(txn, c, &key, &value, MDB_NEXT);
	}
	if (c)
		mdb_cursor_close(c);
	return err;
}

static void revoke_run(struct op *op, struct round *r)
{
	struct change *c = (struct change *)op;
	struct exemption x;
	op->err = find_id(r->txn, c->x.id, &x);
	if (op->err)
		return;
	if (x.revoked_ms) {
		c->x = x;
		op->err = ERR_DENIED;
		return;
	}
	memcpy(x.revoked_by, c->x.revoked_by, sizeof x.revoked_by);
	memcpy(x.revoke_note, c->x.revoke_note, sizeof x.revoke_note);
	x.revoked_ms = clock_wall_ms();
	c->x = x;
	revocation_record record = RCPTD__STORE__V1__REVOCATION_RECORD__INIT;
	record.id = c->x.id;
	record.by = bytes_of(c->x.revoked_by);
	record.note = bytes_of(c->x.revoke_note);
	record.revoked_ms = c->x.revoked_ms;
	struct key id = key_of_id(c->x.id);
	put_message(r->txn, TABLE_REVOCATION, &id, &record.base);
}

err_t store_exemption_revoke(struct store *s, const char *id, const char *by, const char *note, struct loop *loop,
	exemption_done done, void *ctx)
{
	if (!text_ok(by, EXEMPTION_BY_MAX, true) || !text_ok(note, EXEMPTION_NOTE_MAX, false))
		return ERR_INVALID;
	if (!ulid_valid(id))
		return ERR_NOT_FOUND;
	struct change *c = change_new(loop, done, ctx);
	if (!c)
		return ERR_NOMEM;
	c->op.run = revoke_run;
	memcpy(c->x.id, id, sizeof c->x.id);
	memcpy(c->x.revoked_by, by, strlen(by));
	memcpy(c->x.revoke_note, note, strlen(note));
	writer_add(s, &c->op);
	return ERR_OK;
}
