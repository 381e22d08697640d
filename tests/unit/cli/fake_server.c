#include "tests/unit/cli/fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rcptd/v1/domain.pb-c.h"
#include "rcptd/v1/exemption.pb-c.h"
#include "rcptd/v1/stats.pb-c.h"
#include "rcptd/v1/verification.pb-c.h"

struct row {
	uint64_t id;
	uint8_t address[400];
	size_t len;
};

struct fake_call {
	struct fake_server *server;
	struct rpc_call *call;
	const char *method;
	struct row *rows; /* not yet answered; answered from `at` on */
	size_t at, count, cap;
	bool closing;
};

/* ---- verification ---- */

static bool starts(const struct row *r, const char *word)
{
	return r->len >= strlen(word) && memcmp(r->address, word, strlen(word)) == 0;
}

static void fill(Rcptd__V1__Result *a, Rcptd__V1__Evidence *e, const struct row *r)
{
	rcptd__v1__result__init(a);
	rcptd__v1__evidence__init(e);
	a->id = r->id;
	a->address.len = r->len > 320 ? 320 : r->len;
	a->address.data = (uint8_t *)r->address;
	a->domain = "example.org";
	a->evidence = e;
	e->phase = RCPTD__V1__PHASE__PHASE_RCPT;
	e->mail_host = "mx.example.org";
	a->verdict = RCPTD__V1__VERDICT__VERDICT_DELIVERABLE;
	a->reason = RCPTD__V1__REASON__REASON_ACCEPTED;
	e->code = 250;
	if (starts(r, "no")) {
		a->verdict = RCPTD__V1__VERDICT__VERDICT_UNDELIVERABLE;
		a->reason = RCPTD__V1__REASON__REASON_MAILBOX_UNKNOWN;
		e->code = 550;
		e->text = (ProtobufCBinaryData){ 18, (uint8_t *)"no such user \033[2Jhere" };
	} else if (starts(r, "grey")) {
		a->verdict = RCPTD__V1__VERDICT__VERDICT_UNKNOWN;
		a->reason = RCPTD__V1__REASON__REASON_GREYLISTED;
		e->code = 451;
	}
}

/* Up to 128 rows in one message, as long as the call takes them. */
static void answer(struct fake_call *c)
{
	while (c->at < c->count) {
		Rcptd__V1__Result results[128], *pointers[128];
		Rcptd__V1__Evidence evidence[128];
		Rcptd__V1__VerifyStreamResponse m = RCPTD__V1__VERIFY_STREAM_RESPONSE__INIT;
		while (m.n_results < 128 && c->at + m.n_results < c->count) {
			fill(&results[m.n_results], &evidence[m.n_results], &c->rows[c->at + m.n_results]);
			pointers[m.n_results] = &results[m.n_results];
			m.n_results++;
		}
		m.results = pointers;
		size_t len = rcptd__v1__verify_stream_response__get_packed_size(&m);
		uint8_t *bytes = malloc(len + 1);
		rcptd__v1__verify_stream_response__pack(&m, bytes);
		err_t err = rpc_call_send(c->call, bytes, len);
		free(bytes);
		if (err != ERR_OK)
			return;
		c->at += m.n_results;
	}
	if (c->closing)
		rpc_call_finish(c->call, RPC_OK, "", NULL, 0);
}

static void shuffle(struct row *rows, size_t n)
{
	uint32_t seed = 7;
	for (size_t i = n; i > 1; i--) {
		seed = seed * 1664525u + 1013904223u;
		size_t j = seed % i;
		struct row t = rows[i - 1];
		rows[i - 1] = rows[j];
		rows[j] = t;
	}
}

static void reverse(struct row *rows, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct row t = rows[i];
		rows[i] = rows[n - 1 - i];
		rows[n - 1 - i] = t;
	}
}

static size_t take_rows(struct fake_call *c, const uint8_t *msg, size_t len)
{
	Rcptd__V1__VerifyStreamRequest *m = rcptd__v1__verify_stream_request__unpack(NULL, len, msg);
	size_t n = m->n_items;
	if (c->at == c->count)
		c->at = c->count = 0;
	while (c->count + n > c->cap) {
		c->cap = c->cap ? c->cap * 2 : 1024;
		c->rows = realloc(c->rows, c->cap * sizeof *c->rows);
	}
	for (size_t i = 0; i < n; i++) {
		struct row *r = &c->rows[c->count++];
		r->id = m->items[i]->id;
		r->len = m->items[i]->address.len;
		if (r->len > sizeof r->address)
			abort();
		if (r->len)
			memcpy(r->address, m->items[i]->address.data, r->len);
	}
	atomic_store(&c->server->max_age_s, m->max_age ? m->max_age->seconds : -1);
	if (c->count - c->at > atomic_load(&c->server->most_waiting))
		atomic_store(&c->server->most_waiting, (unsigned)(c->count - c->at));
	rcptd__v1__verify_stream_request__free_unpacked(m, NULL);
	return n;
}

