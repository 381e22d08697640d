/* Messages to every method of the daemon, through the real services onto a played engine and store. A call ends with
 * one status, every item of a stream has exactly one result, what goes out can be read, nothing is left behind.
 *
 * The input: a byte for the method, one for how the call goes, one for the length of the script that engine and store
 * follow, the script; then the messages, each with its length in two bytes before it (the last takes what there is). */
#include <string.h>
#include <unistr.h>

#include "proto/grpc/health/v1/health.pb-c.h"
#include "proto/grpc/reflection/v1/reflection.pb-c.h"
#include "proto/rcptd/v1/domain.pb-c.h"
#include "proto/rcptd/v1/exemption.pb-c.h"
#include "proto/rcptd/v1/stats.pb-c.h"
#include "proto/rcptd/v1/verification.pb-c.h"
#include "server/api/api.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/request_below.h"

#define ROUNDS_MAX 64

static const struct method {
	const char *path;
	const ProtobufCMessageDescriptor *response;
	enum {
		UNARY,
		STREAMS,
		WATCHES, /* streams until the client goes */
		ECHOES,	 /* streams, and what the client said comes back as it was, UTF-8 or not */
	} kind;
} METHODS[] = {
	{ "/rcptd.v1.VerificationService/Verify", &rcptd__v1__verify_response__descriptor, UNARY },
	{ "/rcptd.v1.VerificationService/VerifyStream", &rcptd__v1__verify_stream_response__descriptor, STREAMS },
	{ "/rcptd.v1.DomainService/GetDomain", &rcptd__v1__get_domain_response__descriptor, UNARY },
	{ "/rcptd.v1.DomainService/ForgetDomain", &rcptd__v1__forget_domain_response__descriptor, UNARY },
	{ "/rcptd.v1.ExemptionService/CreateExemption", &rcptd__v1__create_exemption_response__descriptor, UNARY },
	{ "/rcptd.v1.ExemptionService/CheckExemption", &rcptd__v1__check_exemption_response__descriptor, UNARY },
	{ "/rcptd.v1.ExemptionService/ListExemptions", &rcptd__v1__list_exemptions_response__descriptor, UNARY },
	{ "/rcptd.v1.ExemptionService/RevokeExemption", &rcptd__v1__revoke_exemption_response__descriptor, UNARY },
	{ "/rcptd.v1.StatsService/GetStats", &rcptd__v1__get_stats_response__descriptor, UNARY },
	{ "/grpc.health.v1.Health/Check", &grpc__health__v1__health_check_response__descriptor, UNARY },
	{ "/grpc.health.v1.Health/Watch", &grpc__health__v1__health_check_response__descriptor, WATCHES },
	{ "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		&grpc__reflection__v1__server_reflection_response__descriptor, ECHOES },
	{ "/rcptd.v1.StatsService/WatchStats", &rcptd__v1__watch_stats_response__descriptor, WATCHES },
};
#define METHODS_N (sizeof METHODS / sizeof *METHODS)

static struct api *api;

struct talk {
	const struct method *method;
	size_t sent, items, results;
	uint64_t ids_in, ids_out; /* sums */
};

/* Strings of a message are UTF-8, or other languages' clients refuse it. */
static void check_strings(const ProtobufCMessage *m)
{
	const char *base = (const char *)m;
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
		size_t n = repeated ? *(const size_t *)(base + f->quantifier_offset) : 1;
		void *const *at =
			repeated ? *(void *const *const *)(base + f->offset) : (void *const *)(base + f->offset);
		for (size_t k = 0; k < n; k++) {
			if (f->type == PROTOBUF_C_TYPE_MESSAGE && at[k])
				check_strings(at[k]);
			else if (at[k])
				MUST(!u8_check(at[k], strlen(at[k])));
		}
	}
}

