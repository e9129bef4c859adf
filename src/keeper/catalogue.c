/* SPDX-License-Identifier: GPL-2.0-or-later */
/* catalogue - its store, the rows of sets, and how far the fresh list is in it. */
#include "keeper/catalogue.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "keeper/catalogue_rows.h"

#define CATALOGUE_VERSION 1u

static const char *const table_names[CATALOGUE_TABLES] = {"sets", "blobs", "ended", "staged", "meta"};

static int
open_ledger(const char *state_dir, int *ret_fd)
{
	int fd, state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*ret_fd = -1;
	if (state < 0)
		return err_sys("open %s", state_dir);
	fd = fsio_make_dirs(state, "ledger", true);
	close(state);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* 1: it was made, and what should have noted that did not come to it. */
static int
is_bare(struct catalogue *c)
{
	uint32_t last;
	uint8_t empty;
	int err = catalogue_meta_get(c, CATALOGUE_META_EMPTY, &empty, sizeof empty);

	return err == 1 ? catalogue_meta_get(c, META_LAST, &last, sizeof last) : err < 0 ? err : 0;
}

int
catalogue_open(const char *state_dir, const char *profile, struct catalogue **ret_catalogue, bool *ret_rebuilt)
{
	const struct store_identity who = {.kind = "catalogue", .version = CATALOGUE_VERSION, .owner = profile, .sealed = STORE_ALL_SEALED};
	struct catalogue *c = calloc(1, sizeof *c);
	char *dir = relpath_join(state_dir, "catalogue");
	enum store_found found = STORE_OPENED;
	int err = c && dir ? 0 : err_set(ERR_NOMEM, "opening the catalogue of %s", profile);

	if (c)
		c->ledger = -1;
	if (!err)
		err = open_ledger(state_dir, &c->ledger);
	if (!err)
		err = store_open(dir, &who, table_names, CATALOGUE_TABLES, 0, &c->store, &found);
	free(dir);
	/* Noted in it, so that a crash while it is made again does not leave half of it for the whole. */
	if (!err && (found != STORE_OPENED || (err = is_bare(c)) > 0))
		err = catalogue_meta_put(c, CATALOGUE_META_EMPTY, &(uint8_t){1}, 1);
	if (err) {
		catalogue_close(c);
		return err;
	}
	if (ret_rebuilt)
		*ret_rebuilt = found == STORE_REBUILT;
	*ret_catalogue = c;
	return 0;
}

void
catalogue_close(struct catalogue *c)
{
	if (!c)
		return;
	if (c->store)
		store_close(c->store);
	if (c->ledger >= 0)
		close(c->ledger);
	free(c);
}

/* ---- sets ---- */

struct set_list {
	struct set_row *rows;
	size_t n, cap;
};

static int
list_add(struct set_list *list, struct store_value key, struct store_value value)
{
	int err = store_unseal(key, &value);

	if (err)
		return err;
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 32;
		struct set_row *grown = realloc(list->rows, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "out of memory for the list of sets");
		list->rows = grown;
		list->cap = cap;
	}
	err = set_row_unpack(value, &list->rows[list->n]);
	if (!err)
		list->n++;
	return err;
}

int
catalogue_sets(struct catalogue *c, struct set_row **ret_sets, size_t *ret_n)
{
	struct set_list list = {0};
	struct store_cursor *cursor = NULL;
	struct store_value key, value;
	struct store_txn *txn;
	int err = store_read_begin(c->store, &txn);

	if (err)
		return err;
	err = store_cursor_open(txn, SETS, NULL, 0, &cursor);
	while (!err && (err = store_cursor_next(cursor, &key, &value)) == 0)
		err = list_add(&list, key, value);
	store_cursor_close(cursor);
	store_read_end(txn);
	if (err < 0) {
		catalogue_sets_free(list.rows, list.n);
		return err;
	}
	*ret_sets = list.rows;
	*ret_n = list.n;
	return 0;
}

void
catalogue_sets_free(struct set_row *sets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		set_row_fini(&sets[i]);
	free(sets);
}

