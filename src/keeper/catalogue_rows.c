/* SPDX-License-Identifier: GPL-2.0-or-later */
/* catalogue_rows - the bytes that must still be read in ten years, and the arithmetic of a set's sum. */
#include "keeper/catalogue_rows.h"

#include "base/err.h"
#include "base/relpath.h"

#define PATH_KEY_MAX 480   /* leaves room for the three numbers */
#define LONG_KEY 0x01      /* no path of ours begins with it: they begin with the name of an area */
#define LONG_HEAD 400
#define NOTE_MAX (64u * 1024u)

/* ---- keys ---- */

static void
key_add(struct row_key *key, const void *bytes, size_t n)
{
	memcpy(key->bytes + key->len, bytes, n);
	key->len += n;
}

static void
key_add_u32(struct row_key *key, uint32_t v)
{
	const uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	key_add(key, be, sizeof be);
}

static void
key_add_path(struct row_key *key, const char *path)
{
	size_t n = strlen(path);
	uint8_t sum[DIGEST_BYTES];

	if (n < PATH_KEY_MAX) {
		key_add(key, path, n + 1);
		return;
	}
	digest_once(path, n, sum);
	key_add(key, &(uint8_t){LONG_KEY}, 1);
	key_add(key, path, LONG_HEAD);
	key_add(key, sum, sizeof sum);
}

void
row_key_path(const char *path, struct row_key *ret_key)
{
	ret_key->len = 0;
	key_add_path(ret_key, path);
}

void
row_key_blob(const char *path, uint32_t version, uint32_t first, struct row_key *ret_key)
{
	row_key_path(path, ret_key);
	key_add_u32(ret_key, version);
	key_add_u32(ret_key, first);
}

void
row_key_ended(const struct blob_row *row, struct row_key *ret_key)
{
	ret_key->len = 0;
	key_add_u32(ret_key, row->last);
	key_add_u32(ret_key, row->first);
	key_add_u32(ret_key, row->version);
	key_add_path(ret_key, row->path);
}

void
row_key_staged(const char *path, uint32_t version, struct row_key *ret_key)
{
	row_key_path(path, ret_key);
	key_add_u32(ret_key, version);
}

int
row_put(struct store_txn *txn, enum catalogue_table table, const struct row_key *key, const struct pack_out *value)
{
	if (value->failed)
		return err_set(ERR_NOMEM, "out of memory for a row of the catalogue");
	return store_sealed_put(txn, table, key->bytes, key->len, value->data, value->len);
}

/* ---- values ---- */

static int
damaged(const char *what)
{
	return err_set(ERR_CORRUPT, "the catalogue holds a damaged row of %s", what);
}

static void
unpack_bytes_into(struct pack_in *i, void *out, size_t n)
{
	const uint8_t *at = unpack_raw(i, n);

	if (at)
		memcpy(out, at, n);
}

/* A string into an array of the struct. */
static void
unpack_name(struct pack_in *i, char *out, size_t size)
{
	size_t n;
	const uint8_t *at = unpack_bytes(i, size - 1, &n);

	if (!at)
		return;
	memcpy(out, at, n);
	out[n] = '\0';
}

void
set_row_pack(struct pack_out *o, const struct set_row *s)
{
	pack_u32(o, s->number);
	pack_str(o, s->name);
	pack_u8(o, s->state);
	pack_u8(o, s->verified);
	pack_u8(o, s->layout);
	pack_u8(o, s->warnings);
	pack_u64(o, s->job);
	pack_u32(o, s->date);
	pack_i64(o, s->t0_ns);
	pack_i64(o, s->sealed_ns);
	pack_i64(o, s->scrubbed_ns);
	pack_u64(o, s->files);
	pack_u64(o, s->bytes);
	pack_u64(o, s->new_bytes);
	blob_sum_pack(o, &s->blobs);
	pack_raw(o, s->manifest, sizeof s->manifest);
	pack_str(o, s->instance);
	pack_u64(o, s->fresh_puts);
	pack_u64(o, s->fresh_removes);
	pack_str(o, s->note ? s->note : "");
}

int
set_row_unpack(struct store_value value, struct set_row *ret_set)
{
	struct pack_in i = pack_in(value.data, value.len);
	struct set_row s = {0};

	s.number = unpack_u32(&i);
	unpack_name(&i, s.name, sizeof s.name);
	s.state = unpack_u8(&i);
	s.verified = unpack_u8(&i);
	s.layout = unpack_u8(&i);
	s.warnings = unpack_u8(&i) != 0;
	s.job = unpack_u64(&i);
	s.date = unpack_u32(&i);
	s.t0_ns = unpack_i64(&i);
	s.sealed_ns = unpack_i64(&i);
	s.scrubbed_ns = unpack_i64(&i);
	s.files = unpack_u64(&i);
	s.bytes = unpack_u64(&i);
	s.new_bytes = unpack_u64(&i);
	blob_sum_unpack(&i, &s.blobs);
	unpack_bytes_into(&i, s.manifest, sizeof s.manifest);
	unpack_name(&i, s.instance, sizeof s.instance);
	s.fresh_puts = unpack_u64(&i);
	s.fresh_removes = unpack_u64(&i);
	s.note = unpack_str(&i, NOTE_MAX);
	if (!unpack_done(&i) || s.layout >= LAYOUT_TYPES) {
		set_row_fini(&s);
		return damaged("a set");
	}
	*ret_set = s;
	return 0;
}

