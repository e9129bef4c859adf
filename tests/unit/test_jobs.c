/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jobs - the history survives restarts, torn lines and its own growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jobs.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static char file[256];

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	scratch_path(&scratch, "jobs", file);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_close(&scratch);
	return 0;
}

static struct job_record
record(uint64_t id, enum job_result result)
{
	struct job_record r = {.id = id, .date = 20260213, .result = result, .phase = JOB_SEAL, .set_bytes = id * 7, .code = -3};

	snprintf(r.profile, sizeof r.profile, "po%llu", (unsigned long long)id);
	snprintf(r.text, sizeof r.text, "because of %llu\n", (unsigned long long)id);
	r.phase_ms[JOB_COPY] = 1234;
	return r;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);

static unsigned folders_synced;

int
__wrap_fsync(int fd)
{
	struct stat st;

	folders_synced += fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	return __real_fsync(fd);
}

static void
the_first_record_has_a_file_whose_name_is_durable(void **state)
{
	struct jobs *jobs;
	struct job_record r = record(5, JOB_RUNNING);

	(void)state;
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	folders_synced = 0;
	assert_int_equal(jobs_put(jobs, &r), 0);
	assert_int_equal(folders_synced, 1);
	assert_int_equal(jobs_put(jobs, &r), 0);
	assert_int_equal(folders_synced, 1);
	jobs_close(jobs);
}

static void
a_record_comes_back_as_it_was(void **state)
{
	struct jobs *jobs;
	struct job_record r = record(5, JOB_FAILED);

	(void)state;
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_null(jobs_nth(jobs, 0));
	assert_int_equal(jobs_put(jobs, &r), 0);
	jobs_close(jobs);
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_memory_equal(jobs_find(jobs, 5), &r, sizeof r);
	assert_null(jobs_find(jobs, 6));
	jobs_close(jobs);
}

static void
the_newest_line_of_a_job_wins_and_the_newest_job_is_first(void **state)
{
	struct jobs *jobs;
	struct job_record a = record(1, JOB_RUNNING), b = record(2, JOB_RUNNING);

	(void)state;
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_int_equal(jobs_put(jobs, &a), 0);
	assert_int_equal(jobs_put(jobs, &b), 0);
	a.result = JOB_GOOD;
	assert_int_equal(jobs_put(jobs, &a), 0);
	jobs_close(jobs);
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_int_equal(jobs_nth(jobs, 0)->id, 2);
	assert_int_equal(jobs_nth(jobs, 1)->result, JOB_GOOD);
	assert_null(jobs_nth(jobs, 2));
	jobs_close(jobs);
}

static void
a_torn_line_costs_only_itself(void **state)
{
	struct jobs *jobs;
	struct job_record a = record(1, JOB_GOOD), b = record(2, JOB_GOOD);

	(void)state;
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_int_equal(jobs_put(jobs, &a), 0);
	jobs_close(jobs);
	int fd = open(file, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "01abcd", 6), 6);
	close(fd);
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_int_equal(jobs_put(jobs, &b), 0);
	jobs_close(jobs);
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_non_null(jobs_find(jobs, 1));
	assert_non_null(jobs_find(jobs, 2));
	jobs_close(jobs);
}

/* The rewriting of a start fails here because a folder has the name of its temporary file. */
static void
a_history_that_cannot_be_rewritten_is_read_and_rewritten_later(void **state)
{
	struct jobs *jobs;
	struct job_record a = record(1, JOB_RUNNING), b = record(2, JOB_GOOD);
	char in_the_way[256];

	(void)state;
	scratch_path(&scratch, ".jobs.new", in_the_way);
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_int_equal(jobs_put(jobs, &a), 0);
	a.result = JOB_GOOD;
	assert_int_equal(jobs_put(jobs, &a), 0);
	jobs_close(jobs);
	int fd = open(file, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "01abcd", 6), 6);
	close(fd);
	assert_int_equal(mkdir(in_the_way, 0700), 0);
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_int_equal(jobs_find(jobs, 1)->result, JOB_GOOD);
	assert_non_null(jobs_trouble(jobs));
	assert_int_equal(rmdir(in_the_way), 0);
	assert_int_equal(jobs_put(jobs, &b), 0);
	assert_null(jobs_trouble(jobs));
	jobs_close(jobs);
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_non_null(jobs_find(jobs, 1));
	assert_non_null(jobs_find(jobs, 2));
	jobs_close(jobs);
}

static void
the_file_stays_bounded(void **state)
{
	struct jobs *jobs;

	(void)state;
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	for (uint64_t id = 1; id <= 1700; id++) {
		struct job_record r = record(id, JOB_GOOD);
		assert_int_equal(jobs_put(jobs, &r), 0);
	}
	assert_int_equal(jobs_nth(jobs, 0)->id, 1700);
	assert_int_equal(jobs_nth(jobs, 399)->id, 1301);
	assert_null(jobs_nth(jobs, 400));
	jobs_close(jobs);
	int fd = open(file, O_RDONLY);
	assert_true(lseek(fd, 0, SEEK_END) < 1700 * 500);
	close(fd);
}

static void
ids_rise_when_the_clock_goes_back(void **state)
{
	struct jobs *jobs;

	(void)state;
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	uint64_t first = jobs_next_id(jobs, 1700000000000000000);
	struct job_record r = record(first, JOB_GOOD);
	assert_int_equal(jobs_put(jobs, &r), 0);
	assert_true(jobs_next_id(jobs, 1600000000000000000) > first);
	jobs_close(jobs);
}

static void
write_log(const char *path, int lines)
{
	FILE *log = fopen(path, "w");

	assert_non_null(log);
	for (int i = 0; i < lines; i++)
		fprintf(log, "line %05d\n", i);
	fclose(log);
}

static void
a_long_log_shows_its_end_and_says_what_is_left_out(void **state)
{
	char *path, *text, want[256];
	struct jobs *jobs;

	(void)state;
	assert_int_equal(jobs_open(file, NULL, 0, &jobs), 0);
	assert_null(jobs_log_end(jobs, 7, 100));
	assert_non_null(path = jobs_log_path(jobs, 7));
	write_log(path, 3);
	assert_non_null(text = jobs_log_end(jobs, 7, 100));
	assert_string_equal(text, "line 00000\nline 00001\nline 00002\n");
	free(text);
	/* 11 bytes a line: of 100 the last nine whole ones. */
	write_log(path, 1000);
	assert_non_null(text = jobs_log_end(jobs, 7, 100));
	snprintf(want, sizeof want, "[10901 bytes before this are left out; the whole log is %s]\nline 00991\n", path);
	assert_memory_equal(text, want, strlen(want));
	assert_string_equal(text + strlen(text) - 11, "line 00999\n");
	free(text);
	unlink(path);
	free(path);
	jobs_close(jobs);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_first_record_has_a_file_whose_name_is_durable),
		T(a_record_comes_back_as_it_was),
		T(the_newest_line_of_a_job_wins_and_the_newest_job_is_first),
		T(a_torn_line_costs_only_itself),
		T(a_history_that_cannot_be_rewritten_is_read_and_rewritten_later),
		T(the_file_stays_bounded),
		T(ids_rise_when_the_clock_goes_back),
		T(a_long_log_shows_its_end_and_says_what_is_left_out),
	};
	return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
