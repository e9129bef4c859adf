/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dbcopy_report - what comes from the child is bytes until it has been checked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/pack.h"
#include "collector/dbcopy.h"

static struct hash128 hashes[5] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}};
static struct pack_out o;

static int
teardown(void **state)
{
	(void)state;
	pack_out_fini(&o);
	o = (struct pack_out){0};
	return 0;
}

static void
pack_one(const char *path, uint64_t size, bool changed, size_t n)
{
	struct dbcopy_file f = {.path = path, .size = size, .changed = changed, .hashes = hashes, .n_hashes = n, .digest = {11, 12}};

	dbcopy_report_pack(&o, &f);
	assert_false(o.failed);
}

static void
reports_come_back_one_after_the_other(void **state)
{
	struct dbcopy_file f;
	size_t used, at = 0;
	char *path;

	(void)state;
	pack_one("ofuser/user1.db", 5 * BLOCK_BYTES - 1, true, 5);
	pack_one("wphost.db", 77, false, 0);
	assert_int_equal(dbcopy_report_unpack(o.data, o.len, &used, &path, &f), 1);
	assert_string_equal(f.path, "ofuser/user1.db");
	assert_ptr_equal(f.path, path);
	assert_true(f.changed);
	assert_int_equal(f.size, 5 * BLOCK_BYTES - 1);
	assert_int_equal(f.n_hashes, 5);
	assert_memory_equal(f.hashes, hashes, sizeof hashes);
	assert_int_equal(f.digest.lo, 11);
	assert_int_equal(f.digest.hi, 12);
	free(f.hashes);
	free(path);
	at += used;
	assert_int_equal(dbcopy_report_unpack(o.data + at, o.len - at, &used, &path, &f), 1);
	assert_string_equal(path, "wphost.db");
	assert_false(f.changed);
	assert_null(f.hashes);
	free(path);
	assert_int_equal(at + used, o.len);
	assert_int_equal(dbcopy_report_unpack(o.data + o.len, 0, &used, &path, &f), 0);
}

static void
a_part_asks_for_more(void **state)
{
	struct dbcopy_file f;
	size_t used;
	char *path;

	(void)state;
	pack_one("ofmsg/msg0.db", 2 * BLOCK_BYTES, true, 2);
	for (size_t len = 0; len < o.len; len++) {
		uint8_t *part = malloc(len + 1); /* so that a sanitizer sees a step beyond */

		memcpy(part, o.data, len);
		assert_int_equal(dbcopy_report_unpack(part, len, &used, &path, &f), 0);
		free(part);
	}
}

static int
unpack_and_free(const uint8_t *data, size_t len)
{
	struct dbcopy_file f;
	size_t used;
	char *path;
	int got = dbcopy_report_unpack(data, len, &used, &path, &f);

	if (got == 1) {
		assert_true(used <= len && *path);
		free(f.hashes);
		free(path);
	} else {
		assert_true(got == 0 || got == -ERR_PEER);
	}
	return got;
}

static void
a_path_that_climbs_is_refused(void **state)
{
	static const char *const bad[] = {"../etc/passwd", "/etc/passwd", "a//b", "a/./b", ""};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		pack_one(bad[i], 1, true, 0);
		assert_int_equal(unpack_and_free(o.data, o.len), -ERR_PEER);
		teardown(NULL);
	}
}

static void
a_wrong_number_of_hashes_is_refused(void **state)
{
	(void)state;
	pack_one("a.db", 2 * BLOCK_BYTES, true, 3);
	assert_int_equal(unpack_and_free(o.data, o.len), -ERR_PEER);
}

static void
a_length_beyond_all_files_is_refused(void **state)
{
	static const uint8_t huge[64] = {0xff, 0xff, 0xff, 0xff};

	(void)state;
	assert_int_equal(unpack_and_free(huge, sizeof huge), -ERR_PEER);
}

static void
changed_bytes_are_never_more_than_refused(void **state)
{
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 3;
	int refused = 0;

	(void)state;
	printf("# seed %u\n", seed);
	pack_one("ofmsg/msg0.db", 5 * BLOCK_BYTES, true, 5);
	for (int i = 0; i < 100000; i++) {
		size_t len = 1 + (size_t)rand_r(&seed) % o.len;
		uint8_t *copy = malloc(len);

		memcpy(copy, o.data, len);
		for (int k = rand_r(&seed) % 4; k >= 0; k--)
			copy[(size_t)rand_r(&seed) % len] = (uint8_t)rand_r(&seed);
		refused += unpack_and_free(copy, len) < 0;
		free(copy);
	}
	assert_true(refused > 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, NULL, teardown)
	const struct CMUnitTest tests[] = {
	    T(reports_come_back_one_after_the_other),
	    T(a_part_asks_for_more),
	    T(a_path_that_climbs_is_refused),
	    T(a_wrong_number_of_hashes_is_refused),
	    T(a_length_beyond_all_files_is_refused),
	    T(changed_bytes_are_never_more_than_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
