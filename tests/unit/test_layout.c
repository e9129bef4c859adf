/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layout - every path has one area or none, in any case, and every directory that matters is watched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "layout.h"

static const char *
area(const char *path)
{
	const struct layout_row *row = layout_of(LAYOUT_POST_OFFICE, path, false);

	return row ? row->area : "-";
}

static const char *
domain_area(const char *path)
{
	const struct layout_row *row = layout_of(LAYOUT_DOMAIN, path, false);

	return row ? row->area : "-";
}

static void
files_of_a_post_office_have_their_area(void **state)
{
	static const struct {
		const char *path, *area;
	} cases[] = {
		{"wphost.db", "root"}, {"WPHOST.DB", "root"}, {"ngwguard.db", "root"}, {"ngwguard.fbk", "root"}, {"gwpo.dc", "root"},
		{"ngwcheck.db", "root"}, {"readme.txt", "-"}, {"wphost.db.bak", "-"}, {"wpdomain.db", "-"},
		{"ofuser/userabc.db", "ofuser"}, {"OFUSER/USERABC.DB", "ofuser"}, {"ofuser/deep/er/x", "ofuser"},
		{"ofuser/index/x.idx", "index"}, {"ofuser/INDEX/a/b.inc", "index"}, {"ofuser/indexes/x", "ofuser"}, {"ofuser/index", "ofuser"},
		{"ofmsg/msg0.db", "ofmsg"}, {"ofmsg/guardian/x", "ofmsg"}, {"ofmsgs/msg0.db", "-"},
		{"offiles/fd1/abc.001", "offiles"}, {"offiles/abc", "offiles"}, {"offiles", "-"},
		{"ofviews/win/x.vew", "ofviews"},
		{"gwdms/lib0001/docs/00/x.dmd", "documents"}, {"gwdms/LIB0001/archive/a", "documents"}, {"gwdms/lib0001/index/x", "index"},
		{"gwdms/lib0001/dmdd0001.db", "libraries"}, {"gwdms/dmsh.db", "libraries"}, {"gwdms/a/b/docs/x", "libraries"},
		{"ofwork/ofsmtp/x", "-"}, {"oftemp/x", "-"}, {"wpcsin/0/x", "-"}, {"wpcsout/ofs/x", "-"},
	};
	(void)state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_string_equal(area(cases[i].path), cases[i].area);
}

static void
a_domain_is_the_files_of_its_root(void **state)
{
	(void)state;
	assert_string_equal(domain_area("wpdomain.db"), "root");
	assert_string_equal(domain_area("WPDOMAIN.DB"), "root");
	assert_string_equal(domain_area("mtaname"), "root");
	assert_string_equal(domain_area("new.dc"), "root");
	assert_string_equal(domain_area("wpgate/x"), "-");
	assert_string_equal(domain_area("wphost.db"), "-");
	assert_string_equal(domain_area("sub/wpdomain.db"), "-");
}

static void
logs_of_dbcopy_are_never_replicated(void **state)
{
	(void)state;
	assert_string_equal(area("0213gwbk.001"), "-");
	assert_string_equal(area("offiles/0213GWBK.002"), "-");
	assert_string_equal(area("ofuser/1231gwbk.999"), "-");
	assert_string_equal(area("offiles/10213gwbk.002"), "offiles"); /* not what DBCOPY writes */
	assert_non_null(layout_of(LAYOUT_POST_OFFICE, "offiles/0213gwbk.d", true)); /* a directory is no log */
}

static void
a_directory_belongs_to_the_area_it_is_the_top_of(void **state)
{
	(void)state;
	assert_string_equal(layout_of(LAYOUT_POST_OFFICE, "offiles", true)->area, "offiles");
	assert_string_equal(layout_of(LAYOUT_POST_OFFICE, "OFUSER/Index", true)->area, "index");
	assert_string_equal(layout_of(LAYOUT_POST_OFFICE, "gwdms/lib", true)->area, "libraries");
	assert_string_equal(layout_of(LAYOUT_POST_OFFICE, "gwdms/lib/docs", true)->area, "documents");
	assert_null(layout_of(LAYOUT_POST_OFFICE, "", true));
	assert_null(layout_of(LAYOUT_POST_OFFICE, "wphost.db", true));
	assert_null(layout_of(LAYOUT_POST_OFFICE, "ofwork", true));
}

