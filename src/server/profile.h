/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * profile - one profile's folder in the store, open: its lock, index, staging, hash key and history.
 *
 *   <store>/<profile>/gre_data  blobs  backups  state/{index,partial,jobs,lock}
 *
 * Opening recovers staging, and happens in a lane.  A profile whose staging failed is opened again before the next session.
 *
 * Threads: loop thread only; callbacks come from the loop.
 */
#ifndef SERVER_PROFILE_H
#define SERVER_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/block.h"
#include "base/treemap.h"
#include "jobs.h"
#include "layout.h"

struct event_base;
struct index;
struct profile;
struct staging;
struct warden;
struct workpool;

struct profile_setup {
	struct event_base *base;
	struct workpool *pool;
	int lane_write, lane_sync, lane_jobs; /* lane_jobs: one thread */
	int store_fd;
	const char *store;                    /* its path */
	struct warden *warden;                /* NULL: the folders are made by us */
};

/* `setup` is borrowed; nothing is touched yet. */
int profile_new(const struct profile_setup *setup, const char *name, struct profile **ret_profile);
void profile_free(struct profile *p); /* after the pool was freed; NULL is fine */

const char *profile_name(const struct profile *p);

/* ---- opening; each call is answered once, unless profile_cancel takes it back ---- */

typedef void profile_done(int err, const char *text, void *arg);
/* Opens what can be opened before a collector has told its type. */
void profile_open(struct profile *p, profile_done *done, void *arg);

struct profile_admission {
	uint64_t token, generation;
	struct treemap_sum total;
};
typedef void profile_admitted(int err, const char *text, const struct profile_admission *admission, void *arg);
/* A session is to begin: opens (again, where needed), waits until the last one is settled, and counts the fencing token up.
 * -ERR_CONFIG: the profile is of another type.  staging_begin may be called from `admitted`. */
void profile_admit(struct profile *p, enum layout_type layout, profile_admitted *admitted, void *arg);
/* No callback with this `arg` is called any more. */
void profile_cancel(struct profile *p, void *arg);

/* ---- what is open; NULL before ---- */

struct index *profile_index(const struct profile *p);
struct staging *profile_staging(const struct profile *p); /* also NULL until its type is known */
const struct block_key *profile_key(const struct profile *p);
const uint8_t *profile_key_bytes(const struct profile *p);
bool profile_layout(const struct profile *p, enum layout_type *ret_layout);
struct jobs *profile_jobs(const struct profile *p);
int profile_fd(const struct profile *p);
/* Why it is not open; "" = all well. */
const char *profile_trouble(const struct profile *p);

/* A job in a lane reads index or files: the profile is not opened again meanwhile. */
void profile_hold(struct profile *p);
void profile_release(struct profile *p);

/* The state went back in time: collectors are told by a higher generation, from the next session on.  In a staging task. */
int profile_raise_generation(struct index *index);

#endif
