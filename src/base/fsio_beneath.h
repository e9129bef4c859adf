/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsio_beneath - what the two files of fsio share; nobody else includes it.
 */
#ifndef BASE_FSIO_BENEATH_H
#define BASE_FSIO_BENEATH_H

#include <stdbool.h>

/* The directory that holds the last component of a path. */
struct fsio_parent {
	int fd;
	bool owned;       /* false: it is the caller's dirfd */
	const char *name; /* the last component; points into the path */
};

/* A descriptor that can be synced: O_PATH descriptors cannot. */
enum fsio_parent_use { FSIO_PARENT_PASS, FSIO_PARENT_SYNC };

int fsio_parent_open(int dirfd, const char *path, enum fsio_parent_use use, struct fsio_parent *ret_parent);
void fsio_parent_close(struct fsio_parent *p);

/* err_sys() with what errno means for a path: not a directory = gone, exists or not empty = busy. */
int fsio_fail(const char *what, const char *path);

#endif
