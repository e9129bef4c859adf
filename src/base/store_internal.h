/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_internal - what the files of store share; nobody else includes it.  LMDB's types appear by their tags only, so that
 * lmdb.h stays in the .c files.
 */
#ifndef BASE_STORE_INTERNAL_H
#define BASE_STORE_INTERNAL_H

#include <stdatomic.h>
#include <pthread.h>

#include "base/store.h"

#define STORE_TABLES_MAX 16

struct MDB_env;
struct MDB_txn;

struct store {
	struct MDB_env *env;
	unsigned tables[STORE_TABLES_MAX]; /* our number -> LMDB's */
	size_t n_tables;
	char uuid[33];
	bool readonly;
	int lock; /* <dir>.lock, held shared while open; -1 when read-only */

	pthread_mutex_t writer; /* write transactions and changes of the map */
	atomic_bool broken;     /* a commit failed: no more writes; set under `writer` */

	pthread_mutex_t guard;  /* all below */
	pthread_cond_t changed;
	size_t readers;         /* open read transactions of this process */
	bool remapping;         /* nobody may begin to read */
	atomic_bool unmapped;   /* the map was lost while it was changed */

	atomic_uint reads;             /* read transactions that ended */
	atomic_size_t resident_others; /* bytes of files in the process's page tables that are not the map's, about */
};

struct store_txn {
	struct store *store;
	struct MDB_txn *mdb;
	bool map_full;
	int err; /* the first failure of a write, which spoils the transaction */
};

/* Records what LMDB's code means for us. */
int store_fail(int rc, const char *what);

/* The process keeps about 12 MiB of the map in its page tables, and lets the page cache have the rest: at the opening, at each end of
 * a read (the transaction is still open), and after each write (with none open). */
void store_resident_begin(struct store *s);
void store_resident_read(struct store_txn *reader);
void store_resident_written(struct store *s);

/* Tests the environment in `dir` in a child process: 0, -ERR_CORRUPT, or another error when it could not be tested.  Of the tables
 * whose bit is set in `sealed` the rows' checksums are tested. */
int store_check(const char *dir, const char *const *tables, size_t n_tables, uint32_t sealed);

#endif
