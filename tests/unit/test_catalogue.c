/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalogue's intervals against a model that keeps every set's blobs as a plain list, over seeded days. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "keeper/catalogue.h"
#include "tests/lib/scratch.h"

#define PATHS 60
#define DAYS 50

static struct scratch dir;
static struct catalogue *c;

static int
set_up(void **state)
{
	(void)state;
	scratch_open(&dir);
	assert_int_equal(catalogue_open(dir.path, "po1", &c, NULL), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	catalogue_close(c);
	scratch_close(&dir);
	return 0;
}

/* ---- the model ---- */

struct blob {
	uint32_t version; /* 0: not there */
	uint64_t size;
};

struct model {
	struct blob sets[DAYS + 1][PATHS];
	bool kept[DAYS + 1];
	uint32_t numbers[DAYS + 1];
	struct blob live[PATHS], at_t0[PATHS];
	uint32_t highest[PATHS];
	bool on_disk[PATHS][400];   /* versions whose file exists */
};

static char *
name_of(int path)
{
	static char name[700];

	/* some names are too long for a key, and agree for long */
	if (path % 5 == 0)
		snprintf(name, sizeof name, "offiles/fd%d/%0500d%d", path % 7, 0, path);
	else
		snprintf(name, sizeof name, "offiles/fd%d/%d", path % 7, path);
	return name;
}

static struct index_fresh
fresh_of(uint64_t seq, int path, const struct blob *blob)
{
	struct index_fresh row = {.seq = seq, .removed = !blob->version, .path = strdup(name_of(path)), .version = blob->version};

	if (blob->version)
		row.entry = (struct entry){.kind = ENTRY_FILE, .mode = 0600, .size = blob->size, .mtime_ns = (int64_t)blob->size};
	return row;
}

static void
hash_staged(void)
{
	struct blob_row *rows;
	size_t n;

	for (;;) {
		assert_int_equal(catalogue_stage_todo(c, NULL, 7, &rows, &n), 0);
		for (size_t i = 0; i < n; i++)
			memcpy(rows[i].sha256, &rows[i].entry.size, sizeof rows[i].entry.size);
		assert_int_equal(catalogue_stage_done(c, rows, n), 0);
		blob_rows_free(rows, n);
		if (n == 0)
			break;
	}
}

static struct set_row
seal(const struct index_fresh *rows, size_t n, uint64_t puts, uint64_t removes, const char *name)
{
	struct set_row set = {.state = SET_PENDING, .fresh_puts = puts, .fresh_removes = removes}, sealed;

	snprintf(set.name, sizeof set.name, "%s", name);
	assert_int_equal(catalogue_stage_begin(c, &set.number), 0);
	assert_int_equal(catalogue_stage(c, rows, n), 0);
	hash_staged();
	assert_int_equal(catalogue_put_set(c, &set), 0);
	assert_int_equal(catalogue_merge(c, 1, &sealed), 0);
	return sealed;
}

/* ---- the comparison ---- */

static int
path_of(const char *name)
{
	for (int p = 0; p < PATHS; p++)
		if (strcmp(name_of(p), name) == 0)
			return p;
	fail_msg("unknown path %s", name);
	return -1;
}

static void
assert_set(const struct model *m, int day, const struct blob_sum *want)
{
	struct blob_row *rows, last = {0};
	struct blob_sum sum = {0};
	size_t n, seen = 0, should = 0;

	for (int p = 0; p < PATHS; p++)
		should += m->sets[day][p].version != 0;
	for (;;) {
		assert_int_equal(catalogue_blobs(c, m->numbers[day], "", last.path ? &last : NULL, 9, &rows, &n), 0);
		free(last.path);
		last.path = NULL;
		for (size_t i = 0; i < n; i++) {
			const struct blob *b = &m->sets[day][path_of(rows[i].path)];

			assert_int_equal(rows[i].version, b->version);
			assert_int_equal(rows[i].entry.size, b->size);
			assert_memory_equal(rows[i].sha256, &b->size, sizeof b->size);
			assert_true(m->on_disk[path_of(rows[i].path)][b->version]);
			blob_sum_add(&sum, &rows[i]);
			seen++;
		}
		if (n) {
			last = rows[n - 1];
			last.path = strdup(last.path);
		}
		blob_rows_free(rows, n);
		if (!n)
			break;
	}
	assert_int_equal(seen, should);
	if (want)
		assert_true(blob_sum_equal(&sum, want));
}

static void
drop(struct model *m, int day)
{
	m->kept[day] = false;
	assert_int_equal(catalogue_del_set(c, m->numbers[day]), 0);
}

static bool
model_needs(const struct model *m, int path, uint32_t version)
{
	if (m->live[path].version == version)
		return true;
	for (int d = 0; d <= DAYS; d++)
		if (m->kept[d] && m->sets[d][path].version == version)
			return true;
	return false;
}

static void
sweep(struct model *m)
{
	uint32_t kept[DAYS + 1];
	size_t n_kept = 0, n;

	for (int d = 0; d <= DAYS; d++)
		if (m->kept[d])
			kept[n_kept++] = m->numbers[d];
	do {
		struct blob_dead *dead;

		assert_int_equal(catalogue_dead(c, kept, n_kept, 5, &dead, &n), 0);
		for (size_t i = 0; i < n; i++) {
			int p = path_of(dead[i].row.path);

			if (!dead[i].file)
				continue;
			assert_false(model_needs(m, p, dead[i].row.version));
			m->on_disk[p][dead[i].row.version] = false;
		}
		assert_int_equal(catalogue_forget(c, dead, n), 0);
		blob_dead_free(dead, n);
	} while (n);
}

static bool
model_keeps(const char *name, void *arg)
{
	const struct model *m = arg;

	return m->kept[atoi(name + strlen("day"))];
}

/* The catalogue is lost, and made again from the ledger. */
static void
lose(struct model *m)
{
	struct catalogue_remade remade;

	catalogue_close(c);
	assert_int_equal(fsio_remove_tree(dir.fd, "catalogue"), 0);
	assert_int_equal(catalogue_open(dir.path, "po1", &c, NULL), 0);
	assert_int_equal(catalogue_remake(c, model_keeps, m, 0, &remade), 0);
	assert_true(remade.whole);
	assert_int_equal(catalogue_remake(c, model_keeps, m, 0, &remade), 1);
}

/* ---- fifty days ---- */

static void
put(struct model *m, int p, uint64_t *size)
{
	m->live[p] = (struct blob){++m->highest[p], ++*size};
	m->on_disk[p][m->highest[p]] = true;
}

static void
intervals_equal_the_naive_lists(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	struct model *m = calloc(1, sizeof *m);
	struct index_fresh *rows = calloc(DAYS * 100, sizeof *rows);
	uint64_t seq = 0, size = 0, puts = 0, removes = 0;
	size_t n_rows = 0;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int day = 1; day <= DAYS; day++) {
		uint64_t t0 = 0;
		struct index_fresh *counted = calloc(DAYS * 100, sizeof *counted);
		struct set_row set;
		size_t n = 0;
		char name[16];

		for (int half = 0; half < 2; half++) {
			for (int i = 0; i < 30; i++) {
				int p = rand_r(&seed) % PATHS;

				if (m->live[p].version && rand_r(&seed) % 2)
					m->live[p] = (struct blob){0};
				else if (rand_r(&seed) % 3)
					put(m, p, &size);
				else
					continue;
				rows[n_rows++] = fresh_of(++seq, p, &m->live[p]);
			}
			if (half == 0) {
				t0 = seq;
				memcpy(m->at_t0, m->live, sizeof m->live);
			}
		}
		/* what the set holds: what lives now, and what lived at T0 and was only removed since */
		memcpy(m->sets[day], m->live, sizeof m->live);
		for (int p = 0; p < PATHS; p++) {
			if (!m->live[p].version)
				m->sets[day][p] = m->at_t0[p];
		}
		for (size_t i = 0; i < n_rows; i++) {
			const struct index_fresh *r = &rows[i];
			int p = path_of(r->path);

			/* a version put after T0 and removed before the seal is in the set: its removal does not count yet */
			if (r->seq > t0 && !r->removed && !m->live[p].version)
				m->sets[day][p] = (struct blob){r->version, r->entry.size};
			if (r->removed ? r->seq > removes && r->seq <= t0 : r->seq > puts)
				counted[n++] = *r;
		}
		snprintf(name, sizeof name, "day%d", day);
		set = seal(counted, n, seq, t0, name);
		m->numbers[day] = set.number;
		m->kept[day] = true;
		puts = seq;
		removes = t0;
		assert_set(m, day, &set.blobs);
		set_row_fini(&set);
		if (day > 10 && rand_r(&seed) % 4)
			drop(m, day - 10);
		/* what was removed since T0 still has its file: its row is open until the next seal */
		sweep(m);
		if (rand_r(&seed) % 4 == 0)
			lose(m);
		for (int d = 1; d <= day; d++)
			if (m->kept[d])
				assert_set(m, d, NULL);
		free(counted);
	}
	for (size_t i = 0; i < n_rows; i++)
		free(rows[i].path);
	free(rows);
	free(m);
}

