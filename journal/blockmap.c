/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blockmap - what is believed of the server, and when the belief is suspended.
 *
 * A batch is one transaction, so an entry, its blocks and the end of its flight become true together.  Killed before the
 * commit: the marks of the flight are still there, and the server is asked.
 */
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/relpath.h"
#include "journal/blockmap_internal.h"

#define MAP_VERSION 1
#define EMPTY_ROWS 4096 /* deleted in one transaction */
#define META_KEY_MAX 64

static const char *const table_names[] = {
	[NODES] = "nodes", [SUMS] = "sums", [BLOCKS] = "blocks", [FLIGHT] = "flight", [DIRS] = "dirs", [META] = "meta",
};
#define TABLES (sizeof table_names / sizeof *table_names)

static const char key_name[] = "key"; /* META: fingerprint of the key that weighed the entries */

int
blockmap_open(const char *dir, const char *profile, struct blockmap **ret_map, bool *ret_rebuilt)
{
	const struct store_identity who = {.kind = "blockmap", .version = MAP_VERSION, .owner = profile, .sealed = STORE_ALL_SEALED};
	struct blockmap *m = calloc(1, sizeof *m);
	enum store_found found;
	char path[PATH_MAX];
	int err = 0;

	if (!m)
		return err_set(ERR_NOMEM, "block map");
	m->tree = (struct treemap){NODES, SUMS};
	if (snprintf(path, sizeof path, "%s/blockmap", dir) >= (int)sizeof path)
		err = err_set(ERR_LIMIT, "path is too long");
	else
		err = store_open(path, &who, table_names, TABLES, STORE_DERIVED, &m->store, &found);
	if (err) {
		free(m);
		return err_prefix(err, "block map");
	}
	if (ret_rebuilt)
		*ret_rebuilt = found == STORE_REBUILT;
	*ret_map = m;
	return 0;
}

void
blockmap_close(struct blockmap *m)
{
	if (!m)
		return;
	store_close(m->store);
	free(m);
}

bool
blockmap_is_broken(const struct blockmap *m)
{
	return store_is_broken(m->store);
}

void
blockmap_usage(const struct blockmap *m, uint64_t *ret_used, uint64_t *ret_map)
{
	store_usage(m->store, ret_used, ret_map);
}

/* ---- the key ---- */

struct emptying {
	unsigned table;
	bool more;
};

static int
empty_some(struct store_txn *txn, void *arg)
{
	struct emptying *e = arg;
	struct store_cursor *cursor;
	struct store_value key, value;
	int rows = 0, err = store_cursor_open(txn, e->table, NULL, 0, &cursor);

	if (err)
		return err;
	while (rows < EMPTY_ROWS && (err = store_cursor_next(cursor, &key, &value)) == 0) {
		uint8_t doomed[STORE_KEY_MAX];
		size_t len = key.len;

		memcpy(doomed, key.data, len);
		err = store_del(txn, e->table, doomed, len);
		if (err < 0)
			break;
		rows++;
	}
	store_cursor_close(cursor);
	e->more = err == 0;
	return err < 0 ? err : 0;
}

static int
empty_belief(struct blockmap *m)
{
	static const unsigned belief[] = {NODES, SUMS, BLOCKS, FLIGHT, DIRS};

	for (size_t i = 0; i < sizeof belief / sizeof *belief; i++) {
		struct emptying e = {belief[i], true};

		while (e.more) {
			int err = store_write(m->store, empty_some, &e);

			if (err)
				return err;
		}
	}
	return 0;
}

/* The key is a secret; what is kept of it only tells it from another. */
static void
fingerprint_of(const struct block_key *key, char out[33])
{
	static const char text[] = "the key of a tidemark block map";

	hash128_hex(block_hash(key, text, sizeof text), out);
}