/* A google.rpc.Status as the daemon sends it. */
static void refuse(struct rpc_call *call, enum rpc_code code, const char *message, char *reason, char *field)
{
	Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
	Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
	Google__Rpc__BadRequest__FieldViolation violation = GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
	Google__Rpc__BadRequest__FieldViolation *violations[] = { &violation };
	Google__Protobuf__Any any[2] = { GOOGLE__PROTOBUF__ANY__INIT, GOOGLE__PROTOBUF__ANY__INIT };
	Google__Protobuf__Any *details[] = { &any[0], &any[1] };
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	uint8_t info_bytes[256], bad_bytes[256], bytes[1024];
	info.reason = reason;
	info.domain = "rcptd";
	violation.field = field;
	violation.description = "is not wanted";
	bad.n_field_violations = 1;
	bad.field_violations = violations;
	any[0].type_url = "type.googleapis.com/google.rpc.ErrorInfo";
	any[0].value = (ProtobufCBinaryData){ google__rpc__error_info__pack(&info, info_bytes), info_bytes };
	any[1].type_url = "type.googleapis.com/google.rpc.BadRequest";
	any[1].value = (ProtobufCBinaryData){ google__rpc__bad_request__pack(&bad, bad_bytes), bad_bytes };
	status.code = (int32_t)code;
	status.message = (char *)message;
	status.n_details = field ? 2 : 1;
	status.details = details;
	rpc_call_finish(call, code, message, bytes, google__rpc__status__pack(&status, bytes));
}

static void on_rows(struct rpc_call *call, void *ctx, const uint8_t *msg, size_t len)
{
	struct fake_call *c = ctx;
	size_t n = take_rows(c, msg, len);
	switch (atomic_load(&c->server->mode)) {
	case FAKE_REVERSED:
		reverse(c->rows + c->count - n, n);
		answer(c);
		break;
	case FAKE_SHUFFLED: break;
	case FAKE_GAPS:
	case FAKE_DRAIN:
		c->rows[1] = c->rows[2];
		c->count = 2;
		answer(c);
		if (atomic_load(&c->server->mode) == FAKE_DRAIN)
			rpc_call_finish(call, RPC_UNAVAILABLE, "the server is shutting down", NULL, 0);
		return;
	case FAKE_REFUSE:
		refuse(call, RPC_INVALID_ARGUMENT, "the request is not valid", "INVALID_REQUEST", "items");
		return;
	case FAKE_STRANGER:
		c->rows[0].id = 1000;
		answer(c);
		return;
	case FAKE_SHORT: rpc_call_finish(call, RPC_OK, "", NULL, 0); return;
	}
	rpc_call_want(call, 1);
}

static void on_rows_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	struct fake_call *c = ctx;
	if (atomic_load(&c->server->mode) == FAKE_SHUFFLED)
		shuffle(c->rows, c->count);
	c->closing = true;
	answer(c);
}

static void on_writable(struct rpc_call *call, void *ctx)
{
	(void)call;
	answer(ctx);
}

static void on_done(void *ctx, int cancelled)
{
	struct fake_call *c = ctx;
	atomic_fetch_add(&c->server->cancelled, cancelled != 0);
	free(c->rows);
	free(c);
}

/* ---- the other services ---- */

static void reply(struct fake_call *c, const ProtobufCMessage *m)
{
	uint8_t bytes[4096];
	if (protobuf_c_message_get_packed_size(m) > sizeof bytes)
		abort();
	size_t len = protobuf_c_message_pack(m, bytes);
	if (rpc_call_send(c->call, bytes, len) == ERR_OK)
		rpc_call_finish(c->call, RPC_OK, "", NULL, 0);
}

static void get_domain(struct fake_call *c, const uint8_t *msg, size_t len)
{
	Rcptd__V1__GetDomainRequest *q = rcptd__v1__get_domain_request__unpack(NULL, len, msg);
	bool known = q->domain.len == 11 && memcmp(q->domain.data, "example.org", 11) == 0;
	rcptd__v1__get_domain_request__free_unpacked(q, NULL);
	if (!known) {
		refuse(c->call, RPC_NOT_FOUND, "nothing is known of that domain", "DOMAIN_UNKNOWN", NULL);
		return;
	}
	char *addresses[] = { "127.0.0.9", "::1" };
	Rcptd__V1__MailHost host = RCPTD__V1__MAIL_HOST__INIT, *hosts[] = { &host };
	Rcptd__V1__Route route = RCPTD__V1__ROUTE__INIT;
	Rcptd__V1__GetDomainResponse a = RCPTD__V1__GET_DOMAIN_RESPONSE__INIT;
	Google__Protobuf__Duration ttl = GOOGLE__PROTOBUF__DURATION__INIT;
	ttl.seconds = 3600;
	host.name = "mx.example.org";
	host.preference = 10;
	host.addresses = addresses;
	host.n_addresses = 2;
	host.operator_ = "example.org";
	route.status = RCPTD__V1__ROUTE_STATUS__ROUTE_STATUS_FOUND;
	route.hosts = hosts;
	route.n_hosts = 1;
	route.ttl = &ttl;
	a.domain = "example.org";
	a.route = &route;
	a.catch_all = RCPTD__V1__CATCH_ALL__CATCH_ALL_NO;
	reply(c, &a.base);
}

