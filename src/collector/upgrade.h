/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * upgrade - the collector upgrades itself: asks the server which release is the newest, believes those who signed it, fetches it,
 * and has the program begun again when nothing is going on.  Then the new one proves itself, or the former comes back.
 *
 * The server is not trusted: it can hold a release back, which is told after fourteen days, and nothing more.
 *
 * Threads: loop thread only; files are read and written in a lane.
 */
#ifndef COLLECTOR_UPGRADE_H
#define COLLECTOR_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "replicator/replicator.h"

struct event_base;
struct upgrade;
struct workpool;

struct upgrade_host {
	/* A server is connected, through any profile. */
	bool (*connected)(void *arg);
	/* As replicator_release and replicator_piece, of a profile that is connected; false when none is, and then `done` is not called. */
	bool (*release)(const char *platform, replicator_bytes_done *done, void *done_arg, void *arg);
	bool (*piece)(const uint8_t release[32], uint64_t offset, uint32_t count, replicator_bytes_done *done, void *done_arg, void *arg);
	/* No job runs and nobody waits: the program may end now. */
	bool (*idle)(void *arg);
	/* Whoever is begun again now comes up: its configuration can be read.  Asked when a release is ready and all is idle. */
	bool (*comes_up)(void *arg);
	/* The program is to be begun again, by launch_again. */
	void (*restart)(void *arg);
	void *arg;
};

struct upgrade_setup {
	struct event_base *base;
	struct workpool *pool;
	int lane;                 /* one thread */
	const char *state;        /* folder of the collector's state */
	const char *keys;         /* file of the keys that sign, or "off": never */
	struct upgrade_host host;
	int64_t (*wall_s)(void);  /* NULL: the clocks of this host */
	int64_t (*steady_s)(void);
	int tick_ms;              /* how often it looks what is next; 0 = every two seconds */
};

/* Strings are copied, `host` too.  With "off" it does nothing. */
int upgrade_new(const struct upgrade_setup *setup, struct upgrade **ret_upgrade);
/* When no job of the lane is in the pool any more.  No answer that was asked for may come later.  NULL is fine. */
void upgrade_free(struct upgrade *u);

/* An operator does not want to wait for the next hour; a release that has failed here is tried once more. */
void upgrade_now(struct upgrade *u);

struct upgrade_status {
	bool on;
	bool alarm;               /* `why` is to be seen to */
	char running[24];         /* version of this program */
	char offered[24];         /* that was believed last; "" = none yet */
	const char *phase;        /* "off", "idle", "asking", "fetching", "ready", "noting", "trial", "ending" */
	char why[512];            /* what is wrong and what to do; "" = nothing */
	int64_t fresh_s;          /* when the server last showed a release that is signed and in its time; 0 = never */
};
void upgrade_status(const struct upgrade *u, struct upgrade_status *ret_status);

#endif
