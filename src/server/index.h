/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * index - what a profile's staging holds, as the server knows it: entries, blob versions, in-progress marks, and the list of
 * blob changes since the last seal.
 *
 * Written by the receiver alone; the keeper opens it read-only.  Lies in <store>/<profile>/state/index.
 *
 * Blobs are write-once.  A blob file is never overwritten and never removed by the receiver: a removal is a tombstone, and
 * a path that comes again gets the next *version*, which lies aside (index_place).  The keeper alone removes blob files,
 * once no kept set names them.
 *
 * Before the first byte is written in its final place, this is durable:
 * - a *mark* of the path, when a file that has a row is about to be changed (mutable areas).  A mark found at a start means that
 *   the row may lie about the bytes: the row goes, and the bytes are hashed again before they are believed.
 * - the *arming* of the directory, when new blobs are about to appear in it.  A file found at a start in an armed directory,
 *   with a version above the one known of its path, was never acknowledged.  One arming covers any number of files, so the
 *   steady flow of small blobs costs no row of its own.
 *
 * Tables: nodes, sums (base/treemap), versions (path -> highest version ever on disk, kept while any is), marks, armed
 * (directory's place), fresh (seq -> blob change), meta.
 *
 * Threads: any; writes are put one after the other.
 */
#ifndef SERVER_INDEX_H
#define SERVER_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/treemap.h"
#include "layout.h"
#include "wire/entry.h"

struct index;

struct index_node {
	struct entry entry;
	uint32_t version; /* of a blob; 1 for all else */
};

/* Opens, makes when absent unless `readonly` (then 1 = absent).  A damaged one is quarantined and the new one is empty: the
 * collector's agreement fills it again. */
int index_open(const char *state_dir, const char *profile, bool readonly, struct index **ret_index, bool *ret_rebuilt);
void index_close(struct index *ix); /* NULL is fine */

/* uuid of this index: another one means that it was rebuilt. */
const char *index_instance(const struct index *ix);

/* Where a file lies, relative to the profile's folder: "gre_data/sync/ofuser/x.db", "blobs/offiles/fd3/a",
 * "blobs/versions/2/offiles/fd3/a".  *Gives*; NULL when out of memory or the path is not in the layout. */
char *index_place(enum layout_type type, const char *path, uint32_t version);

/* The reverse: the set path and version of what lies at `place`, a file or a directory; false when the receiver puts nothing
 * there.  Points into `place`. */
bool index_unplace(const char *place, const char **ret_path, uint32_t *ret_version);

/* 0 found (*gives* the entry's target), 1 absent. */
int index_get(struct index *ix, const char *path, struct index_node *ret_node);
/* Highest version of a blob path ever used that may still be on disk; 0 = none. */
int index_version(struct index *ix, const char *path, uint32_t *ret_version);

enum index_op_kind {
	INDEX_PUT,     /* the file is durable in its place: node in, mark out; a blob also becomes a fresh row */
	INDEX_REMOVE,  /* node out, mark out; a blob also becomes a fresh row (tombstone) */
	INDEX_MARK,    /* bytes of this path are about to be changed in place */
	INDEX_UNMARK,  /* they are as the node says after all */
	INDEX_ARM,     /* new blobs are about to appear in this directory (`path`: its place) */
	INDEX_DISARM,  /* every file in it has its row */
};
struct index_op {
	enum index_op_kind kind;
	const char *path;
	const struct index_node *node; /* PUT */
	bool blob;
};
/* One commit.  -ERR_NOSPACE: nothing was written. */
int index_apply(struct index *ix, const struct block_key *key, const struct index_op *ops, size_t n);

/* `visit` must not write; a return but 0 ends the walk and is passed on, but for 1, which is its end. */
int index_marks(struct index *ix, int (*visit)(const char *path, void *arg), void *arg);
int index_armed(struct index *ix, int (*visit)(const char *place, void *arg), void *arg);

int index_total(struct index *ix, struct treemap_sum *ret_sum);
int index_sum(struct index *ix, const char *dir, struct treemap_sum *ret_sum);
int index_dirs(struct index *ix, int (*visit)(const char *dir, const struct treemap_sum *sum, void *arg), void *arg);
/* Children of `dir` in byte order after `after` (NULL = first); the entry is valid only during the call. */
int index_children(struct index *ix, const char *dir, const char *after,
    int (*visit)(const char *path, const struct index_node *node, void *arg), void *arg);

/* ---- what changed among the blobs since the last seal ---- */

struct index_fresh {
	uint64_t seq;
	bool removed;           /* a tombstone; entry is then empty */
	char *path;
	uint32_t version;
	struct entry entry;     /* self-contained: the node may have changed since */
};
int index_fresh_head(struct index *ix, uint64_t *ret_seq); /* highest seq given out */
/* Up to `max` rows with seq > `after`: *gives* the array. */
int index_fresh_read(struct index *ix, uint64_t after, size_t max, struct index_fresh **ret_rows, size_t *ret_n);
void index_fresh_free(struct index_fresh *rows, size_t n);
/* Receiver, when the keeper says that rows up to `seq` are in its catalogue. */
int index_fresh_trim(struct index *ix, uint64_t seq);
/* Receiver, after a rebuild: files that lie on disk without a row are a set's for all we know, so their versions are taken. */
struct index_found {
	char *path;
	uint32_t version;
};
int index_versions_found(struct index *ix, const struct index_found *found, size_t n);
/* Receiver, when the keeper removed all files of these paths up to `version`: forgets them, but for those that have a row or
 * came again as a higher version meanwhile. */
int index_versions_forget(struct index *ix, const struct index_found *gone, size_t n);
/* Raises the head of the fresh list to `seq`, when the catalogue has seen a higher one than this index. */
int index_fresh_raise(struct index *ix, uint64_t seq);

#define INDEX_META_KEY "hash-key" /* BLOCK_KEY_BYTES: the keeper needs it to compare what it reads with the entries */
/* Small named values (hash key, fencing token, generation, layout): *gives* bytes; 1 = absent. */
int index_meta_get(struct index *ix, const char *name, char **ret_value, size_t *ret_len);
int index_meta_put(struct index *ix, const char *name, const void *value, size_t len);

/* True when it takes no more writes until it is opened again (store_is_broken).  Any thread. */
bool index_is_broken(const struct index *ix);
void index_usage(const struct index *ix, uint64_t *ret_used, uint64_t *ret_map);

#endif