static void exemption(struct fake_call *c, bool create)
{
	Rcptd__V1__Exemption x = RCPTD__V1__EXEMPTION__INIT;
	Google__Protobuf__Timestamp when = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Rcptd__V1__CreateExemptionResponse created = RCPTD__V1__CREATE_EXEMPTION_RESPONSE__INIT;
	Rcptd__V1__RevokeExemptionResponse revoked = RCPTD__V1__REVOKE_EXEMPTION_RESPONSE__INIT;
	x.id = "42";
	x.domain = "example.org";
	x.by = "desk";
	x.note = "mail of 12 May";
	when.seconds = 1700000000;
	x.create_time = &when;
	created.exemption = revoked.exemption = &x;
	reply(c, create ? &created.base : &revoked.base);
}

static void check_exemption(struct fake_call *c, const uint8_t *msg, size_t len)
{
	Rcptd__V1__CheckExemptionRequest *q = rcptd__v1__check_exemption_request__unpack(NULL, len, msg);
	Rcptd__V1__CheckExemptionResponse a = RCPTD__V1__CHECK_EXEMPTION_RESPONSE__INIT;
	Rcptd__V1__Exemption x = RCPTD__V1__EXEMPTION__INIT;
	x.id = "42";
	x.domain = "example.org";
	a.exempt = memmem(q->subject.data, q->subject.len, "example.org", 11) != NULL;
	a.exemption = a.exempt ? &x : NULL;
	rcptd__v1__check_exemption_request__free_unpacked(q, NULL);
	reply(c, &a.base);
}

/* Two pages of one. */
static void list_exemptions(struct fake_call *c, const uint8_t *msg, size_t len)
{
	Rcptd__V1__ListExemptionsRequest *q = rcptd__v1__list_exemptions_request__unpack(NULL, len, msg);
	Rcptd__V1__ListExemptionsResponse a = RCPTD__V1__LIST_EXEMPTIONS_RESPONSE__INIT;
	Rcptd__V1__Exemption x = RCPTD__V1__EXEMPTION__INIT, *all[] = { &x };
	bool second = strcmp(q->page_token, "next") == 0;
	rcptd__v1__list_exemptions_request__free_unpacked(q, NULL);
	x.id = second ? "43" : "42";
	x.domain = second ? "example.org" : "example.net";
	x.by = "desk";
	a.exemptions = all;
	a.n_exemptions = 1;
	a.next_page_token = second ? "" : "next";
	reply(c, &a.base);
}

static void fill_stats(Rcptd__V1__GetStatsResponse *a)
{
	static Rcptd__V1__VerdictCount v, *verdicts[] = { &v };
	rcptd__v1__get_stats_response__init(a);
	rcptd__v1__verdict_count__init(&v);
	v.verdict = RCPTD__V1__VERDICT__VERDICT_RISKY;
	v.count = 12;
	a->addresses = 1234567;
	a->sessions_open = 3;
	a->verdicts = verdicts;
	a->n_verdicts = 1;
}

static void stats(struct fake_call *c)
{
	Rcptd__V1__GetStatsResponse a;
	fill_stats(&a);
	reply(c, &a.base);
}

/* Three messages at once, then nothing more: the caller ends it, or the drain does. */
static void watch_stats(struct fake_call *c, const uint8_t *msg, size_t len)
{
	Rcptd__V1__WatchStatsRequest *q = rcptd__v1__watch_stats_request__unpack(NULL, len, msg);
	atomic_store(&c->server->interval_ms, (int)(q->interval->seconds * 1000 + q->interval->nanos / 1000000));
	rcptd__v1__watch_stats_request__free_unpacked(q, NULL);
	for (int i = 0; i < 3; i++) {
		Rcptd__V1__WatchStatsResponse m = RCPTD__V1__WATCH_STATS_RESPONSE__INIT;
		Rcptd__V1__StatsRates rates = RCPTD__V1__STATS_RATES__INIT;
		Google__Protobuf__Duration elapsed = GOOGLE__PROTOBUF__DURATION__INIT;
		Rcptd__V1__GetStatsResponse a;
		uint8_t bytes[4096];
		fill_stats(&a);
		m.stats = &a;
		rates.addresses = 812.5;
		elapsed.seconds = 1;
		elapsed.nanos = 500000000;
		m.rates = i ? &rates : NULL;
		m.elapsed = i ? &elapsed : NULL;
		size_t n = rcptd__v1__watch_stats_response__pack(&m, bytes);
		if (rpc_call_send(c->call, bytes, n) != ERR_OK)
			return;
	}
	if (atomic_load(&c->server->mode) == FAKE_DRAIN)
		refuse(c->call, RPC_UNAVAILABLE, "the daemon is shutting down", "SHUTTING_DOWN", NULL);
}

