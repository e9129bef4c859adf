/* SPDX-License-Identifier: GPL-2.0-or-later */
/* catalogue_blobs - which rows a set holds, and which rows no set holds any more. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "keeper/catalogue_rows.h"

/* ---- reading a set ---- */

struct reading {
	uint32_t number;
	const char *under;
	struct row_key after;  /* len 0: from the first */
	size_t max;
	struct blob_row *rows;
	size_t n;
};

static bool
wanted(const struct reading *r, const struct blob_row *row)
{
	bool ever = r->number && !PLANTED(newest_version_restored);
	bool held = ever ? row->first <= r->number && r->number <= row->last : row->last == CATALOGUE_OPEN;

	return held && relpath_within(row->path, r->under);
}

enum place { BEFORE, INSIDE, BEYOND };

/* Keys of long paths come first and begin with a byte that no path has: any of them may be meant. */
static enum place
place_of(const struct reading *r, const struct store_value *key)
{
	size_t len = strlen(r->under);
	int order;

	if (!len || *(const uint8_t *)key->data == 1)
		return INSIDE;
	order = memcmp(key->data, r->under, len < key->len ? len : key->len);
	return order < 0 ? BEFORE : order > 0 || key->len < len ? BEYOND : INSIDE;
}

static int
take(struct reading *r, struct store_value key, struct store_value value)
{
	struct blob_row row;
	int err = store_unseal(key, &value);

	if (!err)
		err = blob_row_unpack(value, &row);
	if (err)
		return err;
	if (wanted(r, &row))
		r->rows[r->n++] = row;
	else
		blob_row_fini(&row);
	return 0;
}

/* Reads on from `from`; 1 at the end, 0 when enough or when the walk should go on at `under`. */
static int
read_from(struct store_txn *txn, struct reading *r, const void *from, size_t len, bool *ret_jump)
{
	struct store_cursor *cursor;
	struct store_value key, value;
	int err = store_cursor_open(txn, BLOBS, from, len, &cursor);

	*ret_jump = false;
	if (err)
		return err;
	while (!err && r->n < r->max && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		enum place place = place_of(r, &key);

		if (place != INSIDE) {
			*ret_jump = place == BEFORE;
			err = place == BEYOND;
			break;
		}
		if (key.len != r->after.len || memcmp(key.data, r->after.bytes, key.len) != 0)
			err = take(r, key, value);
	}
	store_cursor_close(cursor);
	return err;
}

static int
read_rows(struct store_txn *txn, void *arg)
{
	struct reading *r = arg;
	bool jump;
	int err = read_from(txn, r, r->after.len ? r->after.bytes : NULL, r->after.len, &jump);

	if (!err && jump)
		err = read_from(txn, r, r->under, strnlen(r->under, STORE_KEY_MAX), &jump);
	return err < 0 ? err : 0;
}

int
catalogue_blobs(struct catalogue *c, uint32_t number, const char *under, const struct blob_row *after, size_t max,
    struct blob_row **ret_rows, size_t *ret_n)
{
	struct reading r = {.number = number, .under = under, .max = max, .rows = calloc(max, sizeof *r.rows)};
	struct store_txn *txn;
	int err;

	if (!r.rows)
		return err_set(ERR_NOMEM, "out of memory for blob rows");
	if (after)
		row_key_blob(after->path, after->version, after->first, &r.after);
	err = store_read_begin(c->store, &txn);
	if (!err) {
		err = read_rows(txn, &r);
		store_read_end(txn);
	}
	if (err) {
		blob_rows_free(r.rows, r.n);
		return err;
	}
	*ret_rows = r.rows;
	*ret_n = r.n;
	return 0;
}

/* Its rows lie side by side, wherever those of what is below it lie. */
static int
read_path(struct store_txn *txn, struct reading *r)
{
	struct store_cursor *cursor;
	struct store_value key, value;
	struct row_key from;
	int err;

	row_key_path(r->under, &from);
	err = store_cursor_open(txn, BLOBS, from.bytes, from.len, &cursor);
	if (err)
		return err;
	while (!err && r->n < r->max && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		if (key.len < from.len || memcmp(key.data, from.bytes, from.len) != 0)
			break;
		err = take(r, key, value);
	}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

int
catalogue_blob(struct catalogue *c, uint32_t number, const char *path, struct blob_row *ret_row)
{
	struct reading r = {.number = number, .under = path, .max = 1, .rows = ret_row};
	struct store_txn *txn;
	int err = store_read_begin(c->store, &txn);

	if (err)
		return err;
	err = read_path(txn, &r);
	store_read_end(txn);
	return err ? err : !r.n;
}

/* ---- removal ---- */

static uint32_t
be32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Whether any of the ascending numbers lies in first..last. */
static bool
held_by(const uint32_t *kept, size_t n, uint32_t first, uint32_t last)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (kept[mid] < first)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && kept[low] <= last;
}

