/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows how LMDB is written and read while its map may move.
 *
 * LMDB changes the size of its map by unmapping it, and does not look whether somebody reads.  So this process counts its
 * readers: a change of the map holds `writer`, keeps new readers out and waits for the old ones - for a while, because a
 * thread that writes while it reads would wait for itself.
 */
#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/block.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/store_internal.h"

#define VALUE_MAX (1u << 30)
#define SEAL_BYTES 8

static int remap_patience_s = 10; /* the unit test has less */

struct store_cursor {
	MDB_cursor *mdb;
	MDB_cursor_op next; /* MDB_SET_RANGE or MDB_FIRST at the start, then MDB_NEXT */
	bool ended;
	size_t key_len;     /* of the start */
	uint8_t key[STORE_KEY_MAX];
};

int
store_fail(int rc, const char *what)
{
	switch (rc) {
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return err_set(ERR_CORRUPT, "%s: %s", what, mdb_strerror(rc));
	case MDB_READERS_FULL:
	case MDB_TXN_FULL:
	case MDB_BAD_VALSIZE:
		return err_set(ERR_LIMIT, "%s: %s", what, mdb_strerror(rc));
	default:
		if (rc > 0) {
			errno = rc;
			return err_sys("%s", what);
		}
		return err_set(ERR_IO, "%s: %s", what, mdb_strerror(rc));
	}
}

/* ---- the map ---- */

static int
reader_enter(struct store *s)
{
	int err = 0;

	pthread_mutex_lock(&s->guard);
	while (s->remapping)
		pthread_cond_wait(&s->changed, &s->guard);
	if (s->unmapped)
		err = err_set(ERR_IO, "the map of the store was lost; it must be opened again");
	else
		s->readers++;
	pthread_mutex_unlock(&s->guard);
	return err;
}

static void
reader_leave(struct store *s)
{
	pthread_mutex_lock(&s->guard);
	assert(s->readers > 0);
	if (--s->readers == 0 && s->remapping)
		pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->guard);
}

/* With `guard` held and new readers kept out. */
static bool
readers_ended(struct store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += remap_patience_s;
	while (s->readers > 0)
		if (pthread_cond_timedwait(&s->changed, &s->guard, &until) == ETIMEDOUT)
			return s->readers == 0;
	return true;
}

/* Changes the size of the map; 0 = what another process made of it.  `writer` is held, and no write is open. */
static int
remap(struct store *s, size_t bytes)
{
	int err = 0, rc;

	pthread_mutex_lock(&s->guard);
	assert(!s->remapping);
	s->remapping = true;
	if (!readers_ended(s)) {
		err = err_set(ERR_BUSY, "the map of the store cannot grow: a reader is open for more than %d s", remap_patience_s);
	} else if ((rc = mdb_env_set_mapsize(s->env, bytes)) != 0) {
		/* LMDB has unmapped the old one already. */
		s->unmapped = true;
		err = store_fail(rc, "change the map of the store");
	}
	s->remapping = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->guard);
	return err;
}

/* What a reader saw that died since is kept for it, and a writer that goes on alone would fill one map after the other. */
static int
make_room(struct store *s)
{
	MDB_envinfo info;
	int dead = 0;

	if (mdb_reader_check(s->env, &dead) == 0 && dead > 0)
		return 0;
	mdb_env_info(s->env, &info);
	if (info.me_mapsize > SIZE_MAX / 4)
		return err_set(ERR_LIMIT, "the store is full");
	return remap(s, 2 * info.me_mapsize);
}

/* ---- writing ---- */

static int
refuse_writes(struct store *s, int err)
{
	s->broken = true;
	return err_prefix(err, "the store takes no more writes until it is opened again");
}

static int
begin_write(struct store *s, MDB_txn **ret_txn)
{
	int rc;

	if (s->broken)
		return refuse_writes(s, err_set(ERR_IO, "an earlier commit failed"));
	if (s->unmapped) /* set under `writer`, which we hold */
		return err_set(ERR_IO, "the map of the store was lost; it must be opened again");
	while ((rc = mdb_txn_begin(s->env, NULL, 0, ret_txn)) == MDB_MAP_RESIZED) {
		int err = remap(s, 0);

		if (err)
			return err;
	}
	if (rc == MDB_PANIC)
		return refuse_writes(s, store_fail(rc, "begin to write"));
	return rc ? store_fail(rc, "begin to write") : 0;
}

