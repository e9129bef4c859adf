/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * collector - all profiles of this host: each with its watcher, journal, replicator, schedule and day.  What the control
 * API asks, it asks here.
 *
 * Threads: loop thread only; callbacks come from the loop.
 */
#ifndef COLLECTOR_COLLECTOR_H
#define COLLECTOR_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobs.h"
#include "replicator/replicator.h"

struct event_base;
struct conf;
struct collector;

/* *Takes* `conf`; `file` is its path, for reloads. */
int collector_new(struct event_base *base, struct conf *conf, const char *file, struct collector **ret_collector);
void collector_free(struct collector *c);

/* Reads the file again: all or nothing.  Schedules, bandwidth, commands and limits are obeyed at once; a changed path, type,
 * server or directory needs a restart, and the text says so. */
int collector_reload(struct collector *c);

enum profile_state { PROFILE_OK, PROFILE_LATE, PROFILE_DEGRADED, PROFILE_FAILED, PROFILE_PAUSED, PROFILE_STATES };
const char *profile_state_name(enum profile_state state);

/* What `doctor` wants to know beyond the status. */
struct collector_doctor_facts {
	char dbcopy_problem[512];      /* "" = it can be run */
	int64_t watch_limit;           /* fs.inotify.max_user_watches; -1 = not known */
};

struct collector_profile_status {
	const char *name, *type, *path;
	enum profile_state state;
	char reason[512];              /* why not ok: what happened, what it means, what to do; "" = ok */
	const char *trouble;           /* why the tree cannot be used; "" = it can */
	bool enrolled;
	struct replicator_status flow;
	const struct job_record *job;  /* running, or NULL */
	const struct job_progress *progress; /* of the running job; NULL with it */
	const struct job_record *last_job; /* the last that ended, or NULL */
	int64_t last_dbcopy_ns;        /* end of the last good DBCOPY */
	int64_t next_run_s;            /* 0 = never */
	bool watcher_up;
	uint64_t watched, unwatched, overflows; /* directories; events lost */
	uint64_t staging_free_bytes, journal_bytes;
	struct collector_doctor_facts doctor;
};

const char *collector_state_dir(const struct collector *c);

size_t collector_count(const struct collector *c);
/* False past the end.  Pointers live until the next loop turn. */
bool collector_status(struct collector *c, size_t i, struct collector_profile_status *ret_status);
/* Index of a profile, or -ERR_NOTFOUND. */
int collector_find(const struct collector *c, const char *profile);

typedef void collector_done(int err, const char *text, void *arg);

/* Done when every change made before the call is durable on the server. */
int collector_sync(struct collector *c, const char *profile, collector_done *done, void *arg);
/* Starts a Standard backup; see snapshot_start. */
int collector_backup(struct collector *c, const char *profile, const char *origin,
    void (*done)(const struct job_record *record, void *arg), void *arg, uint64_t *ret_id);
int collector_stop(struct collector *c, const char *profile, const char *who);
int collector_pause(struct collector *c, const char *profile, bool paused); /* survives a restart */
int collector_set_bandwidth(struct collector *c, const char *profile, uint64_t bytes_per_s); /* until the next reload */
/* What the server keeps, as replicator.h says. */
int collector_sets(struct collector *c, const char *profile, replicator_sets_done *done, void *arg);
int collector_names(struct collector *c, const char *profile, const char *set, const char *after, replicator_names_done *done, void *arg);
const struct jobs *collector_jobs(const struct collector *c, const char *profile);

/* Rows that wait with a cause; *gives* with journal_troubles_free, asked off the loop. */
struct journal_trouble;
int collector_troubles(struct collector *c, const char *profile,
    void (*done)(int err, struct journal_trouble *troubles, size_t n, void *arg), void *arg);

/* Called when a status changed (phase, link, state): for streams.  One listener. */
void collector_on_change(struct collector *c, void (*changed)(const char *profile, void *arg), void *arg);
/* Called when a profile cannot write down what it does: the program is to end, as failed, and to be started again. */
void collector_on_broken(struct collector *c, void (*broken)(void *arg), void *arg);

/* Upgrades of this program; see upgrade.h. */
struct upgrade_status;
void collector_upgrade_status(const struct collector *c, struct upgrade_status *ret_status);
/* -ERR_UNSUPPORTED when upgrades are off. */
int collector_upgrade_now(struct collector *c);
/* Called when the program is to be begun again, by launch_again. */
void collector_on_restart(struct collector *c, void (*restart)(void *arg), void *arg);

/* Enrols a profile with a token, then starts it. */
int collector_enrol(struct collector *c, const char *profile, const char *token, collector_done *done, void *arg);

#endif
