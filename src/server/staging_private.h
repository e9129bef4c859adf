/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_private - what the files of staging share; nobody else includes it.
 *
 * Who may touch what: a batch belongs to one job at a time, or to the loop between jobs.  `struct front` belongs to the job
 * that plans or writes (there is one batch in front at a time), to the loop while no such job runs.  Two slices of one write
 * split front by path: a transfer and a dircache belong to one slice.
 */
#ifndef SERVER_STAGING_PRIVATE_H
#define SERVER_STAGING_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/block.h"
#include "base/workpool.h"
#include "server/dircache.h"
#include "server/hashset.h"
#include "server/index.h"
#include "server/staging.h"
#include "wire/wire.h"
#include "wire/wire_conn.h"

#define BATCH_OPS 4096u
#define BATCH_BYTES (16u * 1024u * 1024u)
#define BATCH_SMALL 8u        /* changed files up to which each is synced by itself */
#define SLICES 2u
#define SLICE_MIN 64u         /* changes below which one thread writes them all */
#define DIRS_OPEN 256u        /* a slice */
#define TRANSFERS_MAX WIRE_OPEN_MAX
#define ARMED_MAX 4096u
#define FILE_SIZE_MAX (1ull << 44)
#define PARTIAL_DIR "state/partial"
#define PARTIAL_NAME 40u      /* bytes of a name in it */

/* ---- frames ---- */

struct payload {
	STAILQ_ENTRY(payload) link;
	struct wire_frame *frame;
	uint8_t *unpacked; /* NULL when the frame was not packed */
	struct pack_in in;
	size_t bytes;      /* as staging_queued counts it */
};
STAILQ_HEAD(payloads, payload);

/* ---- one file that comes in pieces ---- */

struct transfer {
	LIST_ENTRY(transfer) link;
	uint64_t op;
	char *path, *place;     /* place: of a patched file */
	enum wire_begin_mode mode;
	bool blob;
	bool marked;            /* PATCH of a file with a row: the row is suspended */
	bool dead;              /* refused: what follows is swallowed */
	char partial[PARTIAL_NAME]; /* WHOLE */
	int fd;

	/* WHOLE: pieces that come in order are digested on their way; what they leave out is taken from what we hold. */
	int held_fd;            /* where left-out ranges come from; -1 = zeros; may be fd itself */
	uint64_t held_size;
	uint64_t pos;
	bool ordered;
	struct block_digest *digest;
};
LIST_HEAD(transfers, transfer);

/* ---- one message on its way ---- */

enum act {
	ACT_NONE,     /* nothing on disk */
	ACT_CREATE,   /* new blob: exclusive */
	ACT_FRESH,    /* new file of a mutable area: whatever lies there has no row */
	ACT_REPLACE,  /* file of a mutable area with a row: beside it, then renamed */
	ACT_DIR,      /* make a directory */
	ACT_CLEAR,    /* what lies there goes: a special takes its place in the index */
	ACT_BEGIN, ACT_CHUNK, ACT_HOLE, ACT_END_PATCH, ACT_END_BLOB, ACT_END_FILE, ACT_ABORT,
	ACT_DROP,     /* the partial file is not needed */
};

static inline bool
act_writes_file(enum act act)
{
	return act == ACT_CREATE || act == ACT_FRESH || act == ACT_REPLACE || act == ACT_END_PATCH || act == ACT_END_BLOB || act == ACT_END_FILE;
}

enum row_change { ROW_NONE, ROW_PUT, ROW_REMOVE };

struct change {
	struct wire_msg msg;
	uint64_t op;
	const char *path;          /* the message's or the transfer's */
	struct transfer *transfer;
	bool last;                 /* the transfer ends here: free it with the change */
	enum act act;
	enum row_change row;
	bool blob;
	bool marked;               /* its row is suspended: it must be put or removed */
	bool was_dir;              /* REMOVE: the row was of a directory */
	unsigned bare;             /* REMOVE: directories above it without a row of theirs, which go with what lies in them last */
	bool occupied;             /* a file that nobody knows lies at its place */
	bool unlink;               /* the file goes when the commit has said so */
	uint32_t version, known;   /* blob: of the new file; the highest before it */
	char *place;               /* NULL when nothing happens on disk */
	unsigned slice;
	int fd, dir_fd;            /* small batches: kept for the sync; -1 */
	int err;                   /* refused */
	char *text;
};

struct slice_job {
	struct job job;
	struct batch *batch;
	unsigned slice;
};

enum batch_step { BATCH_PLAN, BATCH_ARM, BATCH_WRITE, BATCH_WRITTEN, BATCH_SYNC };

