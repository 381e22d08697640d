/* What a damaged store may hold: routes, verdicts, and page tokens that strangers give back. What is taken is whole,
 * and is the same once written and read again. The first byte says which. */
#include <string.h>

#include "store/codec.h"
#include "store/key.h"
#include "tests/fuzz/fuzz.h"

static uint8_t *packed(const ProtobufCMessage *m, MDB_val *out)
{
	out->mv_size = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = malloc(out->mv_size + 1);
	if (!bytes)
		abort();
	out->mv_data = bytes;
	MUST(protobuf_c_message_pack(m, bytes) == out->mv_size);
	return bytes;
}

static void fuzz_route(const MDB_val *value)
{
	struct route *route, *again;
	struct route_parts parts;
	MDB_val second;
	err_t err = route_decode(value, &route);
	if (err) {
		MUST(err == ERR_CORRUPT);
		return;
	}
	MUST(route->host_count <= ROUTE_HOSTS_MAX && route->status > ROUTE_UNSET && route->status <= ROUTE_FAILURE);
	for (unsigned i = 0; i < route->host_count; i++) {
		MUST(memchr(route->host[i].name, 0, sizeof route->host[i].name));
		MUST(route->host[i].address_count <= ROUTE_ADDRESSES_MAX && route->host[i].status <= ROUTE_FAILURE);
	}
	uint8_t *bytes = packed(route_encode(route, &parts), &second);
	MUST(route_decode(&second, &again) == ERR_OK);
	MUST(memcmp(route, again, route_size(route->host_count)) == 0);
	free(bytes);
	free(route);
	free(again);
}

static void fuzz_verdict(const MDB_val *value)
{
	static struct verdict_fact fact, again; /* padding stays zero */
	Rcptd__Store__V1__VerdictRecord record;
	MDB_val second;
	memset(&fact, 0, sizeof fact);
	memset(&again, 0, sizeof again);
	err_t err = verdict_decode(value, &fact);
	if (err) {
		MUST(err == ERR_CORRUPT || err == ERR_NOT_FOUND);
		return;
	}
	MUST(fact.reason > REASON_NONE && fact.reason < REASONS && fact.phase < PHASES && fact.code <= 999);
	MUST(memchr(fact.text, 0, sizeof fact.text));
	uint8_t *bytes = packed(verdict_encode(&fact, &record), &second);
	MUST(verdict_decode(&second, &again) == ERR_OK);
	MUST(fact.reason == again.reason && fact.phase == again.phase && fact.catch_all == again.catch_all);
	MUST(fact.code == again.code && fact.attempt == again.attempt && fact.attempts == again.attempts);
	MUST(fact.learned_ms == again.learned_ms && fact.expires_ms == again.expires_ms);
	MUST(strcmp(fact.mail_host, again.mail_host) == 0 && strcmp(fact.text, again.text) == 0);
	free(bytes);
}

static void fuzz_token(const struct choices *c)
{
	struct key key, again;
	char token[KEY_TOKEN_MAX], *given = calloc(1, c->left + 1);
	if (!given)
		abort();
	if (c->left)
		memcpy(given, c->at, c->left);
	if (key_of_token(&key, given)) {
		MUST(key.len <= KEY_MAX);
		key_token(&key, token);
		MUST(strcmp(token, given) == 0);
		MUST(key_of_token(&again, token) && again.len == key.len &&
			memcmp(again.bytes, key.bytes, key.len) == 0);
	}
	free(given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct choices c = { data, len };
	unsigned which = choose(&c, 3);
	uint8_t *bytes = copied(c.at, c.left);
	MDB_val value = { c.left, bytes };
	if (which == 0)
		fuzz_route(&value);
	else if (which == 1)
		fuzz_verdict(&value);
	else
		fuzz_token(&c);
	free(bytes);
	return 0;
}
