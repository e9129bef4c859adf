/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * treemap - an ordered map from relative path to bytes, with a sum per directory, inside a store.
 *
 * Both sides keep one: the collector's belief about the server, and the server's index.  For every directory it keeps
 * the count, the bytes and the order-free sum (modulo 2^128) of its direct children, updated in the transaction that
 * changes a child, so that two maps are compared from the top in O(difference).
 *
 * Keys: directory bytes, NUL, name - so the children of a directory are neighbours, in byte order of their names.  A
 * directory part too long for a key is replaced by 0x01 and its hash; the value always carries the full path.
 * Uses two tables of the store: `nodes` and `sums`.  Values are sealed (store_sealed_put).
 *
 * Errors: -ERR_UNSAFE for what relpath_valid() refuses, -ERR_CORRUPT for a row that fails its check, -ERR_UNSUPPORTED for
 * a long directory whose hash is that of another (2^-128, or an attack), which is refused and never mixed up.
 */
#ifndef BASE_TREEMAP_H
#define BASE_TREEMAP_H

#include "base/block.h"
#include "base/store.h"

struct treemap {
	unsigned nodes, sums; /* table numbers in the store */
};

struct treemap_sum {
	uint64_t count;
	uint64_t bytes;
	struct hash128 hash;
};

/* What a node adds to its directory's sum. */
struct treemap_weight {
	uint64_t bytes;
	struct hash128 hash;
};

/* 0 found (points into the map), 1 absent, negative error.  `ret_weight` may be NULL. */
int treemap_get(struct store_txn *txn, const struct treemap *t, const char *path, struct store_value *ret_value,
    struct treemap_weight *ret_weight);
/* Puts or replaces; the directory's sum follows.  `value` must not lie in the map. */
int treemap_put(struct store_txn *txn, const struct treemap *t, const char *path, const void *value, size_t len,
    const struct treemap_weight *weight);
/* 0 removed, 1 was absent. */
int treemap_del(struct store_txn *txn, const struct treemap *t, const char *path);

/* The sum of the direct children of `dir` ("" = the top); zeros when it has none. */
int treemap_sum(struct store_txn *txn, const struct treemap *t, const char *dir, struct treemap_sum *ret_sum);
/* The sum over all nodes. */
int treemap_total(struct store_txn *txn, const struct treemap *t, struct treemap_sum *ret_sum);

/* Calls `visit` for the direct children of `dir` in byte order of their names, beginning after the name `after` (NULL = the
 * first), until it returns nonzero, which is passed on.  `path` and `value` are valid only during the call; `visit` must not write. */
int treemap_children(struct store_txn *txn, const struct treemap *t, const char *dir, const char *after,
    int (*visit)(const char *path, struct store_value value, void *arg), void *arg);

/* Calls `visit` for every directory at or below `under` ("" = all) that has children, with its sum. */
int treemap_dirs(struct store_txn *txn, const struct treemap *t, const char *under,
    int (*visit)(const char *dir, const struct treemap_sum *sum, void *arg), void *arg);

#endif
