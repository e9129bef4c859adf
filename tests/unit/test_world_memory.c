/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A collector to which one allocation, or a few reads of the journal, fail: what it refuses it does not owe, and what it could not do
 * it does later.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "tests/lib/world.h"

static struct world w;

/* The linker gives every calloc() of this program to us: the one of this thread at which `calloc_left` comes to nought fails. */
static _Thread_local unsigned calloc_left;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *
__wrap_calloc(size_t n, size_t size)
{
	return calloc_left && --calloc_left == 0 ? NULL : __real_calloc(n, size);
}

/* And every journal_read(): those that find a row fail, so many times. */
static _Atomic int failures_left;
int __real_journal_read(struct journal *, uint64_t, size_t, struct change **, size_t *);
int __wrap_journal_read(struct journal *, uint64_t, size_t, struct change **, size_t *);
int
__wrap_journal_read(struct journal *j, uint64_t after, size_t max, struct change **ret, size_t *ret_n)
{
	int err = __real_journal_read(j, after, max, ret, ret_n);

	if (err < 0 || !*ret_n || failures_left <= 0)
		return err;
	failures_left--;
	journal_changes_free(*ret, *ret_n);
	*ret = NULL;
	*ret_n = 0;
	return err_set(ERR_NOMEM, "as if there were no memory");
}

static void
begin(void)
{
	world_open(&w, 4);
	world_serve(&w);
	world_start(&w);
	assert_int_equal(world_barrier(&w), 0);
}

static void
forbidden(int err, const char *text, void *arg)
{
	(void)arg;
	fail_msg("called though it was refused: %d %s", err, text);
}

static void
a_barrier_that_finds_no_memory_is_refused_and_nobody_is_called(void **state)
{
	uint64_t id;

	(void)state;
	begin();
	for (unsigned failing = 1; failing <= 2; failing++) {
		calloc_left = failing;
		assert_int_equal(replicator_barrier(w.replicator, forbidden, NULL, &id), -ERR_NOMEM);
		assert_int_equal(calloc_left, 0);
	}
	assert_int_equal(world_barrier(&w), 0);
	world_close(&w);
}

static void
on_job(int err, const char *text, void *arg)
{
	(void)text;
	assert_int_equal(err, 0);
	*(bool *)arg = true;
}

static void
a_job_that_finds_no_memory_has_not_begun_and_the_one_before_goes_on(void **state)
{
	bool began = false;

	(void)state;
	begin();
	assert_int_equal(replicator_job_begin(w.replicator, 1, 20261130, 1, "schedule", on_job, &began), 0);
	calloc_left = 1;
	assert_int_equal(replicator_job_begin(w.replicator, 2, 20261130, 2, "schedule", forbidden, NULL), -ERR_NOMEM);
	assert_int_equal(calloc_left, 0);
	world_run_until(&w, &began);
	world_close(&w);
}

static void
a_snapshot_that_finds_no_memory_is_refused_and_the_next_is_whole(void **state)
{
	unsigned failing;
	int fd, err;

	(void)state;
	begin();
	fd = open(w.staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	/* 1: the snapshot's own, which its end tells of. */
	calloc_left = 1;
	replicator_snapshot_begin(w.replicator, fd);
	assert_int_equal(replicator_snapshot_end(w.replicator, forbidden, NULL), -ERR_NOMEM);
	for (failing = 1; failing <= 2; failing++) {
		replicator_snapshot_begin(w.replicator, fd);
		calloc_left = failing;
		err = replicator_snapshot_end(w.replicator, forbidden, NULL);
		assert_int_equal(calloc_left, 0);
		assert_int_equal(err, -ERR_NOMEM);
	}
	close(fd);
	for (int i = 0; i < 6; i++)
		world_edit_staging(&w);
	assert_int_equal(world_snapshot(&w, true), 0);
	world_compare(&w);
	world_close(&w);
}

/* The watcher pokes once or twice for one removal: of the rest only the replicator's tick knows. */
static void
a_row_that_could_not_be_read_is_read_again_without_news(void **state)
{
	(void)state;
	begin();
	world_write_random(&w, false, "offiles/fd1/a", 10);
	assert_int_equal(world_barrier(&w), 0);
	event_del(w.pulse);
	failures_left = 3;
	world_remove(&w, "offiles/fd1/a");
	for (time_t end = time(NULL) + 20; failures_left;) {
		assert_true(time(NULL) < end);
		event_base_loop(w.base, EVLOOP_ONCE);
	}
	event_add(w.pulse, &(struct timeval){.tv_usec = 20000});
	assert_int_equal(world_barrier(&w), 0);
	world_compare(&w);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_barrier_that_finds_no_memory_is_refused_and_nobody_is_called),
		cmocka_unit_test(a_job_that_finds_no_memory_has_not_begun_and_the_one_before_goes_on),
		cmocka_unit_test(a_snapshot_that_finds_no_memory_is_refused_and_the_next_is_whole),
		cmocka_unit_test(a_row_that_could_not_be_read_is_read_again_without_news),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
