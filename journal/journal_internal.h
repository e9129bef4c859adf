/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the journal share: its tables, its state, and one row's removal. */
#ifndef JOURNAL_INTERNAL_H
#define JOURNAL_INTERNAL_H

#include "base/store.h"
#include "journal/flag.h"
#include "journal/journal.h"
#include "journal/pathkey.h"

enum journal_table { LOG, PENDING, SEEN, TROUBLE, META };

struct journal {
	struct store *store;
	struct flag flag;
	uint64_t shown; /* generation of the flag that was last read; what an acknowledgement of 0 answers */
};

/* Numbers that no table tells cheaply; one row of META. */
struct journal_state {
	uint64_t head;    /* highest sequence number given */
	uint64_t cookie;  /* that of the newest cookie */
	uint64_t rescans; /* rows of this kind in the log */
};

int journal_state_get(struct store_txn *txn, struct journal_state *ret_state);
int journal_state_put(struct store_txn *txn, const struct journal_state *state);

/* Key in PENDING; cookies are a class of their own. */
void journal_pending_key(struct pathkey *key, enum change_kind kind, const char *path);

/* 0 found (*gives* the path; seq filled), 1 absent, -ERR_CORRUPT. */
int journal_row_get(struct store_txn *txn, uint64_t seq, struct change *ret_change);
/* Takes a row that was read out of LOG and SEEN. */
int journal_row_del(struct store_txn *txn, const struct change *row, struct journal_state *state);
void journal_seen_key(int64_t seen_ns, uint64_t seq, uint8_t out[16]);

int journal_trouble_clear(struct store_txn *txn, const char *path);

#endif