/* LMDB says EIO, too, of a write that the kernel took only a part of, because the disk was full: then no call has failed.  To ask how much
 * room there is would be too late, for another's may have been given back meanwhile. */
static int
commit(MDB_txn *txn)
{
	int rc;

	errno = 0;
	rc = mdb_txn_commit(txn);
	return rc == EIO && errno != EIO ? ENOSPC : rc;
}

/* A full disk leaves the last commit in force and may pass.  After anything else we cannot know what the kernel has
 * thrown away: nobody writes on top of that. */
static int
commit_failed(struct store *s, int rc)
{
	int err = store_fail(rc, "commit");

	return err == -ERR_NOSPACE || PLANTED(failed_commit_forgiven) ? err : refuse_writes(s, err);
}

static int
write_once(struct store *s, int (*work)(struct store_txn *txn, void *arg), void *arg, bool *ret_full)
{
	struct store_txn txn = {.store = s};
	int rc, result, err = begin_write(s, &txn.mdb);

	*ret_full = false;
	if (err)
		return err;
	result = work(&txn, arg);
	if (result >= 0 && txn.err)
		result = txn.err; /* a failed write cannot be shrugged off */
	if (result < 0 || txn.map_full) {
		mdb_txn_abort(txn.mdb);
		*ret_full = txn.map_full;
		return result;
	}
	failpoint("store.commit");
	rc = commit(txn.mdb);
	*ret_full = rc == MDB_MAP_FULL;
	if (rc)
		return *ret_full ? 0 : commit_failed(s, rc);
	failpoint("store.commit.done");
	return result;
}

int
store_write(struct store *s, int (*work)(struct store_txn *txn, void *arg), void *arg)
{
	bool full = true;
	int rc, result = 0;

	if (s->readonly)
		return err_set(ERR_UNSUPPORTED, "the store is open for reading only");
	rc = pthread_mutex_lock(&s->writer);
	assert(rc == 0); /* EDEADLK: a write within a write */
	(void)rc;
	while (full) {
		result = write_once(s, work, arg, &full);
		if (full) {
			int err = make_room(s);

			if (err) {
				result = err;
				break;
			}
		}
	}
	pthread_mutex_unlock(&s->writer);
	store_resident_written(s);
	return result;
}

bool
store_is_broken(struct store *s)
{
	return atomic_load(&s->broken) || atomic_load(&s->unmapped);
}

/* ---- reading ---- */

static int
adopt_map(struct store *s)
{
	int err;

	pthread_mutex_lock(&s->writer);
	err = remap(s, 0);
	pthread_mutex_unlock(&s->writer);
	return err;
}

/* 1 = the map is too small for what another process wrote. */
static int
begin_read(struct store *s, MDB_txn **ret_txn)
{
	int err = reader_enter(s), rc;

	if (err)
		return err;
	rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, ret_txn);
	if (rc == MDB_READERS_FULL) { /* perhaps with the dead */
		mdb_reader_check(s->env, NULL);
		rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, ret_txn);
	}
	if (rc)
		reader_leave(s);
	if (rc == MDB_MAP_RESIZED)
		return 1;
	/* A head page that was not written, for want of room say, ends LMDB for good, and nobody may ever come to write again. */
	if (rc == MDB_PANIC && !PLANTED(panic_passes))
		return refuse_writes(s, store_fail(rc, "begin to read"));
	return rc ? store_fail(rc, "begin to read") : 0;
}

int
store_read_begin(struct store *s, struct store_txn **ret_txn)
{
	struct store_txn *txn = calloc(1, sizeof(*txn));
	int err;

	if (!txn)
		return err_set(ERR_NOMEM, "out of memory for a transaction");
	txn->store = s;
	while ((err = begin_read(s, &txn->mdb)) == 1)
		if ((err = adopt_map(s)) != 0)
			break;
	if (err) {
		free(txn);
		return err;
	}
	*ret_txn = txn;
	return 0;
}

