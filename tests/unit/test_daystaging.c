/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daystaging - yesterday's tree becomes today's, and there is only one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/daystaging.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;

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
	scratch_close(&scratch);
	return 0;
}

static void
sh(const char *commands)
{
	char line[2048];

	snprintf(line, sizeof line, "mkdir -p '%s/backups/weeknow' && cd '%s/backups/weeknow' && %s", scratch.path, scratch.path, commands);
	assert_int_equal(system(line), 0);
}

static void
prepare(const char *day)
{
	char want[256], name[64], *path;
	struct stat a, b;
	int fd;

	assert_int_equal(daystaging_prepare(scratch.path, day, &path, &fd), 0);
	snprintf(name, sizeof name, "backups/weeknow/%s", day);
	assert_string_equal(path, scratch_path(&scratch, name, want));
	assert_int_equal(fstat(fd, &a) || stat(path, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	close(fd);
	free(path);
	sh("test $(ls -A | wc -l) = 1");
}

static void
the_first_day_is_empty(void **state)
{
	(void)state;
	prepare("monnov23");
	sh("test -z \"$(ls -A monnov23)\"");
}

static void
yesterdays_files_are_todays(void **state)
{
	(void)state;
	prepare("monnov23");
	sh("mkdir monnov23/ofuser && echo x >monnov23/ofuser/user1.db");
	prepare("tuenov24");
	sh("test -s tuenov24/ofuser/user1.db");
}

static void
a_second_backup_of_a_day_goes_on_with_the_first(void **state)
{
	(void)state;
	prepare("tuenov24");
	sh("touch tuenov24/kept");
	prepare("tuenov24");
	sh("test -e tuenov24/kept");
}

static void
of_several_the_newest_is_kept(void **state)
{
	(void)state;
	sh("mkdir a b c && touch a/x b/y c/z && touch -d @100.1 a && touch -d @100.9 b && touch -d @100.5 c");
	prepare("wednov25");
	sh("test -e wednov25/y");
}

static void
todays_own_is_kept_beside_an_older_one(void **state)
{
	(void)state;
	sh("mkdir tuenov24 wednov25 && touch tuenov24/old wednov25/new");
	prepare("wednov25");
	sh("test -e wednov25/new && test ! -e wednov25/old");
}

static void
what_is_no_folder_is_swept_away(void **state)
{
	(void)state;
	sh("mkdir monnov23 && touch monnov23/x && touch -d @100 monnov23 && touch .hidden stray && ln -s / link && mkdir .tmp");
	sh("touch -d @50 .tmp");
	prepare("tuenov24");
	sh("test -e tuenov24/x && test -e /bin");
}

static void
a_folder_that_is_not_there_is_an_error(void **state)
{
	char missing[256], *path;
	int fd;

	(void)state;
	assert_true(daystaging_prepare(scratch_path(&scratch, "no/such", missing), "monnov23", &path, &fd) < 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(the_first_day_is_empty),
	    T(yesterdays_files_are_todays),
	    T(a_second_backup_of_a_day_goes_on_with_the_first),
	    T(of_several_the_newest_is_kept),
	    T(todays_own_is_kept_beside_an_older_one),
	    T(what_is_no_folder_is_swept_away),
	    T(a_folder_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
