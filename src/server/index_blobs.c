/* SPDX-License-Identifier: GPL-2.0-or-later */
/* index_blobs - what the index remembers of blobs beyond their rows: the highest version of each path, and what is fresh for the next seal. */
#include <stdlib.h>

#include "base/err.h"
#include "base/pack.h"
#include "base/relpath.h"
#include "server/index_own.h"

#define TRIM_ROWS 4096u /* a commit: a long list is trimmed in bounded steps */

/* ---- versions ---- */

int
index_version_get(struct store_txn *txn, const char *path, uint32_t *ret_version)
{
	struct store_value value;
	struct index_key key;

	index_key(path, &key);
	int err = store_sealed_get(txn, VERSIONS, key.bytes, key.len, &value);
	*ret_version = 0;
	if (err)
		return err > 0 ? 0 : err;
	struct pack_in in = pack_in(value.data, value.len);
	*ret_version = unpack_u32(&in);
	return unpack_done(&in) ? 0 : index_corrupt("versions");
}

int
index_version_raise(struct store_txn *txn, const char *path, uint32_t version)
{
	uint8_t bytes[4];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);
	struct index_key key;
	uint32_t known;
	int err = index_version_get(txn, path, &known);

	if (err || known >= version)
		return err;
	index_key(path, &key);
	pack_u32(&o, version);
	return store_sealed_put(txn, VERSIONS, key.bytes, key.len, bytes, sizeof bytes);
}

/* ---- versions, told from outside ---- */

struct found_list {
	const struct index_found *v;
	size_t n;
};

static int
found_all(struct store_txn *txn, void *arg)
{
	const struct found_list *f = arg;
	int err = 0;

	for (size_t i = 0; err == 0 && i < f->n; i++)
		err = index_version_raise(txn, f->v[i].path, f->v[i].version);
	return err;
}

int
index_versions_found(struct index *ix, const struct index_found *found, size_t n)
{
	struct found_list f = {found, n};

	return n ? store_write(ix->store, found_all, &f) : 0;
}

static int
forget_one(struct store_txn *txn, const struct index_found *gone)
{
	struct store_value value;
	struct index_key key;
	uint32_t known;
	int err = treemap_get(txn, &(struct treemap){NODES, SUMS}, gone->path, &value, NULL);

	if (err <= 0)
		return err;
	err = index_version_get(txn, gone->path, &known);
	if (err || known > gone->version)
		return err;
	index_key(gone->path, &key);
	err = store_del(txn, VERSIONS, key.bytes, key.len);
	return err < 0 ? err : 0;
}

static int
forget_all(struct store_txn *txn, void *arg)
{
	const struct found_list *f = arg;
	int err = 0;

	for (size_t i = 0; err == 0 && i < f->n; i++)
		err = forget_one(txn, &f->v[i]);
	return err;
}

int
index_versions_forget(struct index *ix, const struct index_found *gone, size_t n)
{
	struct found_list f = {gone, n};

	return n ? store_write(ix->store, forget_all, &f) : 0;
}

/* ---- fresh ---- */

int
index_fresh_append(struct store_txn *txn, uint64_t seq, const struct index_op *op, struct pack_out *row)
{
	static const struct index_node tombstone = {.version = 0};
	uint8_t key[8];

	row->len = 0;
	pack_u8(row, op->kind == INDEX_REMOVE);
	pack_str(row, op->path);
	index_node_pack(row, op->node ? op->node : &tombstone);
	if (row->failed)
		return err_set(ERR_NOMEM, "writing the index");
	store_key_u64(seq, key);
	return store_sealed_append(txn, FRESH, key, sizeof key, row->data, row->len);
}

int
index_fresh_head(struct index *ix, uint64_t *ret_seq)
{
	struct store_txn *txn;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = index_get_u64(txn, META, META_FRESH, ret_seq);
	store_read_end(txn);
	return err;
}

