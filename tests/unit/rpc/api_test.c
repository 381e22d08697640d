/* Health and reflection as an ordinary client sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "proto/descriptors.h"
#include "proto/grpc/health/v1/health.pb-c.h"
#include "proto/grpc/reflection/v1/reflection.pb-c.h"
#include "server/api/health.h"
#include "server/api/reflection.h"
#include "server/api/status_read.h"
#include "tests/unit/rpc/world.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;
typedef Google__Protobuf__FileDescriptorProto FileProto;

#define REQUEST(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define RESPONSE(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what
#define STATUS(what) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##what

#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define REFLECT_ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

struct fixture {
	struct world world;
	struct health *health;
	struct reflection *reflection;
	struct rpc_client *client;
};

static const struct rpc_handler *open_call(void *ctx, const char *method, struct rpc_call *call, void **call_ctx)
{
	struct fixture *f = ctx;
	const struct rpc_handler *h = health_open(f->health, method, call, call_ctx);
	return h ? h : reflection_open(f->reflection, method, call, call_ctx);
}

/* The loops exist only when the world has started, and no call comes before a client. */
static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (reflection_new(rcptd_descriptors, rcptd_descriptors_size, &f->reflection))
		return -1;
	world_start(&f->world, "127.0.0.1:0", open_call, f);
	if (health_new(f->world.loops, WORLD_LOOPS, &f->health) ||
		rpc_client_new(f->world.main, f->world.address, &f->client))
		return -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	world_stop(&f->world);
	rpc_client_free(f->client);
	world_end(&f->world);
	health_free(f->health);
	reflection_free(f->reflection);
	free(f);
	return 0;
}

/* ---- reflection ---- */

/* One stream; each question's answer is kept until the next. */
struct dialogue {
	struct exchange x; /* first */
	Response *response;
};

static void keep(struct exchange *x, const uint8_t *msg, size_t len)
{
	struct dialogue *d = (struct dialogue *)x;
	if (d->response)
		grpc__reflection__v1__server_reflection_response__free_unpacked(d->response, NULL);
	d->response = grpc__reflection__v1__server_reflection_response__unpack(NULL, len, msg);
}

static void begin(struct fixture *f, struct dialogue *d, const char *method)
{
	memset(d, 0, sizeof *d);
	d->x.keeps_wanting = true;
	d->x.on_message = keep;
	exchange_start(&d->x, &f->world, f->client, method, 0);
	rpc_request_want(d->x.request, 1);
}

static const Response *ask(struct dialogue *d, int what, const char *text)
{
	Request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
	Grpc__Reflection__V1__ExtensionRequest extension = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
	uint8_t packed[1024];
	unsigned before = d->x.received;
	request.host = (char *)"here";
	request.message_request_case = what;
	if (what == REQUEST(FILE_CONTAINING_EXTENSION)) {
		extension.containing_type = (char *)text;
		extension.extension_number = 1;
		request.file_containing_extension = &extension;
	} else
		request.file_by_filename = (char *)text; /* one of a union of strings */
	size_t len = grpc__reflection__v1__server_reflection_request__pack(&request, packed);
	assert_int_equal(rpc_request_send(d->x.request, packed, len), ERR_OK);
	world_wait(d->x.world, d->x.received > before || d->x.done);
	assert_int_equal(d->x.received, before + 1);
	assert_non_null(d->response);
	assert_string_equal(d->response->valid_host, "here");
	assert_int_equal(d->response->original_request->message_request_case, what);
	return d->response;
}

static void end(struct dialogue *d, enum rpc_code code)
{
	if (d->x.request)
		rpc_request_half_close(d->x.request);
	world_wait(d->x.world, d->x.done);
	assert_int_equal(d->x.code, code);
	if (d->response)
		grpc__reflection__v1__server_reflection_response__free_unpacked(d->response, NULL);
}

static void assert_files(const Response *r, const char *first, size_t count)
{
	assert_int_equal(r->message_response_case, RESPONSE(FILE_DESCRIPTOR_RESPONSE));
	assert_int_equal(r->file_descriptor_response->n_file_descriptor_proto, count);
	const ProtobufCBinaryData *bytes = &r->file_descriptor_response->file_descriptor_proto[0];
	FileProto *file = google__protobuf__file_descriptor_proto__unpack(NULL, bytes->len, bytes->data);
	assert_non_null(file);
	assert_string_equal(file->name, first);
	google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);
}

static void assert_error(const Response *r, enum rpc_code code)
{
	assert_int_equal(r->message_response_case, RESPONSE(ERROR_RESPONSE));
	assert_int_equal(r->error_response->error_code, code);
}

