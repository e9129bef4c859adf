/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * catalogue_ledger - when the ledger gets everything and when a day's changes, and how a catalogue is made from it again.
 *
 * Everything is written again when the days since have become as long: so what is written stays within twice what changed.
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "keeper/catalogue_rows.h"
#include "keeper/ledger.h"

#define ROWS 1000u /* a transaction */

/* ---- writing ---- */

struct writing {
	struct catalogue *c;
	struct ledger_writer *out;
	uint32_t number;
	uint32_t *kept; /* ascending */
	size_t n_kept;
};

static int
write_set(struct writing *w, const struct set_row *set)
{
	struct pack_out o = {0};
	int err;

	set_row_pack(&o, set);
	err = ledger_add(w->out, LEDGER_SET, &o);
	pack_out_fini(&o);
	return err;
}

static int
write_blob(struct writing *w, const struct blob_row *row)
{
	struct pack_out o = {0};
	int err;

	blob_row_pack(&o, row);
	err = ledger_add(w->out, LEDGER_BLOB, &o);
	pack_out_fini(&o);
	return err;
}

static bool
is_held(const struct blob_row *row, const uint32_t *kept, size_t n_kept)
{
	for (size_t i = 0; i < n_kept; i++)
		if (row->first <= kept[i] && kept[i] <= row->last)
			return true;
	return row->last == CATALOGUE_OPEN;
}

