/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal_append - the hot path: many changes become rows in one commit.
 *
 * PENDING is keyed by path, and random keys cost LMDB a page each.  So a batch is sorted by path first and worked through
 * in that order, where neighbours share pages; LOG is then appended in the order in which things happened, with the
 * cookies last: a cookie promises that all before it comes first, and nothing about what comes after.
 */
#include <stdlib.h>
#include <string.h>

#include "base/pack.h"
#include "base/planted.h"
#include "journal/journal_internal.h"

/* All changes of one path in the batch. */
struct row {
	const char *path;
	enum change_kind kind;
	int64_t seen_ns;
	size_t last;        /* position of the newest: its place in time */
	uint64_t seq;
	enum change_kind folded_kind; /* with what was pending; set anew by every run of the transaction */
	int64_t folded_seen_ns;
};

struct batch {
	struct change *changes;
	size_t n;
	size_t *order;      /* positions, by path */
	struct row *rows;   /* by path */
	size_t n_rows;
	size_t *row_of;     /* position -> row */
	size_t *by_age;     /* rows in the order of their numbers */
	struct pack_out bytes;
};

static bool
is_cookie(enum change_kind kind)
{
	return kind == CHANGE_COOKIE;
}

static int
by_path(const void *a, const void *b, void *arg)
{
	size_t i = *(const size_t *)a, k = *(const size_t *)b;
	const struct change *changes = arg;
	int order = (int)is_cookie(changes[i].kind) - (int)is_cookie(changes[k].kind);

	if (!order)
		order = strcmp(changes[i].path, changes[k].path);
	return order ? order : (i > k) - (i < k);
}

static int
by_age(const void *a, const void *b, void *arg)
{
	const struct row *rows = arg, *x = &rows[*(const size_t *)a], *y = &rows[*(const size_t *)b];
	int order = (int)is_cookie(x->kind) - (int)is_cookie(y->kind);

	return order ? order : (x->last > y->last) - (x->last < y->last);
}

static bool
same_row(const struct row *row, const struct change *c)
{
	return is_cookie(row->kind) == is_cookie(c->kind) && strcmp(row->path, c->path) == 0;
}

static void
batch_fold(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct change *c = &b->changes[b->order[i]];
		struct row *row = b->n_rows ? &b->rows[b->n_rows - 1] : NULL;

		if (row && same_row(row, c)) {
			row->kind = change_fold(row->kind, c->kind);
			row->seen_ns = c->seen_ns < row->seen_ns ? c->seen_ns : row->seen_ns;
			row->last = b->order[i];
		} else {
			b->rows[b->n_rows++] = (struct row){.path = c->path, .kind = c->kind, .seen_ns = c->seen_ns, .last = b->order[i]};
		}
		b->row_of[b->order[i]] = b->n_rows - 1;
	}
}

static int
batch_init(struct batch *b, struct change *changes, size_t n)
{
	*b = (struct batch){.changes = changes, .n = n};
	b->order = calloc(n, sizeof *b->order);
	b->rows = calloc(n, sizeof *b->rows);
	b->row_of = calloc(n, sizeof *b->row_of);
	b->by_age = calloc(n, sizeof *b->by_age);
	if (!b->order || !b->rows || !b->row_of || !b->by_age)
		return err_set(ERR_NOMEM, "batch of %zu changes", n);
	for (size_t i = 0; i < n; i++)
		b->order[i] = i;
	qsort_r(b->order, n, sizeof *b->order, by_path, changes);
	batch_fold(b);
	for (size_t i = 0; i < b->n_rows; i++)
		b->by_age[i] = i;
	qsort_r(b->by_age, b->n_rows, sizeof *b->by_age, by_age, b->rows);
	return 0;
}

static void
batch_fini(struct batch *b)
{
	free(b->order);
	free(b->rows);
	free(b->row_of);
	free(b->by_age);
	pack_out_fini(&b->bytes);
}

