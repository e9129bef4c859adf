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

static void
a_first_start_replicates_all_that_is_there(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 60; i++)
		world_edit(&w);
	world_start(&w);
	assert_int_equal(world_barrier(&w), 0);
	world_compare(&w);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_start_replicates_all_that_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