void
store_read_end(struct store_txn *txn)
{
	if (!txn)
		return;
	store_resident_read(txn);
	mdb_txn_abort(txn->mdb);
	reader_leave(txn->store);
	free(txn);
}

/* ---- rows ---- */

static MDB_dbi
table_of(const struct store_txn *txn, unsigned table)
{
	assert(table < txn->store->n_tables);
	return txn->store->tables[table];
}

/* LMDB's structs have no const; it does not write through these. */
static MDB_val
val(const void *data, size_t len)
{
	return (MDB_val){len, (void *)(uintptr_t)data};
}

static int
check_key(size_t len)
{
	if (len == 0 || len > STORE_KEY_MAX)
		return err_set(ERR_LIMIT, "a key has 1 to %d bytes, not %zu", STORE_KEY_MAX, len);
	return 0;
}

int
store_get(struct store_txn *txn, unsigned table, const void *key, size_t key_len, struct store_value *ret_value)
{
	MDB_val k = val(key, key_len), v;
	int rc, err = check_key(key_len);

	if (err)
		return err;
	rc = mdb_get(txn->mdb, table_of(txn, table), &k, &v);
	if (rc == MDB_NOTFOUND)
		return 1;
	if (rc)
		return store_fail(rc, "read");
	*ret_value = (struct store_value){v.mv_data, v.mv_size};
	return 0;
}

/* After this the transaction can only be aborted. */
static int
spoil(struct store_txn *txn, int rc, const char *what)
{
	txn->map_full |= rc == MDB_MAP_FULL;
	txn->err = store_fail(rc, what);
	return txn->err;
}

/* With MDB_RESERVE `value->mv_data` comes back as room for the bytes. */
static int
put_row(struct store_txn *txn, unsigned table, const void *key, size_t key_len, MDB_val *value, unsigned how)
{
	MDB_val k = val(key, key_len);
	int rc, err = check_key(key_len);

	if (err)
		return err;
	if (value->mv_size > VALUE_MAX)
		return err_set(ERR_LIMIT, "a value has at most %u bytes, not %zu", VALUE_MAX, value->mv_size);
	rc = mdb_put(txn->mdb, table_of(txn, table), &k, value, how);
	if (rc == MDB_KEYEXIST)
		return err_set(ERR_DIFFERS, "an appended key does not follow the last one");
	return rc ? spoil(txn, rc, "write") : 0;
}

int
store_put(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len)
{
	MDB_val v = val(value, len);

	return put_row(txn, table, key, key_len, &v, 0);
}

int
store_append(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len)
{
	MDB_val v = val(value, len);

	return put_row(txn, table, key, key_len, &v, MDB_APPEND);
}

int
store_del(struct store_txn *txn, unsigned table, const void *key, size_t key_len)
{
	MDB_val k = val(key, key_len);
	int rc, err = check_key(key_len);

	if (err)
		return err;
	rc = mdb_del(txn->mdb, table_of(txn, table), &k, NULL);
	if (rc == MDB_NOTFOUND)
		return 1;
	return rc ? spoil(txn, rc, "delete") : 0;
}

int
store_count(struct store_txn *txn, unsigned table, uint64_t *ret_rows)
{
	MDB_stat st;
	int rc = mdb_stat(txn->mdb, table_of(txn, table), &st);

	if (rc)
		return store_fail(rc, "count");
	*ret_rows = st.ms_entries;
	return 0;
}

/* ---- cursors ---- */

int
store_cursor_open(struct store_txn *txn, unsigned table, const void *key, size_t key_len, struct store_cursor **ret)
{
	struct store_cursor *c;
	int rc, err = key ? check_key(key_len) : 0;

	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(ERR_NOMEM, "out of memory for a cursor");
	rc = mdb_cursor_open(txn->mdb, table_of(txn, table), &c->mdb);
	if (rc) {
		free(c);
		return store_fail(rc, "open a cursor");
	}
	c->next = key ? MDB_SET_RANGE : MDB_FIRST;
	if (key) {
		memcpy(c->key, key, key_len);
		c->key_len = key_len;
	}
	*ret = c;
	return 0;
}

