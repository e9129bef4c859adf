/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watcher - a tree in, changes out: puts a watch on every directory that the layout wants watched, folds events into
 * changes, hands them over in batches.
 *
 * It never lists files: a new or doubtful directory is a RESCAN change, and the replicator does the looking.  Whatever it
 * cannot see (overflow, watch limit, unreadable directory, unknown watch) is a RESCAN change too.
 *
 * Threads: one; no event loop inside.  The caller polls source->fd, calls watcher_drain, and appends what watcher_take gives.
 * While an append is under way it goes on draining: the kernel's queue is short, and memory holds a path once.
 */
#ifndef WATCHER_WATCHER_H
#define WATCHER_WATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/change.h"
#include "livetree.h"
#include "watcher/source.h"

struct watcher;

struct watcher_figures {
	uint64_t directories;  /* watched now */
	uint64_t unwatched;    /* wanted, but refused (limit, rights): polled instead */
	uint64_t events, overflows, rescans;
	bool root_gone;
};

/* `tree` and `source` are borrowed.  `cookie_dir`: absolute path of the collector's own folder whose new files become COOKIE
 * changes. */
int watcher_new(struct livetree *tree, struct source *source, const char *cookie_dir, struct watcher **ret_watcher);
void watcher_free(struct watcher *w);

/* Walks the tree and watches; the next take gives a RESCAN of "": every start is a gap. */
int watcher_start(struct watcher *w, int64_t now_ns);

/* Drains the source (bounded: at most `max_events`, or until it is empty) and folds.  `ret_more`: the budget ended before the
 * source did. */
int watcher_drain(struct watcher *w, size_t max_events, int64_t now_ns, bool *ret_more);

/* Looks again at what could not be watched, and whether the root is back: call every minute or so. */
int watcher_poll(struct watcher *w, int64_t now_ns);

/* *Gives* the changes that drains and polls have gathered, ready for journal_append. */
int watcher_take(struct watcher *w, int64_t now_ns, struct change **ret_changes, size_t *ret_n);

/* Both at once, for a caller whose appends are quick. */
int watcher_turn(struct watcher *w, size_t max_events, int64_t now_ns, struct change **ret_changes, size_t *ret_n, bool *ret_more);

/* True while a file is young (watcher/fold.h): call watcher_take again within a second, though no event comes. */
bool watcher_waits(const struct watcher *w);

void watcher_figures(const struct watcher *w, struct watcher_figures *ret_figures);

#endif
