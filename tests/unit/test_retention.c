/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of retention alone, and one run that proves what leaves the disk and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/fsio.c" /* to arm its failpoints */

#include <sys/syscall.h>
#include <sys/wait.h>

#include "keeper/restore.h"
#include "base/clock.h"
#include "keeper/retention.h"
#include "keeper/verify.h"
#include "tests/lib/stage.h"
#include "tests/unit/disk_rig.h"
#include "tests/lib/syncs.h"

#define HOUR ((int64_t)3600 * 1000000000)
#define DAY (24 * HOUR)
#define NOW (20000 * DAY)

/* ---- the rules ---- */

static size_t
pick(const int *ages, size_t n, uint32_t keep, bool drop[])
{
	struct retention_set sets[64];

	for (size_t i = 0; i < n; i++)
		sets[i] = (struct retention_set){(uint32_t)i + 1, NOW - (ages[i] < 0 ? -ages[i] : ages[i]) * DAY - HOUR, ages[i] >= 0};
	return retention_pick(sets, n, keep, NOW, drop);
}

static void
sets_older_than_keep_days_leave(void **state)
{
	const int ages[] = {16, 15, 14, 13, 12, 1, 0};
	bool drop[7];

	(void)state;
	assert_int_equal(pick(ages, 7, 14, drop), 3);
	assert_true(drop[0] && drop[1] && drop[2]);
	assert_false(drop[3]);
}

static void
age_alone_deletes_nothing(void **state)
{
	const int ages[] = {400, 399, 398, 397};
	bool drop[4];

	(void)state;
	/* as after a clock that jumped by a year: the three newest stay */
	assert_int_equal(pick(ages, 4, 14, drop), 1);
	assert_true(drop[0]);
}

static void
a_set_is_as_old_as_the_later_of_two_clocks_says(void **state)
{
	(void)state;
	assert_true(retention_made(NOW - 400 * DAY, NOW) == NOW); /* the collector's clock stood in another year */
	assert_true(retention_made(NOW, NOW - 400 * DAY) == NOW); /* the server's did */
	assert_true(retention_made(NOW - HOUR, NOW) == NOW);
}

static void
the_newest_good_set_never_leaves(void **state)
{
	const int bad_after[] = {100, -99, -98, -97, -96}; /* negative: not good */
	bool drop[5];

	(void)state;
	assert_int_equal(pick(bad_after, 5, 1, drop), 0);
	const int one_day[] = {3, 2, 1, 0};
	assert_int_equal(pick(one_day, 4, 1, drop), 3);
	assert_false(drop[3]);
}

static void
a_set_that_differs_counts_for_nothing(void **state)
{
	const int ages[] = {20, -19, -18, 1, 0};
	bool drop[5];

	(void)state;
	assert_int_equal(pick(ages, 5, 14, drop), 0); /* only two good ones are newer */
	const int one_more[] = {20, -19, -18, 2, 1, 0};
	bool drop_more[6];
	assert_int_equal(pick(one_more, 6, 14, drop_more), 3);
}

static void
keep_days_zero_keeps_all(void **state)
{
	const int ages[] = {1000, 999, 998, 997, 0};
	bool drop[5];

	(void)state;
	assert_int_equal(pick(ages, 5, 0, drop), 0);
}

static struct retention_clock
clock_of(int64_t wall, int64_t boot, const char *id)
{
	struct retention_clock c = {.wall_ns = wall, .boot_ns = boot};

	snprintf(c.boot_id, sizeof c.boot_id, "%s", id);
	return c;
}

static void
jumps_are_seen_in_both_directions(void **state)
{
	const struct retention_clock mark = clock_of(NOW, 10 * DAY, "one");
	const struct {
		struct retention_clock now;
		bool jumped;
	} cases[] = {
		{clock_of(NOW + HOUR, 10 * DAY + HOUR, "one"), false},
		{clock_of(NOW + 9 * DAY, 19 * DAY, "one"), false},              /* time went by */
		{clock_of(NOW + 24 * HOUR, 10 * DAY, "one"), false},
		{clock_of(NOW + 26 * HOUR, 10 * DAY, "one"), true},
		{clock_of(NOW - 26 * HOUR, 10 * DAY, "one"), true},
		{clock_of(NOW + HOUR, 13 * DAY, "one"), true},                  /* the wall stood still */
		{clock_of(NOW + HOUR, HOUR, "two"), false},                     /* a reboot */
		{clock_of(NOW + 20 * DAY, HOUR, "two"), true},                  /* off for long, or a jump: cannot be told */
		{clock_of(NOW - 2 * DAY, HOUR, "two"), true},
		{clock_of(INT64_MIN, 10 * DAY, "one"), true},
	};
	const struct retention_clock never = {0};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(retention_jumped(&mark, &cases[i].now), cases[i].jumped);
	assert_false(retention_jumped(&never, &mark));
}

