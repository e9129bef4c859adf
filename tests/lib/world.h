/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * world - a whole collector and a whole replica in one process: live tree, watcher, journal, block map, replicator, TLS, the
 * server's staging and index.  Edits are random and seeded; the seed is printed.
 */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/blockmap.h"
#include "journal/journal.h"
#include "replicator/replicator.h"
#include "tests/lib/peer.h"
#include "tests/lib/scratch.h"

struct watcher;
struct source;

struct world {
	uint64_t seed, rng;
	struct scratch scratch;
	char live[256], staging[256], cookies[256], state[256], server[256];
	struct event_base *base;
	struct workpool *pool;  /* the server's */
	struct workpool *lanes; /* the collector's, for one life of it */
	int lane_journal, lane_hash;
	struct identity *server_id, *collector_id;
	struct peer peer;
	bool peer_up;

	bool watching;            /* the real watcher runs */
	int64_t rescan_ms;        /* as in replicator_setup, for the next start */
	struct livetree *tree;
	struct journal *journal;
	struct blockmap *map;
	struct source *source;
	struct watcher *watcher;
	struct event *watch_event;
	struct replicator *replicator;
	struct replicator_setup setup;
	struct event *pulse;
	int64_t (*clock_ms)(void); /* the replicator's; runs fast unless a test puts its own */

	/* of the last callback */
	bool done;
	int err;
	char text[512], set[64];
	bool snapshotted;         /* staging is on the server, too */
	unsigned files;           /* names ever made, for names of their own */
	bool link_up;
	unsigned links;           /* times it came up */
};

/* A fresh post office with a few files; nothing runs yet. */
void world_open(struct world *w, uint64_t seed);
void world_close(struct world *w);

/* The server's half, over the same folder each time. */
void world_serve(struct world *w);
/* The collector's half starts, or starts again after world_stop (a kill, as far as anything on disk can tell). */
void world_start(struct world *w);
void world_stop(struct world *w);
/* The watcher of a world that began without one (`watching` false) comes up. */
void world_watch(struct world *w);

uint64_t world_random(struct world *w, uint64_t below);
/* Paths are below the live post office (`staging` false) or the staging folder. */
void world_write(struct world *w, bool staging, const char *path, const void *data, size_t len);
void world_write_random(struct world *w, bool staging, const char *path, size_t len);
/* Overwrites a piece in place. */
void world_patch(struct world *w, bool staging, const char *path, uint64_t offset, size_t len);
void world_make_dir(struct world *w, const char *path);
void world_remove(struct world *w, const char *path);
/* One random change to the live tree. */
void world_edit(struct world *w);
void world_edit_staging(struct world *w);

/* Runs the loop until `*flag`; ends the program after a minute. */
void world_run_until(struct world *w, const bool *flag);
/* Runs the loop for a bounded number of turns, without waiting. */
void world_turns(struct world *w, unsigned n);
/* A barrier: everything that was changed is durable.  Gives its error. */
int world_barrier(struct world *w);
/* A snapshot of the staging folder, streamed whole. */
int world_snapshot(struct world *w, bool announce);

/* The replica holds exactly what lies here: names, kinds, rights, content; map and index agree. */
void world_compare(struct world *w);

#endif
