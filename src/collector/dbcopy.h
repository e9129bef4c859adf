/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dbcopy - runs DBCOPY, ours or GroupWise's, and tells what it did.
 *
 * The copier is a child process in a session of its own; its output goes into the job's log; a time limit
 * ends it, and what it leaves running in its session is ended with it.  Trust is earned three ways: its exit status, its log (mmddgwbk.nnn), and the list of files that are really
 * there afterwards (every live database present, plausible in size, not older than the live one at T0).
 *
 * Ours (tidemark-dbcopy) reports each finished file with its block hashes on a pipe, so that the file can be streamed while
 * the next is copied.  GroupWise's gets a shadow of the post office as its source (shadow.h).
 */
#ifndef COLLECTOR_DBCOPY_H
#define COLLECTOR_DBCOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "layout.h"

struct event_base;
struct workpool;
struct livetree;
struct dbcopy;

struct dbcopy_setup {
	struct event_base *base;
	struct workpool *pool;
	int lane;                /* for the listing and checking */
	const struct livetree *tree;
	const char *command;     /* "builtin" or a command line, split as a shell would, but no shell runs */
	const char *staging;     /* absolute: the day's folder in local staging, holding yesterday's copies */
	int lock;                /* staginglock's, held until `done` or later: the child inherits it */
	const char *shadow;      /* absolute: where the shadow for an external command is made anew */
	const char *log_file;    /* the job's log, appended */
	const uint8_t *key;      /* BLOCK_KEY_BYTES: for the hashes */
	int64_t timeout_ms;
	int64_t t0_ns;
};

struct dbcopy_file {
	const char *path;        /* set path */
	uint64_t size;
	bool changed;            /* false: staging had it already */
	struct hash128 *hashes;  /* *given* (malloc) or NULL */
	size_t n_hashes;
	struct hash128 digest;
};

struct dbcopy_figures {
	uint64_t files, files_copied, bytes, bytes_copied, removed, retries;
	char warnings[512];      /* "" = none */
};

struct dbcopy_events {
	void (*file)(const struct dbcopy_file *file, void *arg); /* builtin only */
	void (*progress)(uint64_t files, uint64_t bytes, void *arg);
	/* Once.  0: everything that must be there is there.  `text` and `figures` live until dbcopy_free(). */
	void (*done)(int err, const char *text, const struct dbcopy_figures *figures, void *arg);
};

/* Bytes of the live databases, all of which are copied or found to be there; 0 until they are listed. */
uint64_t dbcopy_total(const struct dbcopy *d);

int dbcopy_start(const struct dbcopy_setup *setup, const struct dbcopy_events *events, void *arg, struct dbcopy **ret_dbcopy);
/* Ends the child (TERM, then KILL); `done` is called with -ERR_STOPPED. */
void dbcopy_stop(struct dbcopy *d);
void dbcopy_free(struct dbcopy *d);

/* NULL, or why this command cannot be run (for doctor and the job's check). */
char *dbcopy_problem(const char *command);

/* ---- the report of tidemark-dbcopy on its pipe; written by src/dbcopy_main.c, read by dbcopy.c; pure ---- */

struct pack_out;
/* One finished file. */
void dbcopy_report_pack(struct pack_out *o, const struct dbcopy_file *file);
/* 1 took one from the front of `data` (`*ret_used` bytes), 0 needs more, -ERR_PEER. */
int dbcopy_report_unpack(const uint8_t *data, size_t len, size_t *ret_used, char **ret_path, struct dbcopy_file *ret_file);

#endif
