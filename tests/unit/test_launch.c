/* SPDX-License-Identifier: GPL-2.0-or-later */
/* launch - what a release that did not begin is believed to have failed at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/config.h"
#include "collector/launch.h"
#include "collector/versions.h"
#include "tests/lib/signers.h"
#include "tests/unit/disk_rig.h"

static struct scratch scratch;
static struct signers who;
static char state_path[256];

static int
setup(void **state)
{
	(void)state;
	memset(&disk, 0, sizeof disk);
	scratch_open(&scratch);
	signers_make(&who, &scratch);
	scratch_path(&scratch, "state", state_path);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_close(&scratch);
	return 0;
}

/* What is remembered after a start with 999.0.0 on trial, which is not there. */
static struct versions
after_start(char *keys)
{
	const struct collector_config config = {.state = state_path, .upgrade_keys = keys};
	struct versions v = {.trial = {{999, 0, 0}}};
	char *argv[] = {(char[]){"collector"}, NULL};
	int dir = versions_open_dir(state_path);

	assert_true(dir >= 0);
	assert_int_equal(versions_store(dir, &v), 0);
	launch(argv, &config);
	assert_int_equal(versions_load(dir, &v), 0);
	close(dir);
	return v;
}

static void
what_is_not_there_has_failed(void **state)
{
	struct versions v = after_start(who.file);

	(void)state;
	assert_true(version_is_none(&v.trial));
	assert_int_equal(v.failed.part[0], 999);
}

static void
a_lack_of_descriptors_is_no_failure_of_a_release(void **state)
{
	struct versions v;

	(void)state;
	needs_openat2();
	disk.unreadable = "999.0.0";
	disk.instead = EMFILE;
	v = after_start(who.file);
	assert_true(version_is_none(&v.failed));
	assert_int_equal(v.trial.part[0], 999);
	assert_int_equal(v.starts, 1); /* counted all the same: it comes to an end */
}

static void
keys_that_cannot_be_read_are_no_failure_of_a_release(void **state)
{
	struct versions v;
	char nowhere[256];

	(void)state;
	v = after_start((char *)(uintptr_t)scratch_path(&scratch, "nowhere", nowhere));
	assert_true(version_is_none(&v.failed));
	assert_int_equal(v.trial.part[0], 999);
	assert_int_equal(v.starts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_not_there_has_failed),
	    TEST(a_lack_of_descriptors_is_no_failure_of_a_release),
	    TEST(keys_that_cannot_be_read_are_no_failure_of_a_release),
	};

	return cmocka_run_group_tests_name("launch", tests, NULL, NULL);
}
