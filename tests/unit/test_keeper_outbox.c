/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A report reaches the receiver, or the keeper ends: nobody waits for an answer that was lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/outbox.h"

/* ---- in the C library's place ---- */

static int send_errno;

ssize_t
send(int fd, const void *bytes, size_t len, int flags)
{
	if (send_errno) {
		errno = send_errno;
		return -1;
	}
	return syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
}

/* ---- outboxes ---- */

static struct event_base *base;
static struct keeper_outbox *outbox;
static int receiver[2];

static int
set_up(void **state)
{
	(void)state;
	base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, receiver), 0);
	assert_int_equal(keeper_outbox_new(base, receiver[0], &outbox), 0);
	send_errno = 0;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	send_errno = 0;
	keeper_outbox_free(outbox);
	event_base_free(base);
	close(receiver[0]);
	close(receiver[1]);
	return 0;
}

static void
post(char *text)
{
	keeper_outbox_post(outbox, &(struct report){.kind = REPORT_FAILED, .text = text});
}

/* The exit status of a process that posts, and must not come through: a pointer of its own travels. */
static int
status_of_posting(char *text)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		post(text);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
what_a_thread_posts_reaches_the_receiver_whole(void **state)
{
	static char text[] = "no room";
	unsigned char bytes[256];
	ssize_t n;

	(void)state;
	post(text);
	while ((n = recv(receiver[1], bytes, sizeof bytes, 0)) < 0)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(n, 4 + (bytes[0] | bytes[1] << 8 | bytes[2] << 16));
	assert_non_null(memmem(bytes, (size_t)n, text, strlen(text)));
}

static void
a_keeper_that_cannot_post_a_report_ends(void **state)
{
	static char text[] = "no room";

	(void)state;
	send_errno = ENOBUFS;
	assert_int_equal(status_of_posting(text), 1);
}

static void
a_report_that_is_too_long_for_the_receiver_ends_the_keeper(void **state)
{
	char *text = malloc(ORDER_BYTES_MAX + 1);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', ORDER_BYTES_MAX);
	text[ORDER_BYTES_MAX] = '\0';
	assert_int_equal(status_of_posting(text), 1);
	free(text);
}

static void
after_the_outbox_is_shut_a_report_is_dropped_and_nothing_ends(void **state)
{
	static char text[] = "late";

	(void)state;
	keeper_outbox_shut(outbox);
	assert_int_equal(status_of_posting(text), 0);
}

#define with_outbox(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_outbox(what_a_thread_posts_reaches_the_receiver_whole),
		with_outbox(a_keeper_that_cannot_post_a_report_ends),
		with_outbox(a_report_that_is_too_long_for_the_receiver_ends_the_keeper),
		with_outbox(after_the_outbox_is_shut_a_report_is_dropped_and_nothing_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
