/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dblist - the snapshot files of a tree: what DBCOPY has to copy, or has copied.
 */
#ifndef COLLECTOR_DBLIST_H
#define COLLECTOR_DBLIST_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

struct livetree;

struct dblist_file {
	char *path; /* set path */
	uint64_t size;
	int64_t mtime_ns;
};

struct dblist {
	struct dblist_file *files; /* by path */
	size_t n, cap;
	char **dirs;               /* parents before children, the root not among them */
	size_t n_dirs, dirs_cap;
};

/* Of the live tree, or of a copy held by `dirfd` when `tree` is NULL.  What vanishes meanwhile is left out. */
int dblist_read(enum layout_type type, const struct livetree *tree, int dirfd, struct dblist *ret_list);
/* NULL when the path is not in the list. */
const struct dblist_file *dblist_find(const struct dblist *l, const char *path);
void dblist_fini(struct dblist *l);

#endif
