/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replays the seeds of the fuzz harnesses, and everything that fuzzing ever found, in every test run and flavour; no clang
 * is needed.  The Makefile names the harnesses: FUZZ_TARGETS is X(wire) X(session) ...
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define INPUT_MAX (4u << 20)
#define HANG_S 60 /* for one input */

static void
replay_file(const char *path, int (*harness)(const uint8_t *data, size_t len))
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX);
	size_t len;

	assert_non_null(f);
	assert_non_null(data);
	len = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	/* Cut to size: a read past the end is then a finding of the sanitizer. */
	data = realloc(data, len + 1);
	alarm(HANG_S);
	assert_int_equal(harness(data, len), 0);
	alarm(0);
	free(data);
}

/* Tests run from the top of the source tree. */
static void
replay(const char *dir, int (*harness)(const uint8_t *data, size_t len))
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);

	assert_in_range(n, 3, 100000);
	for (int i = 0; i < n; i++) {
		char path[512];

		snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			replay_file(path, harness);
		free(names[i]);
	}
	free(names);
}

#define X(name) \
	int fuzz_##name(const uint8_t *data, size_t len); \
	static void the_corpus_of_##name##_is_survived(void **state) \
	{ \
		(void)state; \
		replay("tests/fuzz/corpus/" #name, fuzz_##name); \
	}
FUZZ_TARGETS
#undef X

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test(the_corpus_of_##name##_is_survived),
		FUZZ_TARGETS
#undef X
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
