/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dirty - which blocks of a file must travel: old hashes and new hashes in, ranges out.  Pure.
 */
#ifndef REPLICATOR_DIRTY_H
#define REPLICATOR_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"

/* Blocks first..first+count-1 of the piece that was compared: all data, or all hole. */
struct dirty_range {
	uint32_t first, count;
	uint32_t at; /* where its data is kept, in blocks: `first`, unless who keeps it packs it closer */
	bool hole;
};

/*
 * Compares the `n` blocks of a piece with what the other side is known to hold of it: `n_old` hashes, zero = unknown, blocks
 * past them do not exist there.  Adjacent dirty blocks of one kind become one range of at most `max_count` blocks of data.
 * `hole[i]`: block i lies in a hole (NULL = none).  `out` has room for `n` ranges; gives their number.  A file that only
 * shrank on a block boundary gives none: the caller compares sizes.
 */
size_t dirty_ranges(const struct hash128 *old, size_t n_old, const struct hash128 *now, const bool *hole, size_t n, uint32_t max_count,
    struct dirty_range *out);

#endif
