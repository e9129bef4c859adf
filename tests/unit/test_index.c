/* SPDX-License-Identifier: GPL-2.0-or-later */
/* index - places and back, versions that only rise, marks, armings, and the list of what changed among the blobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "server/index.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct block_key key;
static struct index *ix;

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	block_key_init(&key, (const uint8_t *)"0123456789abcdef0123456789abcdef");
	return index_open(scratch.path, "po1", false, &ix, NULL) == 0 ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	index_close(ix);
	scratch_close(&scratch);
	return 0;
}

static struct index_node
node(uint32_t version, uint64_t size)
{
	return (struct index_node){.version = version, .entry = {.kind = ENTRY_FILE, .mode = 0640, .size = size, .digest = {size, 7}}};
}

static void
put(const char *path, uint32_t version, uint64_t size, bool blob)
{
	struct index_node n = node(version, size);
	struct index_op op = {.kind = INDEX_PUT, .path = path, .node = &n, .blob = blob};

	assert_int_equal(index_apply(ix, &key, &op, 1), 0);
}

static void
apply(enum index_op_kind kind, const char *path, bool blob)
{
	struct index_op op = {.kind = kind, .path = path, .blob = blob};

	assert_int_equal(index_apply(ix, &key, &op, 1), 0);
}

static void
a_place_leads_back_to_its_path(void **state)
{
	static const struct { const char *path; uint32_t version; const char *place; } rows[] = {
		{"offiles/fd3/a", 1, "blobs/offiles/fd3/a"},
		{"offiles/fd3/a", 7, "blobs/versions/7/offiles/fd3/a"},
		{"ofuser/user1.db", 1, "gre_data/sync/ofuser/user1.db"},
		{"ofuser/index/a.idx", 1, "gre_data/ofuser/index/a.idx"},
		{"wphost.db", 1, "gre_data/sync/wphost.db"},
		{"offiles", 1, "blobs/offiles"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *place = index_place(LAYOUT_POST_OFFICE, rows[i].path, rows[i].version);
		const char *path;
		uint32_t version;

		assert_string_equal(place, rows[i].place);
		assert_true(index_unplace(place, &path, &version));
		assert_string_equal(path, rows[i].path);
		assert_int_equal(version, rows[i].version);
		free(place);
	}
	assert_null(index_place(LAYOUT_POST_OFFICE, "ofwork/x", 1));
}

static void
no_stranger_is_taken_for_a_place(void **state)
{
	static const char *const strangers[] = {
		"backups/weeknow/x", "state/index", "blobs/versions/1/offiles/a", "blobs/versions/x/offiles/a", "blobs/versions/99999999999/offiles/a",
		"blobs/", "gre_data", "blobs/versions/2/",
	};
	const char *path;
	uint32_t version;

	(void)state;
	for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
		assert_false(index_unplace(strangers[i], &path, &version));
}

static void
a_blob_leaves_a_fresh_row_and_its_removal_another(void **state)
{
	struct index_fresh *rows;
	uint64_t head;
	size_t n;

	(void)state;
	put("offiles/fd3/a", 1, 10, true);
	put("ofuser/u.db", 1, 20, false);
	apply(INDEX_REMOVE, "offiles/fd3/a", true);
	apply(INDEX_REMOVE, "offiles/fd3/never", true);
	assert_int_equal(index_fresh_head(ix, &head), 0);
	assert_int_equal(head, 2);
	assert_int_equal(index_fresh_read(ix, 0, 10, &rows, &n), 0);
	assert_int_equal(n, 2);
	assert_false(rows[0].removed);
	assert_int_equal(rows[0].entry.size, 10);
	assert_true(rows[1].removed);
	index_fresh_free(rows, n);
	assert_int_equal(index_fresh_trim(ix, 1), 0);
	assert_int_equal(index_fresh_read(ix, 0, 10, &rows, &n), 0);
	assert_int_equal(n, 1);
	index_fresh_free(rows, n);
	assert_int_equal(index_fresh_trim(ix, 2), 0);
	assert_int_equal(index_fresh_head(ix, &head), 0);
	assert_int_equal(head, 2); /* numbers are never given twice */
	assert_int_equal(index_fresh_raise(ix, 50), 0);
	assert_int_equal(index_fresh_head(ix, &head), 0);
	assert_int_equal(head, 50);
}