/* The rows from `prefix` on that begin with it ("" = all) and that `wants` accepts. */
static int
write_rows(struct store_txn *txn, struct writing *w, const struct row_key *prefix, bool (*wants)(const struct writing *, const struct blob_row *))
{
	struct store_cursor *cursor;
	struct store_value key, value;
	int err = store_cursor_open(txn, BLOBS, prefix->len ? prefix->bytes : NULL, prefix->len, &cursor);

	if (err)
		return err;
	while (!err && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		struct blob_row row;

		if (key.len < prefix->len || memcmp(key.data, prefix->bytes, prefix->len) != 0)
			break;
		err = store_unseal(key, &value);
		if (!err)
			err = blob_row_unpack(value, &row);
		if (err)
			break;
		if (wants(w, &row))
			err = write_blob(w, &row);
		blob_row_fini(&row);
	}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

static bool
held_by_a_set(const struct writing *w, const struct blob_row *row)
{
	return is_held(row, w->kept, w->n_kept);
}

/* Made, ended or told again by this seal. */
static bool
of_this_seal(const struct writing *w, const struct blob_row *row)
{
	return row->first == w->number || row->last == w->number - 1 || row->last == CATALOGUE_OPEN;
}

static int
write_all(struct store_txn *txn, struct writing *w)
{
	const struct row_key everything = {.len = 0};

	return write_rows(txn, w, &everything, held_by_a_set);
}

/* The staging names every path that the seal touched. */
static int
write_day(struct store_txn *txn, struct writing *w)
{
	struct store_cursor *cursor;
	struct store_value key, value;
	int err = store_cursor_open(txn, STAGED, NULL, 0, &cursor);

	if (err)
		return err;
	while (!err && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		struct staged_row staged;
		struct row_key path;

		err = store_unseal(key, &value);
		if (!err)
			err = staged_row_unpack(value, &staged);
		if (err)
			break;
		row_key_path(staged.blob.path, &path);
		if (staged.kind != STAGED_DEAD)
			err = write_rows(txn, w, &path, of_this_seal);
		blob_row_fini(&staged.blob);
	}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

/* Sets that are kept, but for the one that is being sealed; the last of them is what a day goes on from. */
static int
write_sets(struct writing *w, const struct set_row *sets, size_t n, bool all)
{
	int err = 0;

	w->kept = calloc(n + 1, sizeof *w->kept);
	if (!w->kept)
		return err_set(ERR_NOMEM, "writing the ledger");
	for (size_t i = 0; i < n && !err; i++) {
		if (sets[i].state != SET_SEALED || sets[i].number >= w->number)
			continue;
		w->kept[w->n_kept++] = sets[i].number;
		if (all)
			err = write_set(w, &sets[i]);
	}
	w->kept[w->n_kept++] = w->number;
	return err;
}

static int
write_file(struct writing *w, const struct set_row *set, const struct set_row *sets, size_t n, uint32_t before)
{
	struct store_txn *txn;
	int err = ledger_create(w->c->ledger, set->number, before, &w->out);

	if (!err)
		err = write_sets(w, sets, n, !before);
	if (!err)
		err = write_set(w, set);
	if (!err)
		err = store_read_begin(w->c->store, &txn);
	if (!err) {
		err = before ? write_day(txn, w) : write_all(txn, w);
		store_read_end(txn);
	}
	if (!err)
		err = ledger_finish(w->out);
	ledger_abandon(w->out);
	free(w->kept);
	return err;
}

int
catalogue_ledger(struct catalogue *c, const struct set_row *set)
{
	struct writing w = {.c = c, .number = set->number};
	struct ledger_chain chain;
	struct set_row *sets;
	uint32_t previous = 0;
	size_t n;
	int err = catalogue_sets(c, &sets, &n);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		if (sets[i].state != SET_PENDING && sets[i].number < set->number)
			previous = sets[i].number;
	err = ledger_chain(c->ledger, set->number, &chain);
	if (!err) {
		bool goes_on = previous && chain.all && chain.last == previous && chain.day_bytes <= chain.all_bytes;

		err = write_file(&w, set, sets, n, goes_on ? previous : 0);
		ledger_chain_fini(&chain);
	}
	catalogue_sets_free(sets, n);
	return err;
}

/* ---- making it again ---- */

struct remaking {
	struct catalogue *c;
	bool (*is_there)(const char *name, void *arg);
	void *arg;
	size_t n_there;
	struct set_row *sets; /* ascending */
	size_t n_sets, cap_sets;
	uint32_t *kept;       /* their numbers */
	struct blob_row *rows; /* wait for a transaction */
	size_t n_rows;
};

static int
take_set(enum ledger_kind kind, const uint8_t *bytes, size_t len, void *arg)
{
	struct remaking *m = arg;

	if (kind != LEDGER_SET)
		return 0;
	if (m->n_sets == m->cap_sets) {
		size_t cap = m->cap_sets ? 2 * m->cap_sets : 32;
		struct set_row *grown = realloc(m->sets, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "reading the ledger");
		m->sets = grown;
		m->cap_sets = cap;
	}
	int err = set_row_unpack((struct store_value){bytes, len}, &m->sets[m->n_sets]);
	if (!err)
		m->n_sets++;
	return err;
}

/* What a scrub found since, and that it ran, is not known any more: it runs again. */
static int
keep_sets(struct remaking *m)
{
	size_t kept = 0;

	m->kept = calloc(m->n_sets + 1, sizeof *m->kept);
	if (!m->kept)
		return err_set(ERR_NOMEM, "reading the ledger");
	for (size_t i = 0; i < m->n_sets; i++) {
		bool wanted = m->is_there(m->sets[i].name, m->arg);

		/* Of two with one name the earlier is gone. */
		for (size_t k = i + 1; k < m->n_sets; k++)
			wanted = wanted && strcmp(m->sets[i].name, m->sets[k].name) != 0;
		if (!wanted) {
			set_row_fini(&m->sets[i]);
			continue;
		}
		m->sets[kept] = m->sets[i];
		m->sets[kept].scrubbed_ns = 0;
		m->kept[kept] = m->sets[kept].number;
		kept++;
	}
	m->n_sets = kept;
	return 0;
}

static int
put_row(struct store_txn *txn, const struct remaking *m, const struct blob_row *row)
{
	struct pack_out o = {0};
	struct row_key key, ended;
	int err;

	row_key_blob(row->path, row->version, row->first, &key);
	/* A row that no set holds must not come back: its place on disk may be another file's by now. */
	if (!is_held(row, m->kept, m->n_sets)) {
		err = store_del(txn, BLOBS, key.bytes, key.len);
		return err < 0 ? err : 0;
	}
	blob_row_pack(&o, row);
	err = row_put(txn, BLOBS, &key, &o);
	pack_out_fini(&o);
	if (err || row->last == CATALOGUE_OPEN)
		return err;
	row_key_ended(row, &ended);
	return store_sealed_put(txn, ENDED, ended.bytes, ended.len, key.bytes, key.len);
}

static int
put_rows(struct store_txn *txn, void *arg)
{
	const struct remaking *m = arg;
	int err = 0;

	for (size_t i = 0; !err && i < m->n_rows; i++)
		err = put_row(txn, m, &m->rows[i]);
	return err;
}

static int
flush_rows(struct remaking *m)
{
	int err = m->n_rows ? store_write(m->c->store, put_rows, m) : 0;

	while (m->n_rows)
		blob_row_fini(&m->rows[--m->n_rows]);
	return err;
}

static int
take_blob(enum ledger_kind kind, const uint8_t *bytes, size_t len, void *arg)
{
	struct remaking *m = arg;
	int err;

	if (kind != LEDGER_BLOB)
		return 0;
	err = blob_row_unpack((struct store_value){bytes, len}, &m->rows[m->n_rows]);
	if (!err && ++m->n_rows == ROWS)
		err = flush_rows(m);
	return err;
}

static int
read_file(const struct catalogue *c, const struct ledger_chain *chain, size_t i,
    int (*take)(enum ledger_kind kind, const uint8_t *bytes, size_t len, void *arg), struct remaking *m)
{
	return ledger_read(c->ledger, chain->numbers[i], i ? chain->numbers[i - 1] : 0, take, m);
}

/* The sets of all files that are whole and follow each other; `n` says how many files those are. */
static int
read_sets(struct remaking *m, const struct ledger_chain *chain, size_t *ret_n, struct catalogue_remade *remade)
{
	size_t n = 0;
	int err = 0;

	for (; n < chain->n; n++) {
		size_t before = m->n_sets;

		err = read_file(m->c, chain, n, take_set, m);
		if (err == 0)
			continue;
		/* That says nothing of the file: all of it is tried again. */
		if (err_is_want(err))
			return err;
		while (m->n_sets > before)
			set_row_fini(&m->sets[--m->n_sets]);
		break;
	}
	remade->whole = !err;
	if (err)
		snprintf(remade->text, sizeof remade->text, "%s", err_text());
	*ret_n = n;
	return 0;
}

static int
put_sum(struct store_txn *txn, void *arg)
{
	uint8_t bytes[SUM_BYTES];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);

	blob_sum_pack(&o, arg);
	return store_sealed_put(txn, META, META_SUM, strlen(META_SUM), o.data, o.len);
}

/* The newest set's positions are where the next seal goes on; without them it walks the whole index. */
static int
put_sets(struct remaking *m, struct blob_sum *sum, uint32_t last, bool whole)
{
	int err = catalogue_meta_put(m->c, META_LAST, &last, sizeof last);

	for (size_t i = 0; !err && i < m->n_sets; i++) {
		if (!whole && i + 1 == m->n_sets)
			memset(m->sets[i].instance, 0, sizeof m->sets[i].instance);
		err = catalogue_put_set(m->c, &m->sets[i]);
	}
	return err ? err : store_write(m->c->store, put_sum, sum);
}

static int
remake(struct remaking *m, const struct ledger_chain *chain, struct catalogue_remade *remade)
{
	struct blob_sum sum = {0};
	size_t n_files = 0;
	int err = read_sets(m, chain, &n_files, remade);

	if (!err && m->n_sets)
		sum = m->sets[m->n_sets - 1].blobs;
	if (!err)
		err = keep_sets(m);
	if (!err && remade->whole && m->n_sets < m->n_there) {
		remade->whole = false;
		snprintf(remade->text, sizeof remade->text, "%zu sets are not in it", m->n_there - m->n_sets);
	}
	for (size_t i = 0; !err && i < n_files; i++)
		err = read_file(m->c, chain, i, take_blob, m);
	if (!err)
		err = flush_rows(m);
	return err ? err : put_sets(m, &sum, chain->last, remade->whole);
}

int
catalogue_remake(struct catalogue *c, bool (*is_there)(const char *name, void *arg), void *arg, size_t n_there,
    struct catalogue_remade *ret_remade)
{
	struct remaking m = {.c = c, .is_there = is_there, .arg = arg, .n_there = n_there};
	struct catalogue_remade remade = {.whole = true};
	struct ledger_chain chain;
	uint8_t empty = 0;
	int err = catalogue_meta_get(c, CATALOGUE_META_EMPTY, &empty, 1);

	if (err || !empty)
		return err < 0 ? err : 1;
	if ((err = ledger_chain(c->ledger, UINT32_MAX, &chain)))
		return err;
	m.rows = calloc(ROWS, sizeof *m.rows);
	err = m.rows ? remake(&m, &chain, &remade) : err_set(ERR_NOMEM, "reading the ledger");
	if (!err)
		err = catalogue_meta_put(c, CATALOGUE_META_EMPTY, &(uint8_t){0}, 1);
	remade.sets = m.n_sets;
	while (m.n_rows)
		blob_row_fini(&m.rows[--m.n_rows]);
	free(m.rows);
	free(m.kept);
	catalogue_sets_free(m.sets, m.n_sets);
	ledger_chain_fini(&chain);
	if (!err)
		*ret_remade = remade;
	return err;
}
