/* SPDX-License-Identifier: GPL-2.0-or-later */
/* preparation - how much room the next copy of the databases takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collector/dblist.h"
#include "collector/preparation.h"

static char guard[] = "ngwguard.db", msg[] = "ofmsg/msg0.db", user[] = "ofuser/userabc.db", gone[] = "ofuser/userold.db";

static void
a_copy_takes_what_its_source_has_grown_by(void **state)
{
	struct dblist_file live[] = {{.path = guard, .size = 1000}, {.path = msg, .size = 5ull << 40}, {.path = user, .size = 300}};
	struct dblist_file copies[] = {{.path = guard, .size = 1000}, {.path = msg, .size = 3ull << 40}, {.path = gone, .size = 9000}};
	struct dblist from = {.files = live, .n = 3}, to = {.files = copies, .n = 3}, none = {0};

	(void)state;
	assert_int_equal(preparation_growth(&from, &to), (2ull << 40) + 300);
	assert_int_equal(preparation_growth(&from, &none), (5ull << 40) + 1300);
	assert_int_equal(preparation_growth(&none, &to), 0);
}

static void
a_database_that_shrank_makes_no_room_for_another(void **state)
{
	struct dblist_file live[] = {{.path = msg, .size = 10}, {.path = user, .size = 300}};
	struct dblist_file copies[] = {{.path = msg, .size = 5000}};
	struct dblist from = {.files = live, .n = 2}, to = {.files = copies, .n = 1};

	(void)state;
	assert_int_equal(preparation_growth(&from, &to), 300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_copy_takes_what_its_source_has_grown_by),
	    cmocka_unit_test(a_database_that_shrank_makes_no_room_for_another),
	};

	return cmocka_run_group_tests_name("preparation", tests, NULL, NULL);
}
