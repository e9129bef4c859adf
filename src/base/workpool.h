/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * workpool - lanes of threads for what is too slow for an event loop; the result always arrives on the loop.  The only
 * file that knows pthread.h (besides log).
 *
 * A job is embedded in the caller's struct and belongs to one side at a time: `run` executes on a thread of the lane and
 * sees only the job; `done` runs exactly once, on the loop, also when the pool is freed before `run` began (cancelled).
 * Jobs of a lane with one thread run in the order they were given.
 *
 * The bridge is one eventfd; libevent is never told of threads.
 */
#ifndef BASE_WORKPOOL_H
#define BASE_WORKPOOL_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct workpool;

struct job {
	void (*run)(struct job *job);
	void (*done)(struct job *job, bool cancelled);
	struct job *next; /* the pool's */
};

#define WORKPOOL_LANES_MAX 64

/* `base` is borrowed and must outlive the pool. */
int workpool_new(struct event_base *base, struct workpool **ret_pool);

/* Adds a lane with `threads` threads; gives its number, or a negative error.  Loop thread only. */
int workpool_add_lane(struct workpool *p, const char *name, unsigned threads);
/* Waits for the lane's running job, cancels the queued ones, and frees its number for reuse. */
void workpool_remove_lane(struct workpool *p, int lane);

/* Loop thread only.  The job is the pool's until `done`. */
void workpool_submit(struct workpool *p, int lane, struct job *job);

/* Jobs queued or running in the lane. */
size_t workpool_depth(const struct workpool *p, int lane);

/* Waits for running jobs, cancels queued ones (their `done` runs now), frees.  NULL is fine. */
void workpool_free(struct workpool *p);

#endif