struct search {
	const uint32_t *kept;
	size_t n_kept, max;
	struct blob_dead *dead;
	size_t n;
};

/* What other rows of the path say about the file and the path of a dead one. */
static int
look_around(struct store_txn *txn, const struct search *s, struct blob_dead *dead)
{
	struct store_cursor *cursor;
	struct store_value key, value;
	struct row_key from;
	int err;

	dead->file = dead->row.entry.kind == ENTRY_FILE;
	dead->path = true;
	row_key_path(dead->row.path, &from);
	err = store_cursor_open(txn, BLOBS, from.bytes, from.len, &cursor);
	if (err)
		return err;
	while ((err = store_cursor_next(cursor, &key, &value)) == 0) {
		struct blob_row row;
		bool alive;

		if (key.len < from.len || memcmp(key.data, from.bytes, from.len) != 0)
			break;
		err = store_unseal(key, &value);
		if (!err)
			err = blob_row_unpack(value, &row);
		if (err)
			break;
		alive = row.last == CATALOGUE_OPEN || held_by(s->kept, s->n_kept, row.first, row.last);
		alive &= !PLANTED(blob_swept_from_a_set);
		if (alive && row.version == dead->row.version)
			dead->file = false;
		/* Of several dead ones the highest speaks for the path. */
		if (alive || row.version > dead->row.version || (row.version == dead->row.version && row.first > dead->row.first))
			dead->path = false;
		blob_row_fini(&row);
	}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

static int
take_dead(struct store_txn *txn, struct search *s, struct store_value key, struct store_value of)
{
	struct blob_dead *dead = &s->dead[s->n];
	struct store_value value = {0};
	int err = store_unseal(key, &of);

	if (!err)
		err = store_sealed_get(txn, BLOBS, of.data, of.len, &value);
	if (err == 1)
		err = err_set(ERR_CORRUPT, "the catalogue has an end without a row");
	if (!err)
		err = blob_row_unpack(value, &dead->row);
	if (err)
		return err;
	s->n++;
	return look_around(txn, s, dead);
}

static int
search_dead(struct store_txn *txn, struct search *s)
{
	struct store_cursor *cursor;
	struct store_value key, value;
	int err = store_cursor_open(txn, ENDED, NULL, 0, &cursor);

	if (err)
		return err;
	while (!err && s->n < s->max && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		if (key.len < 12)
			err = err_set(ERR_CORRUPT, "the catalogue has an end that cannot be read");
		else if (!held_by(s->kept, s->n_kept, be32((const uint8_t *)key.data + 4), be32(key.data)))
			err = take_dead(txn, s, key, value);
	}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

int
catalogue_dead(struct catalogue *c, const uint32_t *kept, size_t n_kept, size_t max, struct blob_dead **ret_dead, size_t *ret_n)
{
	struct search s = {.kept = kept, .n_kept = n_kept, .max = max, .dead = calloc(max, sizeof *s.dead)};
	struct store_txn *txn;
	int err;

	if (!s.dead)
		return err_set(ERR_NOMEM, "out of memory for rows to remove");
	err = store_read_begin(c->store, &txn);
	if (!err) {
		err = search_dead(txn, &s);
		store_read_end(txn);
	}
	if (err) {
		blob_dead_free(s.dead, s.n);
		return err;
	}
	*ret_dead = s.dead;
	*ret_n = s.n;
	return 0;
}

void
blob_dead_free(struct blob_dead *dead, size_t n)
{
	for (size_t i = 0; i < n; i++)
		blob_row_fini(&dead[i].row);
	free(dead);
}

struct forget {
	const struct blob_dead *dead;
	size_t n;
};

static int
forget_rows(struct store_txn *txn, void *arg)
{
	const struct forget *f = arg;
	int err = 0;

	for (size_t i = 0; err >= 0 && i < f->n; i++) {
		const struct blob_row *row = &f->dead[i].row;
		struct row_key key;

		row_key_ended(row, &key);
		err = store_del(txn, ENDED, key.bytes, key.len);
		if (err < 0)
			break;
		row_key_blob(row->path, row->version, row->first, &key);
		err = store_del(txn, BLOBS, key.bytes, key.len);
	}
	return err < 0 ? err : 0;
}

int
catalogue_forget(struct catalogue *c, const struct blob_dead *dead, size_t n)
{
	struct forget f = {dead, n};

	return n ? store_write(c->store, forget_rows, &f) : 0;
}
