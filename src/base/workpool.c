/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows how a finished job gets from its thread to the loop.
 *
 * One lock guards everything: jobs are slow, so nobody waits for it.  The invariant of the bridge: the eventfd is
 * readable exactly while the queue of finished jobs is not empty.  The loop takes a budget of jobs per wake-up and leaves
 * the eventfd readable when more are there, so a flood of finished jobs takes turns with everything else on the loop.
 */
#include "base/workpool.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"

#define DONE_BUDGET 64 /* `done` calls per wake-up */

struct queue {
	struct job *head, *tail;
};

struct lane {
	struct workpool *pool;
	int number;
	char name[16];       /* as the kernel shows it: 15 bytes and NUL */
	pthread_cond_t work; /* a job was queued, or the lane closes */
	struct queue queued;
	size_t depth;        /* queued or running */
	bool closing;
	unsigned n_threads;
	pthread_t threads[];
};

struct workpool {
	struct event *wakeup;
	int eventfd;
	pthread_mutex_t lock; /* guards all below, and the lanes */
	struct queue finished;
	struct lane *lanes[WORKPOOL_LANES_MAX];
};

static void
push(struct queue *q, struct job *job)
{
	job->next = NULL;
	if (q->tail)
		q->tail->next = job;
	else
		q->head = job;
	q->tail = job;
}

static struct job *
pop(struct queue *q)
{
	struct job *job = q->head;

	if (job) {
		q->head = job->next;
		if (!q->head)
			q->tail = NULL;
		job->next = NULL;
	}
	return job;
}

/* Moves the jobs of one lane to `to`, in their order. */
static void
take_lane(struct queue *from, int lane, struct queue *to)
{
	struct queue rest = {0};
	struct job *job;

	while ((job = pop(from)))
		push(job->lane == lane ? to : &rest, job);
	*from = rest;
}

/* The eventfd counts to 2^64 and we write only to an empty one, so neither call can fail or block. */
static void
set_readable(struct workpool *p)
{
	uint64_t one = 1;
	ssize_t n = write(p->eventfd, &one, sizeof(one));

	assert(n == sizeof(one));
	(void)n;
}

static void
clear_readable(struct workpool *p)
{
	uint64_t count;
	ssize_t n = read(p->eventfd, &count, sizeof(count));

	assert(n == sizeof(count));
	(void)n;
}

/* ---- on the threads of a lane ---- */

static void
finish(struct workpool *p, struct job *job)
{
	bool was_empty = !p->finished.head;

	push(&p->finished, job);
	if (was_empty)
		set_readable(p);
}