int
blockmap_set_key(struct blockmap *m, const uint8_t bytes[BLOCK_KEY_BYTES])
{
	char fingerprint[33], *stored = NULL;
	int err;

	block_key_init(&m->key, bytes);
	fingerprint_of(&m->key, fingerprint);
	err = blockmap_meta_get(m, key_name, &stored);
	/* Killed while it is emptied: the old fingerprint is still there, and it is emptied again. */
	if (err == 0 && strcmp(stored, fingerprint) != 0) {
		err = empty_belief(m);
		err = err ? err : 1;
	}
	free(stored);
	if (err == 1)
		err = blockmap_meta_put(m, key_name, fingerprint);
	m->has_key = !err;
	return err;
}

/* ---- asking ---- */

static int
get_node(struct store_txn *txn, const struct treemap *tree, const char *path, struct entry *ret_entry, struct blockmap_stat *ret_stat,
    struct treemap_weight *ret_weight)
{
	struct store_value value;
	struct blockmap_stat stat;
	int err = treemap_get(txn, tree, path, &value, ret_weight);

	return err ? err : blockmap_node_unpack(value, ret_entry, ret_stat ? ret_stat : &stat);
}

int
blockmap_view_begin(struct blockmap *m, struct blockmap_view *ret_view)
{
	struct store_txn *txn;
	int err = store_read_begin(m->store, &txn);

	if (!err)
		*ret_view = (struct blockmap_view){m, txn};
	return err;
}

int
blockmap_view_get(const struct blockmap_view *view, const char *path, struct entry *ret_entry, struct blockmap_stat *ret_stat,
    struct treemap_weight *ret_weight)
{
	return get_node(view->txn, &view->map->tree, path, ret_entry, ret_stat, ret_weight);
}

void
blockmap_view_end(struct blockmap_view *view)
{
	store_read_end(view->txn);
	view->txn = NULL;
}

int
blockmap_get(struct blockmap *m, const char *path, struct entry *ret_entry, struct blockmap_stat *ret_stat)
{
	struct blockmap_view view;
	int err = blockmap_view_begin(m, &view);

	if (err)
		return err;
	err = blockmap_view_get(&view, path, ret_entry, ret_stat, NULL);
	blockmap_view_end(&view);
	return err;
}

static int
get_blocks(struct store_txn *txn, const char *path, uint64_t first, size_t count, struct hash128 *out)
{
	struct hash128 extent[BLOCKMAP_EXTENT];

	while (count) {
		size_t at = first % BLOCKMAP_EXTENT, n = BLOCKMAP_EXTENT - at, known;
		int err = blockmap_extent_get(txn, path, first / BLOCKMAP_EXTENT, extent, &known);

		if (err)
			return err;
		n = n < count ? n : count;
		memcpy(out, extent + at, n * sizeof *out);
		out += n;
		first += n;
		count -= n;
	}
	return 0;
}

int
blockmap_blocks_get(struct blockmap *m, const char *path, uint64_t first, size_t count, struct hash128 *out)
{
	struct store_txn *txn;
	int err = store_read_begin(m->store, &txn);

	if (err)
		return err;
	err = get_blocks(txn, path, first, count, out);
	store_read_end(txn);
	return err;
}

static int
get_number(struct blockmap *m, enum blockmap_table table, const char *path, int64_t *ret_number)
{
	struct store_txn *txn;
	int err = store_read_begin(m->store, &txn);

	if (err)
		return err;
	err = blockmap_number_get(txn, table, path, ret_number);
	store_read_end(txn);
	return err;
}

int
blockmap_in_flight(struct blockmap *m, const char *path, bool *ret_marked)
{
	int64_t number;
	int err = get_number(m, FLIGHT, path, &number);

	if (err == -ERR_CORRUPT)
		err = 0; /* something was marked here */
	if (err >= 0)
		*ret_marked = err == 0;
	return err < 0 ? err : 0;
}

