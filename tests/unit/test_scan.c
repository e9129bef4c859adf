/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "replicator/scan.h"
#include "replicator/scan_batch.h"
#include "tests/lib/mapped.h"

/* One name that cannot be looked at. */
static const char *unreachable;

int
fstatat(int dirfd, const char *restrict path, struct stat *restrict st, int flags)
{
	static int (*real)(int, const char *, struct stat *, int);

	if (unreachable && strcmp(path, unreachable) == 0) {
		errno = EIO;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fstatat");
	return real(dirfd, path, st, flags);
}

static struct mapped m;
static char found[65536];  /* names in the order in which they were given, each followed by a space */
static char gone[1024];
static unsigned recorded;  /* directories whose mtime may be recorded */
static int error;
static bool held;
static unsigned hands;     /* of the scan; 0: as it comes */
static int64_t later_ns;   /* the scan looks so long after the files were made */

static int
begin(void **state)
{
	(void)state;
	later_ns = 0;
	unreachable = NULL;
	hands = 0;
	mapped_open(&m);
	mapped_dir(&m, "offiles/fd0");
	mapped_dir(&m, "offiles/fd1");
	mapped_file(&m, "offiles/fd0/a", 1, 100);
	mapped_file(&m, "offiles/fd0/b", 2, 100);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	mapped_close(&m);
	return 0;
}

static void
take_slice(struct scan *s, unsigned *slices)
{
	struct scan_dir *d;

	scan_slice(s);
	++*slices;
	assert_true(s->n_found <= SCAN_FOUND);
	for (size_t i = 0; i < s->n_found; i++) {
		strncat(found, s->found[i].path, sizeof found - strlen(found) - 2);
		strcat(found, " ");
		free(s->found[i].path);
	}
	s->n_found = 0;
	while ((d = TAILQ_FIRST(&s->closed))) {
		TAILQ_REMOVE(&s->closed, d, link);
		recorded += d->stamp_ns != 0 && !d->found;
		if (d->stamp_ns && !d->found)
			mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_DIR, .path = d->path, .dir_mtime_ns = d->stamp_ns});
		scan_dir_free(d);
	}
}

static int64_t
later(void)
{
	return clock_wall_ns() + later_ns;
}

static unsigned
scan(const char *dir, enum scan_how how)
{
	struct scan *s = scan_new(&m.live, m.map, &m.key, dir, how);
	char *names[8];
	unsigned slices = 0;
	size_t n;

	if (later_ns)
		s->clock_ns = later;
	if (hands)
		s->hands = hands;
	found[0] = gone[0] = '\0';
	recorded = 0;
	do
		take_slice(s, &slices);
	while (!s->done);
	while ((n = scan_gone_take(&s->gone, names, 8)))
		for (size_t i = 0; i < n; i++) {
			strcat(strcat(gone, names[i]), " ");
			free(names[i]);
		}
	error = s->err;
	held = s->held;
	scan_free(s);
	return slices;
}

static void
believe_all(void)
{
	static const char *const all[] = {"ofuser/index", "offiles", "offiles/fd0", "offiles/fd1", "offiles/fd0/a", "offiles/fd0/b"};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		mapped_believe(&m, all[i]);
}

static bool
has(const char *list, const char *name)
{
	char word[128];

	snprintf(word, sizeof word, "%s ", name);
	return strstr(list, word) != NULL;
}

static void
everything_new_is_found(void **state)
{
	(void)state;
	scan("", SCAN_STAMPS);
	assert_true(has(found, "offiles") && has(found, "offiles/fd0") && has(found, "offiles/fd0/a") && has(found, "offiles/fd0/b"));
	assert_false(has(found, "wphost.db")); /* a snapshot's: the live tree says nothing about it */
	assert_int_equal(error, 0);
}

static void
what_the_map_knows_is_not_found_again(void **state)
{
	(void)state;
	believe_all();
	scan("", SCAN_STAMPS);
	assert_string_equal(found, "");
	assert_string_equal(gone, "");
}

