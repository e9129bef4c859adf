/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syncs - an oracle that sees every sync and every rename of this program, LMDB's too: it stands before the C library's
 * fsync, fdatasync, syncfs and renameat2, writes down what they were called for, and calls the kernel.
 *
 * A kill loses nothing that the kernel has, so only who looks at the calls sees that one is missing.  Threads: any may sync;
 * the questions are asked by one.
 */
#ifndef TESTS_SYNCS_H
#define TESTS_SYNCS_H

#include <stdbool.h>
#include <stddef.h>

/* What every sync answers instead of reaching the kernel, as long as it is not 0. */
extern int syncs_errno;

/* Once a rename has put something in the place of this name, syncs answer EIO, and renames too: the disk broke there.  NULL = never. */
extern const char *syncs_last_rename;

/* Forgets what was written down. */
void syncs_forget(void);

/* How many syncs have reached the file or directory `path` beneath `dirfd` ("" = itself): its own, and those of its whole
 * file system.  It need not have had that name then. */
size_t syncs_of(int dirfd, const char *path);

/* Of those, how many came before the last rename that put something in the place named `name`, and how many after it. */
size_t syncs_before(const char *name, int dirfd, const char *path);
size_t syncs_after(const char *name, int dirfd, const char *path);

#endif
