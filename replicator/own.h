/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * own - the replicator's own state, shared by the files that make up the pump and by nothing else.
 *
 *   replicator.c  life, clock, status, the pump's order      feed.c     journal rows, what is retried later
 *   agree.c       HELLO, WELCOME, agreement                  flow.c     looks, what is sent and what became of it
 *   convoy.c      transfers of large files                   sweep.c    scans and what they found
 *   barrier.c     cookies                                    job.c      the day's functions
 *   backlog.c     how much waits                             clocks.c   scans that nobody asks for
 */
#ifndef REPLICATOR_OWN_H
#define REPLICATOR_OWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/workpool.h"
#include "replicator/link.h"
#include "replicator/look.h"
#include "replicator/origin.h"
#include "replicator/outbox.h"
#include "replicator/reconcile.h"
#include "replicator/replicator.h"
#include "replicator/scan.h"
#include "replicator/settle.h"
#include "replicator/transfer.h"
#include "replicator/work.h"

#define WORKS_LOW 1024        /* the feed and the scans fill the queue up to here */
#define LOOKS_MAX 3           /* batches in the lane: 1 MiB each */
#define TRANSFERS_MAX 32      /* patched files at a time, each with a buffer of its size up to 512 KiB, together below this: */
#define TRANSFERS_BYTES (3 * TRANSFER_PIECE * BLOCK_BYTES)
#define SWEEPS_MAX 256        /* RESCAN rows in memory; one scans at a time */
#define SWEEPS_FAILED_MAX 8192 /* with those that failed and wait */
#define TRIES 5               /* then it is trouble, shown and no longer waited for */
#define LINK_QUEUE (4u * 1024u * 1024u)
#define HINT_BYTES (8u * 1024u * 1024u) /* hashes told by the copier and kept until used */
#define HELD_RETRY_MS 30000

/* Where the conversation with the server stands. */
enum phase {
	PHASE_DOWN,
	PHASE_QUIET,  /* open; what the lanes still do of the last connection comes to its end */
	PHASE_HELLO,  /* HELLO is made or sent */
	PHASE_LEARN,  /* WELCOME is being taken in */
	PHASE_AGREE,
	PHASE_RUN,
	PHASES
};

/* A piece of work in a lane, once. */
struct errand {
	struct job job;
	struct replicator *r;
	void (*run)(struct errand *e);
	void (*done)(struct errand *e, bool cancelled); /* on the loop; frees it */
};

/* One DBCOPY's staging, alive while any work refers to it. */
struct snapshot {
	struct origin origin;
	unsigned refs;
	bool over;                /* its job ended: forget what is not yet sent */
	bool again;               /* the server took something back: all of it is compared once more */
	uint64_t open;            /* works not yet durable */
	size_t hint_bytes;
	int err;                  /* a file of it could not be sent */
	char text[256];
	struct promise *owed;     /* set: all of it is there, and its end is waited for */
	struct sweep *sweep;
};

/* A scan under way, and the accounting of what it found. */
struct sweep {
	TAILQ_ENTRY(sweep) link;
	char *dir;
	bool row;                 /* journal rows ask for it: */
	struct rows rows;         /* or the raising of the flag that it answers */
	uint64_t since;           /* the oldest of them */
	enum scan_how how;
	unsigned epoch;           /* of the connection it began under */
	struct replicator *replicator;
	struct work *parent;      /* waits for it: a directory to be removed */
	struct snapshot *snapshot;
	bool begun;               /* its turn has come; it scans when all is written that was on its way into the map: */
	uint64_t settled;
	struct scan *scan;        /* NULL until then */
	bool busy;                /* a slice or a note of it runs: the scan is the lane's */
	bool scanned;             /* its scan has found everything; told by the last slice's end */
	bool emptied;             /* every vanished directory was given */
	bool failed;              /* something it found has to be looked at again by another scan */
	struct scan_dirs dirs;    /* listed, with something not settled */
	uint64_t open;            /* works found and not settled */
	unsigned notes;           /* being written for it */
	uint32_t attempts;
	uint64_t failed_at;       /* the last of them */
	bool asked_for;           /* a scan is asked for that begins after the one under way */
	int64_t due_ms;
	bool held;
	int unwritten;            /* its row could not be taken from the journal, which said this */
	bool roomless;            /* there was no room on our disk to do it */
	char text[160];
	struct note note;
};
TAILQ_HEAD(sweeps, sweep);

struct barrier {
	TAILQ_ENTRY(barrier) link;
	uint64_t id;
	char cookie[64];
	enum { BARRIER_COOKIE, BARRIER_DRAIN, BARRIER_SETTLE } state;
	unsigned baking;          /* looks at the tree that belong to it and are not over */
	uint64_t upto;            /* rows up to here must be durable */
	uint64_t asked_at;        /* failures before this one say nothing: all was tried again */
	int64_t again_ms;         /* the cookie may have been lost: make another */
	unsigned bakes;           /* cookies that went */
	bool cancelled;
	uint32_t stale;           /* files that could not be read and were given up for now */
	char text[256];
	struct promise *owed;
};