static void
a_long_list_is_trimmed_whole(void **state)
{
	struct index_op ops[500];
	struct index_node n = node(1, 1);
	struct index_fresh *rows;
	char path[64];
	size_t left;

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < 500; i++) {
			snprintf(path, sizeof path, "offiles/fd%zu/%d", i % 7, round * 500 + (int)i);
			ops[i] = (struct index_op){.kind = INDEX_PUT, .path = strdup(path), .node = &n, .blob = true};
		}
		assert_int_equal(index_apply(ix, &key, ops, 500), 0);
		for (size_t i = 0; i < 500; i++)
			free((void *)(uintptr_t)ops[i].path);
	}
	assert_int_equal(index_fresh_trim(ix, 9999), 0);
	assert_int_equal(index_fresh_read(ix, 0, 10, &rows, &left), 0);
	assert_int_equal(left, 1);
	assert_int_equal(rows[0].seq, 10000);
	index_fresh_free(rows, left);
}

static void
versions_only_rise_and_are_forgotten_only_without_a_file(void **state)
{
	struct index_found gone[] = {{(char *)(uintptr_t)"offiles/a", 2}, {(char *)(uintptr_t)"offiles/b", 1}};
	uint32_t version;

	(void)state;
	put("offiles/a", 2, 1, true);
	put("offiles/a", 1, 1, true);
	assert_int_equal(index_version(ix, "offiles/a", &version), 0);
	assert_int_equal(version, 2);
	put("offiles/b", 1, 1, true);
	apply(INDEX_REMOVE, "offiles/a", true);
	apply(INDEX_REMOVE, "offiles/b", true);
	put("offiles/b", 2, 1, true); /* came again while the keeper removed the first */
	apply(INDEX_REMOVE, "offiles/b", true);
	assert_int_equal(index_versions_forget(ix, gone, 2), 0);
	assert_int_equal(index_version(ix, "offiles/a", &version), 0);
	assert_int_equal(version, 0);
	assert_int_equal(index_version(ix, "offiles/b", &version), 0);
	assert_int_equal(version, 2);
}

static int
count(const char *path, void *arg)
{
	(void)path;
	++*(int *)arg;
	return 0;
}

static void
marks_and_armings_stand_until_the_row_is_true(void **state)
{
	char deep[6000];
	int marks = 0, armed = 0;

	(void)state;
	memset(deep, 'd', sizeof deep);
	for (size_t i = 200; i < sizeof deep; i += 200)
		deep[i] = '/';
	deep[sizeof deep - 1] = '\0';
	memcpy(deep, "ofviews/", 8);
	apply(INDEX_MARK, "ofuser/u.db", false);
	apply(INDEX_MARK, deep, false);
	apply(INDEX_ARM, "blobs/offiles/fd3", false);
	assert_int_equal(index_marks(ix, count, &marks), 0);
	assert_int_equal(index_armed(ix, count, &armed), 0);
	assert_int_equal(marks, 2);
	assert_int_equal(armed, 1);
	put("ofuser/u.db", 1, 5, false);
	apply(INDEX_REMOVE, deep, false);
	apply(INDEX_DISARM, "blobs/offiles/fd3", false);
	marks = armed = 0;
	assert_int_equal(index_marks(ix, count, &marks), 0);
	assert_int_equal(index_armed(ix, count, &armed), 0);
	assert_int_equal(marks + armed, 0);
}

static void
a_reader_sees_what_the_writer_committed(void **state)
{
	struct index *reader;
	struct treemap_sum sum;
	char *value;
	size_t len;

	(void)state;
	put("offiles/fd3/a", 1, 10, true);
	put("offiles/fd3/b", 1, 5, true);
	assert_int_equal(index_meta_put(ix, "layout", "domain", 6), 0);
	index_close(ix);
	assert_int_equal(index_open(scratch.path, "po1", true, &reader, NULL), 0);
	assert_int_equal(index_total(reader, &sum), 0);
	assert_int_equal(sum.count, 2);
	assert_int_equal(sum.bytes, 15);
	assert_int_equal(index_meta_get(reader, "layout", &value, &len), 0);
	assert_string_equal(value, "domain");
	free(value);
	index_close(reader);
	assert_int_equal(index_open(scratch.path, "po1", false, &ix, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_place_leads_back_to_its_path, setup, teardown),
		cmocka_unit_test_setup_teardown(no_stranger_is_taken_for_a_place, setup, teardown),
		cmocka_unit_test_setup_teardown(a_blob_leaves_a_fresh_row_and_its_removal_another, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_list_is_trimmed_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(versions_only_rise_and_are_forgotten_only_without_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(marks_and_armings_stand_until_the_row_is_true, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reader_sees_what_the_writer_committed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