void
set_row_fini(struct set_row *set)
{
	free(set->note);
	*set = (struct set_row){0};
}

static void
blob_row_pack_identity(struct pack_out *o, const struct blob_row *row)
{
	pack_str(o, row->path);
	pack_u32(o, row->version);
	entry_pack(o, &row->entry);
	pack_raw(o, row->sha256, sizeof row->sha256);
}

void
blob_row_pack(struct pack_out *o, const struct blob_row *row)
{
	blob_row_pack_identity(o, row);
	pack_u32(o, row->first);
	pack_u32(o, row->last);
	pack_u64(o, row->seq);
}

static void
blob_row_unpack_from(struct pack_in *i, struct blob_row *row)
{
	row->path = unpack_str(i, RELPATH_MAX);
	row->version = unpack_u32(i);
	entry_unpack(i, &row->entry);
	unpack_bytes_into(i, row->sha256, sizeof row->sha256);
	row->first = unpack_u32(i);
	row->last = unpack_u32(i);
	row->seq = unpack_u64(i);
}

int
blob_row_unpack(struct store_value value, struct blob_row *ret_row)
{
	struct pack_in i = pack_in(value.data, value.len);
	struct blob_row row = {0};

	blob_row_unpack_from(&i, &row);
	if (!unpack_done(&i)) {
		blob_row_fini(&row);
		return damaged("a blob");
	}
	*ret_row = row;
	return 0;
}

void
blob_row_fini(struct blob_row *row)
{
	free(row->path);
	entry_fini(&row->entry);
	*row = (struct blob_row){0};
}

void
blob_rows_free(struct blob_row *rows, size_t n)
{
	for (size_t k = 0; k < n; k++)
		blob_row_fini(&rows[k]);
	free(rows);
}

void
staged_row_pack(struct pack_out *o, const struct staged_row *row)
{
	pack_u8(o, row->kind);
	pack_u8(o, row->hashed);
	blob_row_pack(o, &row->blob);
}

int
staged_row_unpack(struct store_value value, struct staged_row *ret_row)
{
	struct pack_in i = pack_in(value.data, value.len);
	struct staged_row row = {0};

	row.kind = unpack_u8(&i);
	row.hashed = unpack_u8(&i) != 0;
	blob_row_unpack_from(&i, &row.blob);
	if (!unpack_done(&i) || row.kind < STAGED_ADD || row.kind > STAGED_DEAD) {
		blob_row_fini(&row.blob);
		return damaged("the staging");
	}
	*ret_row = row;
	return 0;
}

bool
entries_equal(const struct entry *a, const struct entry *b)
{
	struct pack_out x = {0}, y = {0};
	bool equal;

	entry_pack(&x, a);
	entry_pack(&y, b);
	/* Out of memory is "not equal": the file is then read once more than needed. */
	equal = !x.failed && !y.failed && x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
	pack_out_fini(&x);
	pack_out_fini(&y);
	return equal;
}

/* ---- sums ---- */

static void
row_digest(const struct blob_row *row, uint8_t out[DIGEST_BYTES])
{
	uint8_t bytes[RELPATH_MAX + ENTRY_BYTES_MAX + DIGEST_BYTES + 16];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);

	blob_row_pack_identity(&o, row);
	digest_once(o.data, o.len, out);
}

void
blob_sum_add(struct blob_sum *sum, const struct blob_row *row)
{
	uint8_t digest[DIGEST_BYTES];
	unsigned carry = 0;

	row_digest(row, digest);
	for (int i = 0; i < DIGEST_BYTES; i++) {
		carry += (unsigned)sum->sum[i] + digest[i];
		sum->sum[i] = (uint8_t)carry;
		carry >>= 8;
	}
	sum->count += row->entry.kind == ENTRY_FILE;
	sum->bytes += row->entry.kind == ENTRY_FILE ? row->entry.size : 0;
}

void
blob_sum_sub(struct blob_sum *sum, const struct blob_row *row)
{
	uint8_t digest[DIGEST_BYTES];
	int borrow = 0;

	row_digest(row, digest);
	for (int i = 0; i < DIGEST_BYTES; i++) {
		int v = (int)sum->sum[i] - digest[i] - borrow;

		sum->sum[i] = (uint8_t)v;
		borrow = v < 0;
	}
	sum->count -= row->entry.kind == ENTRY_FILE;
	sum->bytes -= row->entry.kind == ENTRY_FILE ? row->entry.size : 0;
}

bool
blob_sum_equal(const struct blob_sum *a, const struct blob_sum *b)
{
	return a->count == b->count && a->bytes == b->bytes && memcmp(a->sum, b->sum, sizeof a->sum) == 0;
}

void
blob_sum_pack(struct pack_out *o, const struct blob_sum *sum)
{
	pack_u64(o, sum->count);
	pack_u64(o, sum->bytes);
	pack_raw(o, sum->sum, sizeof sum->sum);
}

void
blob_sum_unpack(struct pack_in *i, struct blob_sum *ret_sum)
{
	struct blob_sum sum = {0};

	sum.count = unpack_u64(i);
	sum.bytes = unpack_u64(i);
	unpack_bytes_into(i, sum.sum, sizeof sum.sum);
	*ret_sum = sum;
}
