/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blockmap - what the server is known to hold: for every set path its entry, and for large mutable files the hash of
 * every 4 KiB block.
 *
 * It is a belief.  Before the first byte of a patch leaves, the file is marked *in flight* (durably): from then until the
 * server has said *durable* nobody knows what the server holds, and a mark found at a start means "ask the server for
 * its hashes".  Entries become true only by an acknowledgement or by the server's own list.
 *
 * Tables: nodes and sums (base/treemap), blocks (path + extent number -> hashes of 1,024 blocks), flight (path -> mark),
 * dirs (directory -> mtime at its last complete scan), meta.
 *
 * Threads: one at a time, but read calls with a read transaction of their own may come from any thread:
 * blockmap_get, blockmap_view_*, blockmap_blocks_get, blockmap_in_flight, blockmap_children, blockmap_dir_get, blockmap_sum,
 * blockmap_strays.
 */
#ifndef JOURNAL_BLOCKMAP_H
#define JOURNAL_BLOCKMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/treemap.h"

struct blockmap;
struct entry;
struct store_txn;

#define BLOCKMAP_EXTENT 1024u /* blocks: 4 MiB of file, 16 KiB of hashes */

/* What we remember of a file besides what the server holds, to see without reading that it is unchanged. */
struct blockmap_stat {
	uint64_t inode;
	int64_t ctime_ns;
	bool adopted; /* learned from the server's list, content never compared with ours */
};

/* Opens <dir>/blockmap; damaged or foreign: quarantined, empty, `ret_rebuilt` true. */
int blockmap_open(const char *dir, const char *profile, struct blockmap **ret_map, bool *ret_rebuilt);
void blockmap_close(struct blockmap *m);

/* True when it takes no more writes until it is opened again (store_is_broken).  Any thread. */
bool blockmap_is_broken(const struct blockmap *m);

/* The key of the profile's hashes, for entry weights; set before the first write.  A key that differs from the stored one
 * empties the map (nothing in it can be compared any more). */
int blockmap_set_key(struct blockmap *m, const uint8_t key[BLOCK_KEY_BYTES]);

/* 0 found (*gives* entry's target: entry_fini), 1 absent. */
int blockmap_get(struct blockmap *m, const char *path, struct entry *ret_entry, struct blockmap_stat *ret_stat);

/* The map as of one commit, for many questions in a row.  Short-lived: a map that has to grow waits for it.  One thread a view. */
struct blockmap_view {
	const struct blockmap *map;
	struct store_txn *txn;
};
int blockmap_view_begin(struct blockmap *m, struct blockmap_view *ret_view);
/* As blockmap_get; also what the row adds to its directory's sum. */
int blockmap_view_get(const struct blockmap_view *view, const char *path, struct entry *ret_entry, struct blockmap_stat *ret_stat,
    struct treemap_weight *ret_weight);
void blockmap_view_end(struct blockmap_view *view);

/* Hashes of blocks first..first+count-1; those not known are zero.  `out` has room for count. */
int blockmap_blocks_get(struct blockmap *m, const char *path, uint64_t first, size_t count, struct hash128 *out);

/* One step of a batch; a batch is one commit. */
enum blockmap_op_kind {
	BLOCKMAP_PUT,      /* entry + stat now durable on the server; clears the flight mark */
	BLOCKMAP_REMOVE,   /* gone on the server; its blocks too */
	BLOCKMAP_FLIGHT,   /* about to be patched: the belief is suspended */
	BLOCKMAP_BLOCKS,   /* hashes of an extent (first block a multiple of BLOCKMAP_EXTENT) */
	BLOCKMAP_TRIM,     /* forget blocks from `first` on */
	BLOCKMAP_DIR,      /* directory scanned completely, its stamp (ctime) before the scan */
};
struct blockmap_op {
	enum blockmap_op_kind kind;
	const char *path;
	const struct entry *entry;
	struct blockmap_stat stat;
	uint64_t first;
	const struct hash128 *hashes;
	size_t n;
	int64_t dir_mtime_ns;
};
int blockmap_apply(struct blockmap *m, const struct blockmap_op *ops, size_t n);

/* In directories that `within` picks, what is remembered to see that a file is unchanged is forgotten: each is read and compared when it
 * is met next.  What the server holds stays known.  Needs no key. */
int blockmap_doubt(struct blockmap *m, bool (*within)(const char *dir, void *arg), void *arg);

/* True when the path is marked in flight. */
int blockmap_in_flight(struct blockmap *m, const char *path, bool *ret_marked);

/* Stamp of the directory at its last complete scan; 0 = never, unknown, or a row in it was put or removed since. */
int blockmap_dir_get(struct blockmap *m, const char *dir, int64_t *ret_mtime_ns);

/* Direct children of a directory in byte order of names after `after`, until `visit` returns nonzero. */
int blockmap_children(struct blockmap *m, const char *dir, const char *after,
    int (*visit)(const char *path, const struct entry *entry, const struct blockmap_stat *stat, void *arg), void *arg);

int blockmap_sum(struct blockmap *m, const char *dir, struct treemap_sum *ret_sum);
int blockmap_total(struct blockmap *m, struct treemap_sum *ret_sum);
int blockmap_dirs(struct blockmap *m, int (*visit)(const char *dir, const struct treemap_sum *sum, void *arg), void *arg);

/* Calls `visit` for every directory at or below `under` ("" = all) that has rows without being a directory's row itself: no walk
 * that goes from row to row comes there.  Until `visit` returns nonzero, which is passed on. */
int blockmap_strays(struct blockmap *m, const char *under, int (*visit)(const char *dir, void *arg), void *arg);

/* Small named values (server instance, root identity, last set): *gives* the bytes; 1 = absent. */
int blockmap_meta_get(struct blockmap *m, const char *name, char **ret_value);
int blockmap_meta_put(struct blockmap *m, const char *name, const char *value);

void blockmap_usage(const struct blockmap *m, uint64_t *ret_used, uint64_t *ret_map);

#endif
