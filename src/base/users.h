/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * users - as whom a process runs: names to numbers, and the step down from root that cannot be taken back.
 */
#ifndef BASE_USERS_H
#define BASE_USERS_H

#include <sys/types.h>

struct user {
	uid_t uid;
	gid_t gid; /* its own group */
};

/* 0, or 1: the machine has no such user. */
int users_find(const char *name, struct user *ret_user);

/* As root: from now on this process is `who`, in its own group and in `shared`, and in no other.  Before the first thread. */
int users_become(const struct user *who, gid_t shared);

#endif
