/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * catalogue_stage - what a day did to each blob is folded here to one wish a path: it shall hold this version, or none; and
 * how the wishes become rows, once, however often it is tried.
 *
 * Folded before anything is read: a file that came and went before the job began is never opened, and a version whose bytes
 * are bad stops no seal any more once a better one has come.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "keeper/catalogue_rows.h"

#define MERGE_ROWS 1000u   /* a transaction */

/* ---- staged rows ---- */

static int
staged_get(struct store_txn *txn, const char *path, struct staged_row *ret_row)
{
	struct store_value value;
	struct row_key key;
	int err;

	row_key_staged(path, 0, &key);
	err = store_sealed_get(txn, STAGED, key.bytes, key.len, &value);
	return err ? err : staged_row_unpack(value, ret_row);
}

static int
staged_put(struct store_txn *txn, const struct staged_row *row)
{
	struct pack_out o = {0};
	struct row_key key;
	int err;

	row_key_staged(row->blob.path, row->kind == STAGED_DEAD ? row->blob.version : 0, &key);
	staged_row_pack(&o, row);
	err = row_put(txn, STAGED, &key, &o);
	pack_out_fini(&o);
	return err;
}

/* The open row of a path: *gives* it; 1 when there is none. */
static int
find_open(struct store_txn *txn, const char *path, struct blob_row *ret_row)
{
	struct store_cursor *cursor;
	struct store_value key, value;
	struct row_key from;
	int err;

	row_key_path(path, &from);
	err = store_cursor_open(txn, BLOBS, from.bytes, from.len, &cursor);
	if (err)
		return err;
	while ((err = store_cursor_next(cursor, &key, &value)) == 0) {
		struct blob_row row;

		if (key.len < from.len || memcmp(key.data, from.bytes, from.len) != 0) {
			err = 1;
			break;
		}
		err = store_unseal(key, &value);
		if (!err)
			err = blob_row_unpack(value, &row);
		if (err)
			break;
		if (row.last == CATALOGUE_OPEN) {
			*ret_row = row;
			break;
		}
		blob_row_fini(&row);
	}
	store_cursor_close(cursor);
	return err;
}

/* A re-told row of bytes that are known need not be read again. */
static int
fill_known(struct store_txn *txn, struct staged_row *row)
{
	struct blob_row open;
	int err = find_open(txn, row->blob.path, &open);

	if (err)
		return err < 0 ? err : 0;
	if (open.version == row->blob.version && entries_equal(&open.entry, &row->blob.entry)) {
		memcpy(row->blob.sha256, open.sha256, DIGEST_BYTES);
		row->hashed = true;
	}
	blob_row_fini(&open);
	return 0;
}

/* A version that another one took the place of before the set came never gets into one. */
static int
supersede(struct store_txn *txn, struct staged_row *old)
{
	old->kind = STAGED_DEAD;
	return staged_put(txn, old);
}

/* A version that is wanted after all is not dead. */
static int
staged_revive(struct store_txn *txn, const char *path, uint32_t version)
{
	struct row_key key;
	int err;

	row_key_staged(path, version, &key);
	err = store_del(txn, STAGED, key.bytes, key.len);
	return err < 0 ? err : 0;
}

static int
stage_put(struct store_txn *txn, const struct index_fresh *fresh)
{
	/* The strings stay the caller's: this row is only packed. */
	struct staged_row row = {.kind = STAGED_ADD, .blob = {.path = fresh->path, .version = fresh->version, .last = CATALOGUE_OPEN,
	    .seq = fresh->seq, .entry = fresh->entry}};
	struct staged_row old;
	int err = staged_get(txn, fresh->path, &old);

	if (err < 0)
		return err;
	if (!err) {
		/* By their order in the list: a folder has no versions that rise. */
		bool older = old.kind == STAGED_ADD && old.blob.seq > fresh->seq;
		bool other = old.kind == STAGED_ADD && old.blob.version != fresh->version;

		if (other && !older)
			err = supersede(txn, &old);
		blob_row_fini(&old.blob);
		if (err || (older && !other))
			return err;
		if (older)
			return supersede(txn, &row);
	}
	err = staged_revive(txn, fresh->path, fresh->version);
	if (!err)
		err = fill_known(txn, &row);
	return err ? err : staged_put(txn, &row);
}

