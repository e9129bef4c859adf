/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows how a path becomes a key, and keeps the sums equal to the nodes.
 *
 *   nodes:  prefix name -> u64 bytes, hash128, u32 length, path, NUL, payload
 *   sums:   prefix      -> u64 count, u64 bytes, hash128, u32 length, directory, NUL
 *   prefix: directory NUL                        when it fits
 *           0x01 hash128(directory) NUL          when it is long, or itself begins with 0x01
 *
 * Which form a directory takes depends on the directory alone, never on the name: else its children would be scattered.
 * Two long directories could meet in one hash, by accident or because a sender of mail tried.  So every value carries its
 * path: nobody takes one for the other, and the second is refused.
 */
#include "base/treemap.h"

#include <string.h>

#include "base/err.h"
#include "base/pack.h"
#include "base/relpath.h"

#define HASHED 0x01
#define PREFIX_MAX (STORE_KEY_MAX - RELNAME_MAX)

/* Cannot be a prefix: those have their only NUL at the end, or begin with 0x01. */
static const uint8_t total_key[2] = {0, 0};

struct key {
	uint8_t bytes[STORE_KEY_MAX];
	size_t len;
};

/* A node or a sum as it is stored. */
struct node {
	struct treemap_weight weight;
	const char *path;
	struct store_value payload;
};

struct total {
	struct treemap_sum sum;
	const char *dir;
};

/* ---- bytes ---- */

static void
key_add(struct key *k, const void *bytes, size_t len)
{
	memcpy(k->bytes + k->len, bytes, len);
	k->len += len;
}

/* The two halves are seeded apart: this is the identity of a directory, not a guard against accidents of the disk. */
static void
add_hash(struct key *k, const char *dir, size_t len)
{
	for (uint64_t half = 0; half < 2; half++) {
		uint64_t h = block_checksum(half + 1, dir, len);

		for (int i = 0; i < 64; i += 8)
			k->bytes[k->len++] = (uint8_t)(h >> i);
	}
}

static void
key_prefix(struct key *k, const char *dir, size_t len)
{
	k->len = 0;
	if (len + 1 <= PREFIX_MAX && (len == 0 || dir[0] != HASHED)) { /* the top may be given by the head of a name in it */
		key_add(k, dir, len);
	} else {
		k->bytes[k->len++] = HASHED;
		add_hash(k, dir, len);
	}
	k->bytes[k->len++] = '\0';
}

static int
key_node(struct key *k, const char *path)
{
	const char *name;

	if (!relpath_valid(path))
		return err_set(ERR_UNSAFE, "path %.400s is not a plain relative path", path);
	name = relpath_name(path);
	key_prefix(k, path, relpath_dir_len(path));
	key_add(k, name, strlen(name));
	return 0;
}

static void
pack_hash(struct pack_out *o, struct hash128 h)
{
	pack_u64(o, h.lo);
	pack_u64(o, h.hi);
}

static struct hash128
unpack_hash(struct pack_in *i)
{
	uint64_t lo = unpack_u64(i);

	return (struct hash128){.lo = lo, .hi = unpack_u64(i)};
}

/* With its NUL, so that a reader can point into the map. */
static void
pack_path(struct pack_out *o, const char *path, size_t len)
{
	pack_u32(o, (uint32_t)len);
	pack_raw(o, path, len);
	pack_u8(o, 0);
}

static const char *
unpack_path(struct pack_in *i)
{
	size_t len;
	const uint8_t *path = unpack_bytes(i, RELPATH_MAX, &len);

	if (unpack_u8(i) != 0 || i->failed || memchr(path, 0, len)) {
		i->failed = true;
		return NULL;
	}
	return (const char *)path;
}

static int
decode_node(struct store_value value, struct node *ret_node)
{
	struct pack_in i = pack_in(value.data, value.len);
	struct node n;

	n.weight.bytes = unpack_u64(&i);
	n.weight.hash = unpack_hash(&i);
	n.path = unpack_path(&i);
	if (i.failed)
		return err_set(ERR_CORRUPT, "a stored node cannot be read");
	n.payload = (struct store_value){i.data + i.pos, i.len - i.pos};
	*ret_node = n;
	return 0;
}

static int
decode_total(struct store_value value, struct total *ret_total)
{
	struct pack_in i = pack_in(value.data, value.len);
	struct total t;

	t.sum.count = unpack_u64(&i);
	t.sum.bytes = unpack_u64(&i);
	t.sum.hash = unpack_hash(&i);
	t.dir = unpack_path(&i);
	if (!unpack_done(&i))
		return err_set(ERR_CORRUPT, "a stored sum cannot be read");
	*ret_total = t;
	return 0;
}

/* ---- nodes ---- */

/* 0 found, 1 absent. */
static int
get_node(struct store_txn *txn, const struct treemap *t, const struct key *k, const char *path, struct node *ret_node)
{
	struct store_value value;
	int err = store_sealed_get(txn, t->nodes, k->bytes, k->len, &value);

	if (!err)
		err = decode_node(value, ret_node);
	if (!err && strcmp(ret_node->path, path) != 0)
		return 1; /* of the other directory of this hash */
	return err;
}