struct batch {
	struct job job;            /* plan, arm, sync */
	struct slice_job slices[SLICES];
	unsigned slices_left;
	struct staging *st;
	unsigned session;
	enum batch_step step;      /* the loop's */
	bool held;                 /* staging_hold at its start */
	bool back_free;            /* no batch behind it when it was planned */

	struct change *changes;
	size_t n, cap, bytes;
	struct index_op *before;   /* marks and armings; paths belong to changes */
	size_t n_before, cap_before;
	bool more;                 /* front holds more that can be planned now */
	bool blocked;              /* front holds more, but it waits for the batch behind */
	uint64_t high, open_min;   /* after it: highest operation, lowest unfinished one (0 = none) */
	size_t transfers;
	bool single;               /* one slice */
	bool was_written;          /* in the planning job already */

	bool small;                /* few files: each is synced by itself */
	bool slice_made_dirs[SLICES];
	int err;                   /* all of it failed */
	char *text;
};

struct front {
	struct payloads frames;    /* whole, not opened */
	struct payload *current;   /* being taken apart */
	struct payloads spent;     /* used up; the batch in front may still point into them */
	struct change *held;       /* decoded, but belongs to the next batch */
	struct transfers transfers;
	size_t n_transfers;
	uint64_t last_op;
	struct hashset mine, behind; /* paths of the batch in front, and of the one behind it */
	struct hashset armed;
	struct dircache *dirs[SLICES];
	int partial_fd;
	uint64_t disk_bytes;       /* of the file system: no file is larger */
	uint64_t temp;
};

struct staging {
	struct staging_setup setup;
	const struct staging_events *events;
	void *arg;
	unsigned session;
	bool held, frozen, broken;
	int err;                   /* why broken */
	char *text;
	bool failure_told;

	struct payloads waiting;
	size_t queued;
	struct batch *first;       /* in front */
	struct batch *second;      /* behind */
	bool more, blocked;
	size_t transfers;
	struct staging_task *tasks, **tasks_end;
	struct staging_task *task;   /* running, or its `done` is */
	struct job task_job;
	struct staging_task settle, disarm;
	bool settling, disarming;
	int settle_err;
	uint64_t received, applied, durable;

	struct front front;
	struct staging_figures figures;
};

/* staging_plan.c: takes the batch's messages from front and decides about each.  A negative error is the peer's or memory's. */
int staging_plan(struct batch *b);
uint64_t staging_path_hash(const struct staging *st, const char *path);
/* staging_decide.c: what the change, whose path is on no other way, does.  A refusal is in it; an error ends the batch. */
int staging_decide(struct batch *b, struct change *c);
/* staging_write.c: carries out the changes of one slice. */
void staging_write(struct batch *b, unsigned slice);
/* staging_commit.c */
int staging_arm(struct batch *b);
int staging_commit(struct batch *b);

/* staging_leftovers.c.  Removes a directory that lies where a file of a mutable area is about to be written, if nothing of what is
 * below is known; else it stays, and the file is refused. */
void staging_clear_way(struct batch *b, const char *place);
/* Plans what goes with a removed path: its directories without rows, which count as on their way until it is gone. */
int staging_plan_bare(struct batch *b, struct change *c);
void staging_remove_bare(struct batch *b, const struct change *c);

/* staging_held.c.  What the index says we hold, not looking among the partial files: descriptor or negative error. */
int staging_open_placed(const struct staging_setup *setup, const char *path);
/* Whether a transfer builds on what an earlier one left (descriptors, negative = none).  Of a blob, always: it is never patched. Of a file
 * of a mutable area only where none lies in its place. */
bool staging_goes_on(int partial, bool blob, int placed);
/* staging_recover.c: leaves a session's open transfers; every armed directory has only files with rows. */
int staging_settle(struct staging *st);
int staging_disarm(struct staging *st);

/* staging_front.c.  `profile_fd` is borrowed for as long as it is open; front_close may follow a front_open that failed. */
int front_open(struct front *f, int profile_fd);
void front_drop_frames(struct front *f); /* what was not planned yet: its payloads count as spent */
void front_close(struct front *f);

/* staging_change.c */
void staging_change_fini(struct change *c);
/* Refuses the change: it has no effect. */
void change_refuse(struct change *c, int err, const char *text);
void staging_transfer_free(struct transfer *t);
void payload_free(struct payload *p);
size_t payloads_free(struct payloads *list); /* how many bytes they were, as staging_queued counts */
void staging_batch_free(struct batch *b);     /* NULL is fine */

/* The name of a path's partial file. */
void partial_name(const struct block_key *key, const char *path, char out[PARTIAL_NAME]);

#endif
