/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scan_batch - some names of a listing, which several hands compare with the map at once.
 *
 * The stat of a file that lies in memory costs most of a scan, and waits for memory more than it computes: two threads are nearly
 * twice as fast.  The hands answer only what is plain: a file that is as the map says, and one that is not.  The rest they leave to
 * the scan, which asks by itself, one name at a time.
 *
 * A listing's order is that of the names' hashes (ext4).  Sorted, names that travel together are neighbours in the map and in the server's
 * index, whose commits then write a third to half of the pages.
 */
#ifndef REPLICATOR_SCAN_BATCH_H
#define REPLICATOR_SCAN_BATCH_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/treemap.h"

struct blockmap;
struct origin;

#define SCAN_BATCH 8192

enum scan_verdict {
	SCAN_UNTOLD,  /* a directory, a vanished name, trouble, ...: the scan looks at it */
	SCAN_SAME,    /* as the map says */
	SCAN_DIFFERS, /* it wants a look; neither on disk nor in the map a directory */
};

struct scan_name {
	char *path;
	char *spelt; /* its last component on disk, where that is not the path's; else NULL */
	enum scan_verdict verdict;
	int64_t ctime_ns;
	bool known;
	struct treemap_weight weight; /* of the map's row, when it is `known` */
};

struct scan_batch {
	struct scan_name *names;
	size_t n, cap, next;
	int64_t read_ns; /* the scan's: when it was read */
};

/* Reads on in the listing of `dir`: up to a directory, so that nothing waits behind what the scan enters, or until the batch is full; a directory
 * comes last, the names before it sorted.  0; 1 at the listing's end; or an error, which leaves the names before it in
 * the batch. */
int scan_batch_read(struct scan_batch *b, DIR *listing, const struct origin *origin, const char *dir);

/* Compares all of them on up to `hands` threads, the caller's among them. */
void scan_batch_compare(struct scan_batch *b, int dirfd, const struct origin *origin, struct blockmap *map, unsigned hands);

/* The name as it is on disk. */
const char *scan_name_spelt(const struct scan_name *name);

/* Frees the names that were not taken.  NULL is fine. */
void scan_batch_free(struct scan_batch *b);

#endif
