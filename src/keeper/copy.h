/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy - one pass over a file that reads it, sums it up both ways and, if wanted, writes it: no byte is read twice to be
 * sealed, verified or restored.
 *
 * Threads: a struct copy belongs to one thread at a time.
 */
#ifndef KEEPER_COPY_H
#define KEEPER_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/block.h"
#include "base/digest.h"
#include "keeper/task.h"

struct copy;

struct copy_sums {
	uint64_t size;
	struct hash128 digest;         /* zeros without a key */
	uint8_t sha256[DIGEST_BYTES];
};

/* `key` (NULL: SHA-256 only) and `task` are borrowed until free. */
int copy_new(const struct block_key *key, struct task *task, struct copy **ret_copy);
void copy_free(struct copy *c); /* NULL is fine */

/* Opens what is to be read.  -ERR_IO: the disk does not give it; that we may not open more files is -ERR_LIMIT. */
int copy_open(int dir, const char *place);

/* Reads `from` to its end; what it read is in `to` then, which was empty, with its holes.  `to` < 0: only reads.  Says how far
 * it is by task_advance and looks at the task's stop between pieces that take milliseconds. */
int copy_pass(struct copy *c, int from, int to, struct copy_sums *ret_sums);

/* What the last pass or clone failed at was `to`: its -ERR_IO says nothing of `from`. */
bool copy_could_not_write(const struct copy *c);

/* The same for a file of which a reflink may be made; then the clone is read, for it is what is kept. */
int copy_clone(struct copy *c, int from, int to, struct copy_sums *ret_sums);

/* As copy_pass with to < 0, but the bytes come from the disk, as far as the kernel lets go of its copy. */
int copy_scrub(struct copy *c, int from, struct copy_sums *ret_sums);

#endif