int
blockmap_dir_get(struct blockmap *m, const char *dir, int64_t *ret_mtime_ns)
{
	int64_t mtime_ns = 0;
	int err = get_number(m, DIRS, dir, &mtime_ns);

	if (err < 0 && err != -ERR_CORRUPT)
		return err;
	*ret_mtime_ns = err ? 0 : mtime_ns;
	return 0;
}

struct visit_entry {
	int (*visit)(const char *path, const struct entry *entry, const struct blockmap_stat *stat, void *arg);
	void *arg;
};

static int
visit_entry(const char *path, struct store_value value, void *arg)
{
	const struct visit_entry *v = arg;
	struct blockmap_stat stat;
	struct entry entry;
	int err = blockmap_node_unpack(value, &entry, &stat);

	if (err)
		return err;
	err = v->visit(path, &entry, &stat, v->arg);
	entry_fini(&entry);
	return err;
}

int
blockmap_children(struct blockmap *m, const char *dir, const char *after,
    int (*visit)(const char *path, const struct entry *entry, const struct blockmap_stat *stat, void *arg), void *arg)
{
	struct visit_entry v = {visit, arg};
	struct store_txn *txn;
	int err = store_read_begin(m->store, &txn);

	if (err)
		return err;
	err = treemap_children(txn, &m->tree, dir, after, visit_entry, &v);
	store_read_end(txn);
	return err;
}

int
blockmap_sum(struct blockmap *m, const char *dir, struct treemap_sum *ret_sum)
{
	struct store_txn *txn;
	int err = store_read_begin(m->store, &txn);

	if (err)
		return err;
	err = treemap_sum(txn, &m->tree, dir, ret_sum);
	store_read_end(txn);
	return err;
}

int
blockmap_total(struct blockmap *m, struct treemap_sum *ret_sum)
{
	struct store_txn *txn;
	int err = store_read_begin(m->store, &txn);

	if (err)
		return err;
	err = treemap_total(txn, &m->tree, ret_sum);
	store_read_end(txn);
	return err;
}

int
blockmap_dirs(struct blockmap *m, int (*visit)(const char *dir, const struct treemap_sum *sum, void *arg), void *arg)
{
	struct store_txn *txn;
	int err = store_read_begin(m->store, &txn);

	if (err)
		return err;
	err = treemap_dirs(txn, &m->tree, "", visit, arg);
	store_read_end(txn);
	return err;
}

struct strays {
	struct store_txn *txn;
	const struct treemap *tree;
	int (*visit)(const char *dir, void *arg);
	void *arg;
};

static int
visit_dir(const char *dir, const struct treemap_sum *sum, void *arg)
{
	const struct strays *s = arg;
	struct entry entry = {0};
	bool led_to;
	int err = *dir ? get_node(s->txn, s->tree, dir, &entry, NULL, NULL) : 0;

	(void)sum;
	if (err < 0)
		return err;
	led_to = !*dir || (err == 0 && entry.kind == ENTRY_DIR);
	entry_fini(&entry);
	return led_to ? 0 : s->visit(dir, s->arg);
}

int
blockmap_strays(struct blockmap *m, const char *under, int (*visit)(const char *dir, void *arg), void *arg)
{
	struct strays s = {.tree = &m->tree, .visit = visit, .arg = arg};
	int err = store_read_begin(m->store, &s.txn);

	if (err)
		return err;
	err = treemap_dirs(s.txn, &m->tree, under, visit_dir, &s);
	store_read_end(s.txn);
	return err;
}

/* ---- changing ---- */

/* A stamp says that the rows are the names of that time.  One that came or went since is of a later time: a live tree that lost its last
 * moments with the power has the old stamp again, and no longer the name. */
static int
forget_stamp_above(struct store_txn *txn, const char *path)
{
	char *dir = strndup(path, relpath_dir_len(path));
	int err = dir ? blockmap_number_del(txn, DIRS, dir) : err_set(ERR_NOMEM, "a row of the block map");

	free(dir);
	return err;
}

