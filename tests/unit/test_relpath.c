/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relpath - nothing climbs out, and every byte string survives being shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/relpath.h"
#include "base/utf8.h"

#define SEED 20260213u

static void
ordinary_and_odd_names_are_valid(void **state)
{
	static const char *const paths[] = {
		"a", "a/b", "ofuser/user1ab.db", ".hidden", "..a", "...", "a..", "a/.b", " ", "a\nb", "\xff\xfe", "a\\b",
	};

	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		assert_true(relpath_valid(paths[i]));
}

static void
a_path_that_climbs_or_is_not_relative_is_invalid(void **state)
{
	static const char *const paths[] = {
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "//",
	};

	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		assert_false(relpath_valid(paths[i]));
}

static void
the_limits_of_a_name_and_of_a_path_are_exact(void **state)
{
	static char path[RELPATH_MAX + 3];

	(void)state;
	memset(path, 'n', RELNAME_MAX + 1);
	assert_false(relpath_valid(path));
	path[RELNAME_MAX] = '\0';
	assert_true(relpath_valid(path));

	for (size_t i = 0; i < RELPATH_MAX; i++)
		path[i] = i % 2 ? '/' : 'd';
	path[RELPATH_MAX - 1] = 'd';
	path[RELPATH_MAX] = '\0';
	assert_true(relpath_valid(path));
	strcat(path, "d");
	assert_false(relpath_valid(path));
}

static void
directory_and_name_are_the_two_parts_of_a_path(void **state)
{
	(void)state;
	assert_int_equal(relpath_dir_len("a/b/c"), 3);
	assert_int_equal(relpath_dir_len("c"), 0);
	assert_string_equal(relpath_name("a/b/c"), "c");
	assert_string_equal(relpath_name("c"), "c");
}

static void
within_means_whole_components(void **state)
{
	(void)state;
	assert_true(relpath_within("a/b", "a"));
	assert_true(relpath_within("a", "a"));
	assert_true(relpath_within("a/b/c", "a/b"));
	assert_true(relpath_within("a", ""));
	assert_false(relpath_within("ab", "a"));
	assert_false(relpath_within("a", "a/b"));
	assert_false(relpath_within("b/a", "a"));
}

static void
joining_to_the_top_adds_no_slash(void **state)
{
	char *path = relpath_join("a/b", "c");

	(void)state;
	assert_string_equal(path, "a/b/c");
	free(path);
	path = relpath_join("", "c");
	assert_string_equal(path, "c");
	free(path);
}

static void
only_what_is_printable_is_shown_as_it_is(void **state)
{
	static const struct {
		const char *path, *shown;
	} rows[] = {
		{"plain name.db", "plain name.db"},
		{"Z\xc3\xbcrich/\xe2\x82\xac/\xf0\x9f\x93\xac", "Z\xc3\xbcrich/\xe2\x82\xac/\xf0\x9f\x93\xac"},
		{"a\\b", "a\\\\b"},
		{"a\nb\x7f\x1b[0m", "a\\x0ab\\x7f\\x1b[0m"},
		{"lone \x80\xbf", "lone \\x80\\xbf"},
		{"overlong \xc0\xaf \xe0\x80\xaf", "overlong \\xc0\\xaf \\xe0\\x80\\xaf"},
		{"surrogate \xed\xa0\x80", "surrogate \\xed\\xa0\\x80"},
		{"beyond \xf4\x90\x80\x80 \xf5", "beyond \\xf4\\x90\\x80\\x80 \\xf5"},
		{"cut \xe2\x82", "cut \\xe2\\x82"},
		{"turned \xe2\x80\xae" "cod.exe", "turned \\xe2\\x80\\xaecod.exe"},
		{"c1 \xc2\x9b", "c1 \\xc2\\x9b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *shown = relpath_escape(rows[i].path);
		char *back = relpath_unescape(shown);

		assert_string_equal(shown, rows[i].shown);
		assert_string_equal(back, rows[i].path);
		free(shown);
		free(back);
	}
}

static void
capital_hex_typed_by_a_person_is_understood(void **state)
{
	char *path = relpath_unescape("a\\x0A\\xfF");

	(void)state;
	assert_string_equal(path, "a\n\xff");
	free(path);
}

static void
what_is_no_escaped_form_is_refused(void **state)
{
	static const char *const texts[] = {"\\", "a\\", "\\n", "\\x", "\\x4", "\\xg0", "\\x0g", "\\x00", "raw\n", "raw\xff"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_null(relpath_unescape(texts[i]));
}

static void
random_bytes_survive_being_shown(void **state)
{
	/* Pieces that make well-formed, torn and forbidden sequences all likely. */
	static const unsigned char favourites[] = {'\\', 'x', '0', 0xc2, 0x80, 0xbf, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0xed, 0xa0, '\n'};
	unsigned seed = SEED;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int round = 0; round < 20000; round++) {
		char bytes[24] = {0};
		size_t len = (size_t)rand_r(&seed) % (sizeof bytes - 1);
		char *shown, *back;

		for (size_t i = 0; i < len; i++)
			bytes[i] = rand_r(&seed) % 3 ? (char)favourites[(size_t)rand_r(&seed) % sizeof favourites]
			                             : (char)(1 + rand_r(&seed) % 255);
		shown = relpath_escape(bytes);
		for (const char *at = shown; *at; at += utf8_printable(at))
			assert_true(utf8_printable(at));
		back = relpath_unescape(shown);
		assert_string_equal(back, bytes);
		free(shown);
		free(back);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_and_odd_names_are_valid),
		cmocka_unit_test(a_path_that_climbs_or_is_not_relative_is_invalid),
		cmocka_unit_test(the_limits_of_a_name_and_of_a_path_are_exact),
		cmocka_unit_test(directory_and_name_are_the_two_parts_of_a_path),
		cmocka_unit_test(within_means_whole_components),
		cmocka_unit_test(joining_to_the_top_adds_no_slash),
		cmocka_unit_test(only_what_is_printable_is_shown_as_it_is),
		cmocka_unit_test(capital_hex_typed_by_a_person_is_understood),
		cmocka_unit_test(what_is_no_escaped_form_is_refused),
		cmocka_unit_test(random_bytes_survive_being_shown),
	};

	return cmocka_run_group_tests_name("relpath", tests, NULL, NULL);
}
