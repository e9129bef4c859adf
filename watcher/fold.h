/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fold - events in, changes out: many events of one name become one change, and nothing is given before it is worth a look.
 * Pure: time is an argument.
 *
 * A file that was created but not yet closed is *young*: looking at it would send half a file.  It is given when it is
 * written and closed, moved or deleted, when it has been open for a second, and at the latest before a cookie - so that
 * a barrier never overtakes it.
 *
 * While the caller cannot take what is ripe (a disk that hangs) changes gather here, up to FOLD_MAX.
 */
#ifndef WATCHER_FOLD_H
#define WATCHER_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/change.h"
#include "watcher/source.h"

#define FOLD_YOUNG_NS 1000000000
#define FOLD_MAX 262144u /* paths: some 40 MB; of more, everything is compared */

struct fold;

int fold_new(struct fold **ret_fold);
void fold_free(struct fold *f); /* NULL is fine */

/* A name in a watched directory.  Moves need no pairing: each end is looked at for itself. */
int fold_event(struct fold *f, enum source_what what, bool is_dir, const char *path, int64_t now_ns);
/* This directory and all below must be compared. */
int fold_rescan(struct fold *f, const char *dir, int64_t now_ns);
/* The same, where changes raise no event. */
int fold_blind(struct fold *f, const char *dir, int64_t now_ns);
/* A cookie came back: everything before it comes first. */
int fold_cookie(struct fold *f, const char *name, int64_t now_ns);

/* *Gives* what is ripe, in the order in which each was first seen, and keeps what is young. */
int fold_take(struct fold *f, int64_t now_ns, struct change **ret_changes, size_t *ret_n);

/* How often there were too many paths to be remembered one by one: all of them became one BLIND of "". */
uint64_t fold_overflows(const struct fold *f);

/* When the oldest young one becomes ripe; 0 = there is none. */
int64_t fold_ripe_ns(const struct fold *f);

#endif
