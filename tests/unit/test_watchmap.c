/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watchmap - compared with a model that is a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watcher/watchmap.h"

static struct watchmap *m;

static int
setup(void **state)
{
	(void)state;
	return watchmap_new(&m);
}

static int
teardown(void **state)
{
	(void)state;
	watchmap_free(m);
	return 0;
}

static void
ignore(int watch, void *arg)
{
	(void)watch, (void)arg;
}

static void
a_number_stands_for_a_directory_until_it_is_forgotten(void **state)
{
	bool dead;

	(void)state;
	assert_null(watchmap_dir(m, 1, &dead));
	assert_null(watchmap_dir(m, -1, &dead));
	assert_int_equal(watchmap_put(m, 1, "offiles"), 0);
	assert_string_equal(watchmap_dir(m, 1, &dead), "offiles");
	assert_false(dead);
	assert_true(watchmap_has(m, "offiles"));
	assert_int_equal(watchmap_count(m), 1);
	watchmap_forget(m, 1);
	watchmap_forget(m, 1);
	assert_null(watchmap_dir(m, 1, &dead));
	assert_int_equal(watchmap_count(m), 0);
}

static void
a_removed_watch_is_dead_until_the_kernel_has_forgotten_it(void **state)
{
	bool dead = false;

	(void)state;
	assert_int_equal(watchmap_put(m, 7, "a/b"), 0);
	watchmap_kill(m, "a", ignore, NULL);
	assert_false(watchmap_has(m, "a/b"));
	assert_string_equal(watchmap_dir(m, 7, &dead), "a/b");
	assert_true(dead);
	assert_int_equal(watchmap_put(m, 7, "c"), 0); /* the number lives again */
	assert_string_equal(watchmap_dir(m, 7, &dead), "c");
	assert_false(dead);
	assert_int_equal(watchmap_count(m), 1);
}

static void
a_subtree_ends_at_its_slash(void **state)
{
	bool dead;

	(void)state;
	assert_int_equal(watchmap_put(m, 1, "offiles/fd1"), 0);
	assert_int_equal(watchmap_put(m, 2, "offiles/fd1/x"), 0);
	assert_int_equal(watchmap_put(m, 3, "offiles/fd12"), 0);
	watchmap_kill(m, "offiles/fd1", ignore, NULL);
	assert_int_equal(watchmap_count(m), 1);
	assert_string_equal(watchmap_dir(m, 3, &dead), "offiles/fd12");
	assert_false(dead);
}

static void
watches_whose_end_was_never_told_do_not_fill_the_table(void **state)
{
	char dir[32];

	(void)state;
	/* A hundred lost queues: the dead pile up unless they are dropped or the table grows. */
	for (int i = 0, watch = 1; i < 100; i++) {
		for (int d = 0; d < 250; d++) {
			snprintf(dir, sizeof dir, "offiles/fd%d", d);
			assert_int_equal(watchmap_put(m, watch++, dir), 0);
		}
		assert_int_equal(watchmap_count(m), 250);
		watchmap_kill(m, "", ignore, NULL);
		assert_int_equal(watchmap_count(m), 0);
	}
	watchmap_forget_dead(m);
	assert_int_equal(watchmap_put(m, 1, "x"), 0);
	assert_int_equal(watchmap_count(m), 1);
}

/* ---- the model ---- */

enum { NUMBERS = 3000, DIRS = 60 };
static char *model[NUMBERS];
static bool model_dead[NUMBERS];
static int removed_in_model;

static void
on_removed(int watch, void *arg)
{
	(void)arg;
	assert_non_null(model[watch]);
	assert_false(model_dead[watch]);
	model_dead[watch] = true;
	removed_in_model--;
}

static bool
below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !len || (strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

static void
compare(int watch)
{
	bool dead = false;
	const char *dir = watchmap_dir(m, watch, &dead);

	assert_int_equal(dir != NULL, model[watch] != NULL);
	if (dir) {
		assert_string_equal(dir, model[watch]);
		assert_int_equal(dead, model_dead[watch]);
	}
}

static void
it_agrees_with_the_model(void **state)
{
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 11;

	(void)state;
	printf("# seed %u\n", seed);
	for (int i = 0; i < 40000; i++) {
		int watch = rand_r(&seed) % NUMBERS, what = rand_r(&seed) % 1000;
		char dir[64];
		size_t living = 0;

		snprintf(dir, sizeof dir, "%c/%d/%d", 'a' + rand_r(&seed) % 3, rand_r(&seed) % 4, rand_r(&seed) % 5);
		if (what < 700) {
			assert_int_equal(watchmap_put(m, watch, dir), 0);
			free(model[watch]);
			model[watch] = strdup(dir);
			model_dead[watch] = false;
		} else if (what < 980) {
			watchmap_forget(m, watch);
			free(model[watch]);
			model[watch] = NULL;
		} else if (what < 998) {
			dir[rand_r(&seed) % 3 ? 3 : 1] = '\0';
			removed_in_model = 0;
			for (int n = 0; n < NUMBERS; n++)
				removed_in_model += model[n] && !model_dead[n] && below(model[n], dir);
			watchmap_kill(m, dir, on_removed, NULL);
			assert_int_equal(removed_in_model, 0);
		} else {
			watchmap_forget_dead(m);
			for (int n = 0; n < NUMBERS; n++)
				if (model[n] && model_dead[n]) {
					free(model[n]);
					model[n] = NULL;
				}
		}
		compare(watch);
		if (i % 500 == 0) {
			for (int n = 0; n < NUMBERS; n++) {
				compare(n);
				living += model[n] && !model_dead[n];
				if (model[n] && !model_dead[n])
					assert_true(watchmap_has(m, model[n]));
			}
			assert_int_equal(watchmap_count(m), living);
		}
	}
	for (int n = 0; n < NUMBERS; n++)
		free(model[n]);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_number_stands_for_a_directory_until_it_is_forgotten),
	    T(a_removed_watch_is_dead_until_the_kernel_has_forgotten_it),
	    T(a_subtree_ends_at_its_slash),
	    T(watches_whose_end_was_never_told_do_not_fill_the_table),
	    T(it_agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
