/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memo - the few facts of a profile that outlive a restart of the collector: paused, the slot that ran last, the root we knew.
 *
 * Threads: loop thread only; the file follows in a lane.
 */
#ifndef COLLECTOR_MEMO_H
#define COLLECTOR_MEMO_H

#include <stdbool.h>
#include <stdint.h>

struct memo;
struct workpool;

struct memo_facts {
	bool paused;
	int64_t last_slot_s;      /* due time of the last scheduled slot that was started; 0 = none */
	int64_t last_dbcopy_ns;   /* end of the last good DBCOPY */
	uint64_t fsid, inode;     /* of the root that was backed up; 0,0 = none yet */
};

/* Reads <dir>/memo; absent or damaged: all zero, which is safe - at worst one run is skipped or the root is accepted anew. */
int memo_open(const char *dir, struct workpool *pool, int lane, struct memo **ret_memo);
void memo_close(struct memo *m);

/* Change the facts in place, then call memo_store. */
struct memo_facts *memo_facts(struct memo *m);
void memo_store(struct memo *m);

#endif
