/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * retention - which sets leave, and that what they alone held leaves the disk.
 *
 * A set leaves when it is older than keep_days *and* enough newer good sets exist; so a wrong clock alone deletes nothing, and the
 * newest good set never leaves.  Its age counts from its T0, which the collector's clock gave, or from its sealing, by the
 * server's, whichever is later: one of the two may have been wrong on that day; a set from a clock in the future stays until
 * then.  When the wall clock moved by more than 25 hours against the mark that is kept with the catalogue, nothing leaves until
 * two further good sets have been made.
 *
 * Threads: decisions are pure; the rest one at a time a vault.
 */
#ifndef KEEPER_RETENTION_H
#define KEEPER_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "keeper/order.h"
#include "keeper/task.h"
#include "keeper/vault.h"

#define RETENTION_NEWER_MIN 3u  /* good sets that must be newer than one that leaves; fewer when keep_days is */

/* ---- decisions ---- */

struct retention_clock {
	int64_t wall_ns;
	int64_t boot_ns;        /* since boot, sleep included */
	char boot_id[CLOCK_BOOT_ID];
};

struct retention_mark {
	struct retention_clock clock;  /* when it was made; wall 0 = never */
	bool frozen;
	uint32_t frozen_at;            /* newest set then */
};

struct retention_set {
	uint32_t number;        /* ascending */
	int64_t made_ns;        /* retention_made() */
	bool good;              /* sealed, and no re-reading found a difference */
};

/* From when a set's age counts. */
int64_t retention_made(int64_t t0_ns, int64_t sealed_ns);

/* True when the wall clock moved by more than 25 hours between the two, as far as one can tell.  A machine that was off for
 * longer looks the same, and is treated alike: freezing costs disk, not sets. */
bool retention_jumped(const struct retention_clock *mark, const struct retention_clock *now);

/* The mark after looking at `now`: freezes, thaws, or only moves on. */
struct retention_mark retention_look(const struct retention_mark *mark, const struct retention_clock *now, const struct retention_set *sets,
    size_t n);

/* Fills ret_drop[0..n-1] and gives how many leave; none with keep_days 0. */
size_t retention_pick(const struct retention_set *sets, size_t n, uint32_t keep_days, int64_t now_ns, bool *ret_drop);

/* ---- doing it ---- */

struct retention_events {
	void (*gone)(void *arg, const struct report_gone *gone, size_t n); /* may be called many times */
	void *arg;
};

/* Drops what should go, and removes the blob files that no kept set holds.  A stop ends it between two steps; it goes on the
 * next time.  `ret_dropped` may be NULL. */
int retention_run(struct vault *v, uint32_t keep_days, struct task *task, const struct retention_events *events, size_t *ret_dropped);

/* Looks at the clock and stores the mark: at every start and now and then, so that a jump is not taken for a pause. */
int retention_tick(struct vault *v);

/* Finishes drops that a crash cut off. */
int retention_recover(struct vault *v);

#endif
