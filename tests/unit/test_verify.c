/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every way in which a sealed set can stop being what was sealed is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>

#include "keeper/verify.h"
#include "tests/lib/stage.h"
#include "tests/unit/disk_rig.h"

static struct stage st;
static struct set_row set;

static bool no_memory_for_lines;

ssize_t
__getdelim(char **line, size_t *cap, int delimiter, FILE *file)
{
	static _Thread_local ssize_t (*real)(char **, size_t *, int, FILE *);

	if (!real)
		real = (ssize_t (*)(char **, size_t *, int, FILE *))dlsym(RTLD_NEXT, "__getdelim");
	if (no_memory_for_lines) {
		errno = ENOMEM;
		return -1;
	}
	return real(line, cap, delimiter, file);
}

ssize_t
getline(char **line, size_t *cap, FILE *file)
{
	return __getdelim(line, cap, '\n', file);
}

struct lines {
	struct task task;
	char text[8192];
	size_t n;
};

static void
on_finding(struct task *task, const char *path, const char *what)
{
	struct lines *l = (struct lines *)task;

	l->n++;
	snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s: %s\n", path, what);
}

static struct verify_sharers sharers; /* of the last verify */

static void
forget_sharers(void)
{
	catalogue_sets_free(sharers.sets, sharers.n);
	sharers = (struct verify_sharers){0};
}

static int
set_up(void **state)
{
	(void)state;
	disk.unreadable = NULL;
	no_memory_for_lines = false;
	stage_open(&st);
	stage_fill(&st);
	set = stage_seal(&st, 20260213);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	set_row_fini(&set);
	forget_sharers();
	stage_close(&st);
	return 0;
}

static uint64_t
verify(enum verify_depth depth, struct lines *lines)
{
	uint64_t n = 99;

	memset(lines, 0, sizeof *lines);
	lines->task.finding = on_finding;
	forget_sharers();
	good(verify_set(st.vault, &set, depth, &lines->task, &n, &sharers));
	assert_int_equal(n, lines->n);
	return n;
}

static int
open_for_harm(const char *path)
{
	int fd = fsio_open(st.dir, path, O_RDONLY, 0), harm;

	good(fd);
	assert_int_equal(fchmod(fd, 0640), 0);
	close(fd);
	harm = fsio_open(st.dir, path, O_WRONLY, 0);
	good(harm);
	return harm;
}

