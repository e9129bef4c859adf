/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mapped - a live tree with a block map and a journal beside it, and no loop: for tests of the replicator's parts.
 */
#ifndef TESTS_MAPPED_H
#define TESTS_MAPPED_H

#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "journal/blockmap.h"
#include "journal/journal.h"
#include "replicator/origin.h"
#include "tests/lib/scratch.h"

struct mapped {
	struct scratch scratch;
	struct livetree *tree;
	struct blockmap *map;
	struct journal *journal;
	struct block_key key;
	struct origin live;
};

void mapped_open(struct mapped *m);
void mapped_close(struct mapped *m);

void mapped_dir(struct mapped *m, const char *path);
/* `len` bytes of `fill`, with an mtime of long ago. */
void mapped_file(struct mapped *m, const char *path, uint8_t fill, size_t len);
/* Sets the mtime of a path to long ago. */
void mapped_age(struct mapped *m, const char *path);
/* The map believes what lies there now. */
void mapped_believe(struct mapped *m, const char *path);
void mapped_apply(struct mapped *m, struct blockmap_op op);
void mapped_remove(struct mapped *m, const char *path);
int mapped_path_fd(struct mapped *m, const char *path, int flags);

#endif
