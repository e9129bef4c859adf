/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "replicator/dirty.h"

#define N 16

static struct hash128 old[N], now[N];
static struct dirty_range out[N];

static int
same_hashes(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < N; i++)
		old[i] = now[i] = (struct hash128){i + 1, i + 100};
	return 0;
}

static void
assert_range(const struct dirty_range *r, uint32_t first, uint32_t count, bool hole)
{
	assert_int_equal(r->first, first);
	assert_int_equal(r->count, count);
	assert_int_equal(r->hole, hole);
}

static void
equal_hashes_give_nothing(void **state)
{
	(void)state;
	assert_int_equal(dirty_ranges(old, N, now, NULL, N, 128, out), 0);
}

static void
neighbours_travel_together(void **state)
{
	(void)state;
	now[2].lo = now[3].lo = now[7].hi = 9999;
	assert_int_equal(dirty_ranges(old, N, now, NULL, N, 128, out), 2);
	assert_range(&out[0], 2, 2, false);
	assert_range(&out[1], 7, 1, false);
}

static void
growth_is_dirty_from_the_old_end(void **state)
{
	(void)state;
	assert_int_equal(dirty_ranges(old, 10, now, NULL, N, 128, out), 1);
	assert_range(&out[0], 10, 6, false);
}

static void
shrinking_on_a_block_boundary_is_no_range(void **state)
{
	(void)state;
	assert_int_equal(dirty_ranges(old, N, now, NULL, 10, 128, out), 0);
}

static void
an_unknown_hash_is_dirty(void **state)
{
	(void)state;
	old[4] = (struct hash128){0};
	assert_int_equal(dirty_ranges(old, N, now, NULL, N, 128, out), 1);
	assert_range(&out[0], 4, 1, false);
	now[4] = (struct hash128){0};
	assert_int_equal(dirty_ranges(old, N, now, NULL, N, 128, out), 1);
}

static void
a_range_of_data_ends_at_its_limit(void **state)
{
	(void)state;
	assert_int_equal(dirty_ranges(NULL, 0, now, NULL, N, 6, out), 3);
	assert_range(&out[0], 0, 6, false);
	assert_range(&out[2], 12, 4, false);
}

static void
holes_are_ranges_of_their_own_and_have_no_limit(void **state)
{
	bool hole[N] = {0};

	(void)state;
	memset(hole + 3, 1, 10);
	assert_int_equal(dirty_ranges(NULL, 0, now, hole, N, 4, out), 3);
	assert_range(&out[0], 0, 3, false);
	assert_range(&out[1], 3, 10, true);
	assert_range(&out[2], 13, 3, false);
}

static void
ranges_cover_exactly_what_differs(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 1000; round++) {
		bool want[N] = {0}, got[N] = {0};
		size_t n_old = (size_t)rand() % (N + 1), n;

		same_hashes(NULL);
		for (size_t i = 0; i < N; i++) {
			if (rand() % 3 == 0)
				now[i].lo ^= 1u << 20;
			want[i] = i >= n_old || !hash128_equal(old[i], now[i]);
		}
		n = dirty_ranges(old, n_old, now, NULL, N, 3, out);
		for (size_t i = 0; i < n; i++)
			for (uint32_t k = 0; k < out[i].count; k++)
				got[out[i].first + k] = true;
		assert_memory_equal(want, got, sizeof want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(equal_hashes_give_nothing, same_hashes),
		cmocka_unit_test_setup(neighbours_travel_together, same_hashes),
		cmocka_unit_test_setup(growth_is_dirty_from_the_old_end, same_hashes),
		cmocka_unit_test_setup(shrinking_on_a_block_boundary_is_no_range, same_hashes),
		cmocka_unit_test_setup(an_unknown_hash_is_dirty, same_hashes),
		cmocka_unit_test_setup(a_range_of_data_ends_at_its_limit, same_hashes),
		cmocka_unit_test_setup(holes_are_ranges_of_their_own_and_have_no_limit, same_hashes),
		cmocka_unit_test_setup(ranges_cover_exactly_what_differs, same_hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