static void
a_jump_freezes_until_two_further_good_sets(void **state)
{
	struct retention_mark mark = {.clock = clock_of(NOW, DAY, "one")};
	struct retention_set sets[] = {{5, 0, true}, {6, 0, false}, {7, 0, true}, {8, 0, true}};
	struct retention_clock jumped = clock_of(NOW + 50 * DAY, DAY + HOUR, "one"), later = clock_of(NOW + 51 * DAY, 2 * DAY + HOUR, "one");

	(void)state;
	mark = retention_look(&mark, &jumped, sets, 1);
	assert_true(mark.frozen);
	assert_int_equal(mark.frozen_at, 5);
	mark = retention_look(&mark, &later, sets, 2); /* one that is not good */
	assert_true(mark.frozen);
	mark = retention_look(&mark, &later, sets, 3); /* one good */
	assert_true(mark.frozen);
	mark = retention_look(&mark, &later, sets, 4);
	assert_false(mark.frozen);
}

/* ---- a run ---- */

static struct stage st;

static int
set_up(void **state)
{
	(void)state;
	stage_open(&st);
	stage_fill(&st);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	stage_close(&st);
	return 0;
}

struct told {
	char *paths[16];
	uint32_t versions[16];
	size_t n;
};

static void
on_gone(void *arg, const struct report_gone *gone, size_t n)
{
	struct told *told = arg;

	for (size_t i = 0; i < n; i++) {
		told->paths[told->n] = strdup(gone[i].path);
		told->versions[told->n++] = gone[i].version;
	}
}

static void
make_old(struct set_row *set, int days)
{
	set->t0_ns = set->sealed_ns = clock_wall_ns() - days * DAY - HOUR;
	good(catalogue_put_set(st.vault->catalogue, set));
}

static void
what_no_kept_set_holds_leaves_the_disk(void **state)
{
	struct told told = {0};
	const struct retention_events events = {on_gone, &told};
	struct task task = {0};
	struct set_row sets[5];
	uint64_t differences;
	size_t dropped;

	(void)state;
	stage_put(&st, "offiles/fd2/short", "came and went before T0");
	stage_remove(&st, "offiles/fd2/short");
	sets[0] = stage_seal(&st, 20260201);
	stage_put(&st, "offiles/fd0/aaa", "second version");
	stage_remove(&st, "offiles/fd0/bbb");
	for (int i = 1; i < 5; i++)
		sets[i] = stage_seal(&st, 20260201 + (uint32_t)i);
	make_old(&sets[0], 30);

	good(retention_run(st.vault, 14, &task, &events, &dropped));
	assert_int_equal(dropped, 1);
	assert_int_equal(stage_count(&st, "backups/weeknow"), 4);
	assert_int_equal(stage_count(&st, "backups/dropping"), 0);
	assert_int_equal(stage_count(&st, "state/manifests"), 4);
	assert_false(present(st.dir, "blobs/offiles/fd0/aaa"));
	assert_true(present(st.dir, "blobs/versions/2/offiles/fd0/aaa"));
	assert_false(present(st.dir, "blobs/offiles/fd0/bbb"));
	assert_false(present(st.dir, "blobs/offiles/fd2/short"));
	assert_true(present(st.dir, "blobs/offiles/fd1/ccc"));
	assert_int_equal(told.n, 2); /* aaa still has a version */
	for (size_t i = 0; i < told.n; i++) {
		assert_int_equal(told.versions[i], 1);
		free(told.paths[i]);
	}
	for (int i = 1; i < 5; i++) {
		struct verify_sharers sharers = {0};

		good(verify_set(st.vault, &sets[i], VERIFY_ALL, &task, &differences, &sharers));
		catalogue_sets_free(sharers.sets, sharers.n);
		assert_int_equal(differences, 0);
	}
	for (int i = 0; i < 5; i++)
		set_row_fini(&sets[i]);
}

static void
on_gone_look_at_syncs(void *arg, const struct report_gone *gone, size_t n)
{
	(void)gone;
	(void)n;
	*(size_t *)arg = syncs_of(st.dir, "blobs/offiles/fd0");
}

