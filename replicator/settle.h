/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * settle - what becomes true is written down: block map first, journal after, many notes in one commit.
 *
 * While one commit runs the next gathers, so the disk sets the size of the group.  Notes are carried out in their order.
 * What nobody waits for (`patient`) waits for company: a commit of its own would hold up the disk and the journal's lane while a sync
 * wants both.
 * Killed between the two environments: the map knows, the journal row is still there and costs a stat.
 *
 * A name may be on its way while its directory vanishes.  Nobody would ever ask for it again, so whoever writes the second of
 * the two rows is told that it went astray.
 *
 * Threads: loop thread; the writing runs in the journal's lane.
 */
#ifndef REPLICATOR_SETTLE_H
#define REPLICATOR_SETTLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "journal/blockmap.h"
#include "journal/change.h"

struct workpool;
struct journal;
struct settle;

/* One thing to be written; lives in its owner and must not move until `done`. */
struct note {
	TAILQ_ENTRY(note) link;
	void *owner;
	void (*done)(struct note *n, int err); /* on the loop; may free the note.  May be NULL */

	struct blockmap_op ops[2];
	unsigned n_ops;
	bool patient;          /* may wait for SETTLE_PATIENCE_MS */
	bool in_dir;           /* the directory that its path lies in has a row of its own */
	bool astray;           /* given: a row was put below a directory that has none, or removed above rows; its journal rows have stayed */
	bool append;           /* `change` goes into the journal first; its seq is filled */
	struct change change;  /* path borrowed */
	const uint64_t *acks;  /* these rows leave the journal; borrowed */
	size_t n_acks;
	bool trouble;          /* the row of `path` failed once more */
	const char *path, *text;
	enum err code;
	int64_t now_ns, next_ns;
	uint32_t attempts;     /* so far */
	int err;
};

int settle_new(struct workpool *pool, int lane, struct journal *journal, struct blockmap *map, void (*wake)(void *arg), void *arg,
    struct settle **ret_settle);
/* Ends every note that waits with -ERR_STOPPED: its owner frees it. */
void settle_cancel(struct settle *s);
void settle_free(struct settle *s); /* nothing may run; NULL is fine */

#define SETTLE_PATIENCE_MS 20

void settle_add(struct settle *s, struct note *n);
/* Starts writing what was added, unless a writing runs: it is then called again from the pump.  0, or the milliseconds after which
 * it wants to be called again because all that waits is patient; never when `urgent`.  `now_ms` is monotonic. */
unsigned settle_flush(struct settle *s, int64_t now_ms, bool urgent);
bool settle_idle(const struct settle *s);
bool settle_has_room(const struct settle *s);
/* How many notes were ever added; and whether the first `n` of them have been carried out, or ended. */
uint64_t settle_added(const struct settle *s);
bool settle_past(const struct settle *s, uint64_t n);
/* Somebody waits for what has been added: patience is over at the next flush. */
void settle_hurry(struct settle *s);

#endif