static void
rows_that_no_row_leads_to_are_found(void **state)
{
	(void)state;
	believe_all();
	mapped_dir(&m, "offiles/fd2");
	mapped_dir(&m, "offiles/fd2/sub");
	mapped_file(&m, "offiles/fd2/sub/c", 3, 100);
	mapped_believe(&m, "offiles/fd2/sub/c");
	mapped_remove(&m, "offiles/fd2");
	scan("offiles/fd1", SCAN_STAMPS);
	assert_string_equal(found, "");
	scan("offiles/fd2", SCAN_STAMPS);
	assert_string_equal(found, "offiles/fd2/sub/c ");
	scan("", SCAN_STAMPS);
	assert_string_equal(found, "offiles/fd2/sub/c ");
	assert_string_equal(gone, "offiles/fd2/sub ");
	assert_int_equal(error, 0);
}

static void
a_directory_whose_own_row_is_on_its_way_is_no_stray(void **state)
{
	(void)state;
	believe_all();
	mapped_dir(&m, "offiles/fd2");
	mapped_file(&m, "offiles/fd2/c", 3, 100);
	mapped_believe(&m, "offiles/fd2/c");
	scan("", SCAN_STAMPS);
	assert_string_equal(found, "offiles/fd2 ");
	assert_string_equal(gone, "");
}

static void
remember_stamp(const char *dir)
{
	int fd = mapped_path_fd(&m, dir, O_RDONLY);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_DIR, .path = dir,
	                    .dir_mtime_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec});
}

/* Its mtime is as before, but what was changed in its place while it was elsewhere came with events of another path. */
static void
a_directory_moved_away_and_back_is_listed(void **state)
{
	char here[256], away[256];

	(void)state;
	believe_all();
	remember_stamp("offiles/fd0");
	scratch_path(&m.scratch, "live/offiles/fd0", here);
	scratch_path(&m.scratch, "live/offiles/fd7", away);
	assert_int_equal(rename(here, away), 0);
	mapped_file(&m, "offiles/fd7/a", 9, 200);
	assert_int_equal(rename(away, here), 0);
	scan("offiles/fd0", SCAN_STAMPS);
	assert_true(has(found, "offiles/fd0/a"));
}

static void
a_directory_whose_stamp_stands_still_is_not_listed(void **state)
{
	(void)state;
	believe_all();
	remember_stamp("offiles/fd0");
	mapped_file(&m, "offiles/fd0/a", 9, 200); /* in its place: no name came or went */
	scan("offiles", SCAN_STAMPS);
	assert_false(has(found, "offiles/fd0/a"));
	scan("offiles", SCAN_SLOW); /* the slow scan believes no stamp */
	assert_true(has(found, "offiles/fd0/a"));
}

static void
where_no_event_tells_of_a_change_no_stamp_is_believed(void **state)
{
	(void)state;
	believe_all();
	remember_stamp("offiles/fd0");
	mapped_file(&m, "offiles/fd0/a", 9, 200);
	scan("offiles/fd0", SCAN_FILES);
	assert_string_equal(found, "offiles/fd0/a ");
}

static void
a_young_directory_is_not_recorded(void **state)
{
	(void)state;
	believe_all();
	scan("offiles", SCAN_STAMPS);
	assert_int_equal(recorded, 0);
}

/* Who wrote it some minutes ago may have it open still, and writes on while nobody sees. */
static void
a_directory_with_a_young_file_is_not_recorded(void **state)
{
	(void)state;
	believe_all();
	later_ns = INT64_C(300000000000);
	scan("offiles/fd1", SCAN_STAMPS); /* an empty one */
	assert_int_equal(recorded, 1);
	scan("offiles/fd0", SCAN_STAMPS);
	assert_int_equal(recorded, 0);
	later_ns = INT64_C(900000000000);
	scan("offiles/fd0", SCAN_STAMPS);
	assert_int_equal(recorded, 1);
}

static void
a_removed_file_is_found(void **state)
{
	(void)state;
	believe_all();
	mapped_remove(&m, "offiles/fd0/a");
	scan("offiles/fd0", SCAN_STAMPS);
	assert_true(has(found, "offiles/fd0/a"));
	assert_false(has(found, "offiles/fd0/b"));
}