/* Or a crash would bring the file back where the receiver has put another. */
static void
a_place_is_told_free_when_its_file_is_gone_from_the_disk(void **state)
{
	size_t synced = 99;
	const struct retention_events events = {on_gone_look_at_syncs, &synced};
	struct task task = {0};
	struct set_row sets[5];

	(void)state;
	sets[0] = stage_seal(&st, 20260201);
	stage_remove(&st, "offiles/fd0/bbb");
	for (int i = 1; i < 5; i++)
		sets[i] = stage_seal(&st, 20260201 + (uint32_t)i);
	make_old(&sets[0], 30);
	syncs_forget();
	good(retention_run(st.vault, 14, &task, &events, NULL));
	assert_false(present(st.dir, "blobs/offiles/fd0/bbb"));
	assert_int_not_equal(synced, 99); /* it was told */
	assert_true(synced > 0);
	for (int i = 0; i < 5; i++)
		set_row_fini(&sets[i]);
}

static void
a_set_of_a_collector_that_was_years_behind_stays(void **state)
{
	struct task task = {0};
	struct set_row sets[5];
	size_t dropped;

	(void)state;
	for (int i = 0; i < 5; i++)
		sets[i] = stage_seal(&st, 20260201 + (uint32_t)i);
	sets[0].t0_ns = clock_wall_ns() - 400 * DAY;
	good(catalogue_put_set(st.vault->catalogue, &sets[0]));
	good(retention_run(st.vault, 14, &task, NULL, &dropped));
	assert_int_equal(dropped, 0);
	make_old(&sets[0], 400);
	good(retention_run(st.vault, 14, &task, NULL, &dropped));
	assert_int_equal(dropped, 1);
	for (int i = 0; i < 5; i++)
		set_row_fini(&sets[i]);
}

static void
a_set_that_is_not_in_the_catalogue_holds_every_blob(void **state)
{
	struct task task = {0};
	struct set_row a, b;
	int fd;

	(void)state;
	stage_put(&st, "offiles/fd2/short", "came and went before T0");
	stage_remove(&st, "offiles/fd2/short");
	a = stage_seal(&st, 20260201);
	fd = fsio_make_dirs(st.dir, "backups/weeknow/monjan05", false);
	close(fd);
	b = stage_seal(&st, 20260202);
	good(retention_run(st.vault, 14, &task, NULL, NULL));
	assert_true(present(st.dir, "blobs/offiles/fd2/short"));
	good(fsio_rmdir(st.dir, "backups/weeknow/monjan05"));
	good(retention_run(st.vault, 14, &task, NULL, NULL));
	assert_false(present(st.dir, "blobs/offiles/fd2/short"));
	set_row_fini(&a);
	set_row_fini(&b);
}

static void
a_drop_that_was_cut_off_is_finished(void **state)
{
	struct set_row sets[2] = {stage_seal(&st, 20260201), stage_seal(&st, 20260202)};
	int to = fsio_open_dir(st.dir, "backups/dropping"), from = fsio_open_dir(st.dir, "backups/weeknow");

	(void)state;
	/* marked and renamed, then nothing more */
	sets[0].state = SET_DROPPING;
	good(catalogue_put_set(st.vault->catalogue, &sets[0]));
	good(fsio_publish(from, sets[0].name, to, sets[0].name, true, "test"));
	good(retention_recover(st.vault));
	assert_int_equal(stage_count(&st, "backups/dropping"), 0);
	assert_int_equal(stage_count(&st, "state/manifests"), 1);
	close(from);
	close(to);
	set_row_fini(&sets[0]);
	set_row_fini(&sets[1]);
}

/* "Cannot tell" is not "is not there": else row and manifest go, the set stays in weeknow, and because nobody knows it no blob leaves any more. */
static void
a_set_that_cannot_be_looked_at_is_not_forgotten(void **state)
{
	struct task task = {0};
	struct set_row sets[5], *left;
	char name[CATALOGUE_NAME];
	size_t n;
	int err;

	(void)state;
	for (int i = 0; i < 5; i++)
		sets[i] = stage_seal(&st, 20260201 + (uint32_t)i);
	make_old(&sets[0], 30);
	snprintf(name, sizeof name, "%s", sets[0].name);
	disk.unseen = name;
	err = retention_run(st.vault, 14, &task, NULL, NULL);
	disk.unseen = NULL;
	assert_int_equal(err, -ERR_IO);
	good(catalogue_sets(st.vault->catalogue, &left, &n));
	assert_int_equal(n, 5);
	catalogue_sets_free(left, n);
	assert_int_equal(stage_count(&st, "state/manifests"), 5);
	good(retention_run(st.vault, 14, &task, NULL, NULL));
	assert_int_equal(stage_count(&st, "backups/weeknow"), 4);
	assert_int_equal(stage_count(&st, "state/manifests"), 4);
	for (int i = 0; i < 5; i++)
		set_row_fini(&sets[i]);
}

