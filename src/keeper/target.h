/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * target - the directory that an operator named for a restore, made when it is not there, and held from then on.
 *
 * The keeper may write where others may not.  So of the links on the way only those are followed that root or the keeper's own user
 * made: whoever owns any other could lead the restored tree to where he may not write himself.  The last name is never a link.
 */
#ifndef KEEPER_TARGET_H
#define KEEPER_TARGET_H

#include <limits.h>
#include <stdbool.h>

struct target {
	int fd;                   /* the directory */
	int parent;
	char name[NAME_MAX + 1];  /* in the parent */
	bool made;                /* by us */
};

/* `path` is absolute.  Holds the directory above it; nothing is made.  -ERR_USAGE: that one is not there; -ERR_UNSAFE: it leads over somebody
 * else's link.  Close also after an error. */
int target_find(const char *path, struct target *ret_target);
/* Opens what was found, made when it is not there.  -ERR_USAGE: not a directory. */
int target_make(const char *path, struct target *t);
/* Takes an empty directory that was made for nothing away again. */
void target_unmake(struct target *t);
void target_close(struct target *t);

#endif
