/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dblist - the snapshot files of a live tree and of its copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collector/dblist.h"
#include "livetree.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct livetree *tree;
static struct dblist list;

static void
sh(const char *commands)
{
	char line[2048];

	snprintf(line, sizeof line, "cd '%s' && %s", scratch.path, commands);
	assert_int_equal(system(line), 0);
}

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	dblist_fini(&list);
	livetree_close(tree);
	tree = NULL;
	scratch_close(&scratch);
	return 0;
}

static const char *
names(void)
{
	static char text[2048];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < list.n; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? " " : "", list.files[i].path);
	return text;
}

static void
read_live(void)
{
	assert_int_equal(livetree_open(scratch.path, LAYOUT_POST_OFFICE, &tree), 0);
	assert_int_equal(dblist_read(LAYOUT_POST_OFFICE, tree, -1, &list), 0);
}

static void
a_post_office_is_listed_without_its_live_areas(void **state)
{
	(void)state;
	sh("mkdir -p ofuser/index ofmsg/guardbak offiles/fd1 ofviews/win ofwork wpcsin/0 && touch wphost.db ngwguard.db ngwguard.rfl gwpo.dc "
	   "other.txt ofuser/user1.db ofuser/index/a.idx ofmsg/msg0.db ofmsg/guardbak/ngwguard.fbk offiles/fd1/blob ofviews/win/a.vew "
	   "ofwork/x wpcsin/0/y");
	read_live();
	assert_string_equal(names(), "gwpo.dc ngwguard.db ngwguard.rfl ofmsg/guardbak/ngwguard.fbk ofmsg/msg0.db ofuser/user1.db "
	                             "ofviews/win/a.vew wphost.db");
}

static void
names_on_disk_in_any_case_become_set_paths(void **state)
{
	(void)state;
	sh("mkdir -p OFUSER OfMsg OFFILES && touch WPHOST.DB OFUSER/USER1.DB OfMsg/msg0.db");
	read_live();
	assert_string_equal(names(), "WPHOST.DB ofmsg/msg0.db ofuser/USER1.DB");
}

static void
two_directories_that_differ_in_case_are_listed_once(void **state)
{
	(void)state;
	sh("mkdir -p ofuser OFUSER ofmsg offiles && touch wphost.db ofuser/user1.db OFUSER/stray.db");
	read_live();
	assert_string_equal(names(), "ofuser/user1.db wphost.db");
}

static void
links_and_specials_are_no_databases(void **state)
{
	(void)state;
	sh("mkdir -p ofuser ofmsg offiles && touch wphost.db ofuser/user1.db && ln -s user1.db ofuser/user2.db && mkfifo ofuser/user3.db && "
	   "ln -s /etc ofmsg/etc");
	read_live();
	assert_string_equal(names(), "ofuser/user1.db wphost.db");
}

static void
a_copy_is_listed_like_the_live_tree(void **state)
{
	(void)state;
	sh("mkdir -p ofuser ofmsg && touch wphost.db 1124gwbk.001 ofuser/user1.db && printf 12345 >ofmsg/msg0.db && touch -d @1000 ofmsg/msg0.db");
	assert_int_equal(dblist_read(LAYOUT_POST_OFFICE, NULL, scratch.fd, &list), 0);
	assert_string_equal(names(), "ofmsg/msg0.db ofuser/user1.db wphost.db");
	assert_int_equal(dblist_find(&list, "ofmsg/msg0.db")->size, 5);
	assert_int_equal(dblist_find(&list, "ofmsg/msg0.db")->mtime_ns, INT64_C(1000000000000));
	assert_null(dblist_find(&list, "ofmsg/msg1.db"));
}

static void
an_empty_copy_is_an_empty_list(void **state)
{
	(void)state;
	assert_int_equal(dblist_read(LAYOUT_DOMAIN, NULL, scratch.fd, &list), 0);
	assert_int_equal(list.n, 0);
	assert_null(dblist_find(&list, "wpdomain.db"));
}

static void
parents_come_before_their_children(void **state)
{
	(void)state;
	sh("mkdir -p ofmsg/a/b/c ofviews/x/y");
	assert_int_equal(dblist_read(LAYOUT_POST_OFFICE, NULL, scratch.fd, &list), 0);
	assert_int_equal(list.n_dirs, 7);
	for (size_t i = 0; i < list.n_dirs; i++) {
		char *slash = strrchr(list.dirs[i], '/');
		size_t k = i;

		while (slash && k-- > 0)
			if (strlen(list.dirs[k]) == (size_t)(slash - list.dirs[i]) && strncmp(list.dirs[k], list.dirs[i], strlen(list.dirs[k])) == 0)
				break;
		assert_true(!slash || k != SIZE_MAX);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_post_office_is_listed_without_its_live_areas),
	    T(names_on_disk_in_any_case_become_set_paths),
	    T(two_directories_that_differ_in_case_are_listed_once),
	    T(links_and_specials_are_no_databases),
	    T(a_copy_is_listed_like_the_live_tree),
	    T(an_empty_copy_is_an_empty_list),
	    T(parents_come_before_their_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
