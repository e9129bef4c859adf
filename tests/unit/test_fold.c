/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fold - one name is one change, a half-written file waits, and nothing waits longer than a cookie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watcher/fold.h"

#define S INT64_C(1000000000)

static struct fold *f;

static int
setup(void **state)
{
	(void)state;
	return fold_new(&f);
}

static int
teardown(void **state)
{
	(void)state;
	fold_free(f);
	return 0;
}

static void
free_changes(struct change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(changes[i].path);
	free(changes);
}

/* "T path@seen" of everything that is ripe, one a line. */
static const char *
take(int64_t now_ns)
{
	static char text[4096];
	struct change *changes;
	size_t n, len = 0;

	assert_int_equal(fold_take(f, now_ns, &changes, &n), 0);
	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(changes[i].seq, 0);
		len += (size_t)snprintf(text + len, sizeof text - len, "%c %s@%lld\n", "?TRCDB"[changes[i].kind], changes[i].path,
		    (long long)(changes[i].seen_ns / S));
		assert_true(len < sizeof text);
	}
	free_changes(changes, n);
	return text;
}

static void
file(enum source_what what, const char *path, int64_t now_ns)
{
	assert_int_equal(fold_event(f, what, false, path, now_ns), 0);
}

static void
nothing_gives_nothing(void **state)
{
	(void)state;
	assert_string_equal(take(0), "");
	assert_int_equal(fold_ripe_ns(f), 0);
}

static void
many_events_of_one_name_are_one_change_with_its_first_time(void **state)
{
	(void)state;
	file(SOURCE_CREATED, "offiles/a", 1 * S);
	file(SOURCE_ATTRIBUTES, "offiles/a", 2 * S);
	file(SOURCE_WRITTEN, "offiles/a", 3 * S);
	file(SOURCE_WRITTEN, "offiles/a", 4 * S);
	assert_string_equal(take(4 * S), "T offiles/a@1\n");
	assert_string_equal(take(9 * S), "");
	file(SOURCE_DELETED, "offiles/a", 9 * S);
	assert_string_equal(take(9 * S), "D offiles/a@9\n");
}

static void
changes_come_in_the_order_of_first_sight(void **state)
{
	(void)state;
	file(SOURCE_DELETED, "c", 1 * S);
	file(SOURCE_WRITTEN, "a", 2 * S);
	file(SOURCE_MOVED_TO, "b", 3 * S);
	file(SOURCE_DELETED, "c", 4 * S);
	assert_string_equal(take(4 * S), "D c@1\nT a@2\nT b@3\n");
}

static void
a_young_file_waits_for_its_close(void **state)
{
	(void)state;
	file(SOURCE_CREATED, "young", 10 * S);
	file(SOURCE_WRITTEN, "other", 10 * S);
	assert_int_equal(fold_ripe_ns(f), 11 * S);
	assert_string_equal(take(10 * S), "T other@10\n");
	assert_int_equal(fold_ripe_ns(f), 11 * S);
	file(SOURCE_ATTRIBUTES, "young", 10 * S + 1);
	assert_string_equal(take(10 * S + 2), "");
	file(SOURCE_WRITTEN, "young", 10 * S + 3);
	assert_int_equal(fold_ripe_ns(f), 0);
	assert_string_equal(take(10 * S + 3), "T young@10\n");
}

static void
a_young_file_is_given_when_it_is_a_second_old(void **state)
{
	(void)state;
	file(SOURCE_CREATED, "young", 10 * S);
	assert_string_equal(take(11 * S - 1), "");
	assert_string_equal(take(11 * S), "T young@10\n");
	assert_int_equal(fold_ripe_ns(f), 0);
	file(SOURCE_WRITTEN, "young", 12 * S);
	assert_string_equal(take(12 * S), "T young@12\n");
}

static void
a_young_file_that_is_moved_or_deleted_is_given(void **state)
{
	(void)state;
	file(SOURCE_CREATED, "a.tmp", S);
	file(SOURCE_CREATED, "b", S);
	file(SOURCE_MOVED_FROM, "a.tmp", S);
	file(SOURCE_MOVED_TO, "a", S);
	file(SOURCE_DELETED, "b", S);
	assert_string_equal(take(S), "T a.tmp@1\nD b@1\nT a@1\n");
}

static void
a_clock_set_back_keeps_nobody_young(void **state)
{
	(void)state;
	file(SOURCE_CREATED, "young", 5000 * S);
	assert_string_equal(take(1000 * S), "T young@5000\n");
}

static void
young_files_go_before_the_cookie(void **state)
{
	(void)state;
	file(SOURCE_CREATED, "young", S);
	assert_int_equal(fold_cookie(f, "cookie-1", S), 0);
	file(SOURCE_CREATED, "later", S);
	assert_string_equal(take(S), "T young@1\nC cookie-1@1\n");
	assert_string_equal(take(2 * S), "T later@1\n");
}

