/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scan - a RESCAN in slices: names and stat of a directory and all below, compared with the map; gives the names that want
 * a look.
 *
 * Memory is bounded by depth and by the widest directory (8 bytes a name, at most 8 MiB; wider ones are confirmed name by
 * name instead).  A directory of write-once files whose ctime is that of its last complete scan is not listed at all.
 *
 * Threads: a slice runs on any one thread; everything else on the loop, never during a slice.
 */
#ifndef REPLICATOR_SCAN_H
#define REPLICATOR_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/block.h"
#include "base/workpool.h"
#include "journal/blockmap.h"
#include "replicator/scan_gone.h"
#include "replicator/settle.h"

struct origin;

/* What a scan may believe, from most to least. */
enum scan_how {
	SCAN_STAMPS, /* a directory that looks as at its last complete scan is not listed */
	SCAN_FILES,  /* changes raised no event there: every file is compared */
	SCAN_SLOW,   /* the same, where events should have told of every change: what it finds is counted as drift */
};

#define SCAN_FOUND 256  /* names given by one slice at most */
#define SCAN_SLICE 4096 /* names compared in one slice */

/* One listed directory, kept until everything found in it is durable; then its stamp may be recorded. */
struct scan_dir {
	TAILQ_ENTRY(scan_dir) link;
	char *path;
	int64_t stamp_ns; /* its ctime before the listing; 0 = not to be recorded */
	uint64_t found;   /* the slice's */
	uint64_t settled; /* the loop's */
	bool listed;      /* the loop's: `found` is final */
	struct note note;
};
TAILQ_HEAD(scan_dirs, scan_dir);

struct scan_found {
	char *path;
	struct scan_dir *dir; /* NULL: of no directory */
};

struct scan_level;

struct scan {
	struct job job;
	void *owner;
	unsigned epoch;
	const struct origin *origin;
	struct blockmap *map;
	const struct block_key *key;
	enum scan_how how;
	unsigned hands;            /* threads that compare at once; 1 unless set before the first slice */
	int64_t (*clock_ns)(void); /* wall clock; a test may put another */

	char *start;
	bool entered;
	struct scan_level *levels;
	size_t depth, cap;
	struct scan_found found[SCAN_FOUND];
	size_t n_found;
	struct scan_dirs closed;   /* directories whose listing ended in this slice */
	struct scan_gone gone;     /* vanished directories, to be removed when they are empty */
	struct scan_gone strays;   /* directories that no row leads to, not yet entered */
	bool strays_known;
	size_t budget;
	uint64_t compared, drift;
	bool done;
	int err;                   /* the first thing that could not be looked at; the scan goes on */
	bool held;                 /* it was a missing root or area */
	char text[160];
};

/* Borrows origin, map and key.  NULL when out of memory. */
struct scan *scan_new(const struct origin *origin, struct blockmap *map, const struct block_key *key, const char *dir, enum scan_how how);
/* Frees what was not taken; directories that were given belong to whom they were given. */
void scan_free(struct scan *s);

/* Works until the budget is spent, `found` is full, or all is `done`.  The loop then empties `found` and `closed`. */
void scan_slice(struct scan *s);

void scan_dir_free(struct scan_dir *d);

#endif
