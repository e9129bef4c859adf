/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_catalogue - the bytes of the keeper's catalogue: a set, a blob, a staged row; and what a blob adds to a sum. */
#include "keeper/catalogue_rows.h"
#include "tests/fuzz/fuzz.h"

static void
set(struct store_value value)
{
	struct pack_out a = {0}, b = {0};
	struct set_row row;

	if (set_row_unpack(value, &row) != 0)
		return;
	MUST(memchr(row.name, '\0', sizeof row.name) && memchr(row.instance, '\0', sizeof row.instance));
	set_row_pack(&a, &row);
	set_row_fini(&row);
	MUST(set_row_unpack((struct store_value){.data = a.data, .len = a.len}, &row) == 0);
	set_row_pack(&b, &row);
	set_row_fini(&row);
	fuzz_same(&a, &b);
}

static void
keys(const struct blob_row *row)
{
	struct row_key key;

	row_key_blob(row->path, row->version, row->first, &key);
	MUST(key.len <= STORE_KEY_MAX);
	row_key_ended(row, &key);
	MUST(key.len <= STORE_KEY_MAX);
}

static void
blob(struct store_value value)
{
	struct blob_sum sum = {0}, zero = {0};
	struct blob_row row;

	if (blob_row_unpack(value, &row) != 0)
		return;
	keys(&row);
	blob_sum_add(&sum, &row);
	blob_sum_sub(&sum, &row);
	MUST(blob_sum_equal(&sum, &zero));
	blob_row_fini(&row);
}

static void
staged(struct store_value value)
{
	struct pack_out a = {0}, b = {0};
	struct staged_row row;

	if (staged_row_unpack(value, &row) != 0)
		return;
	staged_row_pack(&a, &row);
	blob_row_fini(&row.blob);
	MUST(staged_row_unpack((struct store_value){.data = a.data, .len = a.len}, &row) == 0);
	staged_row_pack(&b, &row);
	blob_row_fini(&row.blob);
	fuzz_same(&a, &b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const what[])(struct store_value) = {set, blob, staged};

	if (len)
		what[data[0] % 3]((struct store_value){.data = data + 1, .len = len - 1});
	return 0;
}
