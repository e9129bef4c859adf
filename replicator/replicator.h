/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replicator - the pump of one profile: journal -> transfers -> link -> acknowledge.
 *
 * It looks at what the journal names, compares with the block map, sends what differs, and lets a journal row go when the
 * server has said *durable*.  The same machinery streams the files of a DBCOPY snapshot from local staging.  Callbacks
 * only record; one pump decides, ordered from what frees resources to what takes them.
 *
 * Threads: loop thread only.  File data, hashing, journal and block map work run in the lanes given to it.  Every callback
 * comes from the loop, never from inside a call.
 */
#ifndef REPLICATOR_REPLICATOR_H
#define REPLICATOR_REPLICATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/err.h"
#include "base/treemap.h"
#include "layout.h"

struct event_base;
struct workpool;
struct livetree;
struct journal;
struct blockmap;
struct identity;
struct replicator;

struct replicator_setup {
	struct event_base *base;
	struct workpool *pool;
	int lane_journal;           /* one thread: all journal and block map writes */
	int lane_hash;              /* reads, hashes, packs */
	unsigned hands;             /* threads for one scan */
	struct livetree *tree;
	struct journal *journal;
	struct blockmap *map;
	struct identity *identity;
	const char *profile;
	const char *server;         /* host:port */
	const char *cookie_dir;     /* absolute: watched by the watcher */
	uint64_t bandwidth;         /* bytes per second, 0 = unlimited */
	int64_t rescan_ms, index_poll_ms; /* 0 = never */
	uint64_t seed;              /* of the back-off's jitter; 0 = from the clock */
	int64_t (*clock_ms)(void);  /* what retries and timers go by; NULL = CLOCK_MONOTONIC */
};

struct replicator_events {
	/* Link went up or down; `why` in words when down. */
	void (*link)(bool up, const char *why, void *arg);
	/* The server asks to stop the job. */
	void (*stop)(uint64_t job, const char *origin, void *arg);
	/* Something an operator should see changed (root gone, held deletions, server refuses). */
	void (*state)(void *arg);
};

/* Everything in `setup` and `events` is borrowed until free. */
int replicator_new(const struct replicator_setup *setup, const struct replicator_events *events, void *arg, struct replicator **ret_r);
/* Nothing is lost, the journal knows.  No job of it may be in the pool: its lanes were removed, or the pool was freed, before. */
void replicator_free(struct replicator *r);

/* The journal has news (a poke, or a tick: losing a poke costs a tick). */
void replicator_poke(struct replicator *r);

/* The profile was enrolled again; borrowed like the one in `setup`, which must live until the next call or free. */
void replicator_set_identity(struct replicator *r, struct identity *identity);

/* No new transfers; the link stays. */
void replicator_pause(struct replicator *r, bool paused);
void replicator_set_bandwidth(struct replicator *r, uint64_t bytes_per_s);

struct replicator_status {
	bool connected, paused, root_gone, refused; /* refused: server knows us no more, or another collector is active */
	char why[256];             /* why not connected, or what is wrong; "" = all well */
	/* Journal rows, and how large the files are that they name, at most: of a known file only what differs will be sent.  Of many rows it is
	 * an estimate; what scans will find is not in it. */
	uint64_t pending_changes, pending_bytes;
	bool bytes_unknown;        /* only scans wait, and none can run now */
	uint64_t rescans_open, troubled;
	/* Blobs that were never sent, are no more, and did not come after the last copy of the databases: names in all, which may have been
	 * renamed; of these, those known to be deleted. */
	uint64_t vanished, missed;
	bool server_full;          /* the last thing it could not keep, it had no space for */
	bool disk_full;            /* we had no space for the last thing we wrote down, or for one that waits for its next try */
	int64_t oldest_pending_ns; /* 0 = none */
	uint64_t wire_bytes_sent, payload_bytes_sent, files_sent, removals_sent;
	uint64_t scanned, drift;   /* names compared by scans; differences found by the slow scan: should stay 0 */
	char last_set[64];
	int64_t last_sealed_ns, last_started_ns;
	uint8_t last_verified;     /* enum set_verified */
	bool server_clock_known;   /* it has said its time on a connection: */
	int64_t server_ahead_ns;   /* its clock against ours, as they go now */
};
void replicator_status(const struct replicator *r, struct replicator_status *ret_status);

/* The profile's hash key, as the server told it; false before the first WELCOME. */
bool replicator_key(const struct replicator *r, uint8_t ret_key[BLOCK_KEY_BYTES]);

typedef void replicator_done(int err, const char *text, void *arg);

/*
 * The barrier: makes a cookie file in the watched folder, waits until it came back as a journal row, and is done when
 * every row up to it is durable on the server and no rescan is open.  What waited to be tried again is tried at once; `text` of a
 * good end names what failed even so.  Several may wait.  -ERR_STOPPED when cancelled.
 * Gives an id for replicator_cancel.  An error: there is no barrier, and `done` is not called.
 */
