#pragma once
/* The running world: what its parts share. Owner: main(). One thread. */
#include <stdbool.h>

#include "tests/world/count.h"
#include "tests/world/desc.h"
#include "tests/world/loop.h"
#include "tests/world/record.h"

struct smtpd;
struct dnsd;
struct control;

struct world {
	const struct desc *desc;
	struct loop *loop;
	struct record *record;
	struct counts counts;
	struct smtpd *smtpd;
	struct dnsd *dnsd;
	struct control *control;
};

/* Each starts its listeners; NULL after a line on standard error that names the address. */
struct smtpd *smtpd_start(struct world *);
struct dnsd *dnsd_start(struct world *);
struct control *control_start(struct world *);
void smtpd_stop(struct smtpd *);
void dnsd_stop(struct dnsd *);
void control_stop(struct control *);
/* At the end of a turn, after the record was written: sends what is due and frees what ended. */
void smtpd_turn_end(struct smtpd *);
void dnsd_turn_end(struct dnsd *);
void control_turn_end(struct control *);

int smtpd_port(const struct smtpd *);
void smtpd_reset(struct smtpd *);  /* connections to a host are counted from 1 again */
void smtpd_forget(struct smtpd *); /* no client was ever seen: greylists are empty, nobody is blocked */
void dnsd_forget(struct dnsd *);   /* no name was ever asked for */
void smtpd_connections_json(struct smtpd *, struct buf *);
void dnsd_addresses(const struct dnsd *, struct buf *); /* ADDRESS:PORT, by commas */
void control_address(const struct control *, struct buf *);

/* listen.c: a bound socket, or -1 with errno. A TCP one listens. */
int listen_on(const struct addr *, int type);
uint16_t bound_port(int fd);
/* Says on standard error why `what` cannot have that address. */
void listen_failed(const char *what, const char *address);
