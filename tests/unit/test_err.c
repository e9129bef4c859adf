/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err - every code has a name, words and a status, and a sentence stays with its thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/err.h"

static void
a_recorded_sentence_is_read_back_and_the_code_is_negative(void **state)
{
	(void)state;
	assert_int_equal(err_set(ERR_BUSY, "set %d is locked", 7), -ERR_BUSY);
	assert_string_equal(err_text(), "set 7 is locked");
}

static void
an_errno_becomes_its_code_and_its_words(void **state)
{
	static const struct {
		int number;
		enum err code;
	} rows[] = {
		{ENOSPC, ERR_NOSPACE}, {EDQUOT, ERR_NOSPACE}, {ENOENT, ERR_GONE}, {ESTALE, ERR_GONE},
		{EACCES, ERR_ACCESS}, {EPERM, ERR_ACCESS}, {EROFS, ERR_ACCESS}, {ELOOP, ERR_UNSAFE},
		{EXDEV, ERR_UNSAFE}, {ENOMEM, ERR_NOMEM}, {ECONNREFUSED, ERR_UNREACHABLE},
		{EHOSTUNREACH, ERR_UNREACHABLE}, {ETIMEDOUT, ERR_UNREACHABLE}, {EIO, ERR_IO}, {EBADF, ERR_IO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		errno = rows[i].number;
		assert_int_equal(err_sys("open %s", "a/b"), -(int)rows[i].code);
		assert_int_equal(errno, rows[i].number);
	}
	errno = ENOSPC;
	err_sys("write %s", "x.db");
	assert_string_equal(err_text(), "write x.db: No space left on device");
}

static void
a_prefix_stands_in_front_and_keeps_the_code(void **state)
{
	(void)state;
	err_set(ERR_CORRUPT, "block 3 differs");
	assert_int_equal(err_prefix(-ERR_CORRUPT, "user%03d.db", 5), -ERR_CORRUPT);
	assert_string_equal(err_text(), "user005.db: block 3 differs");
}

static void
the_old_sentence_may_be_part_of_the_new(void **state)
{
	(void)state;
	err_set(ERR_IO, "inner");
	err_set(ERR_PEER, "outer (%s) and %s", err_text(), err_text());
	assert_string_equal(err_text(), "outer (inner) and inner");
	err_prefix(-ERR_PEER, "again %s", err_text());
	assert_string_equal(err_text(), "again outer (inner) and inner: outer (inner) and inner");
}

static void
a_sentence_that_is_too_long_is_cut(void **state)
{
	static char text[3 * ERR_TEXT_MAX];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	err_set(ERR_IO, "%s", text);
	assert_int_equal(strlen(err_text()), ERR_TEXT_MAX);
	err_prefix(-ERR_IO, "front");
	assert_int_equal(strlen(err_text()), ERR_TEXT_MAX);
	assert_memory_equal(err_text(), "front: xxx", 10);
	errno = EIO;
	err_sys("%s", text);
	assert_int_equal(strlen(err_text()), ERR_TEXT_MAX);
}

static void *
other_thread(void *arg)
{
	int *ret = arg;

	ret[0] = *err_text() == '\0';
	err_set(ERR_IO, "theirs");
	ret[1] = strcmp(err_text(), "theirs") == 0;
	err_prefix(err_set(ERR_TIMEOUT, "%s", ""), "connect");
	ret[2] = strcmp(err_text(), "connect: timed out") == 0;
	return NULL;
}

static void
every_thread_has_its_own_sentence(void **state)
{
	pthread_t thread;
	int seen[3] = {0};

	(void)state;
	err_set(ERR_IO, "ours");
	assert_int_equal(pthread_create(&thread, NULL, other_thread, seen), 0);
	pthread_join(thread, NULL);
	assert_true(seen[0]);
	assert_true(seen[1]);
	assert_true(seen[2]);
	assert_string_equal(err_text(), "ours");
}

static void
every_code_has_its_own_name_that_leads_back_to_it(void **state)
{
	(void)state;
	for (int code = ERR_OK + 1; code < ERR_COUNT; code++) {
		assert_true(isupper((unsigned char)*err_name(code)));
		assert_true(*err_words(code));
		assert_int_equal(err_from_name(err_name(code)), code);
		assert_ptr_equal(err_name(-code), err_name(code));
		assert_true(err_exit_status(-code) != 0);
	}
	assert_string_equal(err_name(-ERR_NOSPACE), "NOSPACE");
	assert_string_equal(err_words(-ERR_NOSPACE), "no space left");
}

static void
a_name_from_a_peer_never_means_success(void **state)
{
	(void)state;
	assert_int_equal(err_from_name("OK"), ERR_IO);
	assert_int_equal(err_from_name("FROM_THE_FUTURE"), ERR_IO);
	assert_int_equal(err_from_name(""), ERR_IO);
	assert_int_equal(err_from_name(NULL), ERR_IO);
}

static void
a_number_that_is_no_code_is_unknown_and_fails_the_program(void **state)
{
	static const int numbers[] = {ERR_COUNT, -ERR_COUNT, INT32_MAX, INT32_MIN};

	(void)state;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		assert_string_equal(err_name(numbers[i]), "UNKNOWN");
		assert_string_equal(err_words(numbers[i]), "unknown error");
		assert_int_equal(err_exit_status(numbers[i]), 1);
	}
}

static void
exit_statuses_tell_what_a_script_must_know(void **state)
{
	(void)state;
	assert_int_equal(err_exit_status(0), 0);
	assert_int_equal(err_exit_status(-ERR_CONFIG), 2);
	assert_int_equal(err_exit_status(-ERR_NOTFOUND), 10);
	assert_int_equal(err_exit_status(-ERR_BUSY), 11);
	assert_int_equal(err_exit_status(-ERR_DENIED), 12);
	assert_int_equal(err_exit_status(-ERR_UNREACHABLE), 13);
	assert_int_equal(err_exit_status(-ERR_CORRUPT), 14);
	assert_int_equal(err_exit_status(-ERR_NOSPACE), 15);
	assert_int_equal(err_exit_status(ERR_INTERRUPTED), 130);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recorded_sentence_is_read_back_and_the_code_is_negative),
		cmocka_unit_test(an_errno_becomes_its_code_and_its_words),
		cmocka_unit_test(a_prefix_stands_in_front_and_keeps_the_code),
		cmocka_unit_test(the_old_sentence_may_be_part_of_the_new),
		cmocka_unit_test(a_sentence_that_is_too_long_is_cut),
		cmocka_unit_test(every_thread_has_its_own_sentence),
		cmocka_unit_test(every_code_has_its_own_name_that_leads_back_to_it),
		cmocka_unit_test(a_name_from_a_peer_never_means_success),
		cmocka_unit_test(a_number_that_is_no_code_is_unknown_and_fails_the_program),
		cmocka_unit_test(exit_statuses_tell_what_a_script_must_know),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