static void on_sent(void *ctx, const uint8_t *msg, size_t len)
{
	struct talk *t = ctx;
	ProtobufCMessage *m = protobuf_c_message_unpack(t->method->response, NULL, len, msg);
	MUST(m);
	t->sent++;
	MUST(t->sent == 1 || t->method->kind != UNARY);
	if (t->method->kind != ECHOES)
		check_strings(m);
	if (t->method->response == &rcptd__v1__verify_stream_response__descriptor) {
		const Rcptd__V1__VerifyStreamResponse *r = (const Rcptd__V1__VerifyStreamResponse *)m;
		MUST(r->n_results && r->n_results <= 128);
		t->results += r->n_results;
		for (size_t i = 0; i < r->n_results; i++)
			t->ids_out += r->results[i]->id;
	}
	protobuf_c_message_free_unpacked(m, NULL);
}

static void count_items(struct talk *t, const uint8_t *msg, size_t len)
{
	Rcptd__V1__VerifyStreamRequest *r = rcptd__v1__verify_stream_request__unpack(NULL, len, msg);
	for (size_t i = 0; r && i < r->n_items; i++) {
		t->items++;
		t->ids_in += r->items[i]->id;
	}
	rcptd__v1__verify_stream_request__free_unpacked(r, NULL);
}

/* The next message of the input. */
static uint8_t *next_message(struct choices *c, size_t *n)
{
	*n = choose_byte(c) << 8;
	*n |= choose_byte(c);
	if (*n > c->left)
		*n = c->left;
	uint8_t *msg = copied(c->at, *n);
	c->at += *n;
	c->left -= *n;
	return msg;
}

struct conversation {
	const struct rpc_handler *handler;
	struct rpc_call *call;
	void *ctx;
	bool all_said, half_closed;
};

static bool half_close(struct conversation *v)
{
	if (!v->all_said || v->half_closed || !v->call->credit || v->call->finished)
		return false;
	v->half_closed = true;
	v->handler->on_half_close(v->call, v->ctx);
	return true;
}

static bool write_on(struct conversation *v)
{
	if (!v->call->waits || v->call->finished)
		return false;
	v->call->waits = false;
	v->handler->on_writable(v->call, v->ctx);
	return true;
}

/* Things happen until nothing does any more. */
static void settle(struct conversation *v)
{
	for (unsigned round = 0; round < ROUNDS_MAX; round++)
		if (!below_turn() && !write_on(v) && !half_close(v) && !below_answer())
			return;
	MUST(!"it settles");
}

static void say(struct talk *t, struct conversation *v, struct choices *c)
{
	size_t n;
	uint8_t *msg = next_message(c, &n);
	count_items(t, msg, n);
	v->call->credit--;
	v->handler->on_message(v->call, v->ctx, msg, n);
	free(msg);
}

static void talk(struct talk *t, struct rpc_call *call, struct choices *c, unsigned how)
{
	bool patient = how & 1, gone = how & 2, unary = t->method->kind == UNARY;
	struct conversation v = { .call = call };
	v.handler = api_open(api, t->method->path, call, &v.ctx);
	MUST(v.handler);
	for (unsigned n = 0; c->left && call->credit && !call->finished && (!unary || !n); n++) {
		say(t, &v, c);
		if (patient)
			settle(&v);
	}
	if (call->has_deadline)
		below_pass_time();
	if (!gone) {
		v.all_said = true;
		settle(&v);
		below_pass_time(); /* a batch that waited for company */
		settle(&v);
		MUST(call->finished || t->method->kind == WATCHES);
	}
	v.handler->on_done(v.ctx, gone);
	while (below_turn() || below_answer())
		;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return api_new(below_engine(), &api) != ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct choices c = { data, len };
	struct talk t = { .method = &METHODS[choose(&c, METHODS_N)] };
	unsigned how = choose_byte(&c);
	struct choices script = { .left = choose_byte(&c) };
	if (script.left > c.left)
		script.left = c.left;
	script.at = c.at;
	if (script.left) {
		c.at += script.left;
		c.left -= script.left;
	}
	struct rpc_call call = { .sends_refused = how >> 6, .has_deadline = how & 4, .sent = on_sent, .ctx = &t };
	below_begin(&script);
	talk(&t, &call, &c, how);
	below_end();
	if (t.method == &METHODS[1]) {
		MUST(t.results <= t.items);
		if (call.finished && call.code == RPC_OK)
			MUST(t.results == t.items && t.ids_in == t.ids_out);
	}
	if (t.method->kind == UNARY && call.finished && call.code == RPC_OK)
		MUST(t.sent == 1);
	return 0;
}
