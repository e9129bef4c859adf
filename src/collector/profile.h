/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profile - one post office or domain on this host: everything between its watcher and the server.
 *
 * It opens what it can and tries again for what it cannot yet: a tree that is not mounted, a certificate that is not there.
 *
 * Threads: loop thread only.
 */
#ifndef COLLECTOR_PROFILE_H
#define COLLECTOR_PROFILE_H

#include "collector/collector.h"

struct identity;
struct profile;
struct profile_config;
struct workpool;

struct profile_setup {
	struct event_base *base;
	struct workpool *pool;
	int lane_hash, lane_work;   /* shared by all profiles */
	const struct conf *conf;
	const char *config_file, *name;
	void (*changed)(const char *name, void *arg);
	void *arg;
};

int profile_new(const struct profile_setup *setup, struct profile **ret_profile);
/* In two steps around workpool_free: first nothing new is started, then, when no job runs any more, all is freed. */
void profile_end(struct profile *p);
void profile_free(struct profile *p); /* NULL is fine */

const char *profile_name(const struct profile *p);

/* Opens what is still missing; call after enrolment. */
void profile_try(struct profile *p);
/* Obeys a reloaded configuration; its path, type and place are unchanged. */
int profile_reload(struct profile *p, const struct conf *conf);

void profile_status(struct profile *p, struct collector_profile_status *ret_status);
int profile_sync(struct profile *p, collector_done *done, void *arg);
int profile_backup(struct profile *p, const char *origin, void (*done)(const struct job_record *record, void *arg), void *arg,
    uint64_t *ret_id);
int profile_stop(struct profile *p, const char *who);
int profile_pause(struct profile *p, bool paused);
int profile_bandwidth(struct profile *p, uint64_t bytes_per_s);
int profile_sets(struct profile *p, void (*done)(int err, const struct wire_set *sets, size_t n, void *arg), void *arg);
int profile_troubles(struct profile *p, void (*done)(int err, struct journal_trouble *troubles, size_t n, void *arg), void *arg);
const struct jobs *profile_jobs(const struct profile *p);

#endif
