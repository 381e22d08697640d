#include "server/rpc/message.h"

#include <grpc/byte_buffer_reader.h>
#include <stdlib.h>

#include "server/rpc/call.h"

struct out_message {
	STAILQ_ENTRY(out_message) next;
	grpc_byte_buffer *buffer;
	size_t cost;
};

/* A message costs more than its bytes, or a flood of empty ones would be bounded by nothing. */
#define MESSAGE_COST(len) ((len) + 64)

void outbox_init(struct outbox *o)
{
	*o = (struct outbox){ 0 };
	STAILQ_INIT(&o->waiting);
}

err_t outbox_put(struct outbox *o, const uint8_t *msg, size_t len)
{
	if (o->bytes >= RPC_OUT_LIMIT) {
		o->wants_writable = true;
		return ERR_AGAIN;
	}
	struct out_message *m = malloc(sizeof *m);
	if (!m)
		return ERR_NOMEM;
	grpc_slice slice = grpc_slice_from_copied_buffer((const char *)msg, len);
	m->buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	m->cost = MESSAGE_COST(len);
	STAILQ_INSERT_TAIL(&o->waiting, m, next);
	o->bytes += m->cost;
	return ERR_OK;
}

bool outbox_empty(const struct outbox *o)
{
	return STAILQ_EMPTY(&o->waiting);
}

grpc_byte_buffer *outbox_take(struct outbox *o)
{
	struct out_message *m = STAILQ_FIRST(&o->waiting);
	STAILQ_REMOVE_HEAD(&o->waiting, next);
	o->flying = m->buffer;
	o->flying_cost = m->cost;
	free(m);
	return o->flying;
}

void outbox_sent(struct outbox *o)
{
	if (!o->flying)
		return;
	grpc_byte_buffer_destroy(o->flying);
	o->flying = NULL;
	o->bytes -= o->flying_cost;
}

bool outbox_turned_writable(struct outbox *o)
{
	if (!o->wants_writable || o->bytes > RPC_OUT_LIMIT / 2)
		return false;
	o->wants_writable = false;
	return true;
}

void outbox_free(struct outbox *o)
{
	outbox_sent(o);
	while (!outbox_empty(o)) {
		outbox_take(o);
		outbox_sent(o);
	}
}

grpc_slice message_take(grpc_byte_buffer **buffer)
{
	grpc_byte_buffer_reader reader;
	grpc_slice slice = grpc_empty_slice();
	if (grpc_byte_buffer_reader_init(&reader, *buffer)) { /* false: a compressed one that does not decompress */
		slice = grpc_byte_buffer_reader_readall(&reader);
		grpc_byte_buffer_reader_destroy(&reader);
	}
	grpc_byte_buffer_destroy(*buffer);
	*buffer = NULL;
	return slice;
}
