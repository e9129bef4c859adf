/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A notification that reaches nobody is said in the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/server/notify.c"

static FILE *captured;
static int real_stderr;

static int
capture_begin(void **state)
{
	(void)state;
	captured = tmpfile();
	real_stderr = dup(STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	if (!captured || real_stderr < 0 || fcntl(fileno(captured), F_SETFL, O_APPEND) != 0)
		return -1;
	return dup2(fileno(captured), STDERR_FILENO) < 0 ? -1 : 0;
}

static int
capture_end(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	fclose(captured);
	return 0;
}

static bool
log_says(const char *words)
{
	char text[8192];
	ssize_t n = pread(fileno(captured), text, sizeof text - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, words) != NULL;
}

static void
a_notification_for_which_there_is_no_place_is_told(void **state)
{
	(void)state;
	for (int i = 0; i < RUNNING_MAX; i++)
		notify_run("exec sleep 60", "po1", "late", "the first ones");
	assert_false(log_says("first ones"));
	notify_run("exec sleep 60", "po1", "late", "the newest set is old");
	assert_true(log_says("the newest set is old"));
	for (int i = 0; i < RUNNING_MAX; i++)
		kill(running[i], SIGKILL);
	while (free_place() != &running[0])
		usleep(1000);
}

static void
a_command_that_fails_is_told(void **state)
{
	(void)state;
	notify_run("exit 0", "po1", "late", "all is well");
	while (running[0]) {
		notify_reap();
		usleep(1000);
	}
	assert_false(log_says("status"));
	notify_run("exit 7", "po1", "late", "nobody hears");
	while (running[0]) {
		notify_reap();
		usleep(1000);
	}
	assert_true(log_says("status 7"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_notification_for_which_there_is_no_place_is_told, capture_begin, capture_end),
		cmocka_unit_test_setup_teardown(a_command_that_fails_is_told, capture_begin, capture_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
