/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledger - what each seal made of the catalogue, once more, as plain files beside it: a damaged catalogue is made again from
 * them.
 *
 *     state/ledger/<number>-all   every set and every blob row that a kept set holds, as of this set
 *     state/ledger/<number>-day   the set, and the blob rows that its seal made or ended
 *
 * What counts is the newest "all" and the days after it, each of which names the one before.  A file: 8 bytes "TMLEDGE1", its
 * number, that of the one before (0: "all"), records (kind, length, bytes of catalogue_rows), a record of kind 0 with the SHA-256
 * of everything above.  It has its name only once it is durable.
 *
 * Threads: one at a time.
 */
#ifndef KEEPER_LEDGER_H
#define KEEPER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pack.h"

enum ledger_kind { LEDGER_END, LEDGER_SET, LEDGER_BLOB };

/* The files that count. */
struct ledger_chain {
	uint32_t all;           /* 0 = there is none */
	uint32_t last;          /* the newest day */
	uint64_t all_bytes, day_bytes;
	uint32_t *numbers;      /* of "all" and the days after it, ascending; owned */
	size_t n;
};
/* Ignores what has a number of `below` or more. */
int ledger_chain(int dirfd, uint32_t below, struct ledger_chain *ret_chain);
void ledger_chain_fini(struct ledger_chain *chain);

struct ledger_writer;

/* `before`: the set whose file this one goes on from; 0 = it is an "all". */
int ledger_create(int dirfd, uint32_t number, uint32_t before, struct ledger_writer **ret_writer);
int ledger_add(struct ledger_writer *w, enum ledger_kind kind, const struct pack_out *bytes);
/* Durable under its name after this.  An "all" ends the life of all files before it. */
int ledger_finish(struct ledger_writer *w);
void ledger_abandon(struct ledger_writer *w); /* frees, after finish as well; NULL is fine */

/* Calls `visit` for each record; -ERR_CORRUPT, before the first call, unless the file is whole and goes on from `before`. */
int ledger_read(int dirfd, uint32_t number, uint32_t before,
    int (*visit)(enum ledger_kind kind, const uint8_t *bytes, size_t len, void *arg), void *arg);

#endif
