/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_index - the bytes of the server's index: a file, a row of the fresh list, and where a place on disk leads back to. */
#include "server/index.c"
#include "server/index_blobs.c"

#include "tests/fuzz/fuzz.h"

static void
node(struct store_value value)
{
	struct pack_out a = {0}, b = {0};
	struct index_node n;

	if (node_unpack(value, &n) != 0)
		return;
	index_node_pack(&a, &n);
	entry_fini(&n.entry);
	MUST(node_unpack((struct store_value){.data = a.data, .len = a.len}, &n) == 0);
	index_node_pack(&b, &n);
	entry_fini(&n.entry);
	fuzz_same(&a, &b);
}

static void
fresh(struct store_value value)
{
	static const uint8_t key[8] = {1};
	struct index_fresh row;

	if (fresh_unpack((struct store_value){.data = key, .len = sizeof key}, value, &row) == 0) {
		free(row.path);
		entry_fini(&row.entry);
	}
}

/* A place that has a path lies where that path and version are kept, in one of the two layouts at most. */
static void
place(const char *text)
{
	const char *path;
	uint32_t version;

	if (!index_unplace(text, &path, &version))
		return;
	MUST(relpath_valid(path) && version > 0);
	for (enum layout_type type = 0; type < LAYOUT_TYPES; type++) {
		const char *back_path;
		uint32_t back_version;
		char *back = index_place(type, path, version);

		if (!back)
			continue;
		if (strcmp(back, text) == 0)
			MUST(index_unplace(back, &back_path, &back_version) && strcmp(back_path, path) == 0 && back_version == version);
		free(back);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pack_in in = pack_in(data, len);
	uint8_t what = unpack_u8(&in) % 3;
	struct store_value value = {.data = data + in.pos, .len = len - in.pos};

	if (what == 0)
		node(value);
	else if (what == 1)
		fresh(value);
	else {
		char *text = fuzz_text(&in);

		place(text);
		free(text);
	}
	return 0;
}
