/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging - when what runs: one batch in front, one behind, tasks between, all on the loop.
 *
 * Callbacks of jobs record what happened and call the pump; the pump alone starts things, in the order: what frees (move a
 * written batch behind, tell a failure), what needs quiet (tasks), what takes (a new batch).
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/planted.h"
#include "server/staging_private.h"

static void pump(struct staging *st);

/* ---- life ---- */

int
staging_new(const struct staging_setup *setup, struct staging **ret_staging)
{
	struct staging *st = calloc(1, sizeof *st);

	if (!st)
		return err_set(ERR_NOMEM, "opening staging");
	st->setup = *setup;
	STAILQ_INIT(&st->waiting);
	st->tasks_end = &st->tasks;
	int err = front_open(&st->front, st->setup.profile_fd);
	if (err) {
		staging_free(st);
		return err;
	}
	*ret_staging = st;
	return 0;
}

void
staging_free(struct staging *st)
{
	if (!st)
		return;
	while (st->tasks) {
		struct staging_task *task = st->tasks;

		st->tasks = task->next;
		task->done(task, true);
	}
	staging_batch_free(st->first);
	staging_batch_free(st->second);
	payloads_free(&st->waiting);
	front_close(&st->front);
	free(st->text);
	free(st);
}

bool
staging_idle(const struct staging *st)
{
	return !st->first && !st->second && !st->task && !st->tasks;
}

bool
staging_broken(const struct staging *st)
{
	return st->broken;
}

size_t
staging_queued(const struct staging *st)
{
	return st->queued;
}

size_t
staging_transfers(const struct staging *st)
{
	return st->transfers;
}

void
staging_hold(struct staging *st, bool held)
{
	st->held = held;
}

void
staging_freeze(struct staging *st, bool frozen)
{
	st->frozen = frozen;
	pump(st);
}

void
staging_figures(const struct staging *st, struct staging_figures *ret_figures)
{
	*ret_figures = st->figures;
}

/* ---- failure ---- */

/* The first one is what is told. */
static void
breaks(struct staging *st, int err, const char *text)
{
	if (st->broken)
		return;
	st->broken = true;
	st->err = err;
	free(st->text);
	st->text = strdup(text);
	st->failure_told = false;
}

static void
drop_waiting(struct staging *st)
{
	st->queued -= payloads_free(&st->waiting);
}

static void
tell_failure(struct staging *st)
{
	if (!st->broken || st->failure_told)
		return;
	drop_waiting(st);
	st->failure_told = true;
	if (st->events)
		st->events->failed(st->err, st->text ? st->text : err_words(st->err), st->arg);
}

/* ---- tasks ---- */

static void
task_run(struct job *job)
{
	struct staging *st = (struct staging *)((char *)job - offsetof(struct staging, task_job));

	st->task->run(st->task);
}

static void
task_ended(struct staging *st, bool cancelled)
{
	struct staging_task *task = st->task;

	task->done(task, cancelled);
	st->task = NULL;
	if (!cancelled)
		pump(st);
}

static void
task_done(struct job *job, bool cancelled)
{
	task_ended((struct staging *)((char *)job - offsetof(struct staging, task_job)), cancelled);
}

static void
start_task(struct staging *st)
{
	struct staging_task *task = st->tasks;

	st->tasks = task->next;
	if (!st->tasks)
		st->tasks_end = &st->tasks;
	st->task = task;
	st->task_job = (struct job){.run = task_run, .done = task_done};
	workpool_submit(st->setup.pool, st->setup.lane_sync, &st->task_job);
}

static void
add_task(struct staging *st, struct staging_task *task)
{
	task->next = NULL;
	*st->tasks_end = task;
	st->tasks_end = &task->next;
}

void
staging_submit(struct staging *st, struct staging_task *task)
{
	add_task(st, task);
	pump(st);
}

static void
settle_run(struct staging_task *task)
{
	struct staging *st = (struct staging *)((char *)task - offsetof(struct staging, settle));

	st->settle_err = staging_settle(st);
}

static void
settle_done(struct staging_task *task, bool cancelled)
{
	struct staging *st = (struct staging *)((char *)task - offsetof(struct staging, settle));

	(void)cancelled;
	st->settling = false;
	st->queued -= payloads_free(&st->front.spent);
	st->more = st->blocked = false;
	st->transfers = 0;
	if (st->settle_err)
		breaks(st, st->settle_err, "the end of a session could not be written to the index");
}

static void
disarm_run(struct staging_task *task)
{
	/* A failure leaves them armed, which costs a longer recovery and nothing else. */
	(void)staging_disarm((struct staging *)((char *)task - offsetof(struct staging, disarm)));
}