/* Not only by the next start of the keeper, which may be months away. */
static void
a_drop_that_failed_is_finished_by_the_next_run(void **state)
{
	struct set_row sets[2] = {stage_seal(&st, 20260201), stage_seal(&st, 20260202)};
	struct task task = {0};

	(void)state;
	sets[0].state = SET_DROPPING;
	good(catalogue_put_set(st.vault->catalogue, &sets[0]));
	good(retention_run(st.vault, 14, &task, NULL, NULL));
	assert_int_equal(stage_count(&st, "backups/weeknow"), 1);
	assert_int_equal(stage_count(&st, "backups/dropping"), 0);
	assert_int_equal(stage_count(&st, "state/manifests"), 1);
	set_row_fini(&sets[0]);
	set_row_fini(&sets[1]);
}

/* Runs retention in a child that dies at `point`; false when it got to the end. */
static bool
crash_at(const char *point)
{
	pid_t pid;
	int status;

	stage_index(&st, false);
	stage_vault(&st, false);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct task task = {0};

		failpoint_arm(point);
		if (vault_open(st.scratch.path, PROFILE, NULL, &st.vault) != 0)
			_exit(3);
		_exit(retention_run(st.vault, 14, &task, NULL, NULL) == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void
a_crash_at_any_step_only_leaves_work(void **state)
{
	static const char *const points[] = {
		"drop.marked", "drop.publish", "drop.publish.renamed", "drop.publish.done", "drop.removed", "sweep.unlinked", "sweep.sync",
		"sweep.sync.done", "store.commit:1", "store.commit:2", "store.commit:3", "store.commit:4", "store.commit.done:1",
		"store.commit.done:2", "store.commit.done:3", "store.commit.done:4",
	};

	(void)state;
	for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
		struct task task = {0};
		struct set_row sets[4];
		uint64_t differences;

		stage_close(&st);
		stage_open(&st);
		stage_fill(&st);
		sets[0] = stage_seal(&st, 20260201);
		stage_put(&st, "offiles/fd0/aaa", "second version");
		stage_remove(&st, "offiles/fd0/bbb");
		for (int k = 1; k < 4; k++)
			sets[k] = stage_seal(&st, 20260201 + (uint32_t)k);
		make_old(&sets[0], 30);
		if (!crash_at(points[i]))
			print_error("%s was not passed\n", points[i]);
		stage_vault(&st, true);
		good(backupset_recover(st.vault));
		good(retention_recover(st.vault));
		good(retention_run(st.vault, 14, &task, NULL, NULL));
		assert_int_equal(stage_count(&st, "backups/weeknow"), 3);
		assert_int_equal(stage_count(&st, "backups/dropping"), 0);
		assert_int_equal(stage_count(&st, "state/manifests"), 3);
		assert_false(present(st.dir, "blobs/offiles/fd0/aaa"));
		assert_false(present(st.dir, "blobs/offiles/fd0/bbb"));
		for (int k = 1; k < 4; k++) {
			struct verify_sharers sharers = {0};

			good(verify_set(st.vault, &sets[k], VERIFY_ALL, &task, &differences, &sharers));
			catalogue_sets_free(sharers.sets, sharers.n);
			assert_int_equal(differences, 0);
		}
		for (int k = 0; k < 4; k++)
			set_row_fini(&sets[k]);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_older_than_keep_days_leave),
		cmocka_unit_test(age_alone_deletes_nothing),
		cmocka_unit_test(a_set_is_as_old_as_the_later_of_two_clocks_says),
		cmocka_unit_test(the_newest_good_set_never_leaves),
		cmocka_unit_test(a_set_that_differs_counts_for_nothing),
		cmocka_unit_test(keep_days_zero_keeps_all),
		cmocka_unit_test(jumps_are_seen_in_both_directions),
		cmocka_unit_test(a_jump_freezes_until_two_further_good_sets),
		T(what_no_kept_set_holds_leaves_the_disk),
		T(a_place_is_told_free_when_its_file_is_gone_from_the_disk),
		T(a_set_of_a_collector_that_was_years_behind_stays),
		T(a_set_that_is_not_in_the_catalogue_holds_every_blob),
		T(a_drop_that_was_cut_off_is_finished),
		T(a_set_that_cannot_be_looked_at_is_not_forgotten),
		T(a_drop_that_failed_is_finished_by_the_next_run),
		T(a_crash_at_any_step_only_leaves_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
