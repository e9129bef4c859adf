/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * treelist - what really lies in a directory, in path order (keeper/manifest.h), links not followed.
 *
 * Keeps the names of the directories on the way in memory.  Threads: one at a time.
 */
#ifndef KEEPER_TREELIST_H
#define KEEPER_TREELIST_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct treelist;

struct treelist_name {
	char *path;
	struct stat st;
};

/* `dirfd` is borrowed until free. */
int treelist_new(int dirfd, struct treelist **ret_tree);
/* 0, and NULL at the end; valid until the next call.  Names of a directory that the disk does not list are not given. */
int treelist_next(struct treelist *t, const struct treelist_name **ret_name);
/* The directory that was just given is not entered. */
void treelist_skip(struct treelist *t);
void treelist_free(struct treelist *t); /* NULL is fine */

/* The target of a link beneath, NUL-terminated; its length or a negative error. */
ssize_t treelist_readlink(int dirfd, const char *path, char *ret_target, size_t size);

#endif