static void
disarm_done(struct staging_task *task, bool cancelled)
{
	(void)cancelled;
	((struct staging *)((char *)task - offsetof(struct staging, disarm)))->disarming = false;
}

/* ---- acknowledgements ---- */

static bool
is_current(const struct batch *b)
{
	return b->st->events && b->session == b->st->session;
}

/* An unfinished operation holds the level back, whatever came after it. */
static uint64_t
level(const struct batch *b)
{
	return b->open_min ? b->open_min - 1 : b->high;
}

static void
tell_refusals(struct batch *b)
{
	struct staging *st = b->st;

	for (size_t i = 0; i < b->n && is_current(b); i++)
		if (b->changes[i].err)
			st->events->nak(b->changes[i].op, b->changes[i].err, b->changes[i].text ? b->changes[i].text : "", st->arg);
}

static void
tell_ack(struct batch *b, bool durable)
{
	struct staging *st = b->st;

	if (!is_current(b))
		return;
	if (b->high > st->received)
		st->received = b->high;
	if (level(b) > st->applied)
		st->applied = level(b);
	if (durable && level(b) > st->durable)
		st->durable = level(b);
	st->events->ack(st->received, st->applied, st->durable, st->arg);
}

/* ---- the batch behind ---- */

static void
sync_run(struct job *job)
{
	struct batch *b = (struct batch *)((char *)job - offsetof(struct batch, job));

	b->err = staging_commit(b);
	if (b->err)
		b->text = strdup(err_text());
}

static void
count_figures(struct batch *b)
{
	struct staging_figures *f = &b->st->figures;

	f->batches++;
	f->bytes += b->bytes;
	for (size_t i = 0; i < b->n; i++) {
		f->files += act_writes_file(b->changes[i].act);
		f->removals += b->changes[i].msg.type == WIRE_REMOVE && !b->changes[i].err;
	}
}

static void
sync_done(struct job *job, bool cancelled)
{
	struct batch *b = (struct batch *)((char *)job - offsetof(struct batch, job));
	struct staging *st = b->st;

	st->second = NULL;
	if (!cancelled && b->err) {
		breaks(st, b->err, b->text ? b->text : "");
	} else if (!cancelled) {
		count_figures(b);
		tell_ack(b, true);
	}
	staging_batch_free(b);
	if (!cancelled)
		pump(st);
}

static void
move_behind(struct staging *st)
{
	struct batch *b = st->first;

	st->first = NULL;
	if (st->broken) { /* what it wrote is found by recovery */
		staging_batch_free(b);
		return;
	}
	st->second = b;
	b->step = BATCH_SYNC;
	b->job = (struct job){.run = sync_run, .done = sync_done};
	workpool_submit(st->setup.pool, st->setup.lane_sync, &b->job);
}

/* ---- the batch in front ---- */

static void
written(struct batch *b)
{
	struct staging *st = b->st;
	size_t bytes = payloads_free(&st->front.spent);

	b->step = BATCH_WRITTEN;
	st->queued -= bytes;
	tell_refusals(b);
	tell_ack(b, PLANTED(ack_before_sync));
	if (bytes && is_current(b))
		st->events->drained(st->arg);
}

static void
slice_run(struct job *job)
{
	struct slice_job *s = (struct slice_job *)job;

	staging_write(s->batch, s->slice);
}

static void
slice_done(struct job *job, bool cancelled)
{
	struct batch *b = ((struct slice_job *)job)->batch;

	if (--b->slices_left > 0)
		return;
	written(b);
	if (!cancelled)
		pump(b->st);
}

static void
write_batch(struct batch *b)
{
	unsigned n = b->single ? 1 : SLICES;

	b->step = BATCH_WRITE;
	b->slices_left = n;
	for (unsigned i = 0; i < n; i++) {
		b->slices[i] = (struct slice_job){.job = {.run = slice_run, .done = slice_done}, .batch = b, .slice = i};
		workpool_submit(b->st->setup.pool, b->st->setup.lane_write, &b->slices[i].job);
	}
}

static void
give_up(struct batch *b, bool cancelled)
{
	struct staging *st = b->st;

	st->first = NULL;
	if (!cancelled)
		breaks(st, b->err, b->text ? b->text : "");
	staging_batch_free(b);
	if (!cancelled)
		pump(st);
}

static void
arm_run(struct job *job)
{
	struct batch *b = (struct batch *)((char *)job - offsetof(struct batch, job));

	b->err = staging_arm(b);
	if (b->err)
		b->text = strdup(err_text());
}

static void
arm_done(struct job *job, bool cancelled)
{
	struct batch *b = (struct batch *)((char *)job - offsetof(struct batch, job));

	if (cancelled || b->err)
		give_up(b, cancelled);
	else
		write_batch(b);
}

