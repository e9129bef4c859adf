/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copier - one database, copied as one instant: under a lock that its writers honour, patched into yesterday's copy, hashed
 * in the same pass.
 *
 * The lock is a shared record lock over the whole file (open file description locks, so that threads and closing
 * descriptors do not interfere); GroupWise's agents, and gwsim, write under an exclusive one.  A writer that does not
 * lock is noticed by the file's stat before and after, and the copy is made again.
 *
 * Threads: any; a call uses only what it is given, and for a large database a second thread, which has ended when it returns.
 */
#ifndef COLLECTOR_COPIER_H
#define COLLECTOR_COPIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"

struct copier_limits {
	int64_t lock_wait_ms; /* for one lock */
	unsigned tries;       /* of a file that changes while it is copied */
};

struct copier_result {
	bool copied;           /* false: the copy had the same size and modification time already */
	uint64_t size;
	uint64_t bytes_written; /* pages that differed */
	unsigned retries;
	int64_t mtime_ns;      /* of the source; to be given to the copy once its data is on disk (copier_stamp) */
	struct hash128 *hashes; /* *given*; NULL when not copied or no key was given */
	size_t n_hashes;
	struct hash128 digest;
};

/*
 * Copies the open file `from` into `to` (open for reading and writing, maybe empty).  A copy with the same size and mtime is
 * taken as current: only copier_stamp gives a copy its source's mtime, after its data is on disk, so a crash in between
 * leaves a copy that is made again.
 * -ERR_BUSY: the lock could not be had in time; -ERR_TORN: it changed at every try.
 */
int copier_copy(int from, int to, const struct block_key *key, const struct copier_limits *limits, struct copier_result *ret_result);

/* Gives the copy its source's modification time, which says that it is current: its data must be on disk already. */
int copier_stamp(int to, const struct copier_result *result);

void copier_result_fini(struct copier_result *result);

#endif
