/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blockmap_rows - the bytes of the block map: nodes, extents, and numbers beside a path.
 *
 * Extents and numbers carry their path, because long paths share keys (journal/pathkey.h); a row of another path is no
 * row.  One that fails its checksum is none either: not to know a hash costs a block on the wire, to believe a wrong one
 * costs a block in the backup.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/relpath.h"
#include "journal/blockmap_internal.h"
#include "journal/pathkey.h"

#define EXTENT_SUFFIX 9 /* NUL, extent number */

void
blockmap_node_pack(struct pack_out *o, const struct entry *entry, const struct blockmap_stat *stat)
{
	pack_u64(o, stat->inode);
	pack_i64(o, stat->ctime_ns);
	pack_u8(o, stat->adopted);
	entry_pack(o, entry);
}

int
blockmap_node_unpack(struct store_value value, struct entry *ret_entry, struct blockmap_stat *ret_stat)
{
	struct pack_in in = pack_in(value.data, value.len);
	struct blockmap_stat stat = {.inode = unpack_u64(&in), .ctime_ns = unpack_i64(&in), .adopted = unpack_u8(&in) != 0};
	struct entry entry;

	entry_unpack(&in, &entry);
	if (!unpack_done(&in)) {
		entry_fini(&entry);
		return err_set(ERR_CORRUPT, "an entry of the block map cannot be read");
	}
	*ret_entry = entry;
	*ret_stat = stat;
	return 0;
}

/* ---- extents ---- */

static void
extent_key(struct pathkey *key, const char *path, uint64_t extent)
{
	pathkey_init(key, 'b', path, EXTENT_SUFFIX);
	key->bytes[key->len] = '\0'; /* before any longer path */
	store_key_u64(extent, key->bytes + key->len + 1);
	key->len += EXTENT_SUFFIX;
}

/* True and at the hashes when the value belongs to `path`. */
static bool
row_of_path(struct pack_in *in, const char *path)
{
	size_t len;
	const uint8_t *bytes = unpack_bytes(in, RELPATH_MAX, &len);

	return bytes && len == strlen(path) && memcmp(bytes, path, len) == 0;
}

static size_t
unpack_hashes(struct pack_in *in, struct hash128 out[BLOCKMAP_EXTENT])
{
	uint32_t n = unpack_u32(in);

	for (uint32_t i = 0; i < n && i < BLOCKMAP_EXTENT && !in->failed; i++) {
		out[i].lo = unpack_u64(in);
		out[i].hi = unpack_u64(in);
	}
	return n <= BLOCKMAP_EXTENT && unpack_done(in) ? n : 0;
}

int
blockmap_extent_get(struct store_txn *txn, const char *path, uint64_t extent, struct hash128 out[BLOCKMAP_EXTENT], size_t *ret_n)
{
	struct store_value value;
	struct pathkey key;
	size_t n = 0;
	int err;

	extent_key(&key, path, extent);
	err = store_sealed_get(txn, BLOCKS, key.bytes, key.len, &value);
	if (err < 0 && err != -ERR_CORRUPT)
		return err;
	if (err == 0) {
		struct pack_in in = pack_in(value.data, value.len);

		n = row_of_path(&in, path) ? unpack_hashes(&in, out) : 0;
	}
	memset(out + n, 0, (BLOCKMAP_EXTENT - n) * sizeof *out);
	*ret_n = n;
	return 0;
}

int
blockmap_extent_put(struct store_txn *txn, const char *path, uint64_t extent, const struct hash128 *hashes, size_t n)
{
	struct pack_out o = {0};
	struct pathkey key;
	int err;

	extent_key(&key, path, extent);
	pack_str(&o, path);
	pack_u32(&o, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		pack_u64(&o, hashes[i].lo);
		pack_u64(&o, hashes[i].hi);
	}
	err = o.failed ? err_set(ERR_NOMEM, "extent of the block map") : store_sealed_put(txn, BLOCKS, key.bytes, key.len, o.data, o.len);
	pack_out_fini(&o);
	return err;
}

static int
trim_partial(struct store_txn *txn, const char *path, uint64_t first)
{
	struct hash128 hashes[BLOCKMAP_EXTENT];
	uint64_t extent = first / BLOCKMAP_EXTENT;
	size_t keep = first % BLOCKMAP_EXTENT, n;
	int err;

	if (!keep)
		return 0;
	err = blockmap_extent_get(txn, path, extent, hashes, &n);
	return err || n <= keep ? err : blockmap_extent_put(txn, path, extent, hashes, keep);
}

int
blockmap_extents_trim(struct store_txn *txn, const char *path, uint64_t first)
{
	struct store_cursor *cursor;
	struct store_value key, value;
	struct pathkey from;
	size_t prefix;
	int err = trim_partial(txn, path, first);

	if (err)
		return err;
	extent_key(&from, path, first / BLOCKMAP_EXTENT + (first % BLOCKMAP_EXTENT != 0));
	prefix = from.len - 8;
	err = store_cursor_open(txn, BLOCKS, from.bytes, from.len, &cursor);
	if (err)
		return err;
	/* Another path under the same key loses its hashes too, and gets them back by reading. */
	while ((err = store_cursor_next(cursor, &key, &value)) == 0) {
		uint8_t doomed[STORE_KEY_MAX];
		size_t len = key.len;

		if (len != from.len || memcmp(key.data, from.bytes, prefix) != 0)
			break;
		memcpy(doomed, key.data, len);
		err = store_del(txn, BLOCKS, doomed, len);
		if (err < 0)
			break;
	}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

/* ---- numbers ---- */

int
blockmap_number_get(struct store_txn *txn, enum blockmap_table table, const char *path, int64_t *ret_number)
{
	struct store_value value;
	struct pathkey key;
	int err;

	pathkey_init(&key, 'n', path, 0);
	err = store_sealed_get(txn, table, key.bytes, key.len, &value);
	if (err)
		return err;
	struct pack_in in = pack_in(value.data, value.len);
	int64_t number = unpack_i64(&in);
	if (!row_of_path(&in, path) || !unpack_done(&in))
		return 1;
	*ret_number = number;
	return 0;
}

int
blockmap_number_put(struct store_txn *txn, enum blockmap_table table, const char *path, int64_t number)
{
	struct pack_out o = {0};
	struct pathkey key;
	int err;

	pathkey_init(&key, 'n', path, 0);
	pack_i64(&o, number);
	pack_str(&o, path);
	err = o.failed ? err_set(ERR_NOMEM, "row of the block map") : store_sealed_put(txn, table, key.bytes, key.len, o.data, o.len);
	pack_out_fini(&o);
	return err;
}

int
blockmap_number_del(struct store_txn *txn, enum blockmap_table table, const char *path)
{
	struct pathkey key;
	int err;

	pathkey_init(&key, 'n', path, 0);
	err = store_del(txn, table, key.bytes, key.len);
	return err < 0 ? err : 0;
}
