/* SPDX-License-Identifier: GPL-2.0-or-later */
/* task - how often progress is worth telling. */
#include "keeper/task.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

#define TELL_EVERY_BYTES (64u << 20)

int
task_check(struct task *task)
{
	return atomic_load_explicit(&task->stop, memory_order_relaxed) ? err_set(ERR_STOPPED, "stopped") : 0;
}

void
task_begin(struct task *task, const char *phase, uint64_t total)
{
	task->phase = phase;
	task->done = task->told = 0;
	task->total = total;
	if (task->progress)
		task->progress(task, phase, 0, total);
}

void
task_advance(struct task *task, uint64_t more)
{
	uint_fast64_t done = atomic_fetch_add(&task->done, more) + more, told = atomic_load(&task->told);

	/* Of several hands the one that moves `told` tells. */
	if (done > told && done - told >= TELL_EVERY_BYTES && atomic_compare_exchange_strong(&task->told, &told, done) && task->progress)
		task->progress(task, task->phase, done, task->total);
}

void
task_finding(struct task *task, const char *path, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	if (!task->finding)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	task->finding(task, path, what);
}