/* Nobody would look at it again before the slow scan: no event tells of it any more. */
static void
a_name_that_could_not_be_looked_at_is_found_by_the_next_scan(void **state)
{
	(void)state;
	believe_all();
	mapped_remove(&m, "offiles/fd0/a"); /* "is it really gone?" */
	mapped_file(&m, "offiles/fd1/new", 3, 100);
	later_ns = INT64_C(900000000000);
	for (int i = 0; i < 2; i++) {
		unreachable = i ? "new" : "a";
		scan("", SCAN_STAMPS);
		assert_int_equal(error, -ERR_IO);
		assert_false(has(found, i ? "offiles/fd1/new" : "offiles/fd0/a"));
	}
	unreachable = NULL;
	scan("", SCAN_STAMPS);
	assert_int_equal(error, 0);
	assert_true(has(found, "offiles/fd0/a"));
	assert_true(has(found, "offiles/fd1/new"));
}

static void
a_removed_directory_goes_after_what_lay_in_it(void **state)
{
	(void)state;
	believe_all();
	mapped_remove(&m, "offiles/fd0");
	scan("", SCAN_STAMPS);
	assert_true(has(found, "offiles/fd0/a") && has(found, "offiles/fd0/b"));
	assert_false(has(found, "offiles/fd0"));
	assert_string_equal(gone, "offiles/fd0 ");
}

static void
a_rescan_of_a_vanished_directory_empties_it(void **state)
{
	(void)state;
	believe_all();
	mapped_remove(&m, "offiles/fd0");
	scan("offiles/fd0", SCAN_STAMPS);
	assert_true(has(found, "offiles/fd0/a"));
	assert_string_equal(gone, "offiles/fd0 ");
}

static void
a_vanished_area_is_held(void **state)
{
	(void)state;
	believe_all();
	mapped_remove(&m, "offiles");
	scan("", SCAN_STAMPS);
	assert_string_equal(found, "");
	assert_string_equal(gone, "");
	assert_true(held);
	assert_int_equal(error, -ERR_GONE);
}

static void
a_flight_mark_on_a_large_file_is_found(void **state)
{
	(void)state;
	believe_all();
	mapped_file(&m, "offiles/fd1/large", 5, 400000);
	mapped_believe(&m, "offiles/fd1/large");
	scan("offiles/fd1", SCAN_SLOW);
	assert_string_equal(found, "");
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = "offiles/fd1/large"});
	scan("offiles/fd1", SCAN_SLOW);
	assert_true(has(found, "offiles/fd1/large"));
}

static void
a_changed_stat_and_a_link_are_found(void **state)
{
	int dir;

	(void)state;
	believe_all();
	dir = mapped_path_fd(&m, "offiles/fd1", O_RDONLY);
	assert_int_equal(symlinkat("nowhere", dir, "link"), 0);
	assert_int_equal(mkfifoat(dir, "pipe", 0600), 0);
	close(dir);
	mapped_file(&m, "offiles/fd0/b", 2, 101);
	scan("", SCAN_SLOW);
	assert_true(has(found, "offiles/fd0/b") && has(found, "offiles/fd1/link") && has(found, "offiles/fd1/pipe"));
	assert_false(has(found, "offiles/fd0/a"));
}

/* Whoever sets a file's time back after writing cannot set back that it was changed. */
static void
a_change_that_keeps_size_and_time_is_found(void **state)
{
	struct stat st, after;
	int fd;

	(void)state;
	believe_all();
	fd = mapped_path_fd(&m, "offiles/fd0/a", O_WRONLY);
	assert_int_equal(fstat(fd, &st), 0);
	do { /* until the kernel's clock has moved on */
		assert_int_equal(pwrite(fd, "other", 5, 0), 5);
		assert_int_equal(futimens(fd, (struct timespec[2]){st.st_atim, st.st_mtim}), 0);
		assert_int_equal(fstat(fd, &after), 0);
	} while (after.st_ctim.tv_sec == st.st_ctim.tv_sec && after.st_ctim.tv_nsec == st.st_ctim.tv_nsec);
	close(fd);
	scan("", SCAN_SLOW);
	assert_string_equal(found, "offiles/fd0/a ");
}

static void
a_wide_directory_takes_several_bounded_slices(void **state)
{
	char name[64];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "offiles/fd1/%u", i);
		mapped_file(&m, name, 1, 1);
	}
	assert_true(scan("offiles/fd1", SCAN_STAMPS) >= 1000 / SCAN_FOUND);
}

