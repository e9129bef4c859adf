/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scan_gone - directories that vanished, given back deepest first: each may go when what lay below it has gone.  Pure.
 */
#ifndef REPLICATOR_SCAN_GONE_H
#define REPLICATOR_SCAN_GONE_H

#include <stdbool.h>
#include <stddef.h>

#define SCAN_GONE_MAX 65536u /* kept; more are found by the next scan */

struct scan_gone {
	char **paths;
	size_t n, cap;
};

/* *Copies* the path.  -ERR_LIMIT above the maximum. */
int scan_gone_add(struct scan_gone *g, const char *path);
/* Takes up to `max` of the deepest ones, which may go side by side: *gives* their paths, and how many. */
size_t scan_gone_take(struct scan_gone *g, char **out, size_t max);
/* In the order of their bytes, which `scan_gone_above` needs and `scan_gone_take` keeps. */
void scan_gone_sort(struct scan_gone *g);
/* Is one of them the path, or above it? */
bool scan_gone_above(const struct scan_gone *g, const char *path);
void scan_gone_fini(struct scan_gone *g);

#endif
