#pragma once
/* Clients that come when the process has no descriptor left. gRPC core 1.51 gives its listener up for good when
 * accept4() fails with EMFILE: the server would be deaf from then on. So core's accept4() is ours: such a client is
 * turned away (its connection closed, which a gRPC client answers by trying again later), and core never hears of it.
 * Any thread. */
void accept_init(void); /* once, before anything listens */
