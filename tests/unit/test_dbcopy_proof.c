/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dbcopy_proof - what staging holds after DBCOPY is of this run, and what could not be listed is not taken for gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/dbcopy_proof.h"
#include "livetree.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct dbcopy_figures figures;
static struct dbcopy_proof proof;
static struct livetree *tree;
static char live[256], staging[256];
static ino_t bad_dir; /* its second name cannot be read, nor what follows */

struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);

struct dirent *
__wrap_readdir(DIR *dir)
{
	struct stat st;

	if (bad_dir && fstat(dirfd(dir), &st) == 0 && st.st_ino == bad_dir) {
		errno = EIO;
		return NULL;
	}
	return __real_readdir(dir);
}

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
	scratch_path(&scratch, "live", live);
	scratch_path(&scratch, "staging", staging);
	figures = (struct dbcopy_figures){0};
	sh("mkdir -p live/ofuser live/ofmsg live/offiles staging && for f in wphost.db ofuser/user1.db ofmsg/msg0.db; do echo x >live/$f; done && "
	   "touch -d @2000000 live/wphost.db live/of*/*.db && cp -a live/. staging && rmdir staging/offiles");
	assert_int_equal(livetree_open(live, LAYOUT_POST_OFFICE, &tree), 0);
	proof = (struct dbcopy_proof){.tree = tree, .staging = staging, .log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .figures = &figures};
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	bad_dir = 0;
	dblist_fini(&proof.before);
	dblist_fini(&proof.had);
	close(proof.log_fd);
	livetree_close(tree);
	scratch_close(&scratch);
	return 0;
}

static bool
staged(const char *path)
{
	char full[512];

	snprintf(full, sizeof full, "%s/%s", staging, path);
	return access(full, F_OK) == 0;
}

/* A directory that cannot be read is not an empty one: its databases would leave staging, and the set, without a word. */
static void
a_directory_that_cannot_be_read_is_not_empty(void **state)
{
	char full[512];
	struct stat st;
	int err;

	(void)state;
	snprintf(full, sizeof full, "%s/ofuser", live);
	assert_int_equal(stat(full, &st), 0);
	bad_dir = st.st_ino;
	err = dbcopy_proof_begin(&proof);
	if (err == 0) /* DBCOPY, which reads it no better, ends well */
		err = dbcopy_proof_end(&proof);
	assert_true(staged("ofuser/user1.db"));
	assert_int_equal(err, -ERR_IO);
}

static void
yesterdays_copy_of_what_came_during_the_run_is_not_of_this_run(void **state)
{
	(void)state;
	sh("echo old >staging/ofuser/user2.db && touch -d @1000000 staging/ofuser/user2.db");
	assert_int_equal(dbcopy_proof_begin(&proof), 0);
	sh("echo news >live/ofuser/user2.db"); /* it was away while DBCOPY listed */
	assert_int_equal(dbcopy_proof_end(&proof), 0);
	assert_false(staged("ofuser/user2.db"));
	assert_true(staged("ofuser/user1.db"));
	assert_non_null(strstr(figures.warnings, "ofuser/user2.db")); /* the administrator must know that the set lacks it */
}

static void
yesterdays_copy_of_what_went_before_it_was_copied_is_not_of_this_run(void **state)
{
	(void)state;
	sh("echo old >staging/ofuser/user2.db && touch -d @1000000 staging/ofuser/user2.db && echo news >live/ofuser/user2.db");
	assert_int_equal(dbcopy_proof_begin(&proof), 0);
	sh("rm live/ofuser/user2.db");
	assert_int_equal(dbcopy_proof_end(&proof), 0);
	assert_false(staged("ofuser/user2.db"));
}

/* Copied by this run, or found to be there already. */
static void
what_is_of_this_run_stays(void **state)
{
	(void)state;
	sh("echo same >staging/ofuser/user3.db && touch -d @1000000 staging/ofuser/user3.db");
	assert_int_equal(dbcopy_proof_begin(&proof), 0);
	sh("cp -a staging/ofuser/user3.db live/ofuser && echo new >live/ofuser/user4.db && cp -a live/ofuser/user4.db staging/ofuser && "
	   "echo more >>live/ofuser/user4.db");
	assert_int_equal(dbcopy_proof_end(&proof), 0);
	assert_true(staged("ofuser/user3.db"));
	assert_true(staged("ofuser/user4.db"));
}

static void
a_name_that_is_of_another_kind_now_makes_way(void **state)
{
	(void)state;
	sh("mkdir -p live/ofviews/win staging/ofviews staging/ofmsg/msg1.db/a && touch live/ofmsg/msg1.db staging/ofviews/win staging/ofmsg/msg1.db/a/b");
	assert_int_equal(dbcopy_proof_begin(&proof), 0);
	assert_false(staged("ofviews/win"));
	assert_false(staged("ofmsg/msg1.db"));
	assert_true(staged("ofmsg/msg0.db"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_directory_that_cannot_be_read_is_not_empty),
	    T(yesterdays_copy_of_what_came_during_the_run_is_not_of_this_run),
	    T(yesterdays_copy_of_what_went_before_it_was_copied_is_not_of_this_run),
	    T(what_is_of_this_run_stays),
	    T(a_name_that_is_of_another_kind_now_makes_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
