/* SPDX-License-Identifier: GPL-2.0-or-later */
/* only - every unit test runs one of its tests alone when the environment's ONLY_TEST names it (* and ? stand for others). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void
only_read_environment(void)
{
	const char *name = getenv("ONLY_TEST");

	if (name)
		cmocka_set_test_filter(name);
}
