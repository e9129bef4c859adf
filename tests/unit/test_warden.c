/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the receiver makes of the warden's answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/server/warden.c"

/* As when the receiver has no descriptor left to take one: the kernel drops it, and the note arrives without. */
static void
a_keeper_without_its_socket_was_not_started(void **state)
{
	struct warden w = {0};
	int pair[2], pid = 0, fd = -1;

	(void)state;
	assert_int_equal(courier_pair(pair), 0);
	assert_int_equal(courier_new(pair[0], &w.courier), 0);
	assert_int_equal(courier_send(pair[1], &(struct courier_note){.number = 4711, .fd = -1}), 0);
	assert_true(warden_start_keeper(&w, &pid, &fd) < 0);
	courier_free(w.courier);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_keeper_without_its_socket_was_not_started)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