static int
stage_remove(struct store_txn *txn, const struct index_fresh *fresh)
{
	struct staged_row row = {.kind = STAGED_CLOSE, .blob = {.path = fresh->path, .seq = fresh->seq, .entry = {.kind = ENTRY_DIR}}};
	struct staged_row old;
	int err = staged_get(txn, fresh->path, &old);

	if (err < 0)
		return err;
	if (!err) {
		/* A row from a walk of the index is newer than tombstones of the list that is replayed over it. */
		bool newer = old.kind == STAGED_ADD && old.blob.seq >= fresh->seq;

		if (old.kind == STAGED_ADD && !newer)
			err = supersede(txn, &old);
		blob_row_fini(&old.blob);
		if (err || newer)
			return err;
	}
	return staged_put(txn, &row);
}

struct stage {
	const struct index_fresh *rows;
	size_t n;
};

static int
stage_rows(struct store_txn *txn, void *arg)
{
	const struct stage *s = arg;
	int err = 0;

	for (size_t i = 0; !err && i < s->n; i++)
		err = s->rows[i].removed ? stage_remove(txn, &s->rows[i]) : stage_put(txn, &s->rows[i]);
	return err;
}

int
catalogue_stage(struct catalogue *c, const struct index_fresh *rows, size_t n)
{
	struct stage s = {rows, n};

	return n ? store_write(c->store, stage_rows, &s) : 0;
}

/* ---- beginning and forgetting ---- */

struct clear {
	size_t n; /* rows the last transaction deleted */
};

