/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What travels between two processes of one installation arrives as it was sent, and what is not a note leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/courier.h"
#include "base/err.h"

#define ASKERS 4
#define QUESTIONS 200

static struct courier *courier;
static int other; /* the end that answers */

static int
set_up(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(courier_pair(pair), 0);
	assert_int_equal(courier_new(pair[0], &courier), 0);
	other = pair[1];
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	courier_free(courier);
	close(other);
	return 0;
}

/* The next descriptor that is free: it tells whether one stayed open. */
static int
next_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static bool
same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* As anybody could send it who has the socket. */
static void
send_raw(const void *bytes, size_t len, const int *fds, size_t n_fds)
{
	char control[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(sizeof(size_t)))) = {0};
	struct iovec piece = {(void *)(uintptr_t)bytes, len};
	struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(n_fds * sizeof *fds)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n_fds * sizeof *fds);
	memcpy(CMSG_DATA(c), fds, n_fds * sizeof *fds);
	assert_int_equal(sendmsg(other, &m, 0), len);
}

static void *
answer_once(void *arg)
{
	struct courier_note note;

	if (courier_receive(other, &note) == 0)
		(void)courier_send(other, arg);
	return NULL;
}

static int
ask(const struct courier_note *answer, struct courier_note *ret_answer)
{
	struct courier_note copy = *answer;
	pthread_t thread;
	int err;

	assert_int_equal(pthread_create(&thread, NULL, answer_once, &copy), 0);
	err = courier_ask(courier, &(struct courier_note){.kind = 'q', .fd = -1}, ret_answer);
	pthread_join(thread, NULL);
	return err;
}

static void
a_note_arrives_with_its_descriptor_which_no_program_inherits(void **state)
{
	struct courier_note sent = {.kind = 'k', .number = 7, .text = "po1"}, got;

	(void)state;
	sent.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(courier_send(other, &sent), 0);
	/* The asker's own end is read here, as its answer would be. */
	struct courier_note answer;
	assert_int_equal(courier_ask(courier, &(struct courier_note){.kind = 'q', .fd = -1}, &answer), 7);
	assert_int_equal(answer.kind, 'k');
	assert_string_equal(answer.text, "po1");
	assert_true(answer.fd != sent.fd && same_file(answer.fd, sent.fd));
	assert_true(fcntl(answer.fd, F_GETFD) & FD_CLOEXEC);
	close(answer.fd);
	close(sent.fd);
	assert_int_equal(courier_receive(other, &got), 0); /* the question */
	assert_int_equal(got.kind, 'q');
	assert_int_equal(got.fd, -1);
}

static void
what_went_wrong_there_is_an_error_here_with_its_sentence(void **state)
{
	struct courier_note answer;

	(void)state;
	assert_int_equal(ask(&(struct courier_note){.number = -ERR_DENIED, .text = "not yours", .fd = -1}, &answer), -ERR_DENIED);
	assert_string_equal(err_text(), "not yours");
}

static void
whoever_is_gone_is_no_error_of_the_one_end_and_one_of_the_other(void **state)
{
	struct courier_note note;

	(void)state;
	courier_free(courier);
	courier = NULL;
	assert_int_equal(courier_receive(other, &note), 1);
	tear_down(state);
	set_up(state);
	close(other);
	other = -1;
	assert_true(courier_ask(courier, &(struct courier_note){.kind = 'q', .fd = -1}, &note) < 0);
}

static void
what_is_no_note_is_refused_and_its_descriptors_are_closed(void **state)
{
	const struct courier_note whole = {.kind = 'k', .fd = -1};
	struct courier_note got;
	int pair[2], fds[8], before;

	(void)state;
	assert_int_equal(courier_pair(pair), 0);
	close(other);
	other = pair[0];
	for (int i = 0; i < 8; i++)
		fds[i] = STDERR_FILENO;
	before = next_free();
	send_raw(&whole, sizeof whole - 1, fds, 1);
	assert_int_equal(courier_receive(pair[1], &got), -ERR_PEER);
	assert_int_equal(next_free(), before);
	for (size_t n = 2; n <= 8; n++) {
		send_raw(&whole, sizeof whole, fds, n);
		assert_int_equal(courier_receive(pair[1], &got), 0);
		assert_int_equal(got.fd, -1);
		assert_int_equal(next_free(), before);
	}
	close(pair[1]);
}

static void *
echo(void *arg)
{
	struct courier_note note;

	(void)arg;
	while (courier_receive(other, &note) == 0)
		(void)courier_send(other, &note);
	return NULL;
}

static void *
ask_many(void *arg)
{
	int base = *(int *)arg;

	for (int i = 0; i < QUESTIONS; i++) {
		struct courier_note answer;

		if (courier_ask(courier, &(struct courier_note){.kind = 'q', .number = base + i, .fd = -1}, &answer) != base + i)
			return arg;
	}
	return NULL;
}

static void
each_of_several_threads_gets_the_answer_to_its_own_question(void **state)
{
	pthread_t answering, asking[ASKERS];
	int bases[ASKERS];

	(void)state;
	assert_int_equal(pthread_create(&answering, NULL, echo, NULL), 0);
	for (int i = 0; i < ASKERS; i++) {
		bases[i] = i * QUESTIONS;
		assert_int_equal(pthread_create(&asking[i], NULL, ask_many, &bases[i]), 0);
	}
	for (int i = 0; i < ASKERS; i++) {
		void *wrong;

		pthread_join(asking[i], &wrong);
		assert_null(wrong);
	}
	courier_free(courier);
	courier = NULL;
	pthread_join(answering, NULL);
}

#define with_courier(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_courier(a_note_arrives_with_its_descriptor_which_no_program_inherits),
		with_courier(what_went_wrong_there_is_an_error_here_with_its_sentence),
		with_courier(whoever_is_gone_is_no_error_of_the_one_end_and_one_of_the_other),
		with_courier(what_is_no_note_is_refused_and_its_descriptors_are_closed),
		with_courier(each_of_several_threads_gets_the_answer_to_its_own_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
