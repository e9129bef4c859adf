/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memo - the few facts of a profile that outlive a restart of the collector: paused, the slot that ran last, the root we knew,
 * the file systems that were mounted in it, and the boot.
 *
 * Threads: loop thread only; the file follows in a lane.
 */
#ifndef COLLECTOR_MEMO_H
#define COLLECTOR_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct memo;
struct workpool;

#define MEMO_VOLUMES_MAX 64u
#define MEMO_DIR_MAX 300u

/* A directory of the tree that has a file system of its own. */
struct memo_volume {
	char dir[MEMO_DIR_MAX];   /* set path */
	uint64_t fsid;
};

struct memo_facts {
	bool paused;
	int64_t last_slot_s;      /* due time of the last scheduled slot that was started; 0 = none */
	int64_t last_dbcopy_ns;   /* end of the last good DBCOPY */
	char boot_id[CLOCK_BOOT_ID]; /* of the kernel under which the profile was opened last; "" = unknown */
	uint64_t fsid, inode;     /* of the root that was backed up; 0,0 = none yet */
	struct memo_volume volumes[MEMO_VOLUMES_MAX];
	size_t n_volumes;
};

/* Reads <dir>/memo; absent or damaged: all zero - at worst one run is skipped or the root is accepted anew.  One that is there and cannot
 * be read is an error. */
int memo_open(const char *dir, struct workpool *pool, int lane, struct memo **ret_memo);
void memo_close(struct memo *m);

/* Change the facts in place, then call memo_store. */
struct memo_facts *memo_facts(struct memo *m);
void memo_store(struct memo *m);

#endif
