/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work - one name to be brought into agreement with the server, from the moment it is read from the journal or found by a
 * scan until the server has said *durable*; and the tables that keep a path from being worked on twice at a time, and from
 * having two works because the journal names it twice.
 *
 * Threads: loop thread; while a look or a transfer has the work, its job's thread.
 */
#ifndef REPLICATOR_WORK_H
#define REPLICATOR_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "journal/blockmap.h"
#include "replicator/rows.h"
#include "replicator/settle.h"
#include "wire/entry.h"

struct origin;
struct replicator;
struct scan_dir;
struct snapshot;
struct sweep;
struct transfer;

enum work_verdict {
	WORK_UNSEEN,  /* not looked at yet */
	WORK_SAME,    /* the server holds exactly this */
	WORK_LEARNED, /* nothing to send, but the map learns something (stat, adopted content that proved equal) */
	WORK_PUT,     /* a small file, whole */
	WORK_ENTRY,   /* a directory, a link, a special, or new metadata of a file */
	WORK_REMOVE,
	WORK_LARGE,   /* a transfer of its own */
	WORK_TREE,    /* a directory is gone or no directory any more: what lay below goes first */
	WORK_ABORTED, /* a transfer that was begun and given up */
	WORK_HELD,    /* absent, but its root or area is absent too */
	WORK_FAILED,  /* could not be read */
};

TAILQ_HEAD(work_list, work);

/* A work may be in one of each. */
enum worktable_of {
	WORKTABLE_ACTIVE, /* being looked at or sent */
	WORKTABLE_ROWS,   /* named by journal rows */
	WORKTABLES
};

struct work {
	TAILQ_ENTRY(work) link; /* in the one queue it waits in */
	TAILQ_ENTRY(work) all;  /* among all the replicator's */
	struct work *same_bucket[WORKTABLES];
	struct work_list behind; /* the same path again, waiting for this one */
	char *path;
	const struct origin *origin;
	struct replicator *replicator;
	bool row;              /* journal rows name it: */
	struct rows looked; /* before the last look began: they go when what it found is durable */
	struct rows later;  /* since then: it is looked at once more */
	uint64_t since;        /* a barrier counts it as this row: the scan's that found it, or its own oldest */
	struct sweep *sweep;   /* found by it: told when done */
	struct scan_dir *dir;  /* in this directory */
	struct snapshot *snapshot; /* its origin's: a reference */
	bool leaf;             /* a vanished directory whose contents are gone from the server */
	bool deleted;          /* a row says that it was, and not renamed */
	int64_t seen_ns;       /* its rows' first event, wall clock */
	uint32_t attempts;     /* failed so far */
	uint64_t failed_at;    /* the last time, by the replicator's count of failures */
	bool asked_for;        /* a try is asked for that begins after the one under way */
	bool outdated;         /* what was looked at may be gone since without a word of its own: it is looked at once more */
	bool durable;          /* the server holds what was looked at; our own notes of that are not written yet */
	bool roomless;         /* there was no room on our disk for what we note of it */
	bool doubt;            /* a transfer was cut: ask the server what it holds */
	bool whole;            /* the server could not join what we sent: send every byte */
	bool deferred;         /* waits for its next try, at: */
	int64_t due_ms;
	struct hash128 *hints; /* hashes of all blocks and of the whole, from who wrote the file; NULL = none */
	size_t n_hints, hint_bytes;
	struct hash128 hint_digest;

	/* what looking found; valid until the work ends */
	enum work_verdict verdict;
	bool known;            /* the map has an entry */
	bool absent;           /* nothing lies there */
	bool patched;          /* WORK_ABORTED: the server has dropped the entry of the file it was patching */
	bool again;            /* look again when this is durable: the name changed its kind */
	struct entry entry;
	struct blockmap_stat stat;
	uint8_t *data;         /* WORK_PUT: entry.size bytes, owned */
	int err;
	char text[160];
	struct transfer *transfer;
	bool hashes_lost;      /* of this transfer some could not be saved: what the map has of the file's blocks may be of before */
	struct note note;
	bool active;           /* in the table */
	bool noting;           /* the note is being written: do not touch */
	bool waits_held;       /* deferred because its root or area is gone */
};

/* *Copies* the path; NULL when out of memory. */
struct work *work_new(const char *path, const struct origin *origin);
void work_free(struct work *w); /* with all that waits behind it; NULL is fine */
/* Forgets what looking found. */
void work_forget(struct work *w);

/* One more row names it; `cookie` as in rows_add().  False: out of memory, nothing changed. */
bool work_add_row(struct work *w, uint64_t seq, uint64_t cookie);
/* A look begins: all rows so far are answered by it. */
void work_begin_look(struct work *w, uint64_t cookie);
/* The rows that were looked at have left the journal; true when there are later ones, which is then what it is about. */
bool work_rows_gone(struct work *w);

struct worktable; /* works by path */

struct worktable *worktable_new(enum worktable_of which); /* NULL when out of memory */
void worktable_free(struct worktable *t);
size_t worktable_count(const struct worktable *t);
/* NULL: none of this path. */
struct work *worktable_find(const struct worktable *t, const char *path);
/* `add`: none of its path is there yet.  `remove`: nothing happens when it is not there. */
void worktable_add(struct worktable *t, struct work *w);
void worktable_remove(struct worktable *t, struct work *w);
/* Makes the work active: true; or puts it behind the active one of its path: false. */
bool worktable_enter(struct worktable *t, struct work *w);
/* Ends its turn; gives what waited behind it, moved to `ret_behind`. */
void worktable_leave(struct worktable *t, struct work *w, struct work_list *ret_behind);

#endif
