/* SPDX-License-Identifier: GPL-2.0-or-later */
/* office_private - the parts of a profile, for office*.c only. */
#ifndef COLLECTOR_OFFICE_PRIVATE_H
#define COLLECTOR_OFFICE_PRIVATE_H


#include "collector/office.h"

struct office {
	struct office_setup setup;
	const struct profile_config *config;
	char *name, *dir, *identity_dir, *cookie_dir, *config_file;
	int lane_journal;
	struct event *tick;
	bool ended;

	struct journal *journal;
	struct blockmap *map;
	struct jobs *jobs;
	struct memo *memo;
	struct watcher_link *watcher;
	struct livetree *tree;
	struct identity *identity, *old_identity; /* the old one until its connection is gone */
	struct replicator *replicator;
	struct snapshot *snapshot;
	struct schedule *schedule;
	struct zone *zone;

	int64_t started_ns;
	struct job_record lost; /* the job that our last life left before its seal; the server is told once; id 0 = none */
	char trouble[512];      /* why the tree or the root is not usable; "" = it is */
	bool other_root;        /* another tree lies at the path than the one we backed up */
	bool volume_missing;    /* a file system that was mounted in the tree is not there: the tree is not used */
	bool tried_slot_failed; /* the due slot could not be started yet; told once */
	uint64_t free_bytes;
	int64_t space_asked_s;
};

/* office_tree.c: opens the tree when it is the one that was backed up, whole; else says in `trouble` what it is. */
void office_open_tree(struct office *p);

/* office_schedule.c: when a backup can be made for the first time: nothing that was due before is missed, and nothing after it passed over. */
void office_begin_schedule(struct office *p);
/* Starts the backup that is due, or that is to be made up for, when none runs. */
void office_keep_schedule(struct office *p);
/* At the start: a job that was running when we died is over; says so in the history. */
void office_close_lost_jobs(struct office *p);

/* office_state.c: when the schedule has its first run after T0 of the newest set; 0 = never. */
int64_t office_due_ns(const struct office *p);

/* office_boot.c: once, when the stores were opened */
int office_doubt_after_boot(struct office *p);
/* Remembers what is mounted in the tree. */
void office_learn_volumes(struct office *p);
/* An operator says that the tree is right as it lies there now. */
void office_accept_tree(struct office *p);

#endif
