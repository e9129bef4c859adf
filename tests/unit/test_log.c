/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log - one fact is one line, whatever the bytes in it and however many threads speak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define THREADS 4
#define LINES 200

static int real_stderr;
static FILE *captured;

/* Standard error becomes a file for the length of a test; appending, as a daemon's log file would be opened. */
static int
setup(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	captured = tmpfile();
	real_stderr = dup(STDERR_FILENO);
	if (!captured || real_stderr < 0 || fcntl(fileno(captured), F_SETFL, O_APPEND) != 0)
		return -1;
	return dup2(fileno(captured), STDERR_FILENO) < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	log_set_level(LOG_INFO);
	log_set_name(NULL);
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	return fclose(captured);
}

/* All that was logged so far. */
static const char *
logged(void)
{
	static char text[256 * 1024];
	ssize_t n = pread(fileno(captured), text, sizeof text - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void
assert_matches(const char *text, const char *pattern)
{
	regex_t regex;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&regex, text, 0, NULL, 0) != 0)
		fail_msg("\"%s\" does not match \"%s\"", text, pattern);
	regfree(&regex);
}

static void
use_journal(void)
{
	struct stat st;
	char stream[64];

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
}

static void
a_line_has_time_level_name_event_and_words(void **state)
{
	(void)state;
	log_set_name("collector");
	log_warn("staging.commit", "path=%s blocks=%u", "a/b.db", 7u);
	assert_matches(logged(), "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} warn  "
	                         "collector: staging\\.commit path=a/b\\.db blocks=7\n$");
}

static void
the_journal_gets_priorities_and_no_time(void **state)
{
	(void)state;
	use_journal();
	log_set_level(LOG_DEBUG);
	log_error("a", "n=%d", 1);
	log_warn("b", "n=%d", 2);
	log_info("c", "n=%d", 3);
	log_debug("d", "n=%d", 4);
	assert_string_equal(logged(), "<3>a n=1\n<4>b n=2\n<6>c n=3\n<7>d n=4\n");
}

static void
a_list_is_a_line_each(void **state)
{
	(void)state;
	use_journal();
	log_lines(LOG_ERROR, "server.reload", "nothing was changed: ", "a.conf:1: x: wrong\na.conf:2: y: wrong");
	log_lines(LOG_WARN, "w", "", "one");
	assert_string_equal(logged(), "<3>server.reload nothing was changed: a.conf:1: x: wrong\n<3>server.reload nothing was changed: a.conf:2: y: wrong\n"
	                              "<4>w one\n");
}

static void
an_inherited_journal_variable_of_another_file_is_ignored(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_info("a", "n=%d", 1);
	assert_matches(logged(), "^[0-9]{4}-.* info  a n=1\n$");
}

static void
lines_above_the_level_are_dropped(void **state)
{
	(void)state;
	use_journal();
	log_debug("a", "n=%d", 1);
	log_info("b", "n=%d", 2);
	log_set_level(LOG_ERROR);
	log_warn("c", "n=%d", 3);
	log_error("d", "n=%d", 4);
	assert_string_equal(logged(), "<6>b n=2\n<3>d n=4\n");
}

static void
a_file_name_cannot_forge_a_line(void **state)
{
	(void)state;
	use_journal();
	log_info("a", "path=%s", "x\n<3>server.start\r\x1b[2J\xff\xe2\x80\xa8 Z\xc3\xbcrich");
	assert_string_equal(logged(), "<6>a path=x\\x0a<3>server.start\\x0d\\x1b[2J\\xff\\xe2\\x80\\xa8 Z\xc3\xbcrich\n");
}

static void
a_line_that_is_too_long_says_that_it_was_cut(void **state)
{
	static char text[10000];

	(void)state;
	use_journal();
	for (size_t len = 4080; len < 4100; len++) {
		size_t before = strlen(logged()), n;

		memset(text, 'x', len);
		text[len] = '\0';
		log_info("a", "%s", text);
		n = strlen(logged()) - before;
		assert_true(n <= 4096);
		if (n < len + sizeof "<6>a ")
			assert_string_equal(logged() + before + n - 4, "...\n");
	}
	memset(text, '\n', sizeof text - 1);
	log_info("a", "%s", text);
	assert_string_equal(logged() + strlen(logged()) - 8, "\\x0a...\n");
}

static void
errno_is_kept(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(dup2(full, STDERR_FILENO), STDERR_FILENO);
	close(full);
	errno = EXDEV;
	log_error("a", "n=%d", 1);
	assert_int_equal(errno, EXDEV);
}

static void *
speak(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_info("speak", "thread=%s line=%03d %s", (const char *)arg, i, "and some more words to make it longer");
	return NULL;
}

static void
lines_of_many_threads_do_not_mix(void **state)
{
	static char names[THREADS][2] = {"0", "1", "2", "3"};
	pthread_t threads[THREADS];
	int next[THREADS] = {0};
	const char *line;

	(void)state;
	use_journal();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, speak, names[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (line = logged(); *line; line = strchr(line, '\n') + 1) {
		char expected[128];
		int thread = line[sizeof "<6>speak thread=" - 1] - '0';

		assert_in_range(thread, 0, THREADS - 1);
		snprintf(expected, sizeof expected, "<6>speak thread=%d line=%03d and some more words to make it longer\n",
		    thread, next[thread]++);
		assert_memory_equal(line, expected, strlen(expected));
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(next[i], LINES);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_line_has_time_level_name_event_and_words),
		T(the_journal_gets_priorities_and_no_time),
		T(a_list_is_a_line_each),
		T(an_inherited_journal_variable_of_another_file_is_ignored),
		T(lines_above_the_level_are_dropped),
		T(a_file_name_cannot_forge_a_line),
		T(a_line_that_is_too_long_says_that_it_was_cut),
		T(errno_is_kept),
		T(lines_of_many_threads_do_not_mix),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
