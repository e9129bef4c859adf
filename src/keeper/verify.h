/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify - re-reads a set and holds it to what was sealed: manifest, files, links, the catalogue's list of blobs, and the blobs.
 *
 * Threads: one at a time a vault.
 */
#ifndef KEEPER_VERIFY_H
#define KEEPER_VERIFY_H

#include "keeper/task.h"
#include "keeper/vault.h"

enum verify_depth {
	VERIFY_ALL,   /* everything, and names in the set that nobody put there */
	VERIFY_NEW,   /* the scrub: what was new in this set, read from the disk; one that was stopped goes on where it was */
};

/* Sets that hold the same file or blob as one that differs: their rows say differs from now on.  Those that said so before are not
 * among them.  Free with catalogue_sets_free. */
struct verify_sharers {
	struct set_row *sets;
	size_t n;
};

/* 0 even with differences: each is a line of `task`, their number is given, and the set's row says good or differs (and
 * when it was scrubbed).  An error means that it could not be found out. */
int verify_set(struct vault *v, struct set_row *set, enum verify_depth depth, struct task *task, uint64_t *ret_differences,
    struct verify_sharers *ret_sharers);

#endif
