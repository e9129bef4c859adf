/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon - an end that was asked for is one, whenever it was asked for, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
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

/* ---- what a service manager is told ---- */

/* Its socket, named in the environment. */
static int
manager(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), len = snprintf(address.sun_path, sizeof address.sun_path, "@tidemark-test-%d", getpid());

	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)), 0);
	return fd;
}

/* All that it was told, a word behind each other. */
static const char *
heard(int fd)
{
	static char words[1024];
	char word[256];
	ssize_t n;

	words[0] = '\0';
	while ((n = recv(fd, word, sizeof word - 1, MSG_DONTWAIT)) > 0) {
		word[n] = '\0';
		snprintf(words + strlen(words), sizeof words - strlen(words), "%s ", word);
	}
	return words;
}

static void
a_loop_that_is_left_to_look_again_is_not_told_as_the_end(void **state)
{
	static const struct timeval soon = {0, 1000};
	struct event_base *base = event_base_new();
	int fd = manager();
	struct daemon *d;

	(void)state;
	assert_int_equal(daemon_new(base, NULL, NULL, &d), 0);
	daemon_ready(d, "waiting");
	event_base_loopexit(base, &soon);
	assert_int_equal(daemon_run(d), 0);
	assert_string_equal(heard(fd), "READY=1 STATUS=waiting ");
	daemon_ready(d, "working");
	daemon_end(d, 0);
	assert_int_equal(daemon_run(d), 0);
	assert_string_equal(heard(fd), "READY=1 STATUS=working STOPPING=1 ");
	daemon_free(d);
	event_base_free(base);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
}

/* ---- arguments ---- */

static void
debug_on_the_command_line_goes_before_the_configured_level(void **state)
{
	char *argv[] = {(char[]){"daemon"}, (char[]){"--debug"}, NULL};
	struct daemon_arguments arguments = {.fd = -1};
	int stderr_fd = dup(STDERR_FILENO);
	FILE *captured = tmpfile();
	char text[256] = "";

	(void)state;
	assert_non_null(captured);
	daemon_arguments(2, argv, "daemon", "tests", "daemon.conf", &arguments);
	log_set_level(LOG_WARN);
	dup2(fileno(captured), STDERR_FILENO);
	log_debug("step", "n=%d", 1);
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	log_set_least(LOG_ERROR);
	assert_true(pread(fileno(captured), text, sizeof text - 1, 0) >= 0);
	assert_non_null(strstr(text, "step n=1"));
	fclose(captured);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_before_the_loop_begins_is_not_forgotten),
		cmocka_unit_test(a_loop_that_is_left_to_look_again_is_not_told_as_the_end),
		cmocka_unit_test(debug_on_the_command_line_goes_before_the_configured_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
