/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the block map share: its tables, and the bytes of a node and of an extent. */
#ifndef JOURNAL_BLOCKMAP_INTERNAL_H
#define JOURNAL_BLOCKMAP_INTERNAL_H

#include "base/pack.h"
#include "base/store.h"
#include "journal/blockmap.h"
#include "wire/entry.h"

enum blockmap_table { NODES, SUMS, BLOCKS, FLIGHT, DIRS, META };

struct blockmap {
	struct store *store;
	struct treemap tree;
	struct block_key key;
	bool has_key; /* no entry is weighed, so none is written, without it */
};

void blockmap_node_pack(struct pack_out *o, const struct entry *entry, const struct blockmap_stat *stat);
/* *Gives* the entry's target.  -ERR_CORRUPT. */
int blockmap_node_unpack(struct store_value value, struct entry *ret_entry, struct blockmap_stat *ret_stat);

/* Hashes of one extent, by extent number; those not stored, or stored under a longer path's checksum, are zero. */
int blockmap_extent_get(struct store_txn *txn, const char *path, uint64_t extent, struct hash128 out[BLOCKMAP_EXTENT],
    size_t *ret_n);
int blockmap_extent_put(struct store_txn *txn, const char *path, uint64_t extent, const struct hash128 *hashes, size_t n);
/* Forgets the hashes of all blocks from `first` on. */
int blockmap_extents_trim(struct store_txn *txn, const char *path, uint64_t first);

/* Rows of FLIGHT and DIRS: a number beside the path.  0 found, 1 absent. */
int blockmap_number_get(struct store_txn *txn, enum blockmap_table table, const char *path, int64_t *ret_number);
int blockmap_number_put(struct store_txn *txn, enum blockmap_table table, const char *path, int64_t number);
int blockmap_number_del(struct store_txn *txn, enum blockmap_table table, const char *path);

#endif
