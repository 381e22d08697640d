#include "cli/connect.h"

#include "cli/interrupt.h"
#include "server/api/status_read.h"

#define ASK_TIMEOUT_MS (30 * 1000)
#define ANSWER_MAX RPC_MESSAGE_MAX

static void on_interrupt(void *ctx, unsigned events)
{
	(void)events;
	struct connection *c = ctx;
	watch_want(c->interrupt, 0); /* it stays readable */
	if (c->on_interrupt)
		c->on_interrupt(c->interrupt_ctx);
}

static err_t begin(struct connection *c)
{
	err_t err = loop_new(&c->loop);
	if (!err)
		err = rpc_client_new(c->loop, c->target, &c->client);
	if (!err && interrupt_fd() >= 0) {
		err = watch_open(c->loop, interrupt_fd(), on_interrupt, c, &c->interrupt);
		if (!err)
			watch_want(c->interrupt, WATCH_READ);
	}
	return err;
}

static void end(struct connection *c)
{
	watch_close(c->interrupt);
	c->interrupt = NULL;
	if (c->client)
		rpc_client_free(c->client);
	c->client = NULL;
	if (c->loop)
		loop_free(c->loop);
	c->loop = NULL;
}

bool connect_open(struct connection *c, const char *target)
{
	*c = (struct connection){ .target = target };
	rpc_init();
	err_t err = begin(c);
	if (!err)
		return true;
	complain("no connection to '%s' can be made: %s", target, err_text(err));
	connect_close(c);
	return false;
}

void connect_close(struct connection *c)
{
	end(c);
	rpc_shutdown();
	*c = (struct connection){ 0 };
}

/* ---- errors ---- */

enum exit_code connect_explain(
	const struct connection *c, enum rpc_code code, const char *message, const uint8_t *details, size_t details_len)
{
	struct status_read status;
	(void)status_read(details, details_len, &status);
	const char *reason = status.reason;
	bool not_the_server = !*reason; /* gRPC itself knows no reasons */
	if (code == RPC_UNAVAILABLE && not_the_server)
		complain("rcptd cannot be reached at %s: %s", c->target, message);
	else if (code == RPC_DEADLINE_EXCEEDED && not_the_server)
		complain("rcptd at %s did not answer in time", c->target);
	else if (*reason)
		complain("%s (%s)", message, reason);
	else
		complain("%s", *message ? message : "the server gave an error without words");
	if (status.field[0])
		complain("  %s: %s", status.field, status.description);
	if (code == RPC_UNAVAILABLE || code == RPC_DEADLINE_EXCEEDED)
		return EXIT_UNREACHABLE;
	return code == RPC_INVALID_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}

/* ---- one question ---- */

struct ask {
	struct connection *connection;
	struct rpc_request *request;
	struct buf answer;
	bool answered, interrupted;
	enum exit_code code;
};

static void on_message(struct rpc_request *r, void *ctx, const uint8_t *msg, size_t len)
{
	(void)r;
	struct ask *a = ctx;
	buf_reset(&a->answer);
	buf_append(&a->answer, msg, len);
	a->answered = true;
}

static void on_done(void *ctx, enum rpc_code code, const char *message, const uint8_t *details, size_t details_len)
{
	struct ask *a = ctx;
	a->request = NULL;
	if (a->interrupted)
		a->code = EXIT_INTERRUPTED;
	else if (code == RPC_OK)
		a->code = EXIT_DONE;
	else
		a->code = connect_explain(a->connection, code, message, details, details_len);
	loop_stop(a->connection->loop);
}

static void interrupt_ask(void *ctx)
{
	struct ask *a = ctx;
	a->interrupted = true;
	if (a->request)
		rpc_request_cancel(a->request);
}

static err_t start(struct ask *a, const char *method, const ProtobufCMessage *question)
{
	static const struct rpc_request_handler HANDLER = { .on_message = on_message, .on_done = on_done };
	struct buf packed = BUF_INIT(RPC_MESSAGE_MAX);
	size_t len = protobuf_c_message_get_packed_size(question);
	buf_reserve(&packed, len + 1);
	if (packed.err)
		return packed.err;
	packed.len = protobuf_c_message_pack(question, packed.data);
	err_t err = rpc_request_start(a->connection->client, method, ASK_TIMEOUT_MS, &HANDLER, a, &a->request);
	if (!err) {
		err_t sent = rpc_request_send(a->request, packed.data, packed.len);
		if (sent == ERR_OK)
			rpc_request_half_close(a->request);
		else if (sent != ERR_CLOSED) /* if it is, on_done() says why */
			rpc_request_cancel(a->request);
		rpc_request_want(a->request, 2); /* the message, then the end */
	}
	buf_free(&packed);
	return err;
}

enum exit_code connect_ask(struct connection *c, const char *method, const ProtobufCMessage *question,
	const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **answer)
{
	struct ask a = { .connection = c, .answer = BUF_INIT(ANSWER_MAX) };
	err_t err = ERR_OK;
	if (c->asked) { /* a loop runs once */
		end(c);
		err = begin(c);
	}
	c->asked = true;
	if (!err)
		err = start(&a, method, question);
	if (err) {
		complain("the call could not be made: %s", err_text(err));
		buf_free(&a.answer);
		return EXIT_FAILED;
	}
	c->on_interrupt = interrupt_ask;
	c->interrupt_ctx = &a;
	loop_run(c->loop);
	c->on_interrupt = NULL;
	*answer = NULL;
	if (a.code == EXIT_DONE && a.answered && !a.answer.err)
		*answer = protobuf_c_message_unpack(descriptor, NULL, a.answer.len, a.answer.data);
	if (a.code == EXIT_DONE && !*answer) {
		complain("the server's answer could not be read");
		a.code = EXIT_FAILED;
	}
	buf_free(&a.answer);
	return a.code;
}
