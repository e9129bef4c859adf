/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * index - the bytes of the rows, and which rows one change of a file touches.  The only file that knows where a path and
 * version lie on disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/pack.h"
#include "base/relpath.h"
#include "base/store.h"
#include "server/index_own.h"

#define INDEX_VERSION 1u
#define LONG_KEY 0x01 /* first byte of the key of a path that is too long for one: its hash follows */

static const char *const table_names[TABLES] = {"nodes", "sums", "versions", "marks", "armed", "fresh", "meta"};

/* ---- places ---- */

char *
index_place(enum layout_type type, const char *path, uint32_t version)
{
	const struct layout_row *row = layout_of(type, path, false);
	char *place = NULL;

	/* A directory at the head of an area is not held by its own row as a file would be. */
	if (!row)
		row = layout_of(type, path, true);
	if (!row)
		return NULL;
	if (version > 1 ? asprintf(&place, "%s/versions/%u/%s", row->place, version, path) < 0
	                : asprintf(&place, "%s/%s", row->place, path) < 0)
		return NULL;
	return place;
}

static const char *
skip(const char *s, const char *head)
{
	size_t n = strlen(head);

	return strncmp(s, head, n) == 0 ? s + n : NULL;
}

bool
index_unplace(const char *place, const char **ret_path, uint32_t *ret_version)
{
	const char *rest = skip(place, "blobs/versions/");
	uint32_t version = 1;

	if (rest) {
		char *end;
		unsigned long v = strtoul(rest, &end, 10);

		if (v < 2 || v > UINT32_MAX || *end != '/')
			return false;
		version = (uint32_t)v;
		rest = end + 1;
	} else if (!(rest = skip(place, "blobs/")) && !(rest = skip(place, "gre_data/sync/")) && !(rest = skip(place, "gre_data/"))) {
		return false;
	}
	if (!relpath_valid(rest))
		return false;
	*ret_path = rest;
	*ret_version = version;
	return true;
}

/* ---- open ---- */

int
index_open(const char *state_dir, const char *profile, bool readonly, struct index **ret_index, bool *ret_rebuilt)
{
	const struct store_identity who = {.kind = "index", .version = INDEX_VERSION, .owner = profile, .sealed = STORE_ALL_SEALED};
	struct index *ix = calloc(1, sizeof *ix);
	enum store_found found = STORE_OPENED;
	char *dir = relpath_join(state_dir, "index");
	struct stat st;
	int err;

	if (!ix || !dir)
		err = err_set(ERR_NOMEM, "opening the index of %s", profile);
	else if (readonly && lstat(dir, &st) != 0 && errno == ENOENT)
		err = 1;
	else
		err = store_open(dir, &who, table_names, TABLES, readonly ? STORE_READONLY : STORE_DERIVED | STORE_GROUP_READS, &ix->store, &found);
	free(dir);
	if (err) {
		free(ix);
		return err;
	}
	ix->tree = (struct treemap){.nodes = NODES, .sums = SUMS};
	if (ret_rebuilt)
		*ret_rebuilt = found == STORE_REBUILT;
	*ret_index = ix;
	return 0;
}

void
index_close(struct index *ix)
{
	if (!ix)
		return;
	store_close(ix->store);
	free(ix);
}

const char *
index_instance(const struct index *ix)
{
	return store_uuid(ix->store);
}

bool
index_is_broken(const struct index *ix)
{
	return store_is_broken(ix->store);
}

void
index_usage(const struct index *ix, uint64_t *ret_used, uint64_t *ret_map)
{
	store_usage(ix->store, ret_used, ret_map);
}

/* ---- keys and values ---- */

void
index_key(const char *path, struct index_key *ret_key)
{
	size_t n = strlen(path);

	if (n <= sizeof ret_key->bytes) {
		memcpy(ret_key->bytes, path, n);
		ret_key->len = n;
		return;
	}
	ret_key->bytes[0] = LONG_KEY;
	digest_once(path, n, ret_key->bytes + 1);
	ret_key->len = 1 + DIGEST_BYTES;
}

int
index_corrupt(const char *what)
{
	return err_set(ERR_CORRUPT, "the index holds a damaged row of %s", what);
}

void
index_node_pack(struct pack_out *o, const struct index_node *node)
{
	pack_u32(o, node->version);
	entry_pack(o, &node->entry);
}

