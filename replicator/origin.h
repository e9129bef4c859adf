/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * origin - where content is read from: the live tree, or the local staging of a database snapshot; and whether an absence
 * there may be believed.
 *
 * Every set path has exactly one origin: snapshot areas come from staging, all else from the live tree.  The other
 * origin never speaks about it, so a scan of one cannot remove what the other holds.
 *
 * Threads: any; an origin is not changed while a job uses it.
 */
#ifndef REPLICATOR_ORIGIN_H
#define REPLICATOR_ORIGIN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "layout.h"

struct livetree;

struct origin {
	enum layout_type type;
	const struct livetree *tree; /* NULL: staging */
	int staging_fd;
};

int origin_stat(const struct origin *o, const char *path, struct stat *ret_st);
/* Descriptor or negative error; never waits for a FIFO's other end, never follows a link.  Of an index file, what is stored through a
 * mapping after this call moves its times. */
int origin_open(const struct origin *o, const char *path, int flags);
int origin_open_dir(const struct origin *o, const char *dir); /* "" = the root */

/*
 * One directory of an origin, held open while neighbours are looked at: names of one directory cost one call each instead of
 * a walk from the root.  Zero-initialise; forget it at the end of a batch, so that it never outlives what it shows.
 */
struct origin_near {
	const struct origin *origin;
	char *dir;
	int fd; /* valid while dir is not NULL */
};
int origin_near_stat(struct origin_near *near, const struct origin *o, const char *path, struct stat *ret_st);
int origin_near_open(struct origin_near *near, const struct origin *o, const char *path, int flags);
void origin_near_forget(struct origin_near *near);

/* True when this origin decides about the path. */
bool origin_owns(const struct origin *o, const char *path, bool is_dir);
/* True when something that this origin decides about may lie in the directory, at any depth. */
bool origin_enters(const struct origin *o, const char *dir);

/* A path was not found: 0 when it may be taken for deleted; -ERR_GONE when its root or the whole area is missing, which
 * is a disaster or a mount, not a deletion. */
int origin_believes_absence(const struct origin *o, const char *path);

/* 0 when the root and every area that it cannot be without are there; else -ERR_GONE and a text. */
int origin_complete(const struct origin *o);

#endif