int
treemap_get(struct store_txn *txn, const struct treemap *t, const char *path, struct store_value *ret_value,
    struct treemap_weight *ret_weight)
{
	struct node node;
	struct key k;
	int err = key_node(&k, path);

	if (!err)
		err = get_node(txn, t, &k, path, &node);
	if (err)
		return err;
	*ret_value = node.payload;
	if (ret_weight)
		*ret_weight = node.weight;
	return 0;
}

static int
put_node(struct store_txn *txn, const struct treemap *t, const struct key *k, const char *path, const void *value, size_t len,
    const struct treemap_weight *weight)
{
	struct pack_out o = {0};
	int err;

	pack_u64(&o, weight->bytes);
	pack_hash(&o, weight->hash);
	pack_path(&o, path, strlen(path));
	pack_raw(&o, value, len);
	if (o.failed)
		err = err_set(ERR_NOMEM, "out of memory for a node");
	else
		err = store_sealed_put(txn, t->nodes, k->bytes, k->len, o.data, o.len);
	pack_out_fini(&o);
	return err;
}

/* ---- sums ---- */

/* What a change does to a sum. */
struct delta {
	const struct treemap_weight *gone, *come; /* either may be NULL */
};

/* Bytes are added modulo 2^64, as hashes are modulo 2^128: sizes may be the peer's word, and what wraps must come back. */
static int
apply(struct treemap_sum *sum, const struct delta *d)
{
	if (d->gone) {
		if (sum->count == 0)
			return err_set(ERR_CORRUPT, "a stored sum is smaller than what it sums");
		sum->count--;
		sum->bytes -= d->gone->bytes;
		sum->hash = hash128_sub(sum->hash, d->gone->hash);
	}
	if (d->come) {
		sum->count++;
		sum->bytes += d->come->bytes;
		sum->hash = hash128_add(sum->hash, d->come->hash);
	}
	return 0;
}

/* Zeros when there is none. */
static int
get_sum(struct store_txn *txn, const struct treemap *t, const void *key, size_t key_len, const char *dir, size_t dir_len,
    struct treemap_sum *ret_sum)
{
	struct store_value value;
	struct total total;
	int err = store_sealed_get(txn, t->sums, key, key_len, &value);

	if (err == 1) {
		*ret_sum = (struct treemap_sum){0};
		return 0;
	}
	if (!err)
		err = decode_total(value, &total);
	if (!err && (strlen(total.dir) != dir_len || memcmp(total.dir, dir, dir_len) != 0))
		return err_set(ERR_UNSUPPORTED, "two long directories have the same hash: %.200s", total.dir);
	if (!err)
		*ret_sum = total.sum;
	return err;
}

/* A sum of nothing is no row. */
static int
change_sum(struct store_txn *txn, const struct treemap *t, const void *key, size_t key_len, const char *dir, size_t dir_len,
    const struct delta *delta)
{
	struct treemap_sum sum;
	struct pack_out o = {0};
	int err = get_sum(txn, t, key, key_len, dir, dir_len, &sum);

	if (!err)
		err = apply(&sum, delta);
	if (err)
		return err;
	if (sum.count == 0) {
		err = store_del(txn, t->sums, key, key_len);
		return err < 0 ? err : 0;
	}
	pack_u64(&o, sum.count);
	pack_u64(&o, sum.bytes);
	pack_hash(&o, sum.hash);
	pack_path(&o, dir, dir_len);
	if (o.failed)
		err = err_set(ERR_NOMEM, "out of memory for a sum");
	else
		err = store_sealed_put(txn, t->sums, key, key_len, o.data, o.len);
	pack_out_fini(&o);
	return err;
}

/* The directory's, and that of all. */
static int
change_sums(struct store_txn *txn, const struct treemap *t, const char *path, const struct delta *delta)
{
	struct key k;
	size_t dir_len = relpath_dir_len(path);
	int err;

	key_prefix(&k, path, dir_len);
	err = change_sum(txn, t, k.bytes, k.len, path, dir_len, delta);
	return err ? err : change_sum(txn, t, total_key, sizeof(total_key), "", 0, delta);
}

int
treemap_put(struct store_txn *txn, const struct treemap *t, const char *path, const void *value, size_t len,
    const struct treemap_weight *weight)
{
	struct treemap_weight old_weight;
	struct delta delta = {.come = weight};
	struct node old;
	struct key k;
	int err = key_node(&k, path);

	if (!err)
		err = get_node(txn, t, &k, path, &old);
	if (err < 0)
		return err;
	if (err == 0) {
		old_weight = old.weight;
		delta.gone = &old_weight;
	}
	/* Sums first: they refuse a directory whose hash is taken.  The transaction makes the two one. */
	err = change_sums(txn, t, path, &delta);
	return err ? err : put_node(txn, t, &k, path, value, len, weight);
}