static int
node_unpack(struct store_value value, struct index_node *ret_node)
{
	struct pack_in in = pack_in(value.data, value.len);
	struct index_node node = {.version = unpack_u32(&in)};

	entry_unpack(&in, &node.entry);
	if (!unpack_done(&in)) {
		entry_fini(&node.entry);
		return index_corrupt("a file");
	}
	*ret_node = node;
	return 0;
}

int
index_put_u64(struct store_txn *txn, enum index_table table, const char *name, uint64_t v)
{
	uint8_t bytes[8];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);

	pack_u64(&o, v);
	return store_sealed_put(txn, table, name, strlen(name), bytes, sizeof bytes);
}

int
index_get_u64(struct store_txn *txn, enum index_table table, const char *name, uint64_t *ret_v)
{
	struct store_value value;
	int err = store_sealed_get(txn, table, name, strlen(name), &value);

	*ret_v = 0;
	if (err)
		return err > 0 ? 0 : err;
	struct pack_in in = pack_in(value.data, value.len);
	*ret_v = unpack_u64(&in);
	return unpack_done(&in) ? 0 : index_corrupt(name);
}

/* ---- one commit ---- */

struct apply {
	const struct block_key *key;
	const struct index_op *ops;
	size_t n;
	uint64_t fresh;      /* head while the transaction runs */
	struct pack_out row; /* scratch */
};

static int
apply_put(struct store_txn *txn, struct apply *a, const struct index_op *op)
{
	const struct treemap_weight weight = entry_weight(a->key, op->path, &op->node->entry);

	a->row.len = 0;
	index_node_pack(&a->row, op->node);
	if (a->row.failed)
		return err_set(ERR_NOMEM, "writing the index");
	int err = treemap_put(txn, &(struct treemap){NODES, SUMS}, op->path, a->row.data, a->row.len, &weight);
	if (err == 0 && op->blob && op->node->entry.kind == ENTRY_FILE)
		err = index_version_raise(txn, op->path, op->node->version);
	if (err == 0 && op->blob)
		err = index_fresh_append(txn, ++a->fresh, op, &a->row);
	return err;
}

static int
apply_remove(struct store_txn *txn, struct apply *a, const struct index_op *op)
{
	int err = treemap_del(txn, &(struct treemap){NODES, SUMS}, op->path);

	if (err < 0)
		return err;
	return err == 0 && op->blob ? index_fresh_append(txn, ++a->fresh, op, &a->row) : 0;
}

/* Rows of `marks` and `armed`: the path again, because the key may be a hash. */
static int
note_put(struct store_txn *txn, struct apply *a, enum index_table table, const char *path)
{
	struct index_key key;

	index_key(path, &key);
	a->row.len = 0;
	pack_str(&a->row, path);
	if (a->row.failed)
		return err_set(ERR_NOMEM, "writing the index");
	return store_sealed_put(txn, table, key.bytes, key.len, a->row.data, a->row.len);
}

static int
note_del(struct store_txn *txn, enum index_table table, const char *path)
{
	struct index_key key;

	index_key(path, &key);
	int err = store_del(txn, table, key.bytes, key.len);
	return err < 0 ? err : 0;
}

static int
apply_one(struct store_txn *txn, struct apply *a, const struct index_op *op)
{
	int err = 0;

	switch (op->kind) {
	case INDEX_PUT:
		err = apply_put(txn, a, op);
		break;
	case INDEX_REMOVE:
		err = apply_remove(txn, a, op);
		break;
	case INDEX_MARK:
		return note_put(txn, a, MARKS, op->path);
	case INDEX_UNMARK:
		return note_del(txn, MARKS, op->path);
	case INDEX_ARM:
		return note_put(txn, a, ARMED, op->path);
	case INDEX_DISARM:
		return note_del(txn, ARMED, op->path);
	}
	/* Blobs are never marked. */
	return err || op->blob ? err : note_del(txn, MARKS, op->path);
}

static int
apply_all(struct store_txn *txn, void *arg)
{
	struct apply *a = arg;
	uint64_t before;
	int err = index_get_u64(txn, META, META_FRESH, &before);

	a->fresh = before;
	for (size_t i = 0; err == 0 && i < a->n; i++)
		err = apply_one(txn, a, &a->ops[i]);
	if (err == 0 && a->fresh != before)
		err = index_put_u64(txn, META, META_FRESH, a->fresh);
	return err;
}

int
index_apply(struct index *ix, const struct block_key *key, const struct index_op *ops, size_t n)
{
	struct apply a = {.key = key, .ops = ops, .n = n};
	int err = store_write(ix->store, apply_all, &a);

	pack_out_fini(&a.row);
	return err;
}

