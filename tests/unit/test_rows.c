/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rows: what must be acknowledged is known, and nothing grows with how often a path is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replicator/rows.h"

static void
a_row_that_was_added_is_known(void **state)
{
	struct rows rows = {0};

	(void)state;
	assert_false(rows_have(&rows, 7));
	assert_true(rows_add(&rows, 7, 0));
	assert_true(rows_add(&rows, 9, 8));
	assert_true(rows_have(&rows, 7));
	assert_true(rows_have(&rows, 9));
	assert_false(rows_have(&rows, 8));
	rows_fini(&rows);
	assert_false(rows_have(&rows, 7));
}

/* The journal has only the newest of those that came after the newest cookie. */
static void
a_path_that_is_named_without_end_has_a_short_list(void **state)
{
	struct rows rows = {0};

	(void)state;
	for (uint64_t seq = 1; seq <= 100000; seq++)
		assert_true(rows_add(&rows, seq, 0));
	assert_in_range(rows.n, 1, 64);
	assert_true(rows_have(&rows, 100000));
	rows_fini(&rows);
}

static void
a_row_before_a_cookie_is_never_left_out(void **state)
{
	struct rows rows = {0};

	(void)state;
	for (uint64_t seq = 1; seq <= 1000; seq++)
		assert_true(rows_add(&rows, seq, seq - 1)); /* a cookie before each */
	for (uint64_t seq = 1; seq <= 1000; seq++)
		assert_true(rows_have(&rows, seq));
	rows_fini(&rows);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_that_was_added_is_known),
		cmocka_unit_test(a_path_that_is_named_without_end_has_a_short_list),
		cmocka_unit_test(a_row_before_a_cookie_is_never_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
