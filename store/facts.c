#include "store/facts.h"

#include <stdlib.h>
#include <string.h>

#include "rcptd/store/v1/records.pb-c.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "store/codec.h"
#include "store/internal.h"

/* ---- writing ---- */

struct put {
	struct op op;
	struct queued_put queued;
	uint8_t value[];
};

/* How many bytes of a key are the domain that exemptions and deletions are about; 0: none is, for a mail host serves
 * others than the exempt too. */
static size_t domain_len(enum table table, const struct key *k)
{
	const uint8_t *nul = memchr(k->bytes, 0, k->len);
	if (table == TABLE_HOST)
		return 0;
	return nul ? (size_t)(nul - k->bytes) : k->len;
}

static void put_run(struct op *op, struct round *r)
{
	const struct queued_put *p = op->put;
	size_t n = domain_len(p->table, &p->key);
	if (n && exemption_covering(r->keep, p->key.bytes, n, NULL, NULL) != ERR_NOT_FOUND)
		return; /* exempt means: we keep no more of it */
	txn_put(r->txn, p->table, &p->key, p->value, p->n);
}

static void put_end(struct op *op)
{
	free(op);
}

static void put(struct store *s, enum table table, const struct key *k, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	struct put *p = n <= QUEUED_VALUE_MAX ? malloc(sizeof *p + n) : NULL;
	if (!p) {
		writer_lost(s);
		return;
	}
	*p = (struct put){
		.op = { .fate = OP_DROP, .bytes = sizeof *p + n, .put = &p->queued, .run = put_run, .end = put_end },
		.queued = { .table = table, .key = *k, .hash = queued_hash(k), .value = p->value, .n = n },
	};
	protobuf_c_message_pack(m, p->value);
	writer_add(s, &p->op);
}

void store_route_put(struct store *s, const char *domain, const struct route *route)
{
	struct key k;
	struct route_parts parts;
	if (!key_of_domain(&k, domain) && route->host_count <= ROUTE_HOSTS_MAX)
		put(s, TABLE_ROUTE, &k, route_encode(route, &parts));
}

void store_catch_all_put(struct store *s, const char *domain, const struct catch_all_fact *fact)
{
	struct key k;
	Rcptd__Store__V1__CatchAllRecord r = RCPTD__STORE__V1__CATCH_ALL_RECORD__INIT;
	if (key_of_domain(&k, domain))
		return;
	r.accepts_all = fact->accepts_all;
	r.host = (char *)fact->host;
	r.learned_ms = fact->learned_ms;
	r.expires_ms = fact->expires_ms;
	put(s, TABLE_CATCH_ALL, &k, &r.base);
}

void store_host_lockstep_put(struct store *s, const char *host, int64_t until_ms)
{
	struct key k;
	Rcptd__Store__V1__HostRecord r = RCPTD__STORE__V1__HOST_RECORD__INIT;
	if (key_of_domain(&k, host))
		return;
	r.lockstep_until_ms = until_ms;
	put(s, TABLE_HOST, &k, &r.base);
}

void store_verdict_put(struct store *s, const char *domain, const uint8_t address_hash[STORE_KEY_BYTES],
	const struct verdict_fact *fact)
{
	struct key k;
	Rcptd__Store__V1__VerdictRecord r;
	if (key_of_domain(&k, domain))
		return;
	key_append(&k, address_hash, STORE_KEY_BYTES);
	put(s, TABLE_VERDICT, &k, verdict_encode(fact, &r));
}

void store_control_put(struct store *s, const char *domain, const struct control_fact *fact)
{
	struct key k;
	Rcptd__Store__V1__ControlRecord r = RCPTD__STORE__V1__CONTROL_RECORD__INIT;
	if (key_of_domain(&k, domain))
		return;
	r.local = (char *)fact->local;
	r.drawn_ms = fact->drawn_ms;
	put(s, TABLE_CONTROL, &k, &r.base);
}

/* ---- reading ---- */

typedef err_t (*decoder)(const MDB_val *, void *out);

static err_t get_committed(struct store *s, enum table table, const struct key *k, decoder decode, void *out)
{
	struct txn txn;
	MDB_val value;
	txn_begin_read(&txn, &s->known);
	err_t err = txn_get(&txn, table, k, &value);
	if (!err)
		err = decode(&value, out);
	err_t end = txn_end(&txn);
	return err ? err : end;
}

/* Covered by an exemption as of now, or that cannot be told? */
static bool is_exempt(struct store *s, const uint8_t *domain, size_t n)
{
	struct txn keep;
	txn_begin_read(&keep, &s->keep);
	err_t err = exemption_covering(&keep, domain, n, NULL, NULL);
	err_t end = txn_end(&keep);
	return end || err != ERR_NOT_FOUND;
}

/* Decodes what stands under the key into `out`. Looks at the queue first: what is no longer there is committed. */
static err_t get(struct store *s, enum table table, const struct key *k, decoder decode, void *out)
{
	uint8_t bytes[QUEUED_VALUE_MAX];
	MDB_val value = { .mv_data = bytes };
	size_t domain = domain_len(table, k);
	err_t err = ERR_NOT_FOUND;
	switch (writer_find(s, table, k, domain, bytes, &value.mv_size)) {
	case QUEUED_DELETED: break;
	case QUEUED_PUT:
		if (!domain || !is_exempt(s, k->bytes, domain))
			err = decode(&value, out);
		break;
	case QUEUED_NOTHING: err = get_committed(s, table, k, decode, out); break;
	}
	if (err == ERR_CORRUPT) { /* it can be learned again; the sweep removes it */
		log_error("event=store_record_damaged environment=known table=%s", table_name(table));
		return ERR_NOT_FOUND;
	}
	return err;
}

