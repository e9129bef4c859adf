/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mounts - what is mounted below a directory, as the kernel lists it.  For spelling.c and livetree.c only.
 *
 * Threads: any.
 */
#ifndef MOUNTS_H
#define MOUNTS_H

#include <stdbool.h>

/* Calls `visit` with the path, relative to the open directory `root`, of every mount point below it, until it returns nonzero, which is
 * passed on.  A path may come twice, and need not lead to its mount any more, or because another was mounted over it.  What cannot be
 * read is not there: whoever knew a mount point then misses it, which is the side to err on. */
int mounts_below(int root, int (*visit)(const char *live, void *arg), void *arg);

/* True when something is mounted at this directory beneath `root`, or when the kernel (before Linux 5.8) cannot tell. */
bool mounts_at(int root, const char *live);

#endif