/* Moves the newest set that `wanted` accepts out of all; 1 when there is none. */
static int
newest_where(struct catalogue *c, bool (*wanted)(const struct set_row *set, const char *name), const char *name, struct set_row *ret_set)
{
	struct set_row *sets;
	size_t n;
	int err = catalogue_sets(c, &sets, &n);

	if (err)
		return err;
	err = 1;
	for (size_t i = n; err && i-- > 0;)
		if (wanted(&sets[i], name)) {
			*ret_set = sets[i];
			sets[i].note = NULL;
			err = 0;
		}
	catalogue_sets_free(sets, n);
	return err;
}

static bool
is_named(const struct set_row *set, const char *name)
{
	return set->state == SET_SEALED && (!*name || strcmp(name, "latest") == 0 || strcmp(name, set->name) == 0);
}

int
catalogue_find(struct catalogue *c, const char *name, struct set_row *ret_set)
{
	int err = newest_where(c, is_named, name, ret_set);

	if (err != 1)
		return err;
	return *name && strcmp(name, "latest") != 0 ? err_set(ERR_NOTFOUND, "there is no set %.100s", name)
	                                            : err_set(ERR_NOTFOUND, "there is no set yet");
}

static bool
is_pending(const struct set_row *set, const char *name)
{
	(void)name;
	return set->state == SET_PENDING;
}

int
catalogue_pending(struct catalogue *c, struct set_row *ret_set)
{
	return newest_where(c, is_pending, "", ret_set);
}

static int
put_set(struct store_txn *txn, void *arg)
{
	const struct set_row *set = arg;
	struct pack_out o = {0};
	struct row_key key = {.len = 8};
	int err;

	store_key_u64(set->number, key.bytes);
	set_row_pack(&o, set);
	err = row_put(txn, SETS, &key, &o);
	pack_out_fini(&o);
	return err;
}

int
catalogue_put_set(struct catalogue *c, const struct set_row *set)
{
	struct set_row row = *set;

	return store_write(c->store, put_set, &row);
}

static int
del_set(struct store_txn *txn, void *arg)
{
	uint8_t key[8];

	store_key_u64(*(uint32_t *)arg, key);
	int err = store_del(txn, SETS, key, sizeof key);
	return err < 0 ? err : 0;
}

int
catalogue_del_set(struct catalogue *c, uint32_t number)
{
	return store_write(c->store, del_set, &number);
}

/* ---- small values ---- */

struct meta {
	const char *name;
	const void *value;
	size_t len;
};

static int
meta_put(struct store_txn *txn, void *arg)
{
	const struct meta *m = arg;

	return store_sealed_put(txn, META, m->name, strlen(m->name), m->value, m->len);
}

int
catalogue_meta_put(struct catalogue *c, const char *name, const void *value, size_t len)
{
	struct meta m = {name, value, len};

	return store_write(c->store, meta_put, &m);
}

int
catalogue_meta_get(struct catalogue *c, const char *name, void *ret_value, size_t len)
{
	struct store_value value;
	struct store_txn *txn;
	int err = store_read_begin(c->store, &txn);

	if (err)
		return err;
	err = store_sealed_get(txn, META, name, strlen(name), &value);
	if (!err && value.len != len)
		err = 1;
	if (!err)
		memcpy(ret_value, value.data, len);
	store_read_end(txn);
	return err;
}

/* The newest sealed set says it: no second place that could disagree. */
static bool
is_sealed(const struct set_row *set, const char *name)
{
	(void)name;
	return set->state != SET_PENDING;
}

int
catalogue_positions(struct catalogue *c, uint64_t *ret_puts, uint64_t *ret_removes, char ret_instance[40])
{
	struct set_row set;
	int err = newest_where(c, is_sealed, "", &set);

	if (err < 0)
		return err;
	*ret_puts = err ? 0 : set.fresh_puts;
	*ret_removes = err ? 0 : set.fresh_removes;
	memset(ret_instance, 0, 40);
	if (!err) {
		memcpy(ret_instance, set.instance, sizeof set.instance);
		set_row_fini(&set);
	}
	return 0;
}
