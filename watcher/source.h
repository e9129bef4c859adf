/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source - where events come from: a small table, so that tests can play the kernel.
 *
 * Threads: the watcher's only thread.
 */
#ifndef WATCHER_SOURCE_H
#define WATCHER_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

enum source_what {
	SOURCE_CREATED = 1,   /* a name came into a watched directory */
	SOURCE_WRITTEN,       /* a file was closed after writing */
	SOURCE_MOVED_FROM,
	SOURCE_MOVED_TO,
	SOURCE_DELETED,
	SOURCE_ATTRIBUTES,
	SOURCE_DIR_GONE,      /* the watched directory itself was deleted or moved away */
	SOURCE_UNMOUNTED,
	SOURCE_FORGOTTEN,     /* the watch is no more */
	SOURCE_OVERFLOW,      /* events were lost; dir and name are empty */
};

struct source_event {
	enum source_what what;
	bool is_dir;
	int watch;             /* the directory's watch; -1 on overflow */
	uint32_t cookie;       /* pairs MOVED_FROM with MOVED_TO */
	const char *name;      /* within the directory; "" when about the directory itself.  Valid until the next call */
};

struct source {
	/* Watches one directory, named by its absolute path; gives a watch number >= 0.  -ERR_LIMIT: the kernel's watch limit;
	 * -ERR_GONE; -ERR_ACCESS.  The same directory twice gives the same number. */
	int (*add)(struct source *s, const char *directory, enum layout_watch interest);
	void (*remove)(struct source *s, int watch);
	/* 1 gave an event, 0 nothing waits (never blocks), negative error. */
	int (*next)(struct source *s, struct source_event *ret_event);
	/* Becomes readable when events may wait.  After a wake-up drain until next() gives 0. */
	int (*fd)(struct source *s);
	void (*close)(struct source *s);
};

/* The real one: inotify through libinotifytools.  One in a process. */
int source_inotify_open(struct source **ret_source);

#endif
