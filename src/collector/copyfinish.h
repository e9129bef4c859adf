/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copyfinish - copies become durable in groups: one sync for many, then each gets its source's modification time.
 *
 * While one group is synced the next gathers, so the disk sets the size of a group and the first file waits for no other.
 * A copy's time is what tomorrow's run believes, so it is given only after the sync that made its data durable.
 *
 * Threads: copyfinish_add from any; `done` is called in the finisher's own thread, one call at a time.
 */
#ifndef COLLECTOR_COPYFINISH_H
#define COLLECTOR_COPYFINISH_H

#include "collector/copier.h"

struct copyfinish;

/* One copy is finished (0) or could not be made durable: `path` and `result` are those of copyfinish_add, borrowed. */
typedef void (*copyfinish_fn)(const char *path, const struct copier_result *result, int err, void *arg);

/* Starts the thread. */
int copyfinish_new(copyfinish_fn done, void *arg, struct copyfinish **ret_finish);

/* Hands a copy over: *takes* `to` and what `result` owns; borrows `path` until it is done.  Waits while very many
 * others wait for the disk. */
void copyfinish_add(struct copyfinish *f, const char *path, int to, const struct copier_result *result);

/* Waits until all are done, and frees.  NULL is fine. */
void copyfinish_end(struct copyfinish *f);

#endif
