/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs wait on gates that the test opens, so no order here depends on time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/workpool.h"

#define TASKS_MAX 2000

struct task {
	struct job job;
	sem_t *gate;    /* `run` waits here, when given */
	sem_t *running; /* posted when `run` began */
	bool ran, cancelled;
	unsigned done;
	int number;
	void (*then)(struct task *task); /* called by `done` */
	pthread_t thread;
	char name[16];
	bool signals_blocked;
};

static struct event_base *base;
static struct workpool *pool;
static struct task tasks[TASKS_MAX];
static int order[TASKS_MAX], n_done, wanted;

static void
run(struct job *job)
{
	struct task *task = (struct task *)job;
	sigset_t mask;

	if (task->running)
		sem_post(task->running);
	if (task->gate)
		sem_wait(task->gate);
	task->thread = pthread_self();
	pthread_getname_np(pthread_self(), task->name, sizeof(task->name));
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	task->signals_blocked = sigismember(&mask, SIGTERM) == 1;
	task->ran = true;
}

static void
done(struct job *job, bool cancelled)
{
	struct task *task = (struct task *)job;

	task->cancelled = cancelled;
	task->done++;
	order[n_done++] = task->number;
	if (task->then)
		task->then(task);
	if (n_done == wanted)
		event_base_loopbreak(base);
}

static int
set_up(void **state)
{
	(void)state;
	memset(tasks, 0, sizeof(tasks));
	for (int i = 0; i < TASKS_MAX; i++) {
		tasks[i].number = i;
		tasks[i].job.run = run;
		tasks[i].job.done = done;
	}
	n_done = wanted = 0;
	base = event_base_new();
	return workpool_new(base, &pool);
}

static int
tear_down(void **state)
{
	(void)state;
	workpool_free(pool);
	event_base_free(base);
	return 0;
}

static void
submit(int lane, int first, int n)
{
	for (int i = first; i < first + n; i++)
		workpool_submit(pool, lane, &tasks[i].job);
}

static void
loop_until(int n)
{
	wanted = n;
	if (n_done < n)
		event_base_dispatch(base);
	assert_int_equal(n_done, n);
}

static void
a_lane_with_one_thread_keeps_the_order(void **state)
{
	int lane = workpool_add_lane(pool, "disk", 1);

	(void)state;
	assert_true(lane >= 0);
	submit(lane, 0, 1000);
	loop_until(1000);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(order[i], i);
		assert_true(tasks[i].ran && !tasks[i].cancelled);
		assert_int_equal(tasks[i].done, 1);
	}
	assert_int_equal(workpool_depth(pool, lane), 0);
}

static void
jobs_run_on_a_named_thread_that_takes_no_signals(void **state)
{
	int lane = workpool_add_lane(pool, "a-name-that-is-too-long", 1);

	(void)state;
	submit(lane, 0, 1);
	loop_until(1);
	assert_false(pthread_equal(tasks[0].thread, pthread_self()));
	assert_string_equal(tasks[0].name, "a-name-that-is-");
	assert_true(tasks[0].signals_blocked);
}

static void
lanes_do_not_wait_for_each_other(void **state)
{
	int slow = workpool_add_lane(pool, "slow", 1), fast = workpool_add_lane(pool, "fast", 2);
	sem_t gate;

	(void)state;
	sem_init(&gate, 0, 0);
	tasks[0].gate = &gate;
	submit(slow, 0, 1);
	submit(fast, 1, 100);
	loop_until(100); /* would hang if the slow one held them up */
	assert_int_equal(tasks[0].done, 0);
	assert_int_equal(workpool_depth(pool, slow), 1);
	sem_post(&gate);
	loop_until(101);
	sem_destroy(&gate);
}

static void
two_threads_of_a_lane_run_two_jobs_at_once(void **state)
{
	int lane = workpool_add_lane(pool, "pair", 2);
	sem_t gate, running;

	(void)state;
	sem_init(&gate, 0, 0);
	sem_init(&running, 0, 0);
	for (int i = 0; i < 2; i++) {
		tasks[i].gate = &gate;
		tasks[i].running = &running;
	}
	submit(lane, 0, 2);
	sem_wait(&running);
	sem_wait(&running); /* would hang if the second waited for the first */
	sem_post(&gate);
	sem_post(&gate);
	loop_until(2);
	sem_destroy(&gate);
	sem_destroy(&running);
}

/* Queues 0 (running, at its gate) and 1..n behind it. */
static void
block_lane(int lane, int n, sem_t *gate, sem_t *running)
{
	sem_init(gate, 0, 0);
	sem_init(running, 0, 0);
	tasks[0].gate = gate;
	tasks[0].running = running;
	submit(lane, 0, n + 1);
	sem_wait(running);
}

static void
removing_a_lane_finishes_what_runs_and_cancels_what_waits(void **state)
{
	int lane = workpool_add_lane(pool, "gone", 1), other = workpool_add_lane(pool, "other", 1);
	sem_t gate, running, gate2;

	(void)state;
	sem_init(&gate2, 0, 0);
	tasks[10].gate = &gate2;
	submit(other, 10, 1);
	block_lane(lane, 5, &gate, &running);
	assert_int_equal(workpool_depth(pool, lane), 6);
	sem_post(&gate);
	workpool_remove_lane(pool, lane);
	/* How many of the five still ran depends on the threads; that each was delivered, and in order, does not. */
	assert_int_equal(n_done, 6);
	assert_true(tasks[0].ran && !tasks[0].cancelled);
	for (int i = 0; i <= 5; i++) {
		assert_int_equal(order[i], i);
		assert_int_equal(tasks[i].done, 1);
		assert_true(tasks[i].ran != tasks[i].cancelled);
	}
	assert_int_equal(tasks[10].done, 0);
	assert_int_equal(workpool_add_lane(pool, "new", 1), lane); /* the number is free again */
	sem_post(&gate2);
	loop_until(7);
	submit(lane, 20, 1);
	loop_until(8);
	sem_destroy(&gate);
	sem_destroy(&gate2);
	sem_destroy(&running);
}

