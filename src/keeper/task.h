/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * task - what a piece of work on a lane shares with its owner on the loop: the wish to stop, and where it has got to.
 *
 * `stop` may be set by any thread at any time.  All else belongs to the thread that works, and the callbacks run there; only
 * task_check and task_advance may be called by all hands of its crew, and `progress` then by any of them.
 */
#ifndef KEEPER_TASK_H
#define KEEPER_TASK_H

#include <stdatomic.h>
#include <stdint.h>

struct task {
	atomic_bool stop;
	void (*progress)(struct task *task, const char *phase, uint64_t done, uint64_t total); /* NULL: nobody listens */
	void (*finding)(struct task *task, const char *path, const char *what);               /* NULL as well */

	const char *phase;
	uint64_t total;
	atomic_uint_fast64_t done, told;
};

/* -ERR_STOPPED when the owner wants an end. */
int task_check(struct task *task);

/* A phase begins; `total` in the unit of task_advance, 0 = unknown.  Always told. */
void task_begin(struct task *task, const char *phase, uint64_t total);
/* Told now and then only. */
void task_advance(struct task *task, uint64_t more);

/* What is to be told of one path, as its bytes are. */
void task_finding(struct task *task, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