static void *
lane_main(void *arg)
{
	struct lane *lane = arg;
	struct workpool *p = lane->pool;

	pthread_mutex_lock(&p->lock);
	while (!lane->closing) {
		struct job *job = pop(&lane->queued);

		if (!job) {
			pthread_cond_wait(&lane->work, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		job->run(job);
		pthread_mutex_lock(&p->lock);
		lane->depth--;
		finish(p, job);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- on the loop ---- */

static struct job *
next_finished(struct workpool *p)
{
	struct job *job;

	pthread_mutex_lock(&p->lock);
	job = pop(&p->finished);
	if (job && !p->finished.head)
		clear_readable(p);
	pthread_mutex_unlock(&p->lock);
	return job;
}

/* Jobs are taken one by one, because `done` may submit, and may remove a lane whose jobs would be in our hands. */
static void
on_wakeup(evutil_socket_t fd, short what, void *arg)
{
	struct workpool *p = arg;
	struct job *job;

	(void)fd;
	(void)what;
	for (int i = 0; i < DONE_BUDGET && (job = next_finished(p)); i++)
		job->done(job, false);
}

int
workpool_new(struct event_base *base, struct workpool **ret_pool)
{
	struct workpool *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(ERR_NOMEM, "out of memory for a pool of threads");
	p->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->eventfd < 0) {
		int err = err_sys("eventfd");

		free(p);
		return err;
	}
	p->wakeup = event_new(base, p->eventfd, EV_READ | EV_PERSIST, on_wakeup, p);
	if (!p->wakeup || event_add(p->wakeup, NULL) != 0) {
		if (p->wakeup)
			event_free(p->wakeup);
		close(p->eventfd);
		free(p);
		return err_set(ERR_NOMEM, "out of memory for an event");
	}
	pthread_mutex_init(&p->lock, NULL);
	*ret_pool = p;
	return 0;
}

/* Signals belong to the loop: a thread that took one would interrupt a job and leave the loop asleep. */
static int
start_thread(struct lane *lane)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&lane->threads[lane->n_threads], NULL, lane_main, lane);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set(rc == EAGAIN ? ERR_LIMIT : ERR_IO, "start a thread of %s: %s", lane->name, strerror(rc));
	pthread_setname_np(lane->threads[lane->n_threads], lane->name);
	lane->n_threads++;
	return 0;
}

static void
stop_lane(struct lane *lane)
{
	pthread_mutex_lock(&lane->pool->lock);
	lane->closing = true;
	pthread_cond_broadcast(&lane->work);
	pthread_mutex_unlock(&lane->pool->lock);
	for (unsigned i = 0; i < lane->n_threads; i++)
		pthread_join(lane->threads[i], NULL);
	lane->n_threads = 0;
}

static void
free_lane(struct lane *lane)
{
	pthread_cond_destroy(&lane->work);
	free(lane);
}

static int
free_number(const struct workpool *p)
{
	for (int i = 0; i < WORKPOOL_LANES_MAX; i++)
		if (!p->lanes[i])
			return i;
	return -1;
}

int
workpool_add_lane(struct workpool *p, const char *name, unsigned threads)
{
	int number = free_number(p), err = 0;
	struct lane *lane;

	assert(threads > 0);
	if (number < 0)
		return err_set(ERR_LIMIT, "no more than %d lanes", WORKPOOL_LANES_MAX);
	lane = calloc(1, sizeof(*lane) + threads * sizeof(*lane->threads));
	if (!lane)
		return err_set(ERR_NOMEM, "out of memory for lane %s", name);
	lane->pool = p;
	lane->number = number;
	snprintf(lane->name, sizeof(lane->name), "%s", name);
	pthread_cond_init(&lane->work, NULL);
	for (unsigned i = 0; !err && i < threads; i++)
		err = start_thread(lane);
	if (err) {
		stop_lane(lane);
		free_lane(lane);
		return err;
	}
	p->lanes[number] = lane;
	return number;
}

static struct lane *
lane_of(const struct workpool *p, int lane)
{
	assert(lane >= 0 && lane < WORKPOOL_LANES_MAX && p->lanes[lane]);
	return p->lanes[lane];
}

/* Delivers what has run, then cancels what has not.  A `done` may still submit to the lane: that is cancelled too. */
static void
drain_lane(struct workpool *p, struct lane *lane)
{
	struct queue ours = {0};
	struct job *job;

	pthread_mutex_lock(&p->lock);
	if (p->finished.head) {
		take_lane(&p->finished, lane->number, &ours);
		if (!p->finished.head)
			clear_readable(p);
	}
	pthread_mutex_unlock(&p->lock);
	while ((job = pop(&ours)))
		job->done(job, false);
	while ((job = pop(&lane->queued))) { /* no lock: the threads have ended */
		lane->depth--;
		job->done(job, true);
	}
}

void
workpool_remove_lane(struct workpool *p, int number)
{
	struct lane *lane = lane_of(p, number);

	assert(!lane->closing); /* a `done` removed the lane whose removal called it */
	stop_lane(lane);
	drain_lane(p, lane);
	p->lanes[number] = NULL;
	free_lane(lane);
}

void
workpool_submit(struct workpool *p, int number, struct job *job)
{
	struct lane *lane = lane_of(p, number);

	job->lane = number;
	pthread_mutex_lock(&p->lock);
	push(&lane->queued, job);
	lane->depth++;
	pthread_cond_signal(&lane->work);
	pthread_mutex_unlock(&p->lock);
}

size_t
workpool_depth(struct workpool *p, int number)
{
	struct lane *lane = lane_of(p, number);
	size_t depth;

	pthread_mutex_lock(&p->lock);
	depth = lane->depth;
	pthread_mutex_unlock(&p->lock);
	return depth;
}

static bool
any_left(const struct workpool *p)
{
	for (int i = 0; i < WORKPOOL_LANES_MAX; i++)
		if (p->lanes[i] && p->lanes[i]->depth > 0)
			return true;
	return false;
}

void
workpool_free(struct workpool *p)
{
	if (!p)
		return;
	/* All threads end before the first `done` runs, and no lane goes before the last: a `done` may submit to any. */
	for (int i = 0; i < WORKPOOL_LANES_MAX; i++)
		if (p->lanes[i])
			stop_lane(p->lanes[i]);
	for (struct job *job; (job = next_finished(p));)
		job->done(job, false);
	while (any_left(p))
		for (int i = 0; i < WORKPOOL_LANES_MAX; i++)
			if (p->lanes[i])
				drain_lane(p, p->lanes[i]);
	for (int i = 0; i < WORKPOOL_LANES_MAX; i++)
		if (p->lanes[i])
			free_lane(p->lanes[i]);
	event_free(p->wakeup);
	close(p->eventfd);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