static void on_question(struct rpc_call *call, void *ctx, const uint8_t *msg, size_t len)
{
	(void)call;
	struct fake_call *c = ctx;
	Rcptd__V1__ForgetDomainResponse forgotten = RCPTD__V1__FORGET_DOMAIN_RESPONSE__INIT;
	forgotten.removed = 5;
	if (strcmp(c->method, "/rcptd.v1.DomainService/GetDomain") == 0)
		get_domain(c, msg, len);
	else if (strcmp(c->method, "/rcptd.v1.DomainService/ForgetDomain") == 0)
		reply(c, &forgotten.base);
	else if (strcmp(c->method, "/rcptd.v1.ExemptionService/CreateExemption") == 0)
		exemption(c, true);
	else if (strcmp(c->method, "/rcptd.v1.ExemptionService/RevokeExemption") == 0)
		exemption(c, false);
	else if (strcmp(c->method, "/rcptd.v1.ExemptionService/CheckExemption") == 0)
		check_exemption(c, msg, len);
	else if (strcmp(c->method, "/rcptd.v1.ExemptionService/ListExemptions") == 0)
		list_exemptions(c, msg, len);
	else if (strcmp(c->method, "/rcptd.v1.StatsService/WatchStats") == 0)
		watch_stats(c, msg, len);
	else
		stats(c);
}

/* ---- life ---- */

static const struct rpc_handler *open_call(void *ctx, const char *method, struct rpc_call *call, void **call_ctx)
{
	static const struct rpc_handler STREAM = { on_rows, on_rows_end, on_writable, on_done };
	static const struct rpc_handler UNARY = { .on_message = on_question, .on_done = on_done };
	static const char *const METHOD[] = { "/rcptd.v1.DomainService/GetDomain",
		"/rcptd.v1.DomainService/ForgetDomain", "/rcptd.v1.ExemptionService/CreateExemption",
		"/rcptd.v1.ExemptionService/RevokeExemption", "/rcptd.v1.ExemptionService/CheckExemption",
		"/rcptd.v1.ExemptionService/ListExemptions", "/rcptd.v1.StatsService/GetStats",
		"/rcptd.v1.StatsService/WatchStats" };
	struct fake_server *f = ctx;
	const struct rpc_handler *handler = NULL;
	struct fake_call *c = calloc(1, sizeof *c);
	for (size_t i = 0; i < sizeof METHOD / sizeof METHOD[0]; i++)
		if (strcmp(method, METHOD[i]) == 0) {
			c->method = METHOD[i];
			handler = &UNARY;
		}
	if (strcmp(method, "/rcptd.v1.VerificationService/VerifyStream") == 0)
		handler = &STREAM;
	if (!handler) {
		free(c);
		return NULL;
	}
	c->server = f;
	c->call = call;
	atomic_fetch_add(&f->calls, 1);
	*call_ctx = c;
	rpc_call_want(call, 1);
	return handler;
}

static void *run(void *arg)
{
	struct fake_server *f = arg;
	loop_run(f->loop);
	return NULL;
}

void fake_start(struct fake_server *f)
{
	struct buf why = BUF_INIT(1024);
	int port;
	rpc_init();
	assert_int_equal(loop_new(&f->loop), ERR_OK);
	err_t err = rpc_server_start("127.0.0.1:0", &f->loop, 1, open_call, f, &f->server, &port, &why);
	assert_string_equal(buf_str(&why), "");
	buf_free(&why);
	assert_int_equal(err, ERR_OK);
	snprintf(f->target, sizeof f->target, "127.0.0.1:%d", port);
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

static void stopped(void *ctx)
{
	struct fake_server *f = ctx;
	loop_stop(f->loop);
}

void fake_stop(struct fake_server *f)
{
	rpc_server_stop(f->server, stopped, f);
	rpc_server_cancel_all(f->server);
	pthread_join(f->thread, NULL);
	rpc_server_free(f->server);
	loop_free(f->loop);
	rpc_shutdown();
}
