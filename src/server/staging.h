/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging - applies the data messages of one profile's collector to its replica on disk, durably, in groups.
 *
 * Whole received frames come in; acknowledgements of three levels go out.  All frames that wait become one *batch*: plan it,
 * write its files, one sync, one index commit.  The next batch is planned and written while the last one syncs, so the disk
 * itself sets the size of the group.  DESIGN.md numbers the crash windows.
 *
 * Threads: loop thread only, and every callback comes from the loop.  Work runs in the lanes given; the lanes may be shared by
 * many profiles, because each staging has at most one batch in front (writing) and one behind it (syncing).
 */
#ifndef SERVER_STAGING_H
#define SERVER_STAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "layout.h"

struct index;
struct staging;
struct wire_frame;
struct workpool;

struct staging_setup {
	struct workpool *pool;
	int lane_write, lane_sync;
	struct index *index;
	int profile_fd;              /* the profile's folder */
	enum layout_type layout;
	const struct block_key *key;
};

/* What a session hears; none of it is called after staging_end. */
struct staging_events {
	/* The highest operation such that it and all before it are received, written, on stable storage. */
	void (*ack)(uint64_t received, uint64_t applied, uint64_t durable, void *arg);
	/* This operation had no effect; told before an acknowledgement covers it. */
	void (*nak)(uint64_t op, int err, const char *text, void *arg);
	/* staging_queued() fell. */
	void (*drained)(void *arg);
	/* Nothing beyond the last durable acknowledgement counts; the session must end, and staging and index are opened again
	 * before the next one. */
	void (*failed)(int err, const char *text, void *arg);
};

/* All of `setup` is borrowed until free, and staging_recover must run before the first session. */
int staging_new(const struct staging_setup *setup, struct staging **ret_staging);
/* No job of it may be in the pool: after staging_idle(), or after the pool was freed.  NULL is fine. */
void staging_free(struct staging *st);
bool staging_idle(const struct staging *st);

/* A session begins, from a task's `done` (so that the last one is settled): its operations count from 1.  `events` are
 * borrowed until staging_end. */
void staging_begin(struct staging *st, const struct staging_events *events, void *arg);
/* It is over.  Frames that wait are dropped, a batch on its way is finished; a transfer that was cut leaves its partial file,
 * and a file that was being patched loses its row. */
void staging_end(struct staging *st);

/* *Takes* a data frame. */
void staging_frame(struct staging *st, struct wire_frame *frame);
/* Unpacked bytes of frames that wait. */
size_t staging_queued(const struct staging *st);
/* Files being transferred in pieces. */
size_t staging_transfers(const struct staging *st);

/* While a set is being sealed, changes outside the blob areas are refused with BUSY.  It begins in a task's `done`, where no
 * such change is on its way. */
void staging_hold(struct staging *st, bool held);

/* No batch begins while frozen: the keeper reads the index as it stands.  It begins in a task's `done`. */
void staging_freeze(struct staging *st, bool frozen);

/*
 * The one way to write to the index from outside: `run` executes in the sync lane while no batch of this profile is on its
 * way, in the order the tasks were given; none starts until `done`, on the loop, has returned.  Without `run` the task only
 * waits for that moment.  `cancelled`: the pool was freed first.
 */
struct staging_task {
	void (*run)(struct staging_task *task);
	void (*done)(struct staging_task *task, bool cancelled);
	struct staging_task *next; /* staging's */
};
void staging_submit(struct staging *st, struct staging_task *task);

/* True after a failure: no session may begin. */
bool staging_broken(const struct staging *st);

/*
 * Brings index and disk into agreement after a crash or a failed sync: what was never acknowledged goes, what is in doubt
 * loses its row.  Any thread, before anything else is asked of `st`.  `now_s`: partial files older than a week go too.
 */
struct staging_recovery {
	uint64_t doubtful; /* rows dropped */
	uint64_t removed;  /* files nobody was told of */
	uint64_t partials; /* large ones kept, for the transfer to go on */
	uint64_t found;    /* files taken over after the index was lost */
};
int staging_recover(struct staging *st, int64_t now_s, struct staging_recovery *ret_recovery);

/* Opens what the server holds of a path, also when it is partial or in doubt: the file that its next transfer builds on (DESIGN.md, whole
 * files in pieces).  Descriptor, -ERR_GONE when there is nothing.  Any thread. */
int staging_open_held(int profile_fd, enum layout_type layout, const struct block_key *key, struct index *index, const char *path);

struct staging_figures {
	uint64_t files, removals, bytes, batches;
};
void staging_figures(const struct staging *st, struct staging_figures *ret_figures);

#endif
