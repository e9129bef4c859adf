/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies in a mutable area without a row: it goes by itself, or makes room, and what is known never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "staging_rig.h"

#define INDEX_PLACE "gre_data/ofuser/index"

static void
lay(struct rig *r, const char *dir, const char *name)
{
	int at = fsio_make_dirs(r->fd, dir, false);

	assert_true(at >= 0);
	if (name) {
		int fd = openat(at, name, O_WRONLY | O_CREAT, 0640);

		assert_true(fd >= 0);
		close(fd);
	}
	close(at);
}

static void
directories_without_rows_go_with_the_last_that_lies_in_them(void **state)
{
	struct entry dir = {.kind = ENTRY_DIR, .mode = 0755};
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	rig_entry_of(&r, "ofuser/index", &dir);
	rig_entry_of(&r, "ofuser/index/known", &dir);
	rig_put(&r, "ofuser/index/known/bare/deep/x", "1", 1);
	rig_put(&r, "ofuser/index/known/bare/y", "2", 1);
	rig_settle(&r);
	rig_rm(&r, "ofuser/index/known/bare/deep/x");
	rig_settle(&r);
	assert_false(rig_is_there(&r, INDEX_PLACE "/known/bare/deep"));
	assert_true(rig_holds(&r, INDEX_PLACE "/known/bare/y", "2", 1));
	rig_rm(&r, "ofuser/index/known/bare/y");
	rig_settle(&r);
	assert_false(rig_is_there(&r, INDEX_PLACE "/known/bare"));
	assert_true(rig_is_there(&r, INDEX_PLACE "/known"));
	assert_int_equal(r.n_naks, 0);
	rig_close(&r);
	rig_remove(&r);
}

/* Of links there are rows alone: what lies in their place is not theirs. */
static void
a_directory_under_the_row_of_a_link_goes_too(void **state)
{
	struct entry link = {.kind = ENTRY_SYMLINK, .mode = 0777, .size = 1, .target = (char *)(uintptr_t)"a"};
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	rig_put(&r, "ofuser/index/bare/x", "1", 1);
	rig_settle(&r);
	rig_entry_of(&r, "ofuser/index/bare", &link);
	rig_settle(&r);
	rig_rm(&r, "ofuser/index/bare/x");
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_false(rig_is_there(&r, INDEX_PLACE "/bare"));
	assert_true(rig_has_row(&r, "ofuser/index/bare", NULL));
	rig_close(&r);
	rig_remove(&r);
}

/* The row may come in the batch of the removal, or in the next, which is planned before that has ended. */
static void
a_directory_whose_row_comes_meanwhile_stays(void **state)
{
	struct entry dir = {.kind = ENTRY_DIR, .mode = 0755};
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	rig_put(&r, "ofuser/index/late/x", "1", 1);
	rig_put(&r, "ofuser/index/same/x", "1", 1);
	rig_settle(&r);
	rig_entry_of(&r, "ofuser/index/same", &dir);
	rig_rm(&r, "ofuser/index/same/x");
	rig_rm(&r, "ofuser/index/late/x");
	rig_entry_of(&r, "ofuser/index/late", &dir);
	rig_settle(&r);
	assert_true(rig_is_there(&r, INDEX_PLACE "/same"));
	assert_true(rig_is_there(&r, INDEX_PLACE "/late"));
	assert_int_equal(r.n_naks, 0);
	rig_close(&r);
	rig_remove(&r);
}

static void
a_file_takes_the_place_of_leftovers(void **state)
{
	struct rig r;
	uint64_t op;

	(void)state;
	rig_open(&r, NULL);
	lay(&r, INDEX_PLACE "/small/a/b", "left");
	lay(&r, INDEX_PLACE "/small/c", NULL);
	lay(&r, INDEX_PLACE "/large/a", NULL);
	rig_put(&r, "ofuser/index/small", "now a file", 10);
	op = rig_begin_file(&r, "ofuser/index/large", WIRE_BEGIN_WHOLE, 5);
	rig_chunk(&r, op, 0, (const uint8_t *)"large", 5);
	rig_end_file(&r, op, (const uint8_t *)"large", 5);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, INDEX_PLACE "/small", "now a file", 10));
	assert_true(rig_holds(&r, INDEX_PLACE "/large", "large", 5));
	rig_close(&r);
	rig_remove(&r);
}

static void
a_file_never_takes_the_place_of_what_is_known(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	lay(&r, INDEX_PLACE "/dir/a", "left");
	rig_put(&r, "ofuser/index/dir/b/known", "1", 1);
	rig_settle(&r);
	rig_put(&r, "ofuser/index/dir", "a file", 6);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 1);
	assert_int_equal(r.naks[0].err, -ERR_BUSY);
	assert_true(rig_holds(&r, INDEX_PLACE "/dir/b/known", "1", 1));
	rig_rm(&r, "ofuser/index/dir/b/known");
	rig_settle(&r);
	rig_put(&r, "ofuser/index/dir", "a file", 6);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 1);
	assert_true(rig_holds(&r, INDEX_PLACE "/dir", "a file", 6));
	rig_close(&r);
	rig_remove(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(directories_without_rows_go_with_the_last_that_lies_in_them),
	    cmocka_unit_test(a_directory_under_the_row_of_a_link_goes_too),
	    cmocka_unit_test(a_directory_whose_row_comes_meanwhile_stays),
	    cmocka_unit_test(a_file_takes_the_place_of_leftovers),
	    cmocka_unit_test(a_file_never_takes_the_place_of_what_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