int replicator_barrier(struct replicator *r, replicator_done *done, void *arg, uint64_t *ret_id);
void replicator_cancel(struct replicator *r, uint64_t id);
/* A watcher has come up: cookies that were made while none lived are made anew. */
void replicator_watched(struct replicator *r);

/* ---- the day's job; one at a time; the order is job_begin, snapshot_*, barrier, seal, or job_end at any point.
 * Where one of them gives an error nothing has begun, and `done` is not called. ---- */

/* Tells the server T0, and who wanted the job (`origin` as in its record): from now on no blob
 * leaves the set.  Done when the server's index has it. */
int replicator_job_begin(struct replicator *r, uint64_t job, uint32_t date, int64_t t0_ns, const char *origin, replicator_done *done, void *arg);

/* Streaming from local staging: `staging_fd` (borrowed until snapshot_end or job_end) holds set paths as they are. */
void replicator_snapshot_begin(struct replicator *r, int staging_fd);
/* This file of staging is complete and will not change: send what differs while the next is copied.  `hashes` (*taken*, malloc;
 * NULL = not known) are those of its blocks, `digest` of the whole. */
void replicator_snapshot_file(struct replicator *r, const char *path, struct hash128 *hashes, size_t n, const struct hash128 *digest);
/* All of staging is complete: compare every snapshot area with the block map, send the rest, remove what is not there; done
 * when all of it is durable.  `ret` figures come with status. */
int replicator_snapshot_end(struct replicator *r, replicator_done *done, void *arg);

struct wire_name;
struct wire_set;
struct replicator_seal_events {
	void (*progress)(const char *phase, uint64_t done, uint64_t total, void *arg);
	/* err 0: sealed; `set` is what was made (after a lost link its name alone) and `note` its warnings.  Else failed, `text`
	 * says why, and `set` is NULL. */
	void (*done)(int err, const char *text, const struct wire_set *set, const char *note, void *arg);
};
/* The poke: waits until nothing is in flight, sends the seal request with what the set must hold, and holds back changes
 * of mutable areas until the answer.  A link lost meanwhile is answered at the next WELCOME. */
void replicator_seal(struct replicator *r, uint64_t job, uint32_t date, int64_t t0_ns, const char *note,
    const struct replicator_seal_events *events, void *arg);
/* Asks the server to end the seal.  Its answer decides: `done` tells -ERR_STOPPED, or that the set was sealed before the
 * stop came. */
void replicator_seal_stop(struct replicator *r);
/* The job is over without a set: stop a running seal, release the server's hold, forget queued staging work.  The server hears why,
 * now and with each later link, as none is answered, also of a job that failed before it began there; of the last eight such jobs. */
struct replicator_job_end {
	uint64_t job;
	uint32_t date;
	int64_t t0_ns;
	const char *origin;
	int code;                  /* enum err; ERR_STOPPED = somebody ended it */
	const char *text;
};
void replicator_job_end(struct replicator *r, const struct replicator_job_end *end);

/* When the schedule has its first run after T0 of the newest set, 0 = never: by this, too, the server judges how old a set may be. */
void replicator_set_due(struct replicator *r, int64_t due_ns);

/* ---- what the server keeps of this profile; answered in the order asked, UNREACHABLE at once while there is no link ---- */

/* All lent until it returns.  `err` 0 or negative, with a sentence. */
typedef void replicator_sets_done(int err, const char *text, const struct wire_set *sets, size_t n, void *arg);
/* A page: `next` is `after` of the one that follows, "" when there is none. */
typedef void replicator_names_done(int err, const char *text, const struct wire_set *set, const struct wire_name *names, size_t n,
    const char *next, void *arg);

/* The sets, newest last. */
void replicator_sets(struct replicator *r, replicator_sets_done *done, void *arg);
/* The names of a set ("latest": the newest), a page of them; `after` "" = the first.  Both are borrowed until it returns. */
void replicator_names(struct replicator *r, const char *set, const char *after, replicator_names_done *done, void *arg);

/* ---- what the server has for the collector itself; asked and answered likewise ---- */

/* `data` is lent until it returns; NULL unless err is 0. */
typedef void replicator_bytes_done(int err, const char *text, const uint8_t *data, size_t len, void *arg);
/* The head of the newest release for a platform; -ERR_NOTFOUND when it has none, -ERR_UNSUPPORTED when it knows of no releases. */
void replicator_release(struct replicator *r, const char *platform, replicator_bytes_done *done, void *arg);
/* `count` bytes (at most WIRE_PIECE_MAX) at `offset` behind the head whose SHA-256 is `release`, fewer at the end. */
void replicator_piece(struct replicator *r, const uint8_t release[32], uint64_t offset, uint32_t count, replicator_bytes_done *done, void *arg);

#endif