static int
clear_some(struct store_txn *txn, void *arg)
{
	struct clear *clear = arg;
	struct store_cursor *cursor;
	struct store_value key, value;
	int err = store_cursor_open(txn, STAGED, NULL, 0, &cursor);

	if (err)
		return err;
	clear->n = 0;
	while (!err && clear->n < MERGE_ROWS && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		err = store_del(txn, STAGED, key.data, key.len);
		clear->n++;
	}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

static int
clear_staging(struct catalogue *c)
{
	struct clear clear;
	int err;

	do
		err = store_write(c->store, clear_some, &clear);
	while (!err && clear.n == MERGE_ROWS);
	return err;
}

int
catalogue_stage_begin(struct catalogue *c, uint32_t *ret_number)
{
	uint32_t last = 0;
	int err = clear_staging(c);

	if (!err)
		err = catalogue_meta_get(c, META_LAST, &last, sizeof last);
	if (err < 0)
		return err;
	last++;
	err = catalogue_meta_put(c, META_LAST, &last, sizeof last);
	if (!err)
		*ret_number = last;
	return err;
}

int
catalogue_drop_pending(struct catalogue *c)
{
	struct set_row set;
	int err = catalogue_pending(c, &set);

	if (err < 0)
		return err;
	if (!err) {
		err = catalogue_del_set(c, set.number);
		set_row_fini(&set);
		if (err)
			return err;
	}
	return clear_staging(c);
}

/* ---- what is left to read ---- */

static bool
needs_reading(const struct staged_row *row)
{
	return row->kind == STAGED_ADD && !row->hashed && row->blob.entry.kind == ENTRY_FILE;
}

static int
todo_collect(struct store_cursor *cursor, const struct row_key *after, size_t max, struct blob_row *rows, size_t *n)
{
	struct store_value key, value;
	int err = 0;

	while (*n < max && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		struct staged_row row;

		if (key.len == after->len && memcmp(key.data, after->bytes, key.len) == 0)
			continue;
		err = store_unseal(key, &value);
		if (!err)
			err = staged_row_unpack(value, &row);
		if (err)
			return err;
		if (needs_reading(&row))
			rows[(*n)++] = row.blob;
		else
			blob_row_fini(&row.blob);
	}
	return err < 0 ? err : 0;
}

int
catalogue_stage_todo(struct catalogue *c, const struct blob_row *after, size_t max, struct blob_row **ret_rows, size_t *ret_n)
{
	struct blob_row *rows = calloc(max, sizeof *rows);
	struct store_cursor *cursor = NULL;
	struct row_key key = {.len = 0};
	struct store_txn *txn;
	size_t n = 0;
	int err;

	if (!rows)
		return err_set(ERR_NOMEM, "out of memory for staged blobs");
	if (after)
		row_key_staged(after->path, 0, &key);
	err = store_read_begin(c->store, &txn);
	if (err) {
		free(rows);
		return err;
	}
	err = store_cursor_open(txn, STAGED, key.len ? key.bytes : NULL, key.len, &cursor);
	if (!err)
		err = todo_collect(cursor, &key, max, rows, &n);
	store_cursor_close(cursor);
	store_read_end(txn);
	if (err) {
		blob_rows_free(rows, n);
		return err;
	}
	*ret_rows = rows;
	*ret_n = n;
	return 0;
}

struct hashed {
	const struct blob_row *rows;
	size_t n;
};

static int
put_hashed(struct store_txn *txn, void *arg)
{
	const struct hashed *h = arg;
	int err = 0;

	for (size_t i = 0; !err && i < h->n; i++) {
		struct staged_row row = {.kind = STAGED_ADD, .hashed = true, .blob = h->rows[i]};

		err = staged_put(txn, &row);
	}
	return err;
}

int
catalogue_stage_done(struct catalogue *c, const struct blob_row *rows, size_t n)
{
	struct hashed h = {rows, n};

	return n ? store_write(c->store, put_hashed, &h) : 0;
}

/* ---- the merge ---- */

struct merge {
	uint32_t number;
	struct row_key at;    /* last staged row that is merged */
	struct row_key next;  /* becomes `at` when the transaction is committed */
	struct blob_sum sum;
	bool end;
};

static int
sum_get(struct store_txn *txn, struct blob_sum *ret_sum)
{
	struct store_value value;
	int err = store_sealed_get(txn, META, META_SUM, strlen(META_SUM), &value);

	*ret_sum = (struct blob_sum){0};
	if (err)
		return err < 0 ? err : 0;
	struct pack_in i = pack_in(value.data, value.len);
	blob_sum_unpack(&i, ret_sum);
	return unpack_done(&i) ? 0 : err_set(ERR_CORRUPT, "the catalogue's sum is damaged");
}

static int
sum_put(struct store_txn *txn, const struct blob_sum *sum)
{
	uint8_t bytes[SUM_BYTES];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);

	blob_sum_pack(&o, sum);
	return store_sealed_put(txn, META, META_SUM, strlen(META_SUM), o.data, o.len);
}

static int
blob_put(struct store_txn *txn, const struct blob_row *row)
{
	struct pack_out o = {0};
	struct row_key key;
	int err;

	row_key_blob(row->path, row->version, row->first, &key);
	blob_row_pack(&o, row);
	err = row_put(txn, BLOBS, &key, &o);
	pack_out_fini(&o);
	return err;
}

/* The row ends, and is found by its end when sets leave. */
static int
blob_end(struct store_txn *txn, struct blob_row *row, uint32_t last)
{
	struct row_key key, of;
	int err;

	row->last = last;
	err = blob_put(txn, row);
	if (err)
		return err;
	row_key_ended(row, &key);
	row_key_blob(row->path, row->version, row->first, &of);
	return store_sealed_put(txn, ENDED, key.bytes, key.len, of.bytes, of.len);
}

static int
merge_add(struct store_txn *txn, struct merge *m, struct blob_row *row)
{
	struct blob_row open;
	int err = find_open(txn, row->path, &open);

	if (err < 0)
		return err;
	if (!err) {
		/* Merged before, or the same again. */
		bool there = open.first == m->number || (open.version == row->version &&
		    memcmp(open.sha256, row->sha256, DIGEST_BYTES) == 0 && entries_equal(&open.entry, &row->entry));

		if (!there) {
			blob_sum_sub(&m->sum, &open);
			err = blob_end(txn, &open, m->number - 1);
		}
		/* Told again, it came again: tombstones before that say nothing of it. */
		if (there && open.seq != row->seq) {
			open.seq = row->seq;
			err = blob_put(txn, &open);
		}
		blob_row_fini(&open);
		if (there || err)
			return err;
	}
	row->first = m->number;
	row->last = CATALOGUE_OPEN;
	blob_sum_add(&m->sum, row);
	return blob_put(txn, row);
}

