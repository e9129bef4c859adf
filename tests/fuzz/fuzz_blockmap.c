/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_blockmap - the bytes of the block map's rows: a node, an extent of hashes, a number beside a path. */
#include "journal/blockmap_rows.c"

#include "tests/fuzz/fuzz.h"

static void
node(const struct pack_in *in)
{
	struct store_value value = {.data = in->data + in->pos, .len = in->len - in->pos};
	struct pack_out a = {0}, b = {0};
	struct blockmap_stat stat;
	struct entry entry;

	if (blockmap_node_unpack(value, &entry, &stat) != 0)
		return;
	blockmap_node_pack(&a, &entry, &stat);
	entry_fini(&entry);
	MUST(blockmap_node_unpack((struct store_value){.data = a.data, .len = a.len}, &entry, &stat) == 0);
	blockmap_node_pack(&b, &entry, &stat);
	entry_fini(&entry);
	fuzz_same(&a, &b);
}

static void
extent(struct pack_in in)
{
	struct hash128 hashes[BLOCKMAP_EXTENT + 1] = {0};

	in.failed = false;
	if (row_of_path(&in, "offiles/fd0/a"))
		MUST(unpack_hashes(&in, hashes) <= BLOCKMAP_EXTENT);
	MUST(hashes[BLOCKMAP_EXTENT].lo == 0 && hashes[BLOCKMAP_EXTENT].hi == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pack_in in = pack_in(data, len);

	if (unpack_u8(&in) & 1)
		extent(in);
	else
		node(&in);
	return 0;
}
