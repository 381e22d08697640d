#pragma once
/* One VerifyStream call: rows of an input in, their answers to a sink in the order of the rows. Main thread. */
#include "cli/connect.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/sink.h"

#define STREAM_WINDOW 100000u /* rows asked and not yet put out, unless told otherwise */

struct stream_options {
	struct input *input;
	struct sink *sink;
	struct output_style style;
	size_t window;
	int64_t max_age_s; /* -1: none */
	bool progress;	   /* a line on standard error, which is a terminal */
};

/* Runs the call to its end and complains where it went wrong. The tally tells what was answered whatever came of it;
 * the sink may hold bytes that are not yet flushed, and none if nothing was answered by a server that was not reached.
 */
enum exit_code stream_run(struct connection *, const struct stream_options *, struct tally *);
