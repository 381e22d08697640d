#include "server/api/reflection.h"

#include <stdlib.h>
#include <string.h>

#include "proto/grpc/reflection/v1/reflection.pb-c.h"
#include "server/api/descriptors.h"
#include "server/api/status.h"
#include "server/base/buf.h"

#define REQUEST_MAX (4 * 1024)	  /* bytes: a symbol or a file's name */
#define RESPONSE_MAX (512 * 1024) /* bytes; all of our files are a tenth of it */

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;

struct reflection {
	struct descriptors *descriptors;
};

struct reflection_call {
	const struct reflection *reflection;
	struct buf held; /* a response that waits for on_writable() */
};

/* ---- responses ---- */

static void send_held(struct rpc_call *call, struct reflection_call *c)
{
	err_t err = rpc_call_send(call, c->held.data, c->held.len);
	if (err == ERR_AGAIN)
		return; /* nor is anything read until it is gone */
	buf_free(&c->held);
	if (err == ERR_NOMEM)
		rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, err_text(err), NULL, 0);
	else if (!err)
		rpc_call_want(call, 1);
}

static void respond(struct rpc_call *call, struct reflection_call *c, Request *request, Response *response)
{
	Request said = *request;
	said.base.n_unknown_fields = 0; /* repeated as they came they might be no message */
	response->valid_host = request->host;
	response->original_request = &said;
	size_t len = grpc__reflection__v1__server_reflection_response__get_packed_size(response);
	buf_reserve(&c->held, len);
	if (c->held.err) {
		rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, err_text(c->held.err), NULL, 0);
		return;
	}
	c->held.len = grpc__reflection__v1__server_reflection_response__pack(response, c->held.data);
	send_held(call, c);
}

static void respond_error(
	struct rpc_call *call, struct reflection_call *c, Request *request, enum rpc_code code, const char *message)
{
	Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
	Response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
	error.error_code = (int32_t)code;
	error.error_message = (char *)message;
	response.message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
	response.error_response = &error;
	respond(call, c, request, &response);
}

/* The file and all it imports, so that the client need not ask for each. */
static void respond_file(struct rpc_call *call, struct reflection_call *c, Request *request, int file)
{
	const struct descriptors *d = c->reflection->descriptors;
	size_t count = descriptors_file_count(d);
	int *order = calloc(count, sizeof *order);
	ProtobufCBinaryData *files = calloc(count, sizeof *files);
	if (order && files) {
		Grpc__Reflection__V1__FileDescriptorResponse found =
			GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
		Response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
		count = descriptors_closure(d, file, order);
		for (size_t i = 0; i < count; i++)
			files[i].data = (uint8_t *)descriptors_file(d, order[i], &files[i].len);
		found.n_file_descriptor_proto = count;
		found.file_descriptor_proto = files;
		response.message_response_case =
			GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
		response.file_descriptor_response = &found;
		respond(call, c, request, &response);
	} else
		rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, err_text(ERR_NOMEM), NULL, 0);
	free(order);
	free(files);
}

static void respond_services(struct rpc_call *call, struct reflection_call *c, Request *request)
{
	const struct descriptors *d = c->reflection->descriptors;
	size_t count = descriptors_service_count(d);
	Grpc__Reflection__V1__ServiceResponse *services = calloc(count + 1, sizeof *services);
	Grpc__Reflection__V1__ServiceResponse **list = calloc(count + 1, sizeof *list);
	if (services && list) {
		Grpc__Reflection__V1__ListServiceResponse all = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
		Response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
		for (size_t i = 0; i < count; i++) {
			grpc__reflection__v1__service_response__init(&services[i]);
			services[i].name = (char *)descriptors_service(d, i);
			list[i] = &services[i];
		}
		all.n_service = count;
		all.service = list;
		response.message_response_case =
			GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
		response.list_services_response = &all;
		respond(call, c, request, &response);
	} else
		rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, err_text(ERR_NOMEM), NULL, 0);
	free(services);
	free(list);
}

static void answer(struct rpc_call *call, struct reflection_call *c, Request *request)
{
	const struct descriptors *d = c->reflection->descriptors;
	int file = -1;
	switch (request->message_request_case) {
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
		respond_services(call, c, request);
		return;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
		file = descriptors_by_filename(d, request->file_by_filename);
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL: {
		const char *symbol = request->file_containing_symbol;
		file = descriptors_by_symbol(d, symbol[0] == '.' ? symbol + 1 : symbol);
		break;
	}
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
		break; /* proto3: there are none */
	default: respond_error(call, c, request, RPC_INVALID_ARGUMENT, "nothing is asked"); return;
	}
	if (file >= 0)
		respond_file(call, c, request, file);
	else
		respond_error(call, c, request, RPC_NOT_FOUND, "not found");
}

/* ---- calls ---- */

static void on_message(struct rpc_call *call, void *ctx, const uint8_t *msg, size_t len)
{
	Request *request =
		len > REQUEST_MAX ? NULL : grpc__reflection__v1__server_reflection_request__unpack(NULL, len, msg);
	if (!request) {
		status_finish(
			call, RPC_INVALID_ARGUMENT, "MALFORMED_REQUEST", "not a ServerReflectionRequest", NULL, NULL);
		return;
	}
	answer(call, ctx, request);
	grpc__reflection__v1__server_reflection_request__free_unpacked(request, NULL);
}

static void on_half_close(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_finish(call, RPC_OK, NULL, NULL, 0); /* nothing is held: credit is granted after it has gone */
}

static void on_writable(struct rpc_call *call, void *ctx)
{
	struct reflection_call *c = ctx;
	if (c->held.len)
		send_held(call, c);
}

static void on_done(void *ctx, int cancelled)
{
	(void)cancelled;
	struct reflection_call *c = ctx;
	buf_free(&c->held);
	free(c);
}

const struct rpc_handler *reflection_open(
	struct reflection *r, const char *method, struct rpc_call *call, void **call_ctx)
{
	static const struct rpc_handler HANDLER = { on_message, on_half_close, on_writable, on_done };
	if (strcmp(method, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo") != 0 &&
		strcmp(method, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo") != 0)
		return NULL;
	struct reflection_call *c = calloc(1, sizeof *c);
	if (!c) {
		rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, err_text(ERR_NOMEM), NULL, 0);
		return NULL;
	}
	c->reflection = r;
	c->held = (struct buf)BUF_INIT(RESPONSE_MAX);
	*call_ctx = c;
	rpc_call_want(call, 1);
	return &HANDLER;
}

err_t reflection_new(const uint8_t *set, size_t len, struct reflection **out)
{
	struct reflection *r = calloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	err_t err = descriptors_new(set, len, &r->descriptors);
	if (err)
		free(r);
	else
		*out = r;
	return err;
}

void reflection_free(struct reflection *r)
{
	if (!r)
		return;
	descriptors_free(r->descriptors);
	free(r);
}
