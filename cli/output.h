#pragma once
/* One result as a row: for people, for spreadsheets, for programs. Pure; any thread. */
#include <stdbool.h>
#include <stdint.h>

#include "rcptd/v1/verification.pb-c.h"
#include "server/base/buf.h"

enum output_format { OUTPUT_TABLE, OUTPUT_CSV, OUTPUT_JSONL };

struct output_style {
	enum output_format format;
	bool colour;		/* table: of verdicts */
	uint32_t address_width; /* table: columns of the terminal */
	uint32_t line_width;	/* table: where the detail is cut; 0: nowhere */
};

#define OUTPUT_ADDRESS_WIDTH 36u /* where the addresses are not known in advance */

/* "table", "csv" or "jsonl"; false if it is none. */
bool output_format_named(const char *name, enum output_format *);
/* The columns of the input that a CSV keeps: `under` its heading, each cell with a comma behind it, and `beyond` it,
 * each with a comma in front. */
struct output_kept {
	const uint8_t *under, *beyond;
	size_t under_len, beyond_len;
};
/* csv: kept's `under` goes in front of ours, what is `beyond` behind, so that each column stays under its name. NULL:
 * there are none. table and jsonl have nothing of it. */
void output_row(const struct output_style *, const Rcptd__V1__Result *, const struct output_kept *, struct buf *);
/* csv: the input's names are as they were (`kept`, each with a comma behind it; "" for none); those of ours that one
 * of them has too, by taken(), get OUTPUT_PREFIX in front, as often as it takes. */
void output_header(const struct output_style *, const char *kept, bool (*taken)(const void *ctx, const char *name),
	const void *ctx, struct buf *);
#define OUTPUT_PREFIX "rcptd_"

/* Words without their prefix: DELIVERABLE, MAILBOX_UNKNOWN, rcpt, yes. NULL for none and for what we do not know. */
const char *output_verdict(Rcptd__V1__Verdict);
const char *output_reason(Rcptd__V1__Reason);
const char *output_phase(Rcptd__V1__Phase);
const char *output_catch_all(Rcptd__V1__CatchAll);     /* "unknown" for none */
const char *output_verdict_colour(Rcptd__V1__Verdict); /* the escape sequence */
#define COLOUR_END "\033[0m"

/* "12 s", "3 min", "7 h", "2 d". */
void output_seconds(struct buf *, int64_t seconds);
/* Whole seconds of a Duration, a begun one counted if up. */
int64_t output_duration(const Google__Protobuf__Duration *, bool up);
/* "2026-11-25 02:07:56 UTC" */
void output_time(struct buf *, const Google__Protobuf__Timestamp *);