int
store_cursor_next(struct store_cursor *c, struct store_value *ret_key, struct store_value *ret_value)
{
	MDB_val k = {c->key_len, c->key}, v;
	int rc = c->ended ? MDB_NOTFOUND : mdb_cursor_get(c->mdb, &k, &v, c->next);

	if (rc == MDB_NOTFOUND) {
		c->ended = true;
		return 1;
	}
	if (rc)
		return store_fail(rc, "read on");
	c->next = MDB_NEXT;
	*ret_key = (struct store_value){k.mv_data, k.mv_size};
	*ret_value = (struct store_value){v.mv_data, v.mv_size};
	return 0;
}

void
store_cursor_close(struct store_cursor *c)
{
	if (!c)
		return;
	mdb_cursor_close(c->mdb);
	free(c);
}

int
store_last(struct store_txn *txn, unsigned table, struct store_value *ret_key, struct store_value *ret_value)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	int rc = mdb_cursor_open(txn->mdb, table_of(txn, table), &cursor);

	if (rc)
		return store_fail(rc, "open a cursor");
	rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
	mdb_cursor_close(cursor);
	if (rc == MDB_NOTFOUND)
		return 1;
	if (rc)
		return store_fail(rc, "read the last row");
	*ret_key = (struct store_value){k.mv_data, k.mv_size};
	*ret_value = (struct store_value){v.mv_data, v.mv_size};
	return 0;
}

/* ---- sealed rows ---- */

/* Over the key too: a value that turns up under another key is as wrong as a changed one. */
static uint64_t
seal_of(const void *key, size_t key_len, const void *value, size_t len)
{
	return block_checksum(block_checksum(0, key, key_len), value, len);
}

/* The value may not lie in the map: the row is made before it is filled. */
static int
put_sealed(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len, unsigned how)
{
	uint64_t seal = seal_of(key, key_len, value, len);
	MDB_val room = {len + SEAL_BYTES, NULL};
	uint8_t *at;
	int err = put_row(txn, table, key, key_len, &room, how | MDB_RESERVE);

	if (err)
		return err;
	at = room.mv_data;
	if (len)
		memcpy(at, value, len);
	for (size_t i = 0; i < SEAL_BYTES; i++)
		at[len + i] = (uint8_t)(seal >> (8 * i));
	return 0;
}

int
store_sealed_put(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len)
{
	return put_sealed(txn, table, key, key_len, value, len, 0);
}

int
store_sealed_append(struct store_txn *txn, unsigned table, const void *key, size_t key_len, const void *value, size_t len)
{
	return put_sealed(txn, table, key, key_len, value, len, MDB_APPEND);
}

int
store_unseal(struct store_value key, struct store_value *value)
{
	const uint8_t *bytes = value->data;
	uint64_t seal = 0;
	size_t len;

	if (value->len < SEAL_BYTES)
		return err_set(ERR_CORRUPT, "a stored row is too short for its checksum");
	len = value->len - SEAL_BYTES;
	for (size_t i = 0; i < SEAL_BYTES; i++)
		seal |= (uint64_t)bytes[len + i] << (8 * i);
	if (seal != seal_of(key.data, key.len, bytes, len) && !PLANTED(row_checksum_ignored))
		return err_set(ERR_CORRUPT, "a stored row fails its checksum");
	value->len = len;
	return 0;
}

int
store_sealed_get(struct store_txn *txn, unsigned table, const void *key, size_t key_len, struct store_value *ret_value)
{
	struct store_value value;
	int err = store_get(txn, table, key, key_len, &value);

	if (!err)
		err = store_unseal((struct store_value){key, key_len}, &value);
	if (!err)
		*ret_value = value;
	return err;
}

/* ---- the store as a whole ---- */

const char *
store_uuid(const struct store *s)
{
	return s->uuid;
}

void
store_usage(struct store *s, uint64_t *ret_used, uint64_t *ret_map)
{
	MDB_envinfo info = {0};
	MDB_stat st = {0};

	*ret_used = *ret_map = 0;
	if (reader_enter(s))
		return;
	mdb_env_info(s->env, &info);
	mdb_env_stat(s->env, &st);
	reader_leave(s);
	*ret_used = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
	*ret_map = info.me_mapsize;
}

void
store_reap_readers(struct store *s)
{
	mdb_reader_check(s->env, NULL);
}