static void *
open_gate(void *gate)
{
	sem_post(gate);
	return NULL;
}

static void
freeing_the_pool_delivers_every_job_exactly_once(void **state)
{
	int lanes[3];
	sem_t gate, running;
	pthread_t opener;

	for (int i = 0; i < 3; i++)
		lanes[i] = workpool_add_lane(pool, "lane", 1 + (unsigned)i);
	block_lane(lanes[0], 500, &gate, &running);
	submit(lanes[1], 501, 500);
	submit(lanes[2], 1001, 500);
	pthread_create(&opener, NULL, open_gate, &gate);
	workpool_free(pool);
	pthread_join(opener, NULL);
	assert_int_equal(n_done, 1501);
	assert_true(tasks[0].ran);
	for (int i = 0; i < 1501; i++) {
		assert_int_equal(tasks[i].done, 1);
		assert_true(tasks[i].ran != tasks[i].cancelled);
	}
	sem_destroy(&gate);
	sem_destroy(&running);
	workpool_new(base, &pool);
	(void)state;
}

static int lane_for_more, other_lane_for_more;

static void
submit_next(struct task *task)
{
	if (task->number < 50 && !task->cancelled)
		submit(task->number % 2 ? lane_for_more : other_lane_for_more, task->number + 1, 1);
}

static void
done_may_submit_the_next_job(void **state)
{
	(void)state;
	lane_for_more = other_lane_for_more = workpool_add_lane(pool, "more", 1);
	for (int i = 0; i < 60; i++)
		tasks[i].then = submit_next;
	submit(lane_for_more, 0, 1);
	loop_until(51);
	assert_true(tasks[50].ran);
}

static void
what_done_submits_while_the_pool_is_freed_is_cancelled(void **state)
{
	sem_t gate, running;

	(void)state;
	other_lane_for_more = workpool_add_lane(pool, "one", 1);
	lane_for_more = workpool_add_lane(pool, "two", 1);
	tasks[0].then = submit_next;
	block_lane(lane_for_more, 0, &gate, &running);
	sem_post(&gate);
	workpool_free(pool);
	assert_int_equal(n_done, 2);
	assert_true(tasks[0].ran && !tasks[1].ran && tasks[1].cancelled);
	sem_destroy(&gate);
	sem_destroy(&running);
	workpool_new(base, &pool);
}

static int lane_to_remove;

static void
remove_the_lane(struct task *task)
{
	(void)task;
	workpool_remove_lane(pool, lane_to_remove);
}

static void
done_may_remove_its_own_lane(void **state)
{
	(void)state;
	lane_to_remove = workpool_add_lane(pool, "own", 1);
	tasks[3].then = remove_the_lane;
	submit(lane_to_remove, 0, 200);
	loop_until(200);
	for (int i = 0; i < 200; i++)
		assert_int_equal(tasks[i].done, 1);
}

static int turns_of_another, jobs_at_first_turn;

static void
take_a_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	(void)arg;
	if (turns_of_another++ == 0)
		jobs_at_first_turn = n_done;
	if (n_done == wanted) {
		char byte;
		ssize_t n = read(fd, &byte, 1);

		(void)n;
	}
}

static void
a_flood_of_finished_jobs_takes_turns_with_other_events(void **state)
{
	int lane = workpool_add_lane(pool, "flood", 1), pipes[2];
	struct event *other;

	(void)state;
	submit(lane, 0, 1001);
	/* All end before the loop turns for the first time: the flood. */
	while (workpool_depth(pool, lane) > 0)
		sched_yield();
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	other = event_new(base, pipes[0], EV_READ | EV_PERSIST, take_a_turn, NULL);
	event_add(other, NULL);
	turns_of_another = jobs_at_first_turn = 0;
	loop_until(1001);
	assert_true(turns_of_another >= 1001 / 64);
	assert_true(jobs_at_first_turn <= 64);
	event_free(other);
	close(pipes[0]);
	close(pipes[1]);
}

static void
more_lanes_than_there_are_numbers_are_refused(void **state)
{
	(void)state;
	for (int i = 0; i < WORKPOOL_LANES_MAX; i++)
		assert_int_equal(workpool_add_lane(pool, "x", 1), i);
	assert_int_equal(workpool_add_lane(pool, "x", 1), -ERR_LIMIT);
	workpool_remove_lane(pool, 7);
	assert_int_equal(workpool_add_lane(pool, "x", 1), 7);
}

#define with_pool(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_pool(a_lane_with_one_thread_keeps_the_order),
		with_pool(jobs_run_on_a_named_thread_that_takes_no_signals),
		with_pool(lanes_do_not_wait_for_each_other),
		with_pool(two_threads_of_a_lane_run_two_jobs_at_once),
		with_pool(removing_a_lane_finishes_what_runs_and_cancels_what_waits),
		with_pool(freeing_the_pool_delivers_every_job_exactly_once),
		with_pool(done_may_submit_the_next_job),
		with_pool(what_done_submits_while_the_pool_is_freed_is_cancelled),
		with_pool(done_may_remove_its_own_lane),
		with_pool(a_flood_of_finished_jobs_takes_turns_with_other_events),
		with_pool(more_lanes_than_there_are_numbers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