int
treemap_del(struct store_txn *txn, const struct treemap *t, const char *path)
{
	struct node old;
	struct key k;
	int err = key_node(&k, path);

	if (!err)
		err = get_node(txn, t, &k, path, &old);
	if (err)
		return err;
	err = change_sums(txn, t, path, &(struct delta){.gone = &old.weight});
	return err ? err : store_del(txn, t->nodes, k.bytes, k.len);
}

int
treemap_sum(struct store_txn *txn, const struct treemap *t, const char *dir, struct treemap_sum *ret_sum)
{
	struct key k;

	if (*dir && !relpath_valid(dir))
		return err_set(ERR_UNSAFE, "path %.400s is not a plain relative path", dir);
	key_prefix(&k, dir, strlen(dir));
	return get_sum(txn, t, k.bytes, k.len, dir, strlen(dir), ret_sum);
}

int
treemap_total(struct store_txn *txn, const struct treemap *t, struct treemap_sum *ret_sum)
{
	return get_sum(txn, t, total_key, sizeof(total_key), "", 0, ret_sum);
}

/* ---- walks ---- */

static bool
has_prefix(struct store_value key, const struct key *prefix, size_t len)
{
	return key.len > len && memcmp(key.data, prefix->bytes, len) == 0;
}

static bool
is_child(const char *path, const char *dir)
{
	return relpath_dir_len(path) == strlen(dir) && memcmp(path, dir, strlen(dir)) == 0;
}

static int
visit_children(struct store_cursor *c, const struct key *from, size_t prefix_len, const char *dir, bool skip_first,
    int (*visit)(const char *path, struct store_value value, void *arg), void *arg)
{
	struct store_value key, value;
	struct node node;
	int err;

	while ((err = store_cursor_next(c, &key, &value)) == 0 && has_prefix(key, from, prefix_len)) {
		if (skip_first && key.len == from->len && memcmp(key.data, from->bytes, key.len) == 0)
			continue; /* `after` itself */
		err = store_unseal(key, &value);
		if (!err)
			err = decode_node(value, &node);
		if (!err && is_child(node.path, dir))
			err = visit(node.path, node.payload, arg);
		if (err)
			return err;
	}
	return err < 0 ? err : 0;
}

int
treemap_children(struct store_txn *txn, const struct treemap *t, const char *dir, const char *after,
    int (*visit)(const char *path, struct store_value value, void *arg), void *arg)
{
	struct store_cursor *c;
	struct key from;
	size_t prefix_len;
	int err;

	if (*dir && !relpath_valid(dir))
		return err_set(ERR_UNSAFE, "path %.400s is not a plain relative path", dir);
	if (after && (strlen(after) > RELNAME_MAX || strchr(after, '/')))
		return err_set(ERR_UNSAFE, "%.400s is not a name", after);
	key_prefix(&from, dir, strlen(dir));
	prefix_len = from.len;
	if (after)
		key_add(&from, after, strlen(after));
	err = store_cursor_open(txn, t->nodes, from.bytes, from.len, &c);
	if (err)
		return err;
	err = visit_children(c, &from, prefix_len, dir, after != NULL, visit, arg);
	store_cursor_close(c);
	return err;
}

struct dirs {
	const char *under;
	int (*visit)(const char *dir, const struct treemap_sum *sum, void *arg);
	void *arg;
};

/* Those whose key begins like `from`. */
static int
visit_sums(struct store_cursor *c, const struct key *from, const struct dirs *d)
{
	struct store_value key, value;
	struct total total;
	int err;

	while ((err = store_cursor_next(c, &key, &value)) == 0) {
		if (key.len < from->len || memcmp(key.data, from->bytes, from->len) != 0)
			return 0;
		if (key.len == sizeof(total_key) && memcmp(key.data, total_key, key.len) == 0)
			continue;
		err = store_unseal(key, &value);
		if (!err)
			err = decode_total(value, &total);
		if (!err && relpath_within(total.dir, d->under))
			err = d->visit(total.dir, &total.sum, d->arg);
		if (err)
			return err;
	}
	return err < 0 ? err : 0;
}

static int
visit_range(struct store_txn *txn, const struct treemap *t, const struct key *from, const struct dirs *d)
{
	struct store_cursor *c;
	int err = store_cursor_open(txn, t->sums, from->len ? from->bytes : NULL, from->len, &c);

	if (err)
		return err;
	err = visit_sums(c, from, d);
	store_cursor_close(c);
	return err;
}

int
treemap_dirs(struct store_txn *txn, const struct treemap *t, const char *under,
    int (*visit)(const char *dir, const struct treemap_sum *sum, void *arg), void *arg)
{
	const struct dirs d = {under, visit, arg};
	struct key own = {.len = 0}, hashed = {.bytes = {HASHED}, .len = 1};
	int err;

	if (!*under)
		return visit_range(txn, t, &own, &d);
	/* Hashed ones lie anywhere among their like; there are few. */
	err = visit_range(txn, t, &hashed, &d);
	key_prefix(&own, under, strlen(under));
	if (err || own.bytes[0] == HASHED)
		return err;
	err = visit_range(txn, t, &own, &d);
	own.bytes[own.len - 1] = '/';
	return err ? err : visit_range(txn, t, &own, &d);
}
