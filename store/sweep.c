#include <string.h>

#include "server/base/clock.h"
#include "store/internal.h"

static void go_to(struct writer *w, enum table table)
{
	w->sweep_table = table;
	w->sweep_key.len = 0;
}

/* Goes on in one table where the last sweep stopped. Returns how many of the n records are left to look at. */
static uint64_t sweep_table(struct writer *w, struct txn *txn, int64_t now_ms, uint64_t n)
{
	MDB_cursor *c = txn_cursor(txn, w->sweep_table);
	MDB_val key = { w->sweep_key.len, w->sweep_key.bytes }, value;
	bool some = txn_move(txn, c, &key, &value, w->sweep_key.len ? MDB_SET_RANGE : MDB_FIRST);
	while (some && n) {
		n--;
		if (fact_expires_ms(w->sweep_table, &value) <= now_ms)
			txn_del(txn, c);
		some = txn_move(txn, c, &key, &value, MDB_NEXT);
	}
	if (some && key.mv_size <= sizeof w->sweep_key.bytes) {
		w->sweep_key.len = key.mv_size;
		memcpy(w->sweep_key.bytes, key.mv_data, key.mv_size);
	} else {
		w->sweep_key.len = 0;
	}
	if (c)
		mdb_cursor_close(c);
	return n;
}

void sweep(struct store *s, struct txn *txn, uint64_t n)
{
	struct writer *w = &s->writer;
	int64_t now_ms = clock_wall_ms();
	unsigned tables = s->known.last - s->known.first + 1;
	for (unsigned i = 0; i < tables && !txn->err; i++) {
		n = sweep_table(w, txn, now_ms, n);
		if (!n)
			return;
		go_to(w, w->sweep_table == s->known.last ? s->known.first : w->sweep_table + 1);
	}
}
