/* SPDX-License-Identifier: GPL-2.0-or-later */
/* staginglock - a lock that outlives its taker, and the processes that hold it then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/staginglock.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static pid_t child;

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	child = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	scratch_close(&scratch);
	return 0;
}

/* A process with the lock, in a session of its own, as DBCOPY is. */
static void
begin_copy(int lock)
{
	int ready[2];
	char byte;

	(void)lock; /* a fork has it */
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		setsid();
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
}

static void
a_lock_is_free_when_its_job_is_over(void **state)
{
	int lock = staginglock_take(scratch.path);

	(void)state;
	assert_true(lock >= 100);
	staginglock_end(lock, false);
	lock = staginglock_take(scratch.path);
	assert_true(lock >= 0);
	staginglock_end(lock, true);
	staginglock_end(-1, true);
}

/* The collector dies, having noted this session; the next job has the lock, and the copy is no more. */
static void
ended_by_the_next_job(int lock, pid_t noted)
{
	int status;

	if (noted)
		staginglock_lead(lock, noted);
	close(lock);
	lock = staginglock_take(scratch.path);
	assert_true(lock >= 0);
	assert_int_equal(waitpid(child, &status, WNOHANG), child);
	assert_true(WIFSIGNALED(status));
	child = 0;
	staginglock_end(lock, true);
}

static void
a_copy_that_outlived_its_collector_is_ended(void **state)
{
	int lock = staginglock_take(scratch.path);

	(void)state;
	assert_true(lock >= 0);
	begin_copy(lock);
	ended_by_the_next_job(lock, child);
}

static void
a_copy_whose_collector_died_before_it_could_note_it_is_ended(void **state)
{
	int lock = staginglock_take(scratch.path);

	(void)state;
	assert_true(lock >= 0);
	begin_copy(lock);
	ended_by_the_next_job(lock, 0);
}

static void
what_left_its_session_is_named_and_not_ended(void **state)
{
	int lock = staginglock_take(scratch.path);
	char words[64];

	(void)state;
	assert_true(lock >= 0);
	begin_copy(lock);
	staginglock_lead(lock, 4000000); /* not its session */
	staginglock_end(lock, false);
	assert_int_equal(staginglock_take(scratch.path), -ERR_BUSY);
	snprintf(words, sizeof words, "process %d (", (int)child);
	assert_non_null(strstr(err_text(), words));
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
}

static void
what_a_good_copy_left_behind_holds_nobody_up(void **state)
{
	int lock = staginglock_take(scratch.path);

	(void)state;
	assert_true(lock >= 0);
	begin_copy(lock);
	staginglock_lead(lock, child);
	staginglock_end(lock, true);
	lock = staginglock_take(scratch.path);
	assert_true(lock >= 0);
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
	staginglock_end(lock, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_lock_is_free_when_its_job_is_over, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_copy_that_outlived_its_collector_is_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_copy_whose_collector_died_before_it_could_note_it_is_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_left_its_session_is_named_and_not_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_a_good_copy_left_behind_holds_nobody_up, setup, teardown),
	};

	return cmocka_run_group_tests_name("staginglock", tests, NULL, NULL);
}
