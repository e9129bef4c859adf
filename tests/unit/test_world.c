/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The collector and the server in one process: whatever is edited, cut and killed, the replica becomes equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <time.h>

#include "base/err.h"
#include "tests/lib/world.h"

static struct world w;

static uint64_t
seed(void)
{
	const char *given = getenv("SEED");
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	uint64_t s = given ? strtoull(given, NULL, 10) : (uint64_t)t.tv_nsec;
	print_message("# seed %llu\n", (unsigned long long)s);
	return s;
}

static void
begin(void)
{
	world_open(&w, seed());
	world_serve(&w);
}

/* Edits while everything runs, with a few turns of the loop between them. */
static void
live_through(int edits)
{
	for (int i = 0; i < edits; i++) {
		world_edit(&w);
		world_turns(&w, (unsigned)world_random(&w, 6));
	}
}

static void
agree_and_compare(void)
{
	if (world_barrier(&w) != 0)
		fail_msg("%s", w.text);
	world_compare(&w);
}

static void
a_first_start_replicates_all_that_is_there(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 80; i++)
		world_edit(&w);
	world_start(&w);
	agree_and_compare();
	world_close(&w);
}

static void
what_is_edited_while_it_runs_becomes_equal(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	for (int round = 0; round < 6; round++) {
		live_through(60);
		agree_and_compare();
	}
	world_close(&w);
}

static void
a_link_cut_at_random_loses_nothing(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	for (int round = 0; round < 12; round++) {
		w.peer.cut_after = 1 + world_random(&w, 3u << 20);
		live_through(40);
		if (world_random(&w, 2))
			peer_cut(&w.peer);
		if (round % 3 == 2)
			agree_and_compare();
	}
	w.peer.cut_after = 0;
	agree_and_compare();
	world_close(&w);
}

static void
every_start_is_a_recovery(void **state)
{
	(void)state;
	begin();
	for (int round = 0; round < 8; round++) {
		world_start(&w);
		live_through(40);
		if (round % 2)
			agree_and_compare();
		world_stop(&w);
		live_through(10);
	}
	world_start(&w);
	agree_and_compare();
	world_close(&w);
}

static void
a_snapshot_is_streamed_and_its_removals_too(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < 12; i++)
			world_edit_staging(&w);
		live_through(10);
		if (round == 3)
			w.peer.cut_after = 1u << 20;
		assert_int_equal(world_snapshot(&w, round % 2), 0);
		agree_and_compare();
	}
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_start_replicates_all_that_is_there),
		cmocka_unit_test(what_is_edited_while_it_runs_becomes_equal),
		cmocka_unit_test(a_link_cut_at_random_loses_nothing),
		cmocka_unit_test(every_start_is_a_recovery),
		cmocka_unit_test(a_snapshot_is_streamed_and_its_removals_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
