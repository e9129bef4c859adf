/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon - an end that was asked for is one, whenever it was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdbool.h>

#include "control/daemon.h"

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(bool *)arg = true;
}

/* How a daemon that is ended before its loop begins comes out, and whether the loop ran all the same. */
static int
run_ended(void (*end)(struct daemon *d), bool *ret_ran)
{
	static const struct timeval at_once = {0, 0}, late = {0, 50000};
	struct event_base *base = event_base_new();
	struct daemon *d;
	int status;

	*ret_ran = false;
	assert_int_equal(daemon_new(base, NULL, NULL, &d), 0);
	end(d);
	assert_int_equal(event_base_once(base, -1, EV_TIMEOUT, on_turn, ret_ran, &at_once), 0);
	event_base_loopexit(base, &late);
	status = daemon_run(d);
	daemon_free(d);
	event_base_free(base);
	return status;
}

static void
end_with_3(struct daemon *d)
{
	daemon_end(d, 3);
}

static void
an_end_before_the_loop_begins_is_not_forgotten(void **state)
{
	bool ran;

	(void)state;
	assert_int_equal(run_ended(end_with_3, &ran), 3);
	assert_false(ran);
	assert_int_equal(run_ended(daemon_end_to_begin_again, &ran), 0);
	assert_false(ran);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_before_the_loop_begins_is_not_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
