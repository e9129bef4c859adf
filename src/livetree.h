/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * livetree - the post office or domain as it lies on disk: finds the fixed directories whatever their case, opens files
 * beneath its root, and knows whether the root is still the one we knew.  Nothing is held open between two calls, so a tree
 * can be unmounted at any time.  Collector side only.
 *
 * Threads: after livetree_open any function but livetree_close may be called from any thread.
 */
#ifndef LIVETREE_H
#define LIVETREE_H

#include <stdint.h>
#include <sys/stat.h>

#include "layout.h"

struct livetree;

/* What tells this root from another mounted in its place; survives a reboot. */
struct livetree_id {
	uint64_t fsid, inode;
};

/* Opens the tree at the absolute path `root`.  -ERR_CONFIG: it is not a tree of this type (the text says which file or
 * directory is missing); -ERR_GONE: no such directory. */
int livetree_open(const char *root, enum layout_type type, struct livetree **ret_tree);
void livetree_close(struct livetree *t); /* NULL is fine */

const char *livetree_root(const struct livetree *t);
enum layout_type livetree_type(const struct livetree *t);
struct livetree_id livetree_id(const struct livetree *t);

/* 0 when the path of the root still leads to the same root, its root database is there, every fixed directory that is required still
 * lies on the file system it lay on, and so does every directory of an area on which something was mounted; -ERR_GONE when the root or
 * such a directory vanished, was unmounted, emptied or replaced.  Nothing below may then be taken for deleted. */
int livetree_check(const struct livetree *t);

/* Looks at the names of the fixed directories again; call when one came or went.  A look-up that finds nothing does so by
 * itself when the fixed directory is not where it was.  It alone sees what was mounted below a fixed directory meanwhile.  1: a name, or what
 * a directory lies on, is another than before;
 * 0: none is; -ERR_GONE: as livetree_check, nothing was changed. */
int livetree_refresh(const struct livetree *t);

/* Stands for the names and places as they were last read, by whoever read them: another pointer, another table. */
const void *livetree_names(const struct livetree *t);

/* A directory of an area on which something is mounted, or a fixed one that lies on another device than its parent. */
struct livetree_volume {
	const char *dir; /* set path; lives as long as the tree */
	uint64_t fsid;   /* survives a reboot; 0 = its file system has no identity */
};
/* Gives up to `max` of them, in the order of their names, and how many. */
size_t livetree_volumes(const struct livetree *t, struct livetree_volume *volumes, size_t max);

/* Opens a set path beneath the root (O_NOFOLLOW, never crossing links).  Descriptor or negative error: -ERR_GONE, the path is
 * not there; -ERR_IO, the root itself is gone, unmounted or another, so nothing is known of the path. */
int livetree_open_file(const struct livetree *t, const char *path, int flags);
/* For listing; "" = the root. */
int livetree_open_dir(const struct livetree *t, const char *path);
int livetree_stat(const struct livetree *t, const char *path, struct stat *ret_st);

/* The live path, relative to the root, of a set path: *gives*, NULL when out of memory. */
char *livetree_live_path(const struct livetree *t, const char *path);

#endif
