#pragma once
/* Is an environment's file whole? LMDB keeps no checksums and reads through a map, so a file cut short would end the
 * process with a signal in the middle of a read. */
#include "store/env.h"

/* Walks every page in use, with the signals of a broken map caught; `known`, which may be large, only when its file is
 * shorter than its header says. At open only, before other threads: it sets signal handlers while it runs.
 * ERR_CORRUPT: pages are missing or make no sense. */
MUST_CHECK err_t env_check_intact(struct env *);