static void
merging_twice_changes_nothing(void **state)
{
	struct blob a = {1, 10}, b = {1, 20}, a2 = {2, 30}, none = {0};
	struct index_fresh one[] = {fresh_of(1, 1, &a), fresh_of(2, 2, &b)};
	struct index_fresh two[] = {fresh_of(3, 1, &a2), fresh_of(4, 2, &none)};
	struct set_row first = seal(one, 2, 2, 2, "one"), second, again;

	(void)state;
	assert_int_equal(first.blobs.count, 2);
	second = seal(two, 2, 4, 4, "two");
	assert_int_equal(second.blobs.count, 1);
	/* as after a crash between the last merge and the mark */
	second.state = SET_PENDING;
	assert_int_equal(catalogue_put_set(c, &second), 0);
	assert_int_equal(catalogue_stage(c, two, 2), 0);
	hash_staged();
	assert_int_equal(catalogue_merge(c, 1, &again), 0);
	assert_true(blob_sum_equal(&second.blobs, &again.blobs));
	for (int i = 0; i < 2; i++) {
		free(one[i].path);
		free(two[i].path);
	}
	set_row_fini(&first);
	set_row_fini(&second);
	set_row_fini(&again);
}

static void
new_metadata_of_the_same_file_keeps_the_file(void **state)
{
	struct blob v1 = {1, 10};
	struct index_fresh one = fresh_of(1, 1, &v1), two = fresh_of(2, 1, &v1);
	struct set_row a = seal(&one, 1, 1, 1, "a"), b;
	struct blob_dead *dead;
	size_t n;

	(void)state;
	two.entry.mode = 0644;
	b = seal(&two, 1, 2, 2, "b");
	assert_int_equal(b.blobs.count, 1);
	assert_int_equal(catalogue_dead(c, &b.number, 1, 5, &dead, &n), 0);
	assert_int_equal(n, 1);
	assert_false(dead[0].file);
	assert_false(dead[0].path);
	blob_dead_free(dead, n);
	free(one.path);
	free(two.path);
	set_row_fini(&a);
	set_row_fini(&b);
}

