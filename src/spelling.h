/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spelling - the names and places of the fixed directories of one live tree, and of what is mounted in its areas, as they were read
 * at one moment: a sorted table from set path to live path.  For livetree.c only.
 *
 * Threads: a table that was read does not change; any thread may look up.
 */
#ifndef SPELLING_H
#define SPELLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/relpath.h"
#include "layout.h"

struct fixed {
	char *set, *live;
	dev_t dev;
	bool required;
	bool mount;          /* a mount point, be it of the same device as its parent's */
	bool volume;         /* that, or on another device than its parent (a subvolume) */
	uint64_t fsid;       /* of a volume; 0 = its file system has none */
};

struct spelling {
	struct fixed *fixed; /* sorted by `set` */
	size_t n, cap;
	char *database;      /* live name of the root database */
	dev_t root_dev;
	struct spelling *older; /* the owner's: the table before this one */
};

/* Reads the table of the tree whose root is the descriptor `root`, on the device `root_dev`.  *Gives* it.  -ERR_CONFIG: it is
 * not a tree of this type; the text names everything that is missing. */
int spelling_read(int root, dev_t root_dev, enum layout_type type, struct spelling **ret_spelling);
void spelling_free(struct spelling *s); /* NULL is fine */

bool spelling_same(const struct spelling *a, const struct spelling *b);

/* The fixed directory that is called by the first `len` bytes of a set path; NULL when there is none. */
const struct fixed *spelling_find(const struct spelling *s, const char *path, size_t len);

/* The live path of a set path: *gives*, NULL when out of memory. */
char *spelling_live_path(const struct spelling *s, const char *path);

/* Looks for `want` in any case in the directory `live` beneath `root`.  Of two that differ in case only, the exact lower case
 * wins, then the first in byte order.  0 found, 1 absent, negative error. */
int spelling_look_for(int root, const char *live, const char *want, size_t want_len, bool want_dir, char ret_name[RELNAME_MAX + 1]);

/* The file system of a directory beneath the root: *ret_fsid as below; an error when it cannot be told. */
int spelling_fsid(int root, const char *live, uint64_t *ret_fsid);

/* The number by which the file system of an open directory is known, over mounts and reboots; 0 when it has none.  An error when it
 * cannot be told: that is no word about which file system it is. */
int spelling_fsid_of(int fd, uint64_t *ret_fsid);

#endif
