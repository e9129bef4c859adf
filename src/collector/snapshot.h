/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot - the day: one Standard backup of one profile, step by step (ARCHITECTURE.md, "The day").
 *
 * check -> copy (DBCOPY) -> stream -> barrier -> notify -> seal -> done.  A step machine: every step ends in an event, and
 * a stop or failure from any state leads to the same clean end: the copier is killed, the server's hold released, the
 * record closed, the continuous flow runs on.
 *
 * Threads: loop thread only.
 */
#ifndef COLLECTOR_SNAPSHOT_H
#define COLLECTOR_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs.h"

struct event_base;
struct workpool;
struct livetree;
struct replicator;
struct profile_config;
struct zone;
struct snapshot;

struct snapshot_setup {
	struct event_base *base;
	struct workpool *pool;
	int lane;                       /* listing, pruning, checking */
	struct livetree *tree;
	struct replicator *replicator;
	struct jobs *jobs;
	const struct profile_config *config;
	const struct zone *zone;
	const char *profile;
	const char *profile_dir;        /* <state>/<profile>: staging lies in backups/weeknow/<day> below it */
};

int snapshot_new(const struct snapshot_setup *setup, struct snapshot **ret_snapshot);
void snapshot_free(struct snapshot *s); /* stops a running job first */

/* New policies, for the next job and the hooks of the running one. */
void snapshot_set_config(struct snapshot *s, const struct profile_config *config, const struct zone *zone);

/* Starts a job; `done` (may be NULL) is called when it is over, with the final record.  -ERR_BUSY: one is running. */
int snapshot_start(struct snapshot *s, const char *origin, uint32_t date,
    void (*done)(const struct job_record *record, void *arg), void *arg, uint64_t *ret_id);

/* Stops the running job, in any phase; -ERR_NOTFOUND when none runs.  `who`: "user root", "server: user root". */
int snapshot_stop(struct snapshot *s, const char *who);

/* The running job, NULL when none; its phase and figures are live. */
const struct job_record *snapshot_job(struct snapshot *s);
/* Where it has got to: known of the copy with the built-in copier, and of the seal. */
const struct job_progress *snapshot_progress(const struct snapshot *s);

/* Called on every change of phase or figures of the running job. */
void snapshot_on_change(struct snapshot *s, void (*changed)(const struct job_record *record, void *arg), void *arg);

#endif
