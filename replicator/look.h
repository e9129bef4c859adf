/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * look - a batch of names is looked at: stat, compare with the map, read whole what is small; the verdict lies in each
 * work.  One job in a lane, no lock, no loop.
 */
#ifndef REPLICATOR_LOOK_H
#define REPLICATOR_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/block.h"
#include "base/workpool.h"
#include "replicator/origin.h"
#include "replicator/work.h"
#include "wire/wire.h"

#define LOOK_MAX 128
/* What one batch may read, so that its messages fit one frame whatever their paths. */
#define LOOK_BYTES (WIRE_FRAME_MAX - 16 * 1024)

/* Above this size a file that changes in place is compared block by block: 16 KiB, where two dirty pages are half of it. */
#define LOOK_PATCH_MIN (4 * BLOCK_BYTES)

struct look {
	struct job job;
	void *owner;
	unsigned epoch;
	struct blockmap *map;
	const struct block_key *key;
	struct work *works[LOOK_MAX];
	size_t n;
	struct origin_near near;
	size_t looked;  /* works[looked..n-1] found no room and want another batch */
};

/* Looks at the works in their order until all are done or the batch is full; at least one is always looked at. */
void look_run(struct look *l);

/* What the server is known to hold is what lies there: nothing need be read. */
bool look_unchanged(const struct stat *st, const struct entry *known, const struct blockmap_stat *known_stat);

/* Same kind, rights and owner; for all but directories and links the same size and mtime, for devices the number. */
bool look_same_metadata(const struct entry *a, const struct entry *b);

/* Identity, size, mtime and ctime: unequal before and after a read means that the read was torn. */
bool look_same_instant(const struct stat *a, const struct stat *b);

struct blockmap_stat look_stat(const struct stat *st);

/* True when a file of this size travels in one message: a write-once blob that fits one, anything else up to LOOK_PATCH_MIN. */
bool look_travels_whole(const struct origin *o, const char *path, uint64_t size);

/* An upper bound of what the work's message takes in a frame. */
size_t look_wire_bytes(const struct work *w);

#endif