static void
reading_below_a_directory_gives_that_only(void **state)
{
	struct index_fresh rows[PATHS];
	struct set_row set;
	size_t n, total = 0;

	(void)state;
	for (int p = 0; p < PATHS; p++) {
		struct blob b = {1, (uint64_t)p};

		rows[p] = fresh_of((uint64_t)p + 1, p, &b);
	}
	set = seal(rows, PATHS, PATHS, PATHS, "set");
	for (int fd = 0; fd < 7; fd++) {
		struct blob_row *got;
		char under[32];

		snprintf(under, sizeof under, "offiles/fd%d", fd);
		assert_int_equal(catalogue_blobs(c, set.number, under, NULL, PATHS, &got, &n), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(path_of(got[i].path) % 7, fd);
		total += n;
		blob_rows_free(got, n);
	}
	assert_int_equal(total, PATHS);
	for (int p = 0; p < PATHS; p++)
		free(rows[p].path);
	set_row_fini(&set);
}

static void
sets_are_found_by_name_and_the_newest_without(void **state)
{
	struct set_row a = seal(NULL, 0, 0, 0, "a"), b = seal(NULL, 0, 0, 0, "b"), got;

	(void)state;
	assert_int_equal(catalogue_find(c, "a", &got), 0);
	assert_int_equal(got.number, a.number);
	set_row_fini(&got);
	assert_int_equal(catalogue_find(c, "latest", &got), 0);
	assert_int_equal(got.number, b.number);
	set_row_fini(&got);
	assert_int_equal(catalogue_find(c, "c", &got), -ERR_NOTFOUND);
	set_row_fini(&a);
	set_row_fini(&b);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(intervals_equal_the_naive_lists),
		T(merging_twice_changes_nothing),
		T(new_metadata_of_the_same_file_keeps_the_file),
		T(reading_below_a_directory_gives_that_only),
		T(sets_are_found_by_name_and_the_newest_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