/* Moves what waits for the same path into `row`. */
static int
take_over(struct store_txn *txn, struct row *row, uint64_t old_seq, struct journal_state *state)
{
	struct change old;
	int err = journal_row_get(txn, old_seq, &old);

	if (err == 1 || err == -ERR_CORRUPT)
		return 0; /* gone, or shown as a rescan of everything: either way not ours to move */
	if (err)
		return err;
	/* Two long paths may share a key. */
	if (is_cookie(old.kind) == is_cookie(row->kind) && (strcmp(old.path, row->path) == 0 || PLANTED(pending_hint_believed))) {
		row->folded_kind = change_fold(row->kind, old.kind);
		row->folded_seen_ns = old.seen_ns < row->seen_ns ? old.seen_ns : row->seen_ns;
		err = journal_row_del(txn, &old, state);
	}
	change_fini(&old);
	return err;
}

static int
fold_pending(struct store_txn *txn, struct row *row, struct journal_state *state)
{
	struct store_value value;
	struct pathkey key;
	uint8_t seq[8];
	int err;

	row->folded_kind = row->kind;
	row->folded_seen_ns = row->seen_ns;
	journal_pending_key(&key, row->kind, row->path);
	err = store_get(txn, PENDING, key.bytes, key.len, &value);
	/* What lies before a cookie stays there: the barrier waits for it. */
	if (err == 0 && value.len == 8 && (store_u64_key(value.data) > state->cookie || PLANTED(row_moved_past_cookie)))
		err = take_over(txn, row, store_u64_key(value.data), state);
	if (err < 0)
		return err;
	store_key_u64(row->seq, seq);
	return store_put(txn, PENDING, key.bytes, key.len, seq, sizeof seq);
}

static int
append_row(struct store_txn *txn, struct batch *b, const struct row *row, struct journal_state *state)
{
	struct change c = {.kind = row->folded_kind, .seen_ns = row->folded_seen_ns, .path = b->changes[row->last].path};
	uint8_t seq[8], seen[16];
	int err;

	store_key_u64(row->seq, seq);
	journal_seen_key(c.seen_ns, row->seq, seen);
	b->bytes.len = 0;
	change_pack(&b->bytes, &c);
	if (b->bytes.failed)
		return err_set(ERR_NOMEM, "row of the journal");
	err = store_sealed_append(txn, LOG, seq, sizeof seq, b->bytes.data, b->bytes.len);
	if (!err)
		err = store_put(txn, SEEN, seen, sizeof seen, "", 0);
	state->head = row->seq;
	state->rescans += change_is_scan(c.kind);
	if (is_cookie(c.kind))
		state->cookie = row->seq;
	return err;
}

static int
append_batch(struct store_txn *txn, void *arg)
{
	struct batch *b = arg;
	struct journal_state state = {0};
	int err = journal_state_get(txn, &state);

	for (size_t i = 0; i < b->n_rows && !err; i++)
		b->rows[b->by_age[i]].seq = state.head + 1 + i;
	for (size_t i = 0; i < b->n_rows && !err; i++)
		err = fold_pending(txn, &b->rows[i], &state);
	for (size_t i = 0; i < b->n_rows && !err; i++)
		err = append_row(txn, b, &b->rows[b->by_age[i]], &state);
	return err ? err : journal_state_put(txn, &state);
}

static int
raise_flag(struct journal *j, const struct change *changes, size_t n)
{
	int64_t oldest = changes[0].seen_ns;
	int err;

	for (size_t i = 1; i < n; i++)
		oldest = changes[i].seen_ns < oldest ? changes[i].seen_ns : oldest;
	err = flag_raise(&j->flag, oldest);
	/* -ERR_NOSPACE says that the flag is up, so its own must not be taken for that: some file systems need room to overwrite, too. */
	if (err == -ERR_NOSPACE && !PLANTED(full_flag_believed))
		return err_set(ERR_IO, "the journal's disk is full, and so is what tells of that (journal.full): free some space");
	return err ? err : err_set(ERR_NOSPACE, "the journal's disk is full: everything will be scanned instead");
}

int
journal_append(struct journal *j, struct change *changes, size_t n)
{
	struct batch b;
	int err;

	if (!n)
		return 0;
	err = batch_init(&b, changes, n);
	if (!err)
		err = store_write(j->store, append_batch, &b);
	for (size_t i = 0; i < n && !err; i++)
		changes[i].seq = b.rows[b.row_of[i]].seq;
	batch_fini(&b);
	return err == -ERR_NOSPACE && !PLANTED(full_disk_forgotten) ? raise_flag(j, changes, n) : err;
}