static int
merge_close(struct store_txn *txn, struct merge *m, const struct blob_row *row)
{
	struct blob_row open;
	int err = find_open(txn, row->path, &open);

	if (err)
		return err < 0 ? err : 0;
	/* A tombstone counts for what was there before it: it may be older than a version that an earlier seal took. */
	if (open.seq < row->seq) {
		blob_sum_sub(&m->sum, &open);
		err = blob_end(txn, &open, m->number - 1);
	}
	blob_row_fini(&open);
	return err;
}

static int
merge_dead(struct store_txn *txn, struct merge *m, struct blob_row *row)
{
	row->first = m->number;
	return blob_end(txn, row, m->number - 1);
}

static int
merge_one(struct store_txn *txn, struct merge *m, struct staged_row *row)
{
	switch (row->kind) {
	case STAGED_ADD:
		return merge_add(txn, m, &row->blob);
	case STAGED_CLOSE:
		return merge_close(txn, m, &row->blob);
	default:
		return merge_dead(txn, m, &row->blob);
	}
}

/* The staged row after `m->next`: *gives* it and moves on; 1 at the end. */
static int
staged_after(struct store_txn *txn, struct merge *m, struct staged_row *ret_row)
{
	struct store_cursor *cursor;
	struct store_value key, value;
	int err = store_cursor_open(txn, STAGED, m->next.len ? m->next.bytes : NULL, m->next.len, &cursor);

	if (err)
		return err;
	err = store_cursor_next(cursor, &key, &value);
	if (!err && key.len == m->next.len && memcmp(key.data, m->next.bytes, key.len) == 0)
		err = store_cursor_next(cursor, &key, &value);
	if (!err)
		err = store_unseal(key, &value);
	if (!err)
		err = staged_row_unpack(value, ret_row);
	if (!err) {
		m->next.len = key.len;
		memcpy(m->next.bytes, key.data, key.len);
	}
	store_cursor_close(cursor);
	return err;
}

static int
merge_some(struct store_txn *txn, void *arg)
{
	struct merge *m = arg;
	int err = sum_get(txn, &m->sum);

	m->next = m->at;
	m->end = false;
	for (unsigned n = 0; !err && n < MERGE_ROWS; n++) {
		struct staged_row row;

		err = staged_after(txn, m, &row);
		if (err)
			break;
		err = merge_one(txn, m, &row);
		blob_row_fini(&row.blob);
	}
	if (err < 0)
		return err;
	m->end = err == 1;
	return sum_put(txn, &m->sum);
}

int
catalogue_merge(struct catalogue *c, int64_t sealed_ns, struct set_row *ret_set)
{
	struct set_row set;
	struct merge m = {0};
	int err = catalogue_pending(c, &set);

	if (err)
		return err < 0 ? err : err_set(ERR_NOTFOUND, "no set is pending");
	m.number = set.number;
	do {
		err = store_write(c->store, merge_some, &m);
		m.at = m.next;
	} while (!err && !m.end);
	if (!err) {
		set.state = SET_SEALED;
		set.sealed_ns = sealed_ns;
		set.blobs = m.sum;
		/* The set is good without it: the next seal writes all of it anew. */
		if (catalogue_ledger(c, &set) < 0)
			log_warn("catalogue.ledger", "set=%s was not written into the ledger, from which a damaged catalogue is made again: %s",
			    set.name, err_text());
		err = catalogue_put_set(c, &set);
	}
	if (!err)
		err = clear_staging(c);
	if (err) {
		set_row_fini(&set);
		return err;
	}
	*ret_set = set;
	return 0;
}
