/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * change - the collector's noun: "look at this path again", and its versioned bytes (the store seals them).  Pure.
 *
 * A change is a hint, not a truth: the replicator looks at the path and compares it with what the server is known to
 * hold.  So changes are idempotent, and one that comes twice costs a stat.
 */
#ifndef JOURNAL_CHANGE_H
#define JOURNAL_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pack.h"

enum change_kind {
	CHANGE_TOUCHED = 1, /* this name: a file or special came, went or changed */
	CHANGE_RESCAN = 2,  /* this directory and all below: names and stat must be compared ("" = everything) */
	CHANGE_COOKIE = 3,  /* the cookie file of this name came back through the event queue */
	CHANGE_DELETED = 4, /* as TOUCHED, of a file whose content is no more: it was deleted, not renamed */
	CHANGE_BLIND = 5,   /* as RESCAN, where changes raise no event: every file, whatever its directory's times tell */
	CHANGE_KINDS
};

struct change {
	uint64_t seq;          /* 0 until appended */
	enum change_kind kind;
	int64_t seen_ns;       /* wall clock when first seen; kept when the path is folded, so that lag is honest */
	char *path;            /* set path; owned by whoever holds the change */
};

#define CHANGE_VERSION 1

/* Everything but `seq`, which is the key that the bytes lie under. */
void change_pack(struct pack_out *o, const struct change *c);
/* *Gives* the path; seq is 0.  -ERR_CORRUPT. */
int change_unpack(const void *data, size_t len, struct change *ret_change);
void change_fini(struct change *c);

/* True for a kind that names a directory and all below. */
bool change_is_scan(enum change_kind kind);

/* What one path needs when both happened: BLIND is more than RESCAN, that more than DELETED, and that more than TOUCHED. */
enum change_kind change_fold(enum change_kind a, enum change_kind b);

#endif
