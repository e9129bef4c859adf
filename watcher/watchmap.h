/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watchmap - which directory a watch number stands for, and the other way round.  Pure.
 *
 * A watch that we removed stays as *dead* until the kernel says that it is forgotten: events queued before may still
 * arrive and mean nothing.
 */
#ifndef WATCHER_WATCHMAP_H
#define WATCHER_WATCHMAP_H

#include <stdbool.h>
#include <stddef.h>

struct watchmap;

int watchmap_new(struct watchmap **ret_map);
void watchmap_free(struct watchmap *m); /* NULL is fine */

/* Notes that `watch` stands for `dir`, whatever it stood for before. */
int watchmap_put(struct watchmap *m, int watch, const char *dir);
/* The directory, NULL when the number is unknown; `ret_dead` tells that we removed it. */
const char *watchmap_dir(const struct watchmap *m, int watch, bool *ret_dead);
/* True when a living watch stands for the directory. */
bool watchmap_has(const struct watchmap *m, const char *dir);
void watchmap_forget(struct watchmap *m, int watch);
/* Forgets all that are dead: events were lost, among them perhaps the kernel's word that a watch is forgotten. */
void watchmap_forget_dead(struct watchmap *m);
/* Marks every living watch on `dir` and below as dead and calls `removed` for it. */
void watchmap_kill(struct watchmap *m, const char *dir, void (*removed)(int watch, void *arg), void *arg);
size_t watchmap_count(const struct watchmap *m); /* living */

#endif