/* Flips the first byte and leaves all else, the time too. */
static void
flip(const char *path)
{
	struct stat before;
	int fd = open_for_harm(path);
	struct timespec times[2];

	assert_int_equal(fstat(fd, &before), 0);
	good(fsio_pwrite(fd, "#", 1, 0));
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

/* As one whose content cannot be read. */
static void
a_file_whose_inode_cannot_be_read_differs(void **state)
{
	static const char *const names[] = {"userabc.db", "aaa"};
	struct lines lines;

	(void)state;
	needs_openat2();
	for (size_t i = 0; i < 2; i++) {
		set.verified = SET_GOOD;
		disk.unreadable = names[i];
		assert_int_equal(verify(VERIFY_NEW, &lines), 1);
		disk.unreadable = NULL;
		assert_int_equal(set.verified, SET_DIFFERS);
		assert_non_null(strstr(lines.text, names[i]));
	}
}

static void
a_lack_of_descriptors_is_no_difference(void **state)
{
	struct lines lines = {.task = {.finding = on_finding}};
	uint64_t n = 0;
	int err;

	(void)state;
	needs_openat2();
	disk.unpassed = "ofuser";
	err = verify_set(st.vault, &set, VERIFY_ALL, &lines.task, &n, &sharers);
	disk.unpassed = NULL;
	assert_true(err < 0);
	assert_string_equal(lines.text, "");
	assert_int_equal(set.verified, SET_GOOD);
}

/* What lies in it is lost; what comes after it is read all the same. */
static void
a_directory_that_cannot_be_listed_is_not_the_end(void **state)
{
	struct lines lines;
	uint64_t n;

	(void)state;
	needs_openat2();
	flip("backups/weeknow/frifeb13/wphost.db");
	disk.unreadable = "ofmsg";
	n = verify(VERIFY_ALL, &lines);
	disk.unreadable = NULL;
	assert_int_equal(n, 2);
	assert_non_null(strstr(lines.text, "ofmsg/msg0.db: is missing"));
	assert_non_null(strstr(lines.text, "wphost.db: its content"));
	assert_int_equal(set.verified, SET_DIFFERS);
}

static void
a_lack_of_memory_is_no_difference(void **state)
{
	struct lines lines = {.task = {.finding = on_finding}};
	uint64_t n = 0;
	int err;

	(void)state;
	no_memory_for_lines = true;
	err = verify_set(st.vault, &set, VERIFY_NEW, &lines.task, &n, &sharers);
	no_memory_for_lines = false;
	assert_int_equal(err, -ERR_NOMEM);
	assert_int_equal(set.verified, SET_GOOD);
}

static void
a_good_set_is_good(void **state)
{
	struct lines lines;

	(void)state;
	assert_int_equal(verify(VERIFY_ALL, &lines), 0);
	assert_int_equal(set.verified, SET_GOOD);
	assert_int_equal(set.scrubbed_ns, 0);
	assert_int_equal(verify(VERIFY_NEW, &lines), 0);
	assert_int_not_equal(set.scrubbed_ns, 0);
}

static void
each_difference_is_named(void **state)
{
	struct lines lines;
	int fd;

	(void)state;
	flip("backups/weeknow/frifeb13/ofuser/userabc.db");
	fd = open_for_harm("backups/weeknow/frifeb13/ofuser/userxyz.db");
	assert_int_equal(ftruncate(fd, 3), 0);
	close(fd);
	good(fsio_unlink(st.dir, "backups/weeknow/frifeb13/ofmsg/msg0.db"));
	fd = fsio_open(st.dir, "backups/weeknow/frifeb13/ofmsg/extra.db", O_WRONLY | O_CREAT, 0600);
	close(fd);
	fd = fsio_make_dirs(st.dir, "backups/weeknow/frifeb13/extradir/below", false);
	close(fd);
	flip("blobs/offiles/fd0/aaa");
	good(fsio_unlink(st.dir, "blobs/offiles/fd0/bbb"));

	assert_int_equal(verify(VERIFY_ALL, &lines), 8);
	assert_non_null(strstr(lines.text, "ofuser/userabc.db: its content is not what was sealed"));
	assert_non_null(strstr(lines.text, "ofuser/userxyz.db: has 3 bytes instead of 8"));
	assert_non_null(strstr(lines.text, "ofuser/userxyz.db: its time has changed"));
	assert_non_null(strstr(lines.text, "ofmsg/msg0.db: is missing"));
	assert_non_null(strstr(lines.text, "ofmsg/extra.db: does not belong to the set"));
	assert_non_null(strstr(lines.text, "extradir: does not belong to the set"));
	assert_null(strstr(lines.text, "below"));
	assert_non_null(strstr(lines.text, "offiles/fd0/aaa: its content is not what was sealed"));
	assert_non_null(strstr(lines.text, "offiles/fd0/bbb: is missing"));
	assert_int_equal(set.verified, SET_DIFFERS);
	/* what differs once does not become good by looking at less */
	good(fsio_unlink(st.dir, "backups/weeknow/frifeb13/ofmsg/extra.db"));
	(void)verify(VERIFY_NEW, &lines);
	assert_int_equal(set.verified, SET_DIFFERS);
}

static void
another_kind_is_a_difference(void **state)
{
	struct lines lines;
	int fd = fsio_open_dir(st.dir, "backups/weeknow/frifeb13");

	(void)state;
	good(fsio_unlink(fd, "wphost.db"));
	assert_int_equal(symlinkat("ngwguard.dc", fd, "wphost.db"), 0);
	good(fsio_unlink(fd, "offiles"));
	assert_int_equal(symlinkat("/etc", fd, "offiles"), 0);
	assert_true(verify(VERIFY_ALL, &lines) >= 2);
	assert_non_null(strstr(lines.text, "wphost.db: is not a file any more"));
	assert_non_null(strstr(lines.text, "offiles: is not the link to the blobs any more"));
	close(fd);
}

static void
a_damaged_manifest_is_named(void **state)
{
	struct lines lines;

	(void)state;
	flip("state/manifests/frifeb13");
	assert_int_equal(verify(VERIFY_ALL, &lines), 1);
	assert_non_null(strstr(lines.text, "manifest"));
}

static void
a_blob_list_that_changed_is_named(void **state)
{
	struct lines lines;

	(void)state;
	set.blobs.sum[0] ^= 1;
	assert_int_equal(verify(VERIFY_ALL, &lines), 1);
	assert_non_null(strstr(lines.text, "list of blobs"));
}

static void
a_set_that_is_gone_is_named(void **state)
{
	struct lines lines;

	(void)state;
	good(fsio_remove_tree(st.dir, "backups/weeknow/frifeb13"));
	assert_int_equal(verify(VERIFY_ALL, &lines), 1);
	assert_non_null(strstr(lines.text, "directory is missing"));
}

static void
the_scrub_reads_what_is_new_only(void **state)
{
	struct lines lines;
	struct set_row first = set;

	(void)state;
	stage_put(&st, "ofuser/userxyz.db", "user xyz, changed");
	stage_put(&st, "offiles/fd1/ddd", "blob ddd");
	set = stage_seal(&st, 20260214);
	flip("backups/weeknow/satfeb14/ofuser/userabc.db"); /* shared with the first set */
	flip("blobs/offiles/fd0/aaa");
	assert_int_equal(verify(VERIFY_NEW, &lines), 0);
	flip("backups/weeknow/satfeb14/ofuser/userxyz.db");
	flip("blobs/offiles/fd1/ddd");
	assert_int_equal(verify(VERIFY_NEW, &lines), 2);
	set_row_fini(&first);
}

static int
scrub_until(const char *name, struct lines *lines, uint64_t *ret_differences)
{
	struct verify_sharers none = {0};
	int err;

	*lines = (struct lines){.task.finding = on_finding};
	disk.counted = name;
	disk.then_stop = &lines->task.stop;
	disk.opened = 0;
	err = verify_set(st.vault, &set, VERIFY_NEW, &lines->task, ret_differences, &none);
	disk.then_stop = NULL;
	catalogue_sets_free(none.sets, none.n);
	return err;
}

/* There is an order every now and then, and a status that is looked at, and what is new may take days to read. */
static void
a_scrub_that_is_stopped_goes_on_where_it_was(void **state)
{
	struct lines lines;
	uint64_t n;

	(void)state;
	needs_openat2();
	assert_int_equal(scrub_until("wphost.db", &lines, &n), -ERR_STOPPED); /* the last of the tree */
	assert_int_equal(disk.opened, 1);
	disk.counted = "userabc.db"; /* was read */
	disk.opened = 0;
	assert_int_equal(verify(VERIFY_NEW, &lines), 0);
	assert_int_equal(disk.opened, 0);
	assert_int_not_equal(set.scrubbed_ns, 0);
	assert_int_equal(verify(VERIFY_NEW, &lines), 0); /* it had come to its end */
	assert_int_equal(disk.opened, 1);
	disk.counted = NULL;
}

/* Else whoever asks would hear of nothing, and the set would be good. */
static void
what_a_stopped_scrub_found_is_found_again(void **state)
{
	struct lines lines;
	uint64_t n;

	(void)state;
	needs_openat2();
	flip("backups/weeknow/frifeb13/ofuser/userabc.db");
	assert_int_equal(scrub_until("wphost.db", &lines, &n), -ERR_STOPPED);
	assert_int_equal(disk.opened, 1);
	disk.counted = NULL;
	assert_int_equal(verify(VERIFY_NEW, &lines), 1);
	assert_int_equal(set.verified, SET_DIFFERS);
}

static uint8_t
verified_of(const char *name)
{
	struct set_row row;
	uint8_t verified;

	good(catalogue_find(st.vault->catalogue, name, &row));
	verified = row.verified;
	set_row_fini(&row);
	return verified;
}

static void
what_differs_is_held_against_every_set_that_shares_it(void **state)
{
	struct lines lines;
	struct set_row first = set;

	(void)state;
	stage_put(&st, "ofuser/userxyz.db", "user xyz, changed");
	stage_put(&st, "offiles/fd1/ddd", "blob ddd");
	set = stage_seal(&st, 20260214);
	flip("backups/weeknow/satfeb14/ofuser/userxyz.db");
	flip("blobs/offiles/fd1/ddd");
	assert_int_equal(verify(VERIFY_ALL, &lines), 2);
	assert_int_equal(sharers.n, 0);
	assert_int_equal(verified_of("frifeb13"), SET_GOOD);
	flip("backups/weeknow/satfeb14/ofuser/userabc.db");
	assert_int_equal(verify(VERIFY_ALL, &lines), 3);
	assert_int_equal(sharers.n, 1);
	assert_string_equal(sharers.sets[0].name, "frifeb13");
	assert_int_equal(verified_of("frifeb13"), SET_DIFFERS);
	assert_int_equal(verify(VERIFY_ALL, &lines), 3);
	assert_int_equal(sharers.n, 0); /* known by now */
	set_row_fini(&first);
}

static void
a_blob_that_differs_is_held_against_the_sets_that_hold_it(void **state)
{
	struct lines lines;
	struct set_row first, second, third;

	(void)state;
	stage_remove(&st, "offiles/fd0/aaa");
	second = stage_seal(&st, 20260214);
	stage_put(&st, "ofuser/userxyz.db", "user xyz, changed");
	third = stage_seal(&st, 20260215);
	flip("blobs/offiles/fd0/aaa");
	assert_int_equal(verify(VERIFY_ALL, &lines), 1);
	assert_int_equal(sharers.n, 0); /* it was removed before the others */
	first = set;
	set = third;
	flip("blobs/offiles/fd0/bbb");
	assert_int_equal(verify(VERIFY_ALL, &lines), 1);
	assert_int_equal(sharers.n, 1); /* the first is known to differ */
	assert_string_equal(sharers.sets[0].name, "satfeb14");
	set_row_fini(&first);
	set_row_fini(&second);
}

static void
a_stop_ends_it_and_says_nothing_of_the_set(void **state)
{
	struct task task = {.stop = true};
	uint64_t n;

	(void)state;
	assert_int_equal(verify_set(st.vault, &set, VERIFY_ALL, &task, &n, &sharers), -ERR_STOPPED);
	assert_int_equal(set.verified, SET_GOOD);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_good_set_is_good),
		T(a_file_whose_inode_cannot_be_read_differs),
		T(a_lack_of_memory_is_no_difference),
		T(a_lack_of_descriptors_is_no_difference),
		T(a_directory_that_cannot_be_listed_is_not_the_end),
		T(each_difference_is_named),
		T(another_kind_is_a_difference),
		T(a_damaged_manifest_is_named),
		T(a_blob_list_that_changed_is_named),
		T(a_set_that_is_gone_is_named),
		T(the_scrub_reads_what_is_new_only),
		T(a_scrub_that_is_stopped_goes_on_where_it_was),
		T(what_a_stopped_scrub_found_is_found_again),
		T(what_differs_is_held_against_every_set_that_shares_it),
		T(a_blob_that_differs_is_held_against_the_sets_that_hold_it),
		T(a_stop_ends_it_and_says_nothing_of_the_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
