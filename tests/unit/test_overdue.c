/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overdue - a set may be as old as its schedule makes it, and no older. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/overdue.h"

#define HOUR (3600ll * 1000000000)
#define LATE (26 * HOUR)
#define FRIDAY (1000000 * HOUR) /* 22:30 of some Friday: the run's time, and its T0 a second later */
#define T0 (FRIDAY + 1000000000)
#define SEALED (T0 + HOUR / 2)

static void
without_a_schedule_the_age_alone_counts(void **state)
{
	(void)state;
	assert_int_equal(overdue_from(T0, SEALED, 0, LATE), SEALED + LATE);
	assert_int_equal(overdue_from(T0, SEALED, FRIDAY, LATE), SEALED + LATE); /* told before this set was made */
}

static void
a_fridays_set_lasts_over_the_weekend(void **state)
{
	(void)state;
	assert_int_equal(overdue_from(T0, SEALED, FRIDAY + 72 * HOUR, LATE), FRIDAY + 74 * HOUR);
}

static void
a_run_that_was_missed_shows_the_same_night(void **state)
{
	(void)state;
	assert_int_equal(overdue_from(T0, T0, FRIDAY + 24 * HOUR, LATE), T0 + LATE); /* two hours after it was due */
	assert_int_equal(overdue_from(T0, T0, FRIDAY + 2 * HOUR, LATE), T0 + LATE);  /* `late` is a choice that holds */
}

static void
a_long_backup_is_not_late_while_it_runs_as_long_as_yesterdays(void **state)
{
	(void)state;
	assert_int_equal(overdue_from(T0, T0 + 6 * HOUR, FRIDAY + 24 * HOUR, LATE), T0 + 32 * HOUR);
}

static void
a_run_that_is_due_in_a_year_is_not_believed(void **state)
{
	(void)state;
	assert_int_equal(overdue_from(T0, SEALED, FRIDAY + 9000 * HOUR, LATE), SEALED + 194 * HOUR);
	assert_int_equal(overdue_from(INT64_MIN, SEALED, INT64_MAX, LATE), SEALED + 194 * HOUR);
	assert_int_equal(overdue_from(INT64_MAX, SEALED, INT64_MAX, LATE), SEALED + LATE);
	assert_int_equal(overdue_from(T0, SEALED, INT64_MIN, LATE), SEALED + LATE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_schedule_the_age_alone_counts),
		cmocka_unit_test(a_fridays_set_lasts_over_the_weekend),
		cmocka_unit_test(a_run_that_was_missed_shows_the_same_night),
		cmocka_unit_test(a_long_backup_is_not_late_while_it_runs_as_long_as_yesterdays),
		cmocka_unit_test(a_run_that_is_due_in_a_year_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