err_t store_route_get(struct store *s, const char *domain, struct route **out)
{
	struct key k;
	err_t err = key_of_domain(&k, domain);
	struct route *route = NULL;
	if (!err)
		err = get(s, TABLE_ROUTE, &k, route_decode, &route);
	if (!err && route->expires_ms <= clock_wall_ms()) {
		free(route);
		err = ERR_NOT_FOUND;
	}
	if (!err)
		*out = route;
	return err;
}

static err_t catch_all_decode(const MDB_val *value, void *out)
{
	struct catch_all_fact *fact = out;
	Rcptd__Store__V1__CatchAllRecord *r =
		rcptd__store__v1__catch_all_record__unpack(NULL, value->mv_size, value->mv_data);
	if (!r)
		return ERR_CORRUPT;
	fact->accepts_all = r->accepts_all;
	fact->learned_ms = r->learned_ms;
	fact->expires_ms = r->expires_ms;
	bool ok = codec_text(fact->host, sizeof fact->host, r->host);
	rcptd__store__v1__catch_all_record__free_unpacked(r, NULL);
	return ok ? ERR_OK : ERR_CORRUPT;
}

err_t store_catch_all_get(struct store *s, const char *domain, struct catch_all_fact *out)
{
	struct key k;
	struct catch_all_fact fact;
	err_t err = key_of_domain(&k, domain);
	if (!err)
		err = get(s, TABLE_CATCH_ALL, &k, catch_all_decode, &fact);
	if (!err && fact.expires_ms <= clock_wall_ms())
		err = ERR_NOT_FOUND;
	if (!err)
		*out = fact;
	return err;
}

static err_t host_decode(const MDB_val *value, void *out)
{
	Rcptd__Store__V1__HostRecord *r = rcptd__store__v1__host_record__unpack(NULL, value->mv_size, value->mv_data);
	if (!r)
		return ERR_CORRUPT;
	*(int64_t *)out = r->lockstep_until_ms;
	rcptd__store__v1__host_record__free_unpacked(r, NULL);
	return ERR_OK;
}

int64_t store_host_lockstep_until(struct store *s, const char *host)
{
	struct key k;
	int64_t until_ms;
	if (key_of_domain(&k, host) || get(s, TABLE_HOST, &k, host_decode, &until_ms) || until_ms <= clock_wall_ms())
		return 0;
	return until_ms;
}

err_t store_verdict_get(
	struct store *s, const char *domain, const uint8_t address_hash[STORE_KEY_BYTES], struct verdict_fact *out)
{
	struct key k;
	struct verdict_fact fact;
	err_t err = key_of_domain(&k, domain);
	if (err)
		return err;
	key_append(&k, address_hash, STORE_KEY_BYTES);
	err = get(s, TABLE_VERDICT, &k, verdict_decode, &fact);
	if (!err && fact.expires_ms <= clock_wall_ms())
		err = ERR_NOT_FOUND;
	if (!err)
		*out = fact;
	return err;
}

static err_t control_decode(const MDB_val *value, void *out)
{
	struct control_fact *fact = out;
	Rcptd__Store__V1__ControlRecord *r =
		rcptd__store__v1__control_record__unpack(NULL, value->mv_size, value->mv_data);
	if (!r)
		return ERR_CORRUPT;
	bool ok = *r->local && codec_text(fact->local, sizeof fact->local, r->local) && r->drawn_ms >= 0 &&
		  r->drawn_ms <= INT64_MAX - CONTROL_KEPT_MS;
	fact->drawn_ms = r->drawn_ms;
	rcptd__store__v1__control_record__free_unpacked(r, NULL);
	return ok ? ERR_OK : ERR_CORRUPT;
}

err_t store_control_get(struct store *s, const char *domain, struct control_fact *out)
{
	struct key k;
	struct control_fact fact;
	err_t err = key_of_domain(&k, domain);
	if (!err)
		err = get(s, TABLE_CONTROL, &k, control_decode, &fact);
	if (!err && fact.drawn_ms + CONTROL_KEPT_MS <= clock_wall_ms())
		err = ERR_NOT_FOUND;
	if (!err)
		*out = fact;
	return err;
}

/* ---- for the sweep ---- */

int64_t fact_expires_ms(enum table table, const MDB_val *value)
{
	union {
		struct catch_all_fact catch_all;
		struct verdict_fact verdict;
		struct control_fact control;
		struct route *route;
		int64_t until_ms;
	} u;
	switch (table) {
	case TABLE_ROUTE:
		if (route_decode(value, &u.route))
			return 0;
		int64_t expires_ms = u.route->expires_ms;
		free(u.route);
		return expires_ms;
	case TABLE_CATCH_ALL: return catch_all_decode(value, &u.catch_all) ? 0 : u.catch_all.expires_ms;
	case TABLE_HOST: return host_decode(value, &u.until_ms) ? 0 : u.until_ms;
	case TABLE_VERDICT: return verdict_decode(value, &u.verdict) ? 0 : u.verdict.expires_ms;
	case TABLE_CONTROL: return control_decode(value, &u.control) ? 0 : u.control.drawn_ms + CONTROL_KEPT_MS;
	default: return 0;
	}
}
