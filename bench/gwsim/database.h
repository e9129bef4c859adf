/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * database - one simulated database file, changed in place by transactions under a whole-file POSIX lock.
 *
 * A transaction changes 2 to 6 pages, the header among them, and writes them one by one in scrambled order:
 * who copies without the lock gets a torn copy, who copies with it gets one instant. POSIX locks belong to the
 * process and fall with any close of the file, so a process opens a database once and uses it in one thread.
 */
#ifndef GWSIM_DATABASE_H
#define GWSIM_DATABASE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/gwsim/page.h"
#include "bench/gwsim/rng.h"

enum { TRANSACTION_PAGES = 5 };	/* besides the header */

struct transaction {
	union page header;
	union page pages[TRANSACTION_PAGES];
	uint64_t old_txid[TRANSACTION_PAGES];	/* 0: a new page */
	unsigned count;
};

struct database {
	char *path;			/* as the file system spells it */
	char name[NAME_BYTES];		/* relative to the post office, lower case */
	uint64_t id;
	int fd;				/* -1: not open yet */
	struct transaction *tx;		/* NULL: none under way */
	uint8_t *written;		/* churn: one bit per page written since database_track() */
	uint32_t written_room;		/* pages the bits have room for */
};

/* The id every page of a database of this name carries. */
uint64_t database_id(const char *name);

/* Name a database; nothing is opened. Takes `path` (from malloc). */
void database_init(struct database *db, char *path, const char *name);
void database_fini(struct database *db);

/*
 * Start a transaction: open the file when needed, wait for the lock, read the header. Returns false, without a
 * transaction, when *stop (may be NULL) was raised while waiting. A damaged header ends the process.
 */
bool database_begin(struct database *db, const volatile sig_atomic_t *stop);

/* The header as this transaction will write it. Valid until commit or abort. */
struct header *database_header(struct database *db);

/* Page `no` as this transaction sees it, not to be changed; `room` holds it when the transaction does not. */
const union page *database_peek(struct database *db, uint32_t no, union page *room);

/* Page `no`, to be changed. At most TRANSACTION_PAGES different ones. Valid until commit or abort. */
union page *database_change(struct database *db, uint32_t no);

/* A new page at the end, all slots free; counts as a changed one. */
union page *database_append(struct database *db, struct rng *rng);

/* How many more pages this transaction can change. */
unsigned database_room(const struct database *db);

/* Write header and changed pages in an order drawn from `rng`, then unlock. Returns the pages written. */
unsigned database_commit(struct database *db, struct rng *rng);

/* Forget the changes and unlock. */
void database_abort(struct database *db);

/* Scribble on `count` pages chosen by `rng`, already changed ones included, as far as there is room. */
void database_scribble(struct database *db, struct rng *rng, unsigned count);

/*
 * Keep the file as it is for a while: open it for reading when needed and wait for the shared lock (a file system
 * without locks is taken as it is). False, errno set: cannot be opened.
 */
bool database_hold(struct database *db);
void database_release(struct database *db);

/* Write the file as it is to `path`; only while held or in a transaction. The process ends when it cannot. */
void database_copy(struct database *db, const char *path);

/* From now on count which pages are written; database_tracked() tells how many different ones. */
void database_track(struct database *db);
uint32_t database_tracked(const struct database *db);

/* Writes a new database from front to back; every page belongs to transaction 1. */
struct builder {
	const char *path;		/* borrowed until builder_end() */
	union page *buffer;
	uint32_t buffered, first;	/* buffer[0] is page `first` */
	int fd;
	union page header;
};

/* Create the file, which must not exist. */
void builder_begin(struct builder *b, const char *path, const char *name, uint64_t run_id, enum page_kind kind);

/* The next page, its items filled from `rng` and its slots free; to be completed before the next call. */
union page *builder_page(struct builder *b, struct rng *rng);

/* Write the rest and the header. */
void builder_end(struct builder *b);

#endif