struct question { /* BLOCKS_REQ, on its way: answers come in their order */
	STAILQ_ENTRY(question) link;
	char *path;
	uint64_t first;
	uint32_t count;
};

struct promise { /* a callback that is owed; made when it is promised, for nothing may stop it from being kept */
	TAILQ_ENTRY(promise) link;
	replicator_done *done;
	void *arg;
	int err;
	char text[256];
};

struct seal {
	enum { SEAL_NONE, SEAL_QUIET, SEAL_TOTAL, SEAL_SENT } state;
	bool stopped;             /* the server was asked to stop it */
	uint64_t job;
	uint32_t date;
	int64_t t0_ns;
	char *note;
	const struct replicator_seal_events *events;
	void *arg;
};

#define ENDINGS_MAX 8

struct ending { /* of a job without a set */
	uint64_t job;
	uint32_t date;
	int64_t t0_ns;
	char origin[64];
	int code;
	char text[1024];
};

struct replicator {
	struct replicator_setup setup;
	const struct replicator_events *events;
	void *arg;
	struct event *wake, *tick;
	bool stopping, paused;
	size_t jobs;              /* ours, in the lanes */
	bool lag_busy, root_busy;
	int64_t root_due_ms;

	struct link *link;
	struct outbox *outbox;
	struct settle *settle;

	/* agree */
	enum phase phase;
	unsigned epoch;           /* of the connection: what an older one started counts for nothing */
	bool have_key, hello_busy;
	uint8_t key_bytes[BLOCK_KEY_BYTES];
	struct block_key key;
	char instance[64];
	uint64_t generation;
	struct treemap_sum server_total;
	struct reconcile *reconcile;
	bool reconcile_busy, reconcile_asked;

	/* flow, convoy */
	struct origin live;
	struct worktable *active, *rows;
	TAILQ_HEAD(, work) works; /* all */
	size_t n_works;
	struct work_list queue;   /* to be looked at */
	struct work_list held;    /* until the seal is over */
	struct work_list large;   /* wait for a transfer */
	TAILQ_HEAD(, transfer) transfers;
	size_t n_transfers, n_looks;
	STAILQ_HEAD(, question) questions; /* of this connection */

	/* feed */
	uint64_t cursor;
	uint64_t cookie_seq;      /* the newest cookie that was read */
	struct rows cookies;      /* whose rows could not be taken from the journal yet */
	int64_t cookies_due_ms;
	bool news, reading, drained;
	uint64_t failures;        /* counts them: what failed before and after a moment */
	struct work **deferred;   /* a heap by due_ms */
	size_t n_deferred, deferred_cap;
	bool rows_left_behind;    /* more rows failed than can be remembered */

	/* sweep */
	struct sweeps sweeps;
	size_t n_sweeps;
	uint64_t slow_seq;        /* the row of the slow scan */
	int64_t rescan_due_ms, poll_due_ms;

	/* barrier, job */
	TAILQ_HEAD(, barrier) barriers;
	uint64_t next_id;
	struct snapshot *snapshot;
	bool databases_lost;      /* the server took back what it had of the last snapshot: no set is made of it */
	int64_t copied_ns;        /* when the last copy of the databases ended, wall clock; 0 = one is under way, or none was */
	TAILQ_HEAD(, promise) promises;
	struct {
		uint64_t job;
		uint32_t date;
		int64_t t0_ns;
		char origin[64];
		bool sent;
		struct promise *owed; /* set: the server has not said yet that it knows T0 */
	} job;
	struct ending endings[ENDINGS_MAX]; /* the last jobs without a set, in their order */
	size_t n_endings, endings_told;     /* to this connection's server */
	struct seal seal;
	int64_t due_ns;
	bool due_told;            /* on this connection */
	int64_t welcome_ns, welcome_ms; /* the server's clock, wall, when ours, steady, was that; 0 = not said yet */
	TAILQ_HEAD(, ask) asks;   /* first = the one that is asked */
	bool asked;               /* on this connection */

	size_t n_roomless;        /* works and scans that our disk had no room for, and that wait */
	struct replicator_status status;
};

/* ---- replicator.c ---- */
void pump_wake(struct replicator *r);
void errand_start(struct replicator *r, int lane, struct errand *e);
int64_t now_ms(const struct replicator *r);  /* monotonic */
void state_changed(struct replicator *r);
/* Something was written to our state, or found no room there: the status says so as long as anything waits for room.  `waits`: the
 * `roomless` of what will be tried again, NULL when nothing will. */
void wrote_down(struct replicator *r, bool *waits, int err);
/* NULL: out of memory, with err_text. */
struct promise *promise_new(replicator_done *done, void *arg);
/* *Takes* it: the callback is called from the pump, never from inside a call. */
void promise_keep(struct replicator *r, struct promise *p, int err, const char *text);

