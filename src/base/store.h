/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store - an LMDB environment: open, check, grow, transact.  The only file that knows lmdb.h.
 *
 * Default durability flags only: a commit that returned is on disk.  The map grows while running (doubling, no
 * transaction open); other processes follow.  An existing environment is opened first by a short-lived child, whose
 * SIGBUS or SIGSEGV means "damaged"; a damaged or foreign one is moved aside to <dir>.quarantine-<time> and reported,
 * and the caller starts with an empty one.  Only who has it open alone may do that (<dir>.lock): beside a running
 * process, and for reading only, a damaged or foreign one is -ERR_CORRUPT.
 *
 * Threads: a write transaction begins and ends on one thread.  Read transactions may be used by any one thread at a
 * time (MDB_NOTLS) and must be short: a long reader pins freed pages, and growing waits for it.  A thread that writes
 * while it has a read transaction open may wait for itself: after 10 s store_write() is -ERR_BUSY.  Never fork with an
 * open store and use it in the child.  Open a directory once per process.
 *
 * After a failed commit (other than a full disk) the store takes no more writes: close it and open it again.
 *
 * Failpoints: store.commit, store.commit.done, store.create, store.quarantine.
 */
#ifndef BASE_STORE_H
#define BASE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_txn;
struct store_cursor;

/* What an environment must say of itself to be taken for ours. */
struct store_identity {
	const char *kind;     /* "journal", "blockmap", "index", "catalogue" */
	uint32_t version;     /* of the record bytes; another version is foreign */
	const char *owner;    /* profile name; another owner is foreign */
	uint32_t sealed;      /* bit n: every row of table n bears its checksum, which the check at the opening tests, too */
};

enum store_flags {
	STORE_READONLY = 1,   /* for a process that only looks at another's environment */
	STORE_DERIVED = 2,    /* all it holds can be made again: of those moved aside the newest three are kept */
	STORE_GROUP_READS = 8, /* another user of our group may open it for reading; LMDB lets readers write to its lock */
	STORE_NO_CHECK = 4,   /* skip the checker child (a test, or a store checked a moment ago by the peer) */
};

#define STORE_ALL_SEALED UINT32_MAX

enum store_found { STORE_OPENED, STORE_CREATED, STORE_REBUILT /* the old one was quarantined */ };

#define STORE_KEY_MAX 500 /* bytes */

struct store_value {
	const void *data;
	size_t len;
};

/* Opens or creates the environment in directory `dir` (made, 0700) with the named tables (at most 16).  A table's number is its
 * index in `tables`.  The directory above must exist.  `ret_found` may be NULL; after STORE_REBUILT err_text() says why and
 * where the old one is.  STORE_READONLY: -ERR_GONE when there is none yet. */
int store_open(const char *dir, const struct store_identity *who, const char *const *tables, size_t n_tables,
    unsigned flags, struct store **ret_store, enum store_found *ret_found);
void store_close(struct store *s); /* NULL is fine; no transaction may be open */

/* Random 128-bit identity of this environment, new after every rebuild; 32 hex digits. */
const char *store_uuid(const struct store *s);

/* Bytes up to the last page ever used (the file never shrinks), and the size of the map. */
void store_usage(struct store *s, uint64_t *ret_used, uint64_t *ret_map);

/* Removes reader slots of dead processes. */
void store_reap_readers(struct store *s);

/* Runs `work` in one write transaction and commits; when the map is full it aborts, grows and runs `work` again, so
 * `work` must be repeatable.  A negative return of `work` aborts and is passed on; another is returned after the commit.
 * A failed put or delete aborts even if `work` overlooks it.  -ERR_NOSPACE: disk full, nothing was written.  This is the
 * only way to write; `work` may not call it. */
int store_write(struct store *s, int (*work)(struct store_txn *txn, void *arg), void *arg);

/* True when a commit failed so that nobody knows what the disk holds, or the map was lost: it takes no more writes until it is opened
 * again, which recovers.  Any thread. */
bool store_is_broken(struct store *s);

int store_read_begin(struct store *s, struct store_txn **ret_txn);
void store_read_end(struct store_txn *txn); /* NULL is fine */

/* 0 found, 1 absent, negative error.  The value points into the map: valid until the transaction ends or writes. */
int store_get(struct store_txn *txn, unsigned table, const void *key, size_t key_len, struct store_value *ret_value);
int store_put(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len);
/* Puts a key above all that are there (sequence keys, pages stay full); -ERR_DIFFERS when it is not. */
int store_append(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len);
/* 0 deleted, 1 was absent. */
int store_del(struct store_txn *txn, unsigned table, const void *key, size_t key_len);
int store_count(struct store_txn *txn, unsigned table, uint64_t *ret_rows);

/* Keys are bytes, compared by memcmp; sequence keys are 8 bytes big-endian. */
static inline void
store_key_u64(uint64_t v, uint8_t out[8])
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		out[i] = (uint8_t)v;
}

static inline uint64_t
store_u64_key(const void *key)
{
	const uint8_t *b = key;
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

/* Walks upward from the first key >= `key` (NULL = the first): store_cursor_next gives 0 and a pair, or 1 at the end.  In a
 * write transaction the row just given may be deleted; a cursor is closed before its transaction ends. */
int store_cursor_open(struct store_txn *txn, unsigned table, const void *key, size_t key_len, struct store_cursor **ret);
int store_cursor_next(struct store_cursor *c, struct store_value *ret_key, struct store_value *ret_value);
/* Gives the last pair of the table: 0, or 1 when it is empty. */
int store_last(struct store_txn *txn, unsigned table, struct store_value *ret_key, struct store_value *ret_value);
void store_cursor_close(struct store_cursor *c); /* NULL is fine */

/* Every record we store ends in a checksum of its key and itself; these add and test it.  The value put must not lie in the
 * map.  store_sealed_get: 0, 1 absent, -ERR_CORRUPT. */
int store_sealed_put(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len);
int store_sealed_append(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len);
int store_sealed_get(struct store_txn *txn, unsigned table, const void *key, size_t key_len, struct store_value *ret_value);
/* Checks and strips the checksum of a value met by a cursor under `key`. */
int store_unseal(struct store_value key, struct store_value *value);

#endif