static void
a_cookie_is_not_a_file_of_the_same_name(void **state)
{
	(void)state;
	file(SOURCE_WRITTEN, "same", S);
	assert_int_equal(fold_cookie(f, "same", S), 0);
	file(SOURCE_DELETED, "same", S);
	assert_string_equal(take(S), "D same@1\nC same@1\n");
}

static void
a_directory_is_a_rescan_and_stays_one(void **state)
{
	(void)state;
	assert_int_equal(fold_event(f, SOURCE_CREATED, true, "d", S), 0);
	file(SOURCE_DELETED, "d", 2 * S);
	assert_string_equal(take(2 * S), "R d@1\n");
	file(SOURCE_CREATED, "e", 3 * S);
	assert_int_equal(fold_rescan(f, "e", 3 * S), 0);
	assert_string_equal(take(3 * S), "R e@3\n");
}

static void
a_blind_directory_is_more_than_a_rescan_of_it(void **state)
{
	(void)state;
	assert_int_equal(fold_rescan(f, "d", S), 0);
	assert_int_equal(fold_blind(f, "d", 2 * S), 0);
	assert_int_equal(fold_rescan(f, "d", 3 * S), 0);
	assert_string_equal(take(3 * S), "B d@1\n");
}

/* A commit that hangs must not cost more memory than this. */
static void
more_paths_than_are_remembered_become_one_look_at_everything(void **state)
{
	char path[32];

	(void)state;
	file(SOURCE_WRITTEN, "first", 5 * S);
	assert_int_equal(fold_cookie(f, "c", 6 * S), 0);
	for (unsigned i = 2; i < FOLD_MAX; i++) {
		snprintf(path, sizeof path, "offiles/%u", i);
		file(SOURCE_CREATED, path, 7 * S);
	}
	assert_int_equal(fold_overflows(f), 0);
	file(SOURCE_WRITTEN, "last", 8 * S);
	assert_int_equal(fold_overflows(f), 1);
	assert_int_equal(fold_ripe_ns(f), 0);
	file(SOURCE_WRITTEN, "offiles/2", 8 * S);
	assert_string_equal(take(8 * S), "B @5\nC c@6\nT last@8\nT offiles/2@8\n");
}

static void
a_full_queue_folds_like_a_model(void **state)
{
	enum { PATHS = 3000, EVENTS = 60000 };
	static bool waits[PATHS], is_young[PATHS], is_deleted[PATHS];
	static int64_t seen[PATHS];
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 7;
	int64_t now = S;

	(void)state;
	printf("# seed %u\n", seed);
	memset(waits, 0, sizeof waits);
	for (int i = 0; i < EVENTS; i++) {
		int k = rand_r(&seed) % PATHS, dice = rand_r(&seed) % 100;
		char path[32];

		snprintf(path, sizeof path, "offiles/%d", k);
		if (dice < 50) {
			if (!waits[k])
				is_young[k] = true, seen[k] = now;
			waits[k] = true;
			file(SOURCE_CREATED, path, now);
		} else {
			if (!waits[k])
				seen[k] = now;
			waits[k] = true, is_young[k] = false;
			is_deleted[k] |= dice >= 80;
			file(dice < 80 ? SOURCE_WRITTEN : SOURCE_DELETED, path, now);
		}
		now += S / 1000;
		if (rand_r(&seed) % 500 == 0) {
			struct change *changes;
			size_t n, want = 0, kept = 0;

			assert_int_equal(fold_take(f, now, &changes, &n), 0);
			for (int p = 0; p < PATHS; p++) {
				bool ripe = waits[p] && (!is_young[p] || now - seen[p] >= FOLD_YOUNG_NS);

				want += ripe;
				kept += waits[p] && !ripe;
			}
			assert_int_equal(n, want);
			for (size_t c = 0; c < n; c++) {
				int p = atoi(changes[c].path + 8);

				assert_true(waits[p]);
				assert_int_equal(changes[c].seen_ns, seen[p]);
				assert_int_equal(changes[c].kind, is_deleted[p] ? CHANGE_DELETED : CHANGE_TOUCHED);
				waits[p] = is_deleted[p] = false;
			}
			assert_int_equal(fold_ripe_ns(f) != 0, kept != 0);
			free_changes(changes, n);
		}
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(nothing_gives_nothing),
	    T(many_events_of_one_name_are_one_change_with_its_first_time),
	    T(changes_come_in_the_order_of_first_sight),
	    T(a_young_file_waits_for_its_close),
	    T(a_young_file_is_given_when_it_is_a_second_old),
	    T(a_young_file_that_is_moved_or_deleted_is_given),
	    T(a_clock_set_back_keeps_nobody_young),
	    T(young_files_go_before_the_cookie),
	    T(a_cookie_is_not_a_file_of_the_same_name),
	    T(a_directory_is_a_rescan_and_stays_one),
	    T(a_blind_directory_is_more_than_a_rescan_of_it),
	    T(more_paths_than_are_remembered_become_one_look_at_everything),
	    T(a_full_queue_folds_like_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