static void
plan_run(struct job *job)
{
	struct batch *b = (struct batch *)((char *)job - offsetof(struct batch, job));

	b->err = staging_plan(b);
	if (b->err) {
		b->text = strdup(err_text());
	} else if (!b->n_before && b->single) {
		/* Not worth another trip over the loop. */
		staging_write(b, 0);
		b->was_written = true;
	}
}

static void
planned(struct batch *b)
{
	struct staging *st = b->st;

	st->more = b->more;
	st->blocked = b->blocked;
	st->transfers = b->transfers;
	if (!b->n) {
		st->first = NULL;
		st->queued -= payloads_free(&st->front.spent);
		staging_batch_free(b);
	} else if (b->was_written) {
		written(b);
	} else if (b->n_before) {
		b->step = BATCH_ARM;
	} else {
		write_batch(b);
	}
}

static void
plan_done(struct job *job, bool cancelled)
{
	struct batch *b = (struct batch *)((char *)job - offsetof(struct batch, job));
	struct staging *st = b->st;

	if (cancelled || b->err) {
		give_up(b, cancelled);
		return;
	}
	planned(b);
	pump(st);
}

/* False when staging broke instead. */
static bool
start_batch(struct staging *st)
{
	struct batch *b = calloc(1, sizeof *b);

	if (!b) {
		breaks(st, -ERR_NOMEM, "out of memory");
		return false;
	}
	b->st = st;
	b->session = st->session;
	b->held = st->held;
	b->back_free = !st->second;
	b->step = BATCH_PLAN;
	STAILQ_CONCAT(&st->front.frames, &st->waiting);
	st->more = st->blocked = false;
	st->first = b;
	b->job = (struct job){.run = plan_run, .done = plan_done};
	workpool_submit(st->setup.pool, st->setup.lane_write, &b->job);
	return true;
}

/* The batch behind may be committing: the index puts one after the other, and they speak of different paths. */
static void
start_arming(struct staging *st)
{
	struct batch *b = st->first;

	if (st->broken) {
		st->first = NULL;
		staging_batch_free(b);
		return;
	}
	b->step = BATCH_WRITE;
	b->job = (struct job){.run = arm_run, .done = arm_done};
	workpool_submit(b->st->setup.pool, b->st->setup.lane_sync, &b->job);
}

/* ---- the pump ---- */

static bool
has_work(const struct staging *st)
{
	return st->more || (st->blocked && !st->second) || !STAILQ_EMPTY(&st->waiting);
}

/* Tasks write to the index, too, and whoever submits one knows nothing of sessions. */
static void
look_at_index(struct staging *st)
{
	if (index_is_broken(st->setup.index) && !PLANTED(broken_index_kept))
		breaks(st, -ERR_IO, "the index takes no more writes until it is opened again");
}

static void
pump(struct staging *st)
{
	look_at_index(st);
	if (st->first && st->first->step == BATCH_WRITTEN && !st->second)
		move_behind(st);
	if (st->first && st->first->step == BATCH_ARM)
		start_arming(st);
	if (!st->first && !st->second)
		tell_failure(st);
	if (!st->first && !st->task && !st->disarming && st->front.armed.n > ARMED_MAX) {
		st->disarming = true;
		st->disarm = (struct staging_task){.run = disarm_run, .done = disarm_done};
		add_task(st, &st->disarm);
	}
	if (!st->first && !st->second && !st->task && st->tasks)
		start_task(st);
	if (!st->first && !st->task && !st->tasks && !st->broken && !st->frozen && st->events && has_work(st) && !start_batch(st))
		pump(st); /* nobody else may come by to tell it */
}

/* ---- sessions ---- */

void
staging_begin(struct staging *st, const struct staging_events *events, void *arg)
{
	st->events = events;
	st->arg = arg;
	st->received = st->applied = st->durable = 0;
}

void
staging_end(struct staging *st)
{
	if (!st->events)
		return;
	st->events = NULL;
	st->session++;
	drop_waiting(st);
	if (!st->settling) {
		st->settling = true;
		st->settle = (struct staging_task){.run = settle_run, .done = settle_done};
		add_task(st, &st->settle);
	}
	pump(st);
}

void
staging_frame(struct staging *st, struct wire_frame *frame)
{
	struct payload *p = st->broken ? NULL : calloc(1, sizeof *p);

	if (!p) {
		wire_frame_free(frame);
		if (!st->broken)
			breaks(st, -ERR_NOMEM, "out of memory");
		pump(st);
		return;
	}
	p->frame = frame;
	p->bytes = frame->head.raw_len > frame->head.len ? frame->head.raw_len : frame->head.len;
	STAILQ_INSERT_TAIL(&st->waiting, p, link);
	st->queued += p->bytes;
	pump(st);
}
