#pragma once
/* Ctrl-C (and SIGTERM, SIGHUP) as something that a loop can watch. The first one makes interrupt_fd() readable, the
 * second ends the process at once. Process-wide. */
#include <stdbool.h>

bool interrupt_init(void); /* once, in main, before threads; also ignores SIGPIPE and SIGXFSZ */
int interrupt_fd(void);	   /* -1 before interrupt_init() */
