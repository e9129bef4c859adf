/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hook - the command learns what happened, no shell reads it, and it leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fsio.h"
#include "collector/hook.h"
#include "jobs.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct event_base *base;
static char output[256];

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	scratch_path(&scratch, "output", output);
	base = event_base_new();
	return base ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	event_base_free(base);
	scratch_close(&scratch);
	return 0;
}

/* Runs it to its end; it must have been reaped by then. */
static void
run(const char *command, const char *argument)
{
	struct job_record job = {.id = 77, .date = 20260213, .result = JOB_WARNED, .t0_ns = 1770999000000000000, .set_files = 3, .set_bytes = 4096};

	snprintf(job.profile, sizeof job.profile, "po1");
	snprintf(job.set, sizeof job.set, "frifeb13");
	snprintf(job.text, sizeof job.text, "the index; could not be read");
	hook_run(base, "notify", command, argument, &job);
	event_base_dispatch(base);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void
assert_output(const char *want)
{
	size_t len;
	char *text;

	assert_int_equal(fsio_read_path(output, 4096, &text, &len), 0);
	assert_string_equal(text, want);
	free(text);
}

static void
the_facts_are_in_the_environment_and_t0_is_the_last_argument(void **state)
{
	char command[512];

	(void)state;
	/* "sh" without a folder: it is looked for in PATH. */
	snprintf(command, sizeof command,
	    "sh -c 'echo \"$TIDEMARK_PROFILE $TIDEMARK_JOB $TIDEMARK_RESULT $TIDEMARK_SET $TIDEMARK_T0 $TIDEMARK_DATE $TIDEMARK_FILES "
	    "$TIDEMARK_BYTES|$TIDEMARK_TEXT|$*\" >%s' name --set", output);
	run(command, "1770999000");
	assert_output("po1 77 warnings frifeb13 1770999000 20260213 3 4096|the index; could not be read|--set 1770999000\n");
}

static void
no_shell_reads_the_command(void **state)
{
	char command[512];

	(void)state;
	snprintf(command, sizeof command, "cp /dev/null %s;touch", output);
	run(command, NULL);
	assert_int_equal(access(output, F_OK), -1); /* a file of the longer name was made, if any */
	snprintf(command, sizeof command, "sh -c 'printf %%s \"$1\" >%s' name '$(id) `id` $HOME'", output);
	run(command, NULL);
	assert_output("$(id) `id` $HOME");
}

static void
off_and_what_cannot_be_started_leave_nothing_behind(void **state)
{
	(void)state;
	run("off", NULL);
	run("/nowhere/at/all", NULL);
	run("'not closed", NULL);
	run("sh -c 'exit 3'", NULL);
	run("sh -c 'kill -9 $$'", NULL);
}

static void
what_takes_too_long_is_killed_with_all_it_started(void **state)
{
	char command[512];
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	/* The pipe ends when nobody holds it any more: neither the shell nor its child. */
	snprintf(command, sizeof command, "sh -c 'sleep 1000 & sleep 1000'");
	hook_limit_s = 1;
	run(command, NULL);
	hook_limit_s = 60;
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

static void
the_commands_signals_are_as_a_program_expects_them(void **state)
{
	char command[512];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	snprintf(command, sizeof command, "sh -c 'grep -c ^SigIgn:.*0000$ /proc/self/status >%s'", output);
	run(command, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_output("1\n"); /* but for two that belong to the C library */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_facts_are_in_the_environment_and_t0_is_the_last_argument),
		TEST(no_shell_reads_the_command),
		TEST(off_and_what_cannot_be_started_leave_nothing_behind),
		TEST(what_takes_too_long_is_killed_with_all_it_started),
		TEST(the_commands_signals_are_as_a_program_expects_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
