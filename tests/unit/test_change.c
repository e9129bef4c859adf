/* SPDX-License-Identifier: GPL-2.0-or-later */
/* change - the bytes come back as they were, and nothing else is taken for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/relpath.h"
#include "journal/change.h"

static struct pack_out
packed(enum change_kind kind, const char *path)
{
	char copy[256];
	struct pack_out o = {0};

	snprintf(copy, sizeof copy, "%s", path);
	change_pack(&o, &(struct change){.kind = kind, .seen_ns = -5, .path = copy});
	assert_false(o.failed);
	return o;
}

static void
a_change_comes_back_as_it_was(void **state)
{
	static const char *const paths[] = {"offiles/fd1/a", "a\nb\\\xff\xfe", "x"};
	(void)state;

	for (size_t i = 0; i < 3; i++)
		for (int kind = CHANGE_TOUCHED; kind < CHANGE_KINDS; kind++) {
			struct pack_out o = packed((enum change_kind)kind, paths[i]);
			struct change c;

			assert_int_equal(change_unpack(o.data, o.len, &c), 0);
			assert_int_equal(c.kind, kind);
			assert_int_equal(c.seen_ns, -5);
			assert_string_equal(c.path, paths[i]);
			assert_int_equal(c.seq, 0);
			change_fini(&c);
			pack_out_fini(&o);
		}
}

static void
only_a_rescan_means_the_whole_tree(void **state)
{
	struct pack_out all = packed(CHANGE_RESCAN, ""), one = packed(CHANGE_TOUCHED, "");
	struct change c;
	(void)state;

	assert_int_equal(change_unpack(all.data, all.len, &c), 0);
	assert_string_equal(c.path, "");
	change_fini(&c);
	assert_int_equal(change_unpack(one.data, one.len, &c), -ERR_CORRUPT);
	pack_out_fini(&all);
	pack_out_fini(&one);
}

static void
a_path_that_climbs_is_refused(void **state)
{
	static const char *const bad[] = {"/etc", "..", "a/../b", "a//b", "a/", "./a"};
	(void)state;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct pack_out o = packed(CHANGE_RESCAN, bad[i]);
		struct change c;

		assert_int_equal(change_unpack(o.data, o.len, &c), -ERR_CORRUPT);
		pack_out_fini(&o);
	}
}

static void
no_cut_and_no_foreign_byte_is_taken_for_a_change(void **state)
{
	struct pack_out o = packed(CHANGE_TOUCHED, "offiles/fd1/a");
	struct change c;
	(void)state;

	for (size_t len = 0; len < o.len; len++)
		assert_int_equal(change_unpack(o.data, len, &c), -ERR_CORRUPT);
	pack_u8(&o, 0);
	assert_int_equal(change_unpack(o.data, o.len, &c), -ERR_CORRUPT);
	o.data[0] = CHANGE_VERSION + 1;
	assert_int_equal(change_unpack(o.data, o.len - 1, &c), -ERR_CORRUPT);
	o.data[0] = CHANGE_VERSION;
	o.data[1] = CHANGE_KINDS;
	assert_int_equal(change_unpack(o.data, o.len - 1, &c), -ERR_CORRUPT);
	pack_out_fini(&o);
}

static void
a_rescan_is_more_than_a_touch(void **state)
{
	(void)state;
	assert_int_equal(change_fold(CHANGE_TOUCHED, CHANGE_TOUCHED), CHANGE_TOUCHED);
	assert_int_equal(change_fold(CHANGE_TOUCHED, CHANGE_RESCAN), CHANGE_RESCAN);
	assert_int_equal(change_fold(CHANGE_RESCAN, CHANGE_TOUCHED), CHANGE_RESCAN);
	assert_int_equal(change_fold(CHANGE_COOKIE, CHANGE_COOKIE), CHANGE_COOKIE);
	assert_int_equal(change_fold(CHANGE_TOUCHED, CHANGE_DELETED), CHANGE_DELETED);
	assert_int_equal(change_fold(CHANGE_DELETED, CHANGE_TOUCHED), CHANGE_DELETED);
	assert_int_equal(change_fold(CHANGE_DELETED, CHANGE_RESCAN), CHANGE_RESCAN);
	assert_int_equal(change_fold(CHANGE_BLIND, CHANGE_RESCAN), CHANGE_BLIND);
	assert_int_equal(change_fold(CHANGE_RESCAN, CHANGE_BLIND), CHANGE_BLIND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_comes_back_as_it_was),
		cmocka_unit_test(only_a_rescan_means_the_whole_tree),
		cmocka_unit_test(a_path_that_climbs_is_refused),
		cmocka_unit_test(no_cut_and_no_foreign_byte_is_taken_for_a_change),
		cmocka_unit_test(a_rescan_is_more_than_a_touch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