/* ---- agree.c ---- */
void agree_opened(struct replicator *r);
void agree_welcome(struct replicator *r, struct wire_msg *msg);
bool agree_message(struct replicator *r, struct wire_msg *msg); /* true: it was for the agreement */
void agree_closed(struct replicator *r);
void agree_pump(struct replicator *r);
void agree_fini(struct replicator *r);

/* ---- flow.c ---- */
struct work *flow_new(struct replicator *r, const char *path, const struct origin *origin); /* counted; NULL when out of memory */
void flow_add(struct replicator *r, struct work *w);
void flow_add_first(struct replicator *r, struct work *w);
bool flow_has_room(const struct replicator *r);
bool flow_quiet(const struct replicator *r); /* nothing looked at, sent or being noted */
void flow_pump(struct replicator *r);
void flow_settled(struct work *w, int err, const char *text, void *arg);
void flow_dropped(struct work *w, void *arg);
void flow_send(struct replicator *r, struct work **works, size_t n); /* messages of their verdicts, in one frame */
void flow_outdate(struct replicator *r, const char *dir, const struct snapshot *snapshot); /* what is on its way below is looked at again */
void flow_release_held(struct replicator *r);
void flow_fini(struct replicator *r);

/* ---- flow_end.c ---- */
void flow_finish(struct replicator *r, struct work *w); /* the server has what was looked at: it is noted, and the work ends or goes on */
void flow_retry(struct replicator *r, struct work *w, int err, const char *text);
void flow_requeue(struct replicator *r, struct work *w); /* from the start, at once */
void flow_end(struct replicator *r, struct work *w);     /* no longer wanted: frees */
void flow_empty_tree(struct replicator *r, struct work *w); /* a directory is gone: what lay below goes first */
void flow_hashes_lost(struct work *w); /* what is noted of it forgets those of before */
void flow_hold_back(struct replicator *r, struct work *w);  /* its root or area is gone: no absence is believed */
const char *flow_words(const struct work *w, char *text, size_t len); /* why it waits, in 256 bytes at most; `text` */

/* ---- convoy.c ---- */
void convoy_pump(struct replicator *r);
int convoy_answer(struct replicator *r, const struct wire_msg *msg); /* BLOCKS; -ERR_PEER: nobody asked for that */
void convoy_settled(struct replicator *r, struct work *w, int err, const char *text);
void convoy_cut(struct replicator *r); /* the connection went */
void convoy_fini(struct replicator *r);

/* ---- backlog.c ---- */
void backlog_ask(struct replicator *r); /* figures of what waits, into the status, when they are known */

/* ---- feed.c ---- */
void feed_pump(struct replicator *r);
void feed_defer(struct replicator *r, struct work *w, int64_t delay_ms);
int64_t feed_delay_ms(const struct replicator *r, uint32_t attempts); /* before the next try */
void feed_retry_now(struct replicator *r); /* whatever waits for its time */
void feed_fini(struct replicator *r);

/* ---- sweep.c ---- */
struct sweep *sweep_new(struct replicator *r, const char *dir); /* queued; NULL when out of memory */
void sweep_first(struct replicator *r, struct sweep *sw); /* others may wait for it */
void sweep_pump(struct replicator *r);
void sweep_settled(struct replicator *r, struct work *w, bool good); /* what it found is over */
void sweep_retry_now(struct replicator *r);
void sweep_release_held(struct replicator *r); /* the root is there again */
void sweep_fini(struct replicator *r);

/* ---- clocks.c ---- */
int clocks_begin(struct replicator *r); /* reads when everything was last compared */
void clocks_pump(struct replicator *r);
void clocks_compared(struct replicator *r); /* everything was, now */

/* ---- barrier.c ---- */
void barrier_cookie(struct replicator *r, const char *path); /* came back */
void barrier_stale(struct replicator *r, const struct work *w);
void barrier_read_again(struct replicator *r); /* the journal, from its beginning */
void barrier_pump(struct replicator *r);
void barrier_fini(struct replicator *r);

/* ---- job.c ---- */
void job_pump(struct replicator *r);
bool job_message(struct replicator *r, struct wire_msg *msg); /* false: not the server's to say now */
void job_welcome(struct replicator *r, const struct wire_msg *msg);
void job_closed(struct replicator *r);
void job_databases_lost(struct replicator *r); /* an agreement found other databases on the server than were acknowledged */
bool job_holds(const struct replicator *r, const struct work *w); /* a seal is under way and this must wait */
bool job_stops_flow(const struct replicator *r);                  /* a seal waits until nothing is in flight */
void job_fini(struct replicator *r);
bool job_knows(const struct replicator *r, enum wire_type type); /* an older server ends the connection at a message that it does not know */
void job_newest_set(struct replicator *r, const char *name, int64_t sealed_ns, int64_t started_ns, uint8_t verified);
void snapshot_ref(struct snapshot *sn);
void snapshot_unref(struct snapshot *sn);

/* ---- ask.c ---- */
void ask_pump(struct replicator *r);
bool ask_message(struct replicator *r, struct wire_msg *msg); /* false: not the server's to say now */
void ask_closed(struct replicator *r);
void ask_fini(struct replicator *r);

#endif
