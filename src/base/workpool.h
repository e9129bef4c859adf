/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * workpool - lanes of threads for what is too slow for an event loop; the result always arrives on the loop.  The only
 * file that knows pthread.h (besides crew, log, store and tidemark-dbcopy).
 *
 * A job is embedded in the caller's struct and belongs to one side at a time: `run` executes on a thread of the lane and
 * sees only the job; `done` runs exactly once, on the loop, also when the pool is freed before `run` began (cancelled).
 * Jobs of a lane with one thread run in the order they were given; `done` follows the order in which jobs ended.  It may
 * submit, free its job, add and remove lanes, but not free the pool.  A cancelled job that submits again while its lane is
 * being removed would never come to an end.
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
	struct job *next; /* these two are the pool's */
	int lane;
};

#define WORKPOOL_LANES_MAX 64

/* `base` is borrowed and must outlive the pool. */
int workpool_new(struct event_base *base, struct workpool **ret_pool);

/* Adds a lane with `threads` threads; gives its number, or a negative error.  Loop thread only. */
int workpool_add_lane(struct workpool *p, const char *name, unsigned threads);
/* Waits for the lane's running jobs, runs `done` of those that ended and of the queued ones (cancelled), in this order, and
 * frees its number for reuse.  Afterwards no job of the lane is left in the pool. */
void workpool_remove_lane(struct workpool *p, int lane);

/* Loop thread only.  The job is the pool's until `done`. */
void workpool_submit(struct workpool *p, int lane, struct job *job);

/* Jobs queued or running in the lane. */
size_t workpool_depth(struct workpool *p, int lane);

/* The same for all lanes, then frees.  NULL is fine. */
void workpool_free(struct workpool *p);

#endif
