/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * walk - puts a watch on every directory that the layout wants watched, from one directory down.
 *
 * Order is everything: add the watch, then list, then descend.  What comes into a directory after its watch is an event;
 * what was there before is in the list.  It looks for directories only; files are the scan's business.
 */
#ifndef WATCHER_WALK_H
#define WATCHER_WALK_H

#include <stdbool.h>

#include "livetree.h"
#include "watcher/source.h"

struct walk_events {
	/* A directory is watched. */
	int (*watched)(int watch, const char *dir, void *arg);
	/* It is not, and must be polled: watch limit, rights, an error in its listing. */
	int (*unwatched)(const char *dir, int err, void *arg);
	/* True: this directory below has its watch already; leave it and all below alone.  NULL: nothing is known. */
	bool (*known)(const char *dir, void *arg);
};

/* Walks `dir` ("" = the root) without recursion.  A directory that vanished meanwhile is no error: its parent's events tell.
 * -ERR_NOMEM; -ERR_GONE: the root itself vanished; or what a callback returned. */
int walk_tree(struct livetree *tree, struct source *source, const char *dir, const struct walk_events *events, void *arg);

#endif