static int
fresh_unpack(struct store_value key, struct store_value value, struct index_fresh *ret_row)
{
	int err = store_unseal(key, &value);

	if (err)
		return err;
	struct pack_in in = pack_in(value.data, value.len);
	struct index_fresh row = {.seq = store_u64_key(key.data)};
	row.removed = unpack_u8(&in);
	row.path = unpack_str(&in, RELPATH_MAX);
	row.version = unpack_u32(&in);
	if (!in.failed && row.removed)
		in.pos = in.len; /* a tombstone's entry says nothing */
	else
		entry_unpack(&in, &row.entry);
	if (!unpack_done(&in)) {
		free(row.path);
		entry_fini(&row.entry);
		return index_corrupt("blob changes");
	}
	*ret_row = row;
	return 0;
}

static int
fresh_collect(struct store_cursor *cursor, size_t max, struct index_fresh *rows, size_t *n)
{
	struct store_value key, value;
	int err = 0;

	while (*n < max && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		err = fresh_unpack(key, value, &rows[*n]);
		if (err)
			return err;
		(*n)++;
	}
	return err < 0 ? err : 0;
}

int
index_fresh_read(struct index *ix, uint64_t after, size_t max, struct index_fresh **ret_rows, size_t *ret_n)
{
	struct index_fresh *rows = calloc(max ? max : 1, sizeof *rows);
	struct store_cursor *cursor = NULL;
	struct store_txn *txn;
	uint8_t key[8];
	size_t n = 0;

	if (!rows)
		return err_set(ERR_NOMEM, "reading blob changes");
	int err = store_read_begin(ix->store, &txn);
	if (err) {
		free(rows);
		return err;
	}
	store_key_u64(after + 1, key);
	err = store_cursor_open(txn, FRESH, key, sizeof key, &cursor);
	if (err == 0)
		err = fresh_collect(cursor, max, rows, &n);
	store_cursor_close(cursor);
	store_read_end(txn);
	if (err) {
		index_fresh_free(rows, n);
		return err;
	}
	*ret_rows = rows;
	*ret_n = n;
	return 0;
}

void
index_fresh_free(struct index_fresh *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(rows[i].path);
		entry_fini(&rows[i].entry);
	}
	free(rows);
}

struct trim {
	uint64_t upto;
	size_t trimmed;
};

static int
trim_some(struct store_txn *txn, void *arg)
{
	struct trim *t = arg;
	struct store_cursor *cursor;
	struct store_value key, value;
	uint64_t *seqs = calloc(TRIM_ROWS, sizeof *seqs);
	int err;

	t->trimmed = 0;
	if (!seqs)
		return err_set(ERR_NOMEM, "trimming blob changes");
	err = store_cursor_open(txn, FRESH, NULL, 0, &cursor);
	if (err == 0) {
		while (t->trimmed < TRIM_ROWS && (err = store_cursor_next(cursor, &key, &value)) == 0 && store_u64_key(key.data) <= t->upto)
			seqs[t->trimmed++] = store_u64_key(key.data);
		store_cursor_close(cursor);
	}
	err = err < 0 ? err : 0;
	for (size_t i = 0; err == 0 && i < t->trimmed; i++) {
		uint8_t bytes[8];

		store_key_u64(seqs[i], bytes);
		err = store_del(txn, FRESH, bytes, sizeof bytes);
	}
	free(seqs);
	return err < 0 ? err : 0;
}

int
index_fresh_trim(struct index *ix, uint64_t seq)
{
	struct trim t = {.upto = seq};
	int err;

	do
		err = store_write(ix->store, trim_some, &t);
	while (err == 0 && t.trimmed == TRIM_ROWS);
	return err;
}

static int
raise_head(struct store_txn *txn, void *arg)
{
	const uint64_t *seq = arg;
	uint64_t head;
	int err = index_get_u64(txn, META, META_FRESH, &head);

	return err || head >= *seq ? err : index_put_u64(txn, META, META_FRESH, *seq);
}

int
index_fresh_raise(struct index *ix, uint64_t seq)
{
	return store_write(ix->store, raise_head, &seq);
}
