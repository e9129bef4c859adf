/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scan_seen - the names that one directory listing met, as sorted 64-bit keyed hashes; bounded.  Pure.
 */
#ifndef REPLICATOR_SCAN_SEEN_H
#define REPLICATOR_SCAN_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"

#define SCAN_SEEN_MAX (1024u * 1024u)

struct scan_seen {
	uint64_t *hashes;
	size_t n, cap;
	bool full;   /* not all are here: nothing can be said of any name */
	bool sorted;
};

/* 0; 1: there are SCAN_SEEN_MAX already; or -ERR_NOMEM.  Both others make it full. */
int scan_seen_add(struct scan_seen *s, const struct block_key *key, const char *path);
/* True unless the listing met it: when `full`, true for every name, and each must be looked for. */
bool scan_seen_lacks(struct scan_seen *s, const struct block_key *key, const char *path);
void scan_seen_fini(struct scan_seen *s);

#endif