static int
put_node(struct store_txn *txn, const struct blockmap *m, const struct blockmap_op *op)
{
	struct treemap_weight weight = entry_weight(&m->key, op->path, op->entry);
	struct pack_out o = {0};
	int err;

	blockmap_node_pack(&o, op->entry, &op->stat);
	err = o.failed ? err_set(ERR_NOMEM, "entry of the block map") : treemap_put(txn, &m->tree, op->path, o.data, o.len, &weight);
	pack_out_fini(&o);
	if (!err)
		err = forget_stamp_above(txn, op->path);
	return err ? err : blockmap_number_del(txn, FLIGHT, op->path);
}

static int
remove_node(struct store_txn *txn, const struct blockmap *m, const char *path)
{
	int err = treemap_del(txn, &m->tree, path);

	if (err >= 0)
		err = blockmap_extents_trim(txn, path, 0);
	if (!err)
		err = blockmap_number_del(txn, FLIGHT, path);
	if (!err)
		err = forget_stamp_above(txn, path);
	return err ? err : blockmap_number_del(txn, DIRS, path);
}

static int
put_blocks(struct store_txn *txn, const struct blockmap_op *op)
{
	assert(op->first % BLOCKMAP_EXTENT == 0 && op->n <= BLOCKMAP_EXTENT);
	return blockmap_extent_put(txn, op->path, op->first / BLOCKMAP_EXTENT, op->hashes, op->n);
}

struct apply {
	const struct blockmap *map;
	const struct blockmap_op *ops;
	size_t n;
};

static int
apply_op(struct store_txn *txn, const struct blockmap *m, const struct blockmap_op *op)
{
	switch (op->kind) {
	case BLOCKMAP_PUT: return put_node(txn, m, op);
	case BLOCKMAP_REMOVE: return remove_node(txn, m, op->path);
	case BLOCKMAP_FLIGHT: return blockmap_number_put(txn, FLIGHT, op->path, 0);
	case BLOCKMAP_BLOCKS: return put_blocks(txn, op);
	case BLOCKMAP_TRIM: return blockmap_extents_trim(txn, op->path, op->first);
	case BLOCKMAP_DIR: return blockmap_number_put(txn, DIRS, op->path, op->dir_mtime_ns);
	}
	return 0;
}

static int
apply_ops(struct store_txn *txn, void *arg)
{
	const struct apply *a = arg;
	int err = 0;

	for (size_t i = 0; i < a->n && !err; i++)
		err = apply_op(txn, a->map, &a->ops[i]);
	return err;
}

int
blockmap_apply(struct blockmap *m, const struct blockmap_op *ops, size_t n)
{
	struct apply a = {m, ops, n};

	assert(m->has_key);
	return n ? store_write(m->store, apply_ops, &a) : 0;
}

/* ---- small values ---- */

int
blockmap_meta_get(struct blockmap *m, const char *name, char **ret_value)
{
	struct store_value value;
	struct store_txn *txn;
	int err = store_read_begin(m->store, &txn);

	assert(strlen(name) <= META_KEY_MAX);
	if (err)
		return err;
	err = store_sealed_get(txn, META, name, strlen(name), &value);
	if (err == 0 && !(*ret_value = strndup(value.data, value.len)))
		err = err_set(ERR_NOMEM, "block map");
	store_read_end(txn);
	return err;
}

struct meta {
	const char *name, *value;
};

static int
put_meta(struct store_txn *txn, void *arg)
{
	const struct meta *meta = arg;

	return store_sealed_put(txn, META, meta->name, strlen(meta->name), meta->value, strlen(meta->value));
}

int
blockmap_meta_put(struct blockmap *m, const char *name, const char *value)
{
	struct meta meta = {name, value};

	assert(strlen(name) <= META_KEY_MAX);
	return store_write(m->store, put_meta, &meta);
}
