/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * preparation - what must hold before DBCOPY may begin: it can be run, the live tree is the one we know, nobody else writes local staging,
 * yesterday's tree bears today's name, and there is room for what the databases have grown by.
 *
 * Threads: one at a time; preparation_make blocks.
 */
#ifndef COLLECTOR_PREPARATION_H
#define COLLECTOR_PREPARATION_H

#include <stdbool.h>
#include <stdint.h>

struct dblist;
struct livetree;

struct preparation {
	/* borrowed until preparation_end */
	const struct livetree *tree;
	const char *dbcopy, *profile_dir, *day;
	/* made */
	char *staging;  /* absolute: the day's folder */
	int staging_fd;
	int lock;       /* staginglock's: DBCOPY inherits it */
	const char *warning; /* what the set will want, "" = nothing */
};

void preparation_init(struct preparation *p);
/* 0, or an error that says why no backup can be made, and what to do. */
int preparation_make(struct preparation *p);
/* Gives everything back; may be called again.  `copied` as for staginglock_end. */
void preparation_end(struct preparation *p, bool copied);

/* Bytes that the copies grow by when they become the live databases.  Pure. */
uint64_t preparation_growth(const struct dblist *live, const struct dblist *copies);

#endif
