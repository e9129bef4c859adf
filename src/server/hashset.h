/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hashset - a set of 64-bit hashes, for "was this path seen already" without keeping the path.
 *
 * Two paths with one hash count as the same: a false "yes" must be harmless to the caller.  Zero-initialise.
 * Threads: whoever owns the set.
 */
#ifndef SERVER_HASHSET_H
#define SERVER_HASHSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashset {
	uint64_t *v;
	size_t n, cap;
};

bool hashset_has(const struct hashset *s, uint64_t h);
/* 0, or -ERR_NOMEM. */
int hashset_add(struct hashset *s, uint64_t h);
void hashset_clear(struct hashset *s);
void hashset_fini(struct hashset *s);

#endif
