/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * office - one post office or domain on this host: everything between its watcher and the server.
 *
 * It opens what it can and tries again for what it cannot yet: a tree that is not mounted, a certificate that is not there.
 *
 * Threads: loop thread only.
 */
#ifndef COLLECTOR_OFFICE_H
#define COLLECTOR_OFFICE_H

#include "collector/collector.h"

struct identity;
struct office;
struct profile_config;
struct workpool;

struct office_setup {
	struct event_base *base;
	struct workpool *pool;
	int lane_hash, lane_work;   /* shared by all profiles */
	const struct conf *conf;
	const char *config_file, *name;
	void (*changed)(const char *name, void *arg);
	void (*broken)(void *arg);  /* the journal or the map takes no more writes: only a new start helps */
	void *arg;
};

int office_new(const struct office_setup *setup, struct office **ret_office);
/* In two steps around workpool_free: first nothing new is started, then, when no job runs any more, all is freed. */
void office_end(struct office *p);
void office_free(struct office *p); /* NULL is fine */

const char *office_name(const struct office *p);

/* Opens what is still missing. */
void office_try(struct office *p);
/* There is a new certificate: the first, or one that takes the place of another. */
void office_enrolled(struct office *p);
/* Obeys a reloaded configuration; its path, type and place are unchanged. */
int office_reload(struct office *p, const struct conf *conf);

void office_status(struct office *p, struct collector_profile_status *ret_status);
int office_sync(struct office *p, collector_done *done, void *arg);
int office_backup(struct office *p, const char *origin, void (*done)(const struct job_record *record, void *arg), void *arg,
    uint64_t *ret_id);
int office_stop(struct office *p, const char *who);
int office_pause(struct office *p, bool paused);
int office_bandwidth(struct office *p, uint64_t bytes_per_s);
int office_sets(struct office *p, replicator_sets_done *done, void *arg);
int office_names(struct office *p, const char *set, const char *after, replicator_names_done *done, void *arg);
bool office_connected(const struct office *p);
bool office_idle(const struct office *p); /* no job runs */
void office_release(struct office *p, const char *platform, replicator_bytes_done *done, void *arg); /* both: of one that is connected */
void office_piece(struct office *p, const uint8_t release[32], uint64_t offset, uint32_t count, replicator_bytes_done *done, void *arg);
int office_troubles(struct office *p, void (*done)(int err, struct journal_trouble *troubles, size_t n, void *arg), void *arg);
const struct jobs *office_jobs(const struct office *p);

#endif
