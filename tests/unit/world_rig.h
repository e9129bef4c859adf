/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * world_rig - the one world of a test (tests/lib/world.h), how it begins, and what is waited for in it.  *borrows* cmocka from who includes it.
 */
#ifndef TESTS_WORLD_RIG_H
#define TESTS_WORLD_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/world.h"

static struct world w;
static int64_t stopped_ms; /* where stoppable_clock stands; 0 = it runs */

static inline uint64_t
seed(void)
{
	const char *given = getenv("SEED");
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	uint64_t s = given ? strtoull(given, NULL, 10) : (uint64_t)t.tv_nsec;
	print_message("# seed %llu\n", (unsigned long long)s);
	return s;
}

static inline void
begin(void)
{
	world_open(&w, seed());
	world_serve(&w);
}

/* Edits while everything runs, with a few turns of the loop between them. */
static inline void
live_through(int edits)
{
	for (int i = 0; i < edits; i++) {
		world_edit(&w);
		world_turns(&w, (unsigned)world_random(&w, 6));
	}
}

static inline void
agree_and_compare(void)
{
	if (world_barrier(&w) != 0)
		fail_msg("%s", w.text);
	world_compare(&w);
}

static inline void
until_sent(enum wire_type type, uint64_t n)
{
	for (int turns = 0; w.peer.messages[type] < n; turns++) {
		if (turns > 2000000)
			fail_msg("message %d does not come", (int)type);
		world_turns(&w, 1);
	}
}

static inline void
until_journal_is_empty(void)
{
	struct journal_lag lag;

	for (;;) {
		assert_int_equal(journal_lag(w.journal, &lag), 0);
		if (!lag.rows)
			return;
		event_base_loop(w.base, EVLOOP_ONCE);
	}
}

/* Of a question that is answered by an error: w.err, and the bool that was given with it. */
static inline void
on_answer(int err, const char *text, void *arg)
{
	(void)text;
	w.err = err;
	*(bool *)arg = true;
}

static inline bool
is_held(const char *path)
{
	struct index_node node;

	if (index_get(w.peer.index, path, &node) != 0)
		return false;
	entry_fini(&node.entry);
	return true;
}

/* As fast as the world's own, until it is stopped. */
static inline int64_t
stoppable_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return stopped_ms ? stopped_ms : ((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000) * 100;
}

#endif