/* ---- reading ---- */

int
index_get(struct index *ix, const char *path, struct index_node *ret_node)
{
	struct store_value value;
	struct store_txn *txn;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = treemap_get(txn, &ix->tree, path, &value, NULL);
	if (err == 0)
		err = node_unpack(value, ret_node);
	store_read_end(txn);
	return err;
}

int
index_version(struct index *ix, const char *path, uint32_t *ret_version)
{
	struct store_txn *txn;
	uint32_t version;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = index_version_get(txn, path, &version);
	store_read_end(txn);
	if (err == 0)
		*ret_version = version;
	return err;
}

int
index_total(struct index *ix, struct treemap_sum *ret_sum)
{
	struct store_txn *txn;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = treemap_total(txn, &ix->tree, ret_sum);
	store_read_end(txn);
	return err;
}

int
index_sum(struct index *ix, const char *dir, struct treemap_sum *ret_sum)
{
	struct store_txn *txn;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = treemap_sum(txn, &ix->tree, dir, ret_sum);
	store_read_end(txn);
	return err;
}

int
index_dirs(struct index *ix, int (*visit)(const char *dir, const struct treemap_sum *sum, void *arg), void *arg)
{
	struct store_txn *txn;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = treemap_dirs(txn, &ix->tree, "", visit, arg);
	store_read_end(txn);
	return err;
}

struct children {
	int (*visit)(const char *path, const struct index_node *node, void *arg);
	void *arg;
};

static int
child(const char *path, struct store_value value, void *arg)
{
	const struct children *c = arg;
	struct index_node node;
	int err = node_unpack(value, &node);

	if (err)
		return err;
	err = c->visit(path, &node, c->arg);
	entry_fini(&node.entry);
	return err;
}

int
index_children(struct index *ix, const char *dir, const char *after,
    int (*visit)(const char *path, const struct index_node *node, void *arg), void *arg)
{
	struct children c = {visit, arg};
	struct store_txn *txn;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = treemap_children(txn, &ix->tree, dir, after, child, &c);
	store_read_end(txn);
	return err;
}

static int
visit_note(struct store_value key, struct store_value value, int (*visit)(const char *path, void *arg), void *arg)
{
	int err = store_unseal(key, &value);

	if (err)
		return err;
	struct pack_in in = pack_in(value.data, value.len);
	char *path = unpack_str(&in, 2 * RELPATH_MAX);
	err = unpack_done(&in) ? visit(path, arg) : index_corrupt("marks");
	free(path);
	return err;
}

static int
walk_notes(struct index *ix, enum index_table table, int (*visit)(const char *path, void *arg), void *arg)
{
	struct store_cursor *cursor = NULL;
	struct store_value key, value;
	struct store_txn *txn;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = store_cursor_open(txn, table, NULL, 0, &cursor);
	while (err == 0 && (err = store_cursor_next(cursor, &key, &value)) == 0)
		err = visit_note(key, value, visit, arg);
	store_cursor_close(cursor);
	store_read_end(txn);
	return err == 1 ? 0 : err;
}

int
index_marks(struct index *ix, int (*visit)(const char *path, void *arg), void *arg)
{
	return walk_notes(ix, MARKS, visit, arg);
}

int
index_armed(struct index *ix, int (*visit)(const char *place, void *arg), void *arg)
{
	return walk_notes(ix, ARMED, visit, arg);
}

/* ---- meta ---- */

int
index_meta_get(struct index *ix, const char *name, char **ret_value, size_t *ret_len)
{
	struct store_value value;
	struct store_txn *txn;
	int err = store_read_begin(ix->store, &txn);

	if (err)
		return err;
	err = store_sealed_get(txn, META, name, strlen(name), &value);
	if (err == 0) {
		char *copy = malloc(value.len + 1);

		if (!copy) {
			err = err_set(ERR_NOMEM, "reading the index");
		} else {
			memcpy(copy, value.data, value.len);
			copy[value.len] = '\0';
			*ret_value = copy;
			*ret_len = value.len;
		}
	}
	store_read_end(txn);
	return err;
}

struct meta_put {
	const char *name;
	const void *value;
	size_t len;
};

static int
meta_put(struct store_txn *txn, void *arg)
{
	const struct meta_put *m = arg;

	return store_sealed_put(txn, META, m->name, strlen(m->name), m->value, m->len);
}

int
index_meta_put(struct index *ix, const char *name, const void *value, size_t len)
{
	struct meta_put m = {name, value, len};

	return store_write(ix->store, meta_put, &m);
}
