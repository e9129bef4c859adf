/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dircache - open directories of staging by their place, the least recently used closed first.  Makes those that are missing.
 *
 * Threads: one at a time.
 */
#ifndef SERVER_DIRCACHE_H
#define SERVER_DIRCACHE_H

#include <stdbool.h>
#include <stddef.h>

struct dircache;

/* `root_fd` is borrowed. */
int dircache_new(int root_fd, size_t max, struct dircache **ret_cache);
void dircache_free(struct dircache *c); /* NULL is fine */

/* The descriptor of the directory `place` (its first `len` bytes), made with its parents (0770 & ~umask) when absent; the cache's,
 * valid until the next call.  `*made` is set when something was made. */
int dircache_get(struct dircache *c, const char *place, size_t len, bool *made);
/* Forgets one whose descriptor turned out to be of a removed directory. */
void dircache_drop(struct dircache *c, const char *place, size_t len);
/* Closes all. */
void dircache_clear(struct dircache *c);

#endif