static unsigned
count(const char *list)
{
	unsigned n = 0;

	for (; (list = strchr(list, ' ')); list++)
		n++;
	return n;
}

/* More names than a batch holds, a few of each kind among them. */
static void
several_hands_find_in_a_wide_directory_what_changed_and_nothing_else(void **state)
{
	static const char *const changed[] = {"offiles/fd1/77", "offiles/fd1/1500", "offiles/fd1/new", "offiles/fd1/64", "offiles/fd1/sub"};
	char name[64];

	(void)state;
	believe_all();
	for (unsigned i = 0; i < SCAN_BATCH + 500; i++) {
		snprintf(name, sizeof name, "offiles/fd1/%u", i);
		mapped_file(&m, name, 1, 1);
		mapped_believe(&m, name);
	}
	for (hands = 1; hands <= 4; hands += 3) {
		scan("offiles/fd1", SCAN_SLOW);
		assert_string_equal(found, "");
	}
	mapped_file(&m, "offiles/fd1/77", 2, 2);
	mapped_file(&m, "offiles/fd1/1500", 2, 3);
	mapped_file(&m, "offiles/fd1/new", 2, 3); /* one comes and one goes: their number stands still */
	mapped_remove(&m, "offiles/fd1/64");
	mapped_dir(&m, "offiles/fd1/sub");
	for (hands = 1; hands <= 4; hands += 3) {
		scan("offiles/fd1", SCAN_SLOW);
		assert_int_equal(count(found), sizeof changed / sizeof *changed);
		for (size_t i = 0; i < sizeof changed / sizeof *changed; i++)
			assert_true(has(found, changed[i]));
	}
	assert_int_equal(error, 0);
}

static void
what_lies_in_a_directory_is_given_in_the_order_of_its_names(void **state)
{
	char name[64], last[64] = "", *given, *rest;
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "offiles/fd1/%08x", i * 2654435761u);
		mapped_file(&m, name, 1, 1);
	}
	scan("offiles/fd1", SCAN_STAMPS);
	for (given = strtok_r(found, " ", &rest); given; given = strtok_r(NULL, " ", &rest), n++) {
		assert_true(strcmp(given, last) > 0);
		snprintf(last, sizeof last, "%s", given);
	}
	assert_int_equal(n, 301); /* the directory itself first */
}

static void
a_file_where_a_directory_was_waits_until_that_is_emptied(void **state)
{
	(void)state;
	believe_all();
	mapped_remove(&m, "offiles/fd0");
	mapped_file(&m, "offiles/fd0", 1, 5);
	scan("offiles", SCAN_STAMPS);
	assert_true(has(found, "offiles/fd0/a") && has(found, "offiles/fd0/b"));
	assert_false(has(found, "offiles/fd0"));
	assert_string_equal(gone, "offiles/fd0 ");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(everything_new_is_found),
		TEST(what_the_map_knows_is_not_found_again),
		TEST(a_directory_whose_stamp_stands_still_is_not_listed),
		TEST(where_no_event_tells_of_a_change_no_stamp_is_believed),
		TEST(a_directory_with_a_young_file_is_not_recorded),
		TEST(a_directory_moved_away_and_back_is_listed),
		TEST(a_young_directory_is_not_recorded),
		TEST(a_removed_file_is_found),
		TEST(a_name_that_could_not_be_looked_at_is_found_by_the_next_scan),
		TEST(a_removed_directory_goes_after_what_lay_in_it),
		TEST(a_rescan_of_a_vanished_directory_empties_it),
		TEST(rows_that_no_row_leads_to_are_found),
		TEST(a_directory_whose_own_row_is_on_its_way_is_no_stray),
		TEST(a_vanished_area_is_held),
		TEST(a_flight_mark_on_a_large_file_is_found),
		TEST(a_changed_stat_and_a_link_are_found),
		TEST(a_change_that_keeps_size_and_time_is_found),
		TEST(a_wide_directory_takes_several_bounded_slices),
		TEST(several_hands_find_in_a_wide_directory_what_changed_and_nothing_else),
		TEST(what_lies_in_a_directory_is_given_in_the_order_of_its_names),
		TEST(a_file_where_a_directory_was_waits_until_that_is_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
