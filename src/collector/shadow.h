/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shadow - a folder that looks like the post office but for its blobs: links to what DBCOPY is to copy, and an empty offiles, so that
 * an external DBCOPY's wish to copy all blobs is defeated without touching the post office.
 *
 * Threads: any; blocking.
 */
#ifndef COLLECTOR_SHADOW_H
#define COLLECTOR_SHADOW_H

struct livetree;

/* Makes or renews it at `path`, which is absolute and ours. */
int shadow_make(const char *path, const struct livetree *tree);

#endif