static void test_list_services(void **state)
{
	static const char *const METHODS[] = { REFLECT, REFLECT_ALPHA };
	static const char *const SERVED[] = { "rcptd.v1.VerificationService", "rcptd.v1.DomainService",
		"rcptd.v1.ExemptionService", "rcptd.v1.StatsService", "grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection" };
	const size_t count = sizeof SERVED / sizeof SERVED[0];
	for (int m = 0; m < 2; m++) {
		struct dialogue d;
		begin(*state, &d, METHODS[m]);
		const Response *r = ask(&d, REQUEST(LIST_SERVICES), "*");
		assert_int_equal(r->message_response_case, RESPONSE(LIST_SERVICES_RESPONSE));
		assert_int_equal(r->list_services_response->n_service, count);
		for (size_t i = 0; i < count; i++) {
			size_t k = 0;
			while (k < count && strcmp(r->list_services_response->service[k]->name, SERVED[i]) != 0)
				k++;
			assert_true(k < count);
			/* A new service is to be known to health as well. */
			if (strncmp(SERVED[i], "rcptd.", 6) == 0)
				assert_true(health_knows(SERVED[i]));
		}
		end(&d, RPC_OK);
	}
}

static void test_files(void **state)
{
	struct dialogue d;
	begin(*state, &d, REFLECT);
	/* Itself, verdict.proto, duration.proto, timestamp.proto. */
	assert_files(
		ask(&d, REQUEST(FILE_BY_FILENAME), "rcptd/v1/verification.proto"), "rcptd/v1/verification.proto", 4);
	assert_files(ask(&d, REQUEST(FILE_BY_FILENAME), "google/protobuf/duration.proto"),
		"google/protobuf/duration.proto", 1);
	assert_error(ask(&d, REQUEST(FILE_BY_FILENAME), "/etc/passwd"), RPC_NOT_FOUND);
	assert_error(ask(&d, REQUEST(FILE_BY_FILENAME), ""), RPC_NOT_FOUND);
	end(&d, RPC_OK);
}

static void test_symbols(void **state)
{
	static const struct {
		const char *symbol, *file;
	} KNOWN[] = {
		{ "rcptd.v1.VerificationService", "rcptd/v1/verification.proto" },
		{ "rcptd.v1.VerificationService.Verify", "rcptd/v1/verification.proto" },
		{ ".rcptd.v1.VerifyRequest", "rcptd/v1/verification.proto" },
		{ "rcptd.v1.VerifyRequest.address", "rcptd/v1/verification.proto" },
		{ "rcptd.v1.Verdict", "rcptd/v1/verdict.proto" },
		{ "rcptd.v1.VERDICT_DELIVERABLE", "rcptd/v1/verdict.proto" },
		{ "grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto" },
		{ "grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto" },
		{ "grpc.reflection.v1.ServerReflectionRequest.message_request", "grpc/reflection/v1/reflection.proto" },
		{ "google.protobuf.Duration", "google/protobuf/duration.proto" },
	};
	static const char *const UNKNOWN[] = { "", ".", "rcptd", "rcptd.v1", "rcptd.v1.Verify", "Verdict",
		"rcptd.v1.VerificationService.", "..rcptd.v1.Verdict", "rcptd.v1.Verdict.VERDICT_DELIVERABLE",
		"rcptd.store.v1.RouteRecord" };
	struct dialogue d;
	begin(*state, &d, REFLECT_ALPHA);
	for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
		const Response *r = ask(&d, REQUEST(FILE_CONTAINING_SYMBOL), KNOWN[i].symbol);
		assert_int_equal(r->message_response_case, RESPONSE(FILE_DESCRIPTOR_RESPONSE));
		assert_files(r, KNOWN[i].file, r->file_descriptor_response->n_file_descriptor_proto);
	}
	for (size_t i = 0; i < sizeof UNKNOWN / sizeof UNKNOWN[0]; i++)
		assert_error(ask(&d, REQUEST(FILE_CONTAINING_SYMBOL), UNKNOWN[i]), RPC_NOT_FOUND);
	assert_error(ask(&d, REQUEST(FILE_CONTAINING_EXTENSION), "rcptd.v1.Verdict"), RPC_NOT_FOUND);
	assert_error(ask(&d, REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE), "rcptd.v1.Verdict"), RPC_NOT_FOUND);
	end(&d, RPC_OK);
}

static void test_asks_nothing(void **state)
{
	struct fixture *f = *state;
	struct dialogue d;
	begin(f, &d, REFLECT);
	assert_int_equal(rpc_request_send(d.x.request, NULL, 0), ERR_OK);
	world_wait(&f->world, d.x.received == 1 || d.x.done);
	assert_non_null(d.response);
	assert_error(d.response, RPC_INVALID_ARGUMENT);
	end(&d, RPC_OK);
}

