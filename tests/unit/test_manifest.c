/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Manifests there and back with the worst names, their order, and that no byte of one can change unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/keeper/manifest.c"

#include "tests/lib/scratch.h"

static struct scratch dir;

static int
set_up(void **state)
{
	(void)state;
	scratch_open(&dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	scratch_close(&dir);
	return 0;
}

#define S(text) ((char *)(uintptr_t)(text))

static const struct manifest_row rows[] = {
	{.path = S("a"), .entry = {.kind = ENTRY_DIR, .mode = 0750, .uid = 1, .gid = 2}},
	{.path = S("a/b"), .entry = {.kind = ENTRY_FILE, .mode = 04640, .size = UINT64_C(1) << 62, .mtime_ns = -1,
	    .digest = {.lo = 5, .hi = UINT64_MAX}}, .sha256 = {1, 2, 3}, .fresh = true},
	{.path = S("a/line\nbreak\tand \xff\\"), .entry = {.kind = ENTRY_FILE, .mode = 0, .uid = UINT32_MAX}},
	{.path = S("a.txt"), .entry = {.kind = ENTRY_SYMLINK, .mode = 0777, .size = 4, .target = S("/x\ty")}},
	{.path = S("b"), .entry = {.kind = ENTRY_CHAR, .mode = 0600, .rdev = UINT64_MAX}},
	{.path = S("c"), .entry = {.kind = ENTRY_FIFO, .mode = 0600}},
	{.path = S("offiles"), .area = true, .entry = {.kind = ENTRY_SYMLINK, .mode = 0777, .size = 22,
	    .target = S("../../../blobs/offiles")}},
};
#define ROWS (sizeof rows / sizeof *rows)

static void
write_all(const char *name, uint8_t sha[DIGEST_BYTES])
{
	struct manifest_writer *w;

	assert_int_equal(manifest_create(dir.fd, name, "po1", &w), 0);
	for (size_t i = 0; i < ROWS; i++)
		assert_int_equal(manifest_add(w, &rows[i]), 0);
	assert_int_equal(manifest_finish(w, sha), 0);
	manifest_abandon(w);
}

static void
rows_come_back(void **state)
{
	uint8_t sha[DIGEST_BYTES];
	struct manifest_reader *r;
	const struct manifest_row *row = NULL;

	(void)state;
	write_all("set", sha);
	assert_int_equal(manifest_open(dir.fd, "set", sha, &r), 0);
	for (size_t i = 0; i < ROWS; i++) {
		struct pack_out a = {0}, b = {0};

		assert_int_equal(manifest_next(r, &row), 0);
		assert_string_equal(row->path, rows[i].path);
		entry_pack(&a, &row->entry);
		entry_pack(&b, &rows[i].entry);
		assert_int_equal(a.len, b.len);
		assert_memory_equal(a.data, b.data, a.len);
		assert_int_equal(row->area, rows[i].area);
		assert_int_equal(row->fresh, rows[i].fresh);
		assert_memory_equal(row->sha256, rows[i].sha256, DIGEST_BYTES);
		pack_out_fini(&a);
		pack_out_fini(&b);
	}
	assert_int_equal(manifest_next(r, &row), 1);
	assert_int_equal(manifest_next(r, &row), 1);
	manifest_close(r);
}

static void
seeking_merges_in_one_pass(void **state)
{
	uint8_t sha[DIGEST_BYTES];
	struct manifest_reader *r;
	const struct manifest_row *row = NULL;

	(void)state;
	write_all("set", sha);
	assert_int_equal(manifest_open(dir.fd, "set", NULL, &r), 0);
	assert_int_equal(manifest_seek(r, "a/aaa", &row), 1);
	assert_int_equal(manifest_seek(r, "a/b", &row), 0);
	assert_string_equal(row->path, "a/b");
	assert_int_equal(manifest_seek(r, "a/c", &row), 1);
	assert_int_equal(manifest_seek(r, "b", &row), 0);
	assert_int_equal(manifest_seek(r, "zzz", &row), 1);
	manifest_close(r);
}

static void
a_directory_comes_before_its_content_and_before_its_siblings(void **state)
{
	static const char *const order[] = {"a", "a/b", "a/b/c", "a/b.c", "a b", "a!", "a.txt", "ab", "\xff"};

	(void)state;
	/* siblings by bytes: ' ' < '!' < '.', but what is in "a" comes first */
	for (size_t i = 0; i < sizeof order / sizeof *order; i++)
		for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
			int got = manifest_compare(order[i], order[k]);

			assert_int_equal((got > 0) - (got < 0), (i > k) - (i < k));
		}
}

static void
disorder_is_refused(void **state)
{
	struct manifest_writer *w;

	(void)state;
	assert_int_equal(manifest_create(dir.fd, "set", "po1", &w), 0);
	assert_int_equal(manifest_add(w, &rows[4]), 0);
	assert_int_equal(manifest_add(w, &rows[4]), -ERR_CORRUPT);
	assert_int_equal(manifest_add(w, &rows[0]), -ERR_CORRUPT);
	manifest_abandon(w);
}

static void
no_byte_changes_unseen(void **state)
{
	uint8_t sha[DIGEST_BYTES];
	struct manifest_reader *r;
	char *data;
	size_t len;

	(void)state;
	write_all("set", sha);
	assert_int_equal(fsio_read_file(dir.fd, "set", 1 << 20, &data, &len), 0);
	for (size_t i = 0; i < len; i++) {
		int fd = fsio_open(dir.fd, "set", O_WRONLY, 0);
		char flipped = (char)(data[i] ^ 1);

		assert_int_equal(fsio_pwrite(fd, &flipped, 1, i), 0);
		/* the number of lines is outside the sum of the text, and is noticed when it does not fit */
		if (manifest_open(dir.fd, "set", sha, &r) == 0) {
			const struct manifest_row *row = NULL;
			int err;

			do
				err = manifest_next(r, &row);
			while (err == 0);
			assert_int_equal(err, -ERR_CORRUPT);
			manifest_close(r);
		}
		assert_int_equal(fsio_pwrite(fd, &data[i], 1, i), 0);
		close(fd);
	}
	for (size_t n = 0; n < len; n++) {
		int fd = fsio_open(dir.fd, "cut", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(fsio_pwrite(fd, data, n, 0), 0);
		close(fd);
		assert_int_equal(manifest_open(dir.fd, "cut", NULL, &r), -ERR_CORRUPT);
	}
	free(data);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(rows_come_back),
		T(seeking_merges_in_one_pass),
		T(a_directory_comes_before_its_content_and_before_its_siblings),
		T(disorder_is_refused),
		T(no_byte_changes_unseen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
