/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rows - the numbers of the journal rows that one piece of work, or one scan, answers for: they leave the journal together when what it
 * found is durable.
 *
 * The journal moves the row of a path to a newer number when the path is named again, unless a cookie lies between (journal.h): then
 * both stay, and both must be known.
 *
 * Threads: its owner's.
 */
#ifndef REPLICATOR_ROWS_H
#define REPLICATOR_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rows { /* {0} = none; as they came */
	uint64_t *v;
	size_t n, cap;
};

bool rows_have(const struct rows *rows, uint64_t seq);
/* Rows that a newer one of the path has replaced need not be known, and long lists of them are cut: those above `cookie`, the newest
 * cookie's.  False: out of memory, nothing changed. */
bool rows_add(struct rows *rows, uint64_t seq, uint64_t cookie);
void rows_fini(struct rows *rows);

#endif