static void assert_refused(struct fixture *f, const char *method, const uint8_t *msg, size_t len)
{
	struct exchange x = { 0 };
	struct status_read r;
	exchange_unary(&x, &f->world, f->client, method, msg, len);
	assert_int_equal(x.code, RPC_INVALID_ARGUMENT);
	assert_int_equal(x.received, 0);
	assert_true(status_read(x.details, x.details_len, &r));
	assert_string_equal(r.reason, "MALFORMED_REQUEST");
	assert_string_equal(r.domain, "rcptd");
}

static void test_malformed_requests(void **state)
{
	static const char *const METHODS[] = { REFLECT, REFLECT_ALPHA, "/grpc.health.v1.Health/Check",
		"/grpc.health.v1.Health/Watch" };
	uint8_t *lengthy = calloc(1, 20000);
	memcpy(lengthy, "\x22\x9c\x9c\x01", 4); /* field 4, a string of 19,996 bytes: well-formed for reflection */
	for (size_t i = 0; i < sizeof METHODS / sizeof METHODS[0]; i++) {
		assert_refused(*state, METHODS[i], (const uint8_t *)"\x0a\xff", 2);
		assert_refused(*state, METHODS[i], (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
		assert_refused(*state, METHODS[i], lengthy, 20000);
	}
	free(lengthy);
}

/* Requests of chance bytes, and good ones with chance changes: an answer or a refusal, and the server lives. */
static void test_noise(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 1;
	for (int i = 0; i < 3000; i++) {
		static const uint8_t GOOD[] = "\x0a\x04here\x22\x10rcptd.v1.Verdict\x2a\x04\x0a\x01x\x10\x01";
		uint8_t msg[sizeof GOOD];
		memcpy(msg, GOOD, sizeof GOOD);
		for (int k = rand_r(&seed) % 4; k >= 0; k--)
			msg[(size_t)rand_r(&seed) % sizeof msg] = (uint8_t)(rand_r(&seed) >> 8);
		struct exchange x = { 0 };
		exchange_unary(&x, &f->world, f->client, i % 3 ? REFLECT : "/grpc.health.v1.Health/Check", msg,
			sizeof msg - (size_t)(i % 5));
		assert_true(x.code == RPC_OK || x.code == RPC_INVALID_ARGUMENT || x.code == RPC_NOT_FOUND);
	}
}

/* Asks and never reads: it stops being read from, and is forgotten when it goes. */
static void test_reflection_is_not_flooded(void **state)
{
	struct fixture *f = *state;
	struct exchange x = { 0 };
	exchange_start(&x, &f->world, f->client, REFLECT, 0);
	unsigned sent = 0;
	for (int turn = 0; turn < 100; turn++) { /* each with a chance for the server to take more */
		while (sent < 100000 && !rpc_request_send(x.request, (const uint8_t *)"\x22\x10rcptd.v1.Verdict", 18))
			sent++;
		struct exchange other = { 0 };
		struct rpc_client *client;
		assert_int_equal(rpc_client_new(f->world.main, f->world.address, &client), ERR_OK);
		exchange_unary(&other, &f->world, client, "/grpc.health.v1.Health/Check", "", 0);
		rpc_client_free(client);
	}
	assert_true(sent < 100000);
	rpc_request_cancel(x.request);
	world_wait(&f->world, x.done);
}

/* ---- health ---- */

static size_t pack_service(uint8_t *out, const char *service)
{
	Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	request.service = (char *)service;
	return grpc__health__v1__health_check_request__pack(&request, out);
}

static int status_in(const struct exchange *x)
{
	Grpc__Health__V1__HealthCheckResponse *r =
		grpc__health__v1__health_check_response__unpack(NULL, x->last_len, x->first);
	assert_non_null(r);
	int status = (int)r->status;
	grpc__health__v1__health_check_response__free_unpacked(r, NULL);
	return status;
}

static int check(struct fixture *f, const char *service, enum rpc_code *code)
{
	uint8_t packed[256];
	struct exchange x = { 0 };
	exchange_unary(&x, &f->world, f->client, "/grpc.health.v1.Health/Check", packed, pack_service(packed, service));
	*code = x.code;
	return x.received ? status_in(&x) : -1;
}

static void test_check(void **state)
{
	struct fixture *f = *state;
	enum rpc_code code;
	assert_int_equal(check(f, "", &code), STATUS(NOT_SERVING));
	health_set(f->health, true);
	assert_int_equal(check(f, "", &code), STATUS(SERVING));
	assert_int_equal(code, RPC_OK);
	assert_int_equal(check(f, "rcptd.v1.VerificationService", &code), STATUS(SERVING));
	assert_int_equal(check(f, "rcptd.v1.Nothing", &code), -1);
	assert_int_equal(code, RPC_NOT_FOUND);
	health_set(f->health, false);
	assert_int_equal(check(f, "rcptd.v1.StatsService", &code), STATUS(NOT_SERVING));
}

static void test_half_close_without_request(void **state)
{
	struct fixture *f = *state;
	static const char *const METHODS[] = { "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch" };
	for (int m = 0; m < 2; m++) {
		struct exchange x = { .keeps_wanting = true };
		exchange_start(&x, &f->world, f->client, METHODS[m], 0);
		rpc_request_want(x.request, 1);
		rpc_request_half_close(x.request);
		world_wait(&f->world, x.done);
		assert_int_equal(x.code, RPC_INVALID_ARGUMENT);
	}
}

static void watch(struct fixture *f, struct exchange *x, struct rpc_client *client, const char *service)
{
	uint8_t packed[256];
	size_t len = pack_service(packed, service);
	memset(x, 0, sizeof *x);
	x->keeps_wanting = true;
	exchange_start(x, &f->world, client, "/grpc.health.v1.Health/Watch", 0);
	rpc_request_want(x->request, 1);
	assert_int_equal(rpc_request_send(x->request, packed, len), ERR_OK);
	rpc_request_half_close(x->request);
	world_wait(&f->world, x->received == 1);
}

#define WATCHES 6

static void test_watch(void **state)
{
	struct fixture *f = *state;
	struct rpc_client *clients[WATCHES]; /* on either loop */
	struct exchange x[WATCHES], unknown;
	watch(f, &unknown, f->client, "rcptd.v1.Nothing");
	assert_int_equal(status_in(&unknown), STATUS(SERVICE_UNKNOWN));
	for (int i = 0; i < WATCHES; i++) {
		assert_int_equal(rpc_client_new(f->world.main, f->world.address, &clients[i]), ERR_OK);
		watch(f, &x[i], clients[i], i % 2 ? "" : "rcptd.v1.DomainService");
		assert_int_equal(status_in(&x[i]), STATUS(NOT_SERVING));
	}
	health_set(f->health, true);
	for (int i = 0; i < WATCHES; i++) {
		world_wait(&f->world, x[i].received == 2);
		assert_int_equal(status_in(&x[i]), STATUS(SERVING));
	}
	health_set(f->health, true); /* no change, no message */
	rpc_request_cancel(x[0].request);
	world_wait(&f->world, x[0].done);
	health_set(f->health, false);
	for (int i = 1; i < WATCHES; i++) {
		world_wait(&f->world, x[i].received == 3);
		assert_int_equal(status_in(&x[i]), STATUS(NOT_SERVING));
	}
	assert_int_equal(unknown.received, 1);
	health_set(f->health, true);
	health_end(f->health);
	health_set(f->health, true); /* too late */
	for (int i = 1; i < WATCHES; i++) {
		world_wait(&f->world, x[i].done);
		assert_int_equal(x[i].code, RPC_UNAVAILABLE);
		assert_int_equal(status_in(&x[i]), STATUS(NOT_SERVING));
	}
	world_wait(&f->world, unknown.done);
	enum rpc_code code;
	assert_int_equal(check(f, "", &code), STATUS(NOT_SERVING));
	for (int i = 0; i < WATCHES; i++)
		rpc_client_free(clients[i]);
}

/* Ended watches do not hold up the server's end, also without cancel_all. */
static void test_end_lets_the_server_stop(void **state)
{
	struct fixture *f = *state;
	struct exchange x;
	watch(f, &x, f->client, "");
	health_end(f->health);
	world_ask_to_stop(&f->world);
	world_wait(&f->world, x.done);
	world_wait(&f->world, atomic_load(&f->world.stopped));
}

static void test_descriptors_that_are_none(void **state)
{
	(void)state;
	struct reflection *r;
	const char *bad[] = { "\x0a",
		"\x0a\x05"
		"abc",
		"\x12\x01"
		"a",
		"\x0a\x02\x0a\x05", "\x0a\x00", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(reflection_new((const uint8_t *)bad[i], i == 4 ? 2 : strlen(bad[i]), &r), ERR_CORRUPT);
	for (size_t cut = 1; cut < rcptd_descriptors_size; cut += 97)
		if (!reflection_new(rcptd_descriptors, cut, &r))
			reflection_free(r); /* cut between two files */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_list_services),
		TEST(test_files),
		TEST(test_symbols),
		TEST(test_asks_nothing),
		TEST(test_malformed_requests),
		TEST(test_noise),
		TEST(test_reflection_is_not_flooded),
		TEST(test_check),
		TEST(test_half_close_without_request),
		TEST(test_watch),
		TEST(test_end_lets_the_server_stop),
		cmocka_unit_test(test_descriptors_that_are_none),
	};
	rpc_init();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rpc_shutdown();
	return failed;
}
