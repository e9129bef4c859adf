/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memo - what cannot be read is not taken for nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/memo.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct memo *memo;

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	memo_close(memo);
	memo = NULL;
	scratch_close(&scratch);
	return 0;
}

static void
an_absent_memo_is_empty(void **state)
{
	(void)state;
	assert_int_equal(memo_open(scratch.path, NULL, 0, &memo), 0);
	assert_false(memo_facts(memo)->paused);
}

static void
a_memo_is_read(void **state)
{
	int fd = openat(scratch.fd, "memo", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	dprintf(fd, "tidemark-memo 1 paused=1 last_slot=5 last_dbcopy=6 root=7.8\nvolume=9 offiles\n");
	close(fd);
	assert_int_equal(memo_open(scratch.path, NULL, 0, &memo), 0);
	assert_true(memo_facts(memo)->paused);
	assert_int_equal(memo_facts(memo)->n_volumes, 1);
}

/* Else it would be written anew without the pause, and without what was mounted in the tree. */
static void
a_memo_that_cannot_be_read_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(scratch.fd, "memo", 0700), 0); /* its open succeeds, its read does not */
	assert_int_equal(memo_open(scratch.path, NULL, 0, &memo), -ERR_IO);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(an_absent_memo_is_empty),
	    T(a_memo_is_read),
	    T(a_memo_that_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