static void
every_directory_above_a_live_area_is_watched_for_names(void **state)
{
	static const struct {
		const char *dir;
		enum layout_watch watch;
	} cases[] = {
		{"", LAYOUT_WATCH_NAMES}, {"ofuser", LAYOUT_WATCH_NAMES}, {"OFUSER", LAYOUT_WATCH_NAMES}, {"ofuser/index", LAYOUT_WATCH_INDEX},
		{"ofuser/index/deep", LAYOUT_WATCH_INDEX}, {"ofuser/other", LAYOUT_WATCH_NONE}, {"ofmsg", LAYOUT_WATCH_NONE},
		{"ofviews", LAYOUT_WATCH_NONE}, {"offiles", LAYOUT_WATCH_BLOB}, {"offiles/fd1/deep", LAYOUT_WATCH_BLOB},
		{"gwdms", LAYOUT_WATCH_NAMES}, {"gwdms/lib", LAYOUT_WATCH_NAMES}, {"gwdms/lib/docs", LAYOUT_WATCH_BLOB},
		{"gwdms/lib/ARCHIVE/x", LAYOUT_WATCH_BLOB}, {"gwdms/lib/index", LAYOUT_WATCH_INDEX}, {"gwdms/lib/other", LAYOUT_WATCH_NONE},
		{"ofwork", LAYOUT_WATCH_NONE},
	};
	(void)state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(layout_watch(LAYOUT_POST_OFFICE, cases[i].dir), cases[i].watch);
	assert_int_equal(layout_watch(LAYOUT_DOMAIN, ""), LAYOUT_WATCH_NONE);
}

static void
assert_canonical(const char *path, const char *want)
{
	char copy[128];

	snprintf(copy, sizeof copy, "%s", path);
	layout_canonical(LAYOUT_POST_OFFICE, copy);
	assert_string_equal(copy, want);
	layout_canonical(LAYOUT_POST_OFFICE, copy);
	assert_string_equal(copy, want);
}

static void
only_fixed_names_are_lower_cased(void **state)
{
	(void)state;
	assert_canonical("", "");
	assert_canonical("OFUSER", "ofuser");
	assert_canonical("OFUSER/INDEX/X.IDX", "ofuser/index/X.IDX");
	assert_canonical("OFUSER/INDEXES/X", "ofuser/INDEXES/X");
	assert_canonical("OFFILES/FD1/AbC", "offiles/FD1/AbC");
	assert_canonical("GWDMS/LIB1/DOCS/A", "gwdms/LIB1/docs/A");
	assert_canonical("GwDms/Lib1/Archive", "gwdms/Lib1/archive");
	assert_canonical("WPHOST.DB", "WPHOST.DB");
	assert_canonical("OFWORK/X", "OFWORK/X");
	assert_canonical("OFFILESX/A", "OFFILESX/A");
	assert_canonical("OFUSE", "OFUSE");
	assert_canonical("OFFILES/\xff\n/X", "offiles/\xff\n/X");
}

static void
the_fixed_head_of_a_path_is_known(void **state)
{
	(void)state;
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, ""), 0);
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, "wphost.db"), 0);
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, "offiles"), 7);
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, "offiles/fd1/x"), 7);
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, "ofuser/a.db"), 6);
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, "ofuser/index/a.idx"), 12);
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, "gwdms/lib1"), 10);
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, "gwdms/lib1/docs/x"), 15);
	assert_int_equal(layout_fixed_len(LAYOUT_POST_OFFICE, "ofwork/x"), 0);
	assert_int_equal(layout_fixed_len(LAYOUT_DOMAIN, "offiles/x"), 0);
}

static void
databases_are_known_by_their_name(void **state)
{
	(void)state;
	assert_true(layout_is_database("wphost.db"));
	assert_true(layout_is_database("ofuser/USERABC.DB"));
	assert_false(layout_is_database("ofuser/userabc.db.bak"));
	assert_false(layout_is_database("ngwguard.dc"));
	assert_string_equal(layout_root_database(LAYOUT_POST_OFFICE), "wphost.db");
	assert_string_equal(layout_root_database(LAYOUT_DOMAIN), "wpdomain.db");
}

static void
types_go_by_their_words(void **state)
{
	enum layout_type type = LAYOUT_TYPES;
	(void)state;

	for (int i = 0; i < LAYOUT_TYPES; i++) {
		assert_true(layout_type_from_name(layout_type_name((enum layout_type)i), &type));
		assert_int_equal(type, i);
	}
	assert_false(layout_type_from_name("postoffice", &type));
	assert_int_equal(type, LAYOUT_TYPES - 1); /* untouched */
}

static void
days_are_named_as_administrators_know_them(void **state)
{
	char day[16];
	(void)state;

	layout_day_name(3, 2, 13, day);
	assert_string_equal(day, "wedfeb13");
	layout_day_name(0, 12, 1, day);
	assert_string_equal(day, "sundec01");
	layout_day_name(6, 1, 31, day);
	assert_string_equal(day, "satjan31");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_of_a_post_office_have_their_area),
		cmocka_unit_test(a_domain_is_the_files_of_its_root),
		cmocka_unit_test(logs_of_dbcopy_are_never_replicated),
		cmocka_unit_test(a_directory_belongs_to_the_area_it_is_the_top_of),
		cmocka_unit_test(every_directory_above_a_live_area_is_watched_for_names),
		cmocka_unit_test(only_fixed_names_are_lower_cased),
		cmocka_unit_test(the_fixed_head_of_a_path_is_known),
		cmocka_unit_test(databases_are_known_by_their_name),
		cmocka_unit_test(types_go_by_their_words),
		cmocka_unit_test(days_are_named_as_administrators_know_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
