#include "server/rpc/op.h"

#include <signal.h>
#include <stdlib.h>

#include "server/base/log.h"

void op_init(struct op *op, void *owner, void (*done)(void *owner, bool ok))
{
	op->owner = owner;
	op->done = done;
	op->busy = false;
	atomic_init(&op->given, false);
}

void op_give(struct op *op)
{
	op->busy = true;
	atomic_store_explicit(&op->given, true, memory_order_release);
}

void op_start(struct op *op, grpc_call *call, const grpc_op *ops, size_t count)
{
	op_give(op);
	grpc_call_error e = grpc_call_start_batch(call, ops, count, op, NULL);
	if (e != GRPC_CALL_OK) {
		log_error("rpc what=batch_refused why=\"%s\"", grpc_call_error_to_string(e));
		abort();
	}
}

static void op_arrived(struct mail *m)
{
	struct op *op = (struct op *)m;
	op->busy = false;
	op->done(op->owner, op->ok); /* may free it */
}

static void *pump_main(void *arg)
{
	struct pump *p = arg;
	for (;;) {
		grpc_event ev = grpc_completion_queue_next(p->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		if (ev.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (ev.type != GRPC_OP_COMPLETE)
			continue;
		struct op *op = ev.tag;
		/* Core's own locks order this already; the pair is there for the thread sanitizer, which cannot see
		 * them. */
		(void)atomic_load_explicit(&op->given, memory_order_acquire);
		op->ok = ev.success != 0;
		loop_send(p->loop, &op->mail, op_arrived);
	}
}

static void drop_queue(struct pump *p)
{
	grpc_completion_queue_destroy(p->queue);
	p->queue = NULL;
}

err_t pump_start(struct pump *p, struct loop *loop)
{
	p->loop = loop;
	p->queue = grpc_completion_queue_create_for_next(NULL);
	/* Core starts threads of its own from this one: signals belong to the main thread. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int failed = pthread_create(&p->thread, NULL, pump_main, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!failed)
		return ERR_OK;
	grpc_completion_queue_shutdown(p->queue);
	drop_queue(p);
	return ERR_NOMEM;
}

void pump_end(struct pump *p)
{
	if (!p->queue)
		return;
	grpc_completion_queue_shutdown(p->queue);
	pthread_join(p->thread, NULL);
	drop_queue(p);
}
