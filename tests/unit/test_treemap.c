/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Against a naive model, with a seed; and the corners of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/treemap.c"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/scratch.h"

static const char *const tables[] = {"nodes", "sums"};
static const struct store_identity who = {"index", 1, "po1", 0};
static const struct treemap map = {0, 1};
static struct scratch dir;
static struct store *store;

static int
set_up(void **state)
{
	char path[256];

	(void)state;
	scratch_open(&dir);
	return store_open(scratch_path(&dir, "map", path), &who, tables, 2, STORE_NO_CHECK, &store, NULL);
}

static int
tear_down(void **state)
{
	(void)state;
	store_close(store);
	scratch_close(&dir);
	return 0;
}

static struct treemap_weight
weight_of(uint64_t n)
{
	return (struct treemap_weight){.bytes = n, .hash = {.lo = n * 0x9e3779b97f4a7c15u, .hi = ~n * 0xc2b2ae3d27d4eb4fu}};
}

static bool
sums_equal(const struct treemap_sum *a, const struct treemap_sum *b)
{
	return a->count == b->count && a->bytes == b->bytes && hash128_equal(a->hash, b->hash);
}

/* ---- corners ---- */

struct names {
	char text[4000];
};

static int
note(const char *path, struct store_value value, void *arg)
{
	struct names *n = arg;
	size_t len = strlen(n->text);

	snprintf(n->text + len, sizeof(n->text) - len, "%s=%.*s ", path, (int)value.len, (const char *)value.data);
	return 0;
}

static int
stop_at_b(const char *path, struct store_value value, void *arg)
{
	int *n = arg;

	(void)value;
	++*n;
	return strcmp(relpath_name(path), "b") == 0 ? 42 : 0;
}

static int
put(struct store_txn *txn, const char *path, const char *value, uint64_t n)
{
	struct treemap_weight w = weight_of(n);

	return treemap_put(txn, &map, path, value, strlen(value), &w);
}

static int
walk_children(struct store_txn *txn, void *arg)
{
	struct names got = {""};
	int n = 0;

	(void)arg;
	assert_int_equal(put(txn, "a/c", "3", 3), 0);
	assert_int_equal(put(txn, "a/b", "2", 2), 0);
	assert_int_equal(put(txn, "a/b/x", "deep", 9), 0);
	assert_int_equal(put(txn, "a/\xff", "last", 4), 0);
	assert_int_equal(put(txn, "a/b.", "dot", 5), 0);
	assert_int_equal(put(txn, "a", "dir", 1), 0);
	assert_int_equal(put(txn, "a-", "sibling", 6), 0);
	assert_int_equal(put(txn, "a-/z", "z", 7), 0);
	assert_int_equal(treemap_children(txn, &map, "a", NULL, note, &got), 0);
	assert_string_equal(got.text, "a/b=2 a/b.=dot a/c=3 a/\xff=last ");
	got.text[0] = '\0';
	assert_int_equal(treemap_children(txn, &map, "", NULL, note, &got), 0);
	assert_string_equal(got.text, "a=dir a-=sibling ");
	got.text[0] = '\0';
	assert_int_equal(treemap_children(txn, &map, "a", "b", note, &got), 0);
	assert_string_equal(got.text, "a/b.=dot a/c=3 a/\xff=last ");
	got.text[0] = '\0';
	assert_int_equal(treemap_children(txn, &map, "a", "bb", note, &got), 0);
	assert_string_equal(got.text, "a/c=3 a/\xff=last ");
	got.text[0] = '\0';
	assert_int_equal(treemap_children(txn, &map, "none", NULL, note, &got), 0);
	assert_string_equal(got.text, "");
	assert_int_equal(treemap_children(txn, &map, "a", NULL, stop_at_b, &n), 42);
	assert_int_equal(n, 1);
	return 0;
}

static void
children_come_in_byte_order_and_from_their_directory_only(void **state)
{
	(void)state;
	assert_int_equal(store_write(store, walk_children, NULL), 0);
}

static int
put_strange_names(struct store_txn *txn, void *arg)
{
	struct names got = {""};
	struct treemap_sum sum;

	(void)arg;
	assert_int_equal(put(txn, "\001x.dc", "strange", 1), 0);
	assert_int_equal(put(txn, "\001x.dc/\001y", "below", 3), 0);
	assert_int_equal(put(txn, "b.dc", "plain", 2), 0);
	assert_int_equal(treemap_sum(txn, &map, "", &sum), 0);
	assert_int_equal(sum.count, 2);
	assert_int_equal(treemap_children(txn, &map, "", NULL, note, &got), 0);
	assert_string_equal(got.text, "\001x.dc=strange b.dc=plain ");
	got.text[0] = '\0';
	assert_int_equal(treemap_children(txn, &map, "\001x.dc", NULL, note, &got), 0);
	assert_string_equal(got.text, "\001x.dc/\001y=below ");
	return 0;
}

/* 0x01 begins the key of a directory that is known by its hash. */
static void
names_at_the_top_are_its_children_whatever_they_begin_with(void **state)
{
	(void)state;
	assert_int_equal(store_write(store, put_strange_names, NULL), 0);
}

static int
put_get_del(struct store_txn *txn, void *arg)
{
	struct treemap_weight w = {0};
	struct treemap_sum sum, none = {0};
	struct store_value v;

	(void)arg;
	assert_int_equal(treemap_get(txn, &map, "d/f", &v, NULL), 1);
	assert_int_equal(treemap_del(txn, &map, "d/f"), 1);
	assert_int_equal(put(txn, "d/f", "one", 10), 0);
	assert_int_equal(put(txn, "d/f", "three", 30), 0);
	assert_int_equal(put(txn, "d/g", "", 5), 0);
	assert_int_equal(treemap_get(txn, &map, "d/f", &v, &w), 0);
	assert_int_equal(v.len, 5);
	assert_memory_equal(v.data, "three", 5);
	assert_int_equal(w.bytes, 30);
	assert_true(hash128_equal(w.hash, weight_of(30).hash));
	assert_int_equal(treemap_sum(txn, &map, "d", &sum), 0);
	assert_int_equal(sum.count, 2);
	assert_int_equal(sum.bytes, 35);
	assert_true(hash128_equal(sum.hash, hash128_add(weight_of(30).hash, weight_of(5).hash)));
	assert_int_equal(treemap_sum(txn, &map, "", &sum), 0);
	assert_true(sums_equal(&sum, &none));
	assert_int_equal(treemap_total(txn, &map, &sum), 0);
	assert_int_equal(sum.count, 2);
	assert_int_equal(treemap_del(txn, &map, "d/f"), 0);
	assert_int_equal(treemap_del(txn, &map, "d/f"), 1);
	assert_int_equal(treemap_del(txn, &map, "d/g"), 0);
	assert_int_equal(treemap_sum(txn, &map, "d", &sum), 0);
	assert_true(sums_equal(&sum, &none));
	assert_int_equal(treemap_total(txn, &map, &sum), 0);
	assert_true(sums_equal(&sum, &none));
	return 0;
}

static void
a_node_is_put_replaced_and_removed_and_its_sums_follow(void **state)
{
	struct store_txn *txn;
	uint64_t rows;

	(void)state;
	assert_int_equal(store_write(store, put_get_del, NULL), 0);
	assert_int_equal(store_read_begin(store, &txn), 0);
	for (unsigned table = 0; table < 2; table++) {
		assert_int_equal(store_count(txn, table, &rows), 0);
		assert_int_equal(rows, 0); /* an empty map leaves nothing */
	}
	store_read_end(txn);
}

static int
sizes_that_wrap(struct store_txn *txn, void *arg)
{
	struct treemap_weight huge = {.bytes = INT64_MAX, .hash = {1, 1}};
	struct treemap_sum sum;
	char path[16];

	(void)arg;
	assert_int_equal(put(txn, "d/f", "v", 10), 0);
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof path, "d/%d", i);
		assert_int_equal(treemap_put(txn, &map, path, "v", 1, &huge), 0);
	}
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof path, "d/%d", i);
		assert_int_equal(treemap_del(txn, &map, path), 0);
	}
	assert_int_equal(treemap_total(txn, &map, &sum), 0);
	assert_int_equal(sum.count, 1);
	assert_int_equal(sum.bytes, 10);
	return 0;
}

/* A peer may say any size of any number of files: what it said goes again without a trace. */
static void
sums_of_sizes_beyond_all_bounds_come_back(void **state)
{
	(void)state;
	assert_int_equal(store_write(store, sizes_that_wrap, NULL), 0);
}

/* "ddd.../ddd.../name" whose directory has `dir_len` bytes. */
static const char *
deep_path(size_t dir_len, const char *name, char out[RELPATH_MAX + 1])
{
	for (size_t i = 0; i < dir_len; i++)
		out[i] = i % 200 == 199 && i + 1 < dir_len ? '/' : 'd';
	snprintf(out + dir_len, RELPATH_MAX + 1 - dir_len, "/%s", name);
	return out;
}

static int
put_at_every_depth(struct store_txn *txn, void *arg)
{
	static const size_t lengths[] = {1, 198, PREFIX_MAX - 2, PREFIX_MAX - 1, PREFIX_MAX, PREFIX_MAX + 1, 500, 8000, 16000};
	char *path = arg, name[RELNAME_MAX + 1];
	struct treemap_sum sum;
	struct store_value v;

	memset(name, 'n', RELNAME_MAX);
	name[RELNAME_MAX] = '\0';
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct names got = {""};
		char dir_name[20];

		assert_int_equal(put(txn, deep_path(lengths[i], name, path), "long", 2), 0);
		assert_int_equal(put(txn, deep_path(lengths[i], "short", path), "s", 3), 0);
		assert_int_equal(treemap_get(txn, &map, path, &v, NULL), 0);
		assert_int_equal(v.len, 1);
		path[lengths[i]] = '\0';
		assert_int_equal(treemap_sum(txn, &map, path, &sum), 0);
		assert_int_equal(sum.count, 2);
		assert_int_equal(sum.bytes, 5);
		assert_int_equal(treemap_children(txn, &map, path, NULL, note, &got), 0);
		snprintf(dir_name, sizeof(dir_name), "/short=s");
		if (lengths[i] < 3000)
			assert_non_null(strstr(got.text, dir_name));
		got.text[0] = '\0';
		assert_int_equal(treemap_children(txn, &map, path, name, note, &got), 0);
		assert_null(strstr(got.text, "=long"));
	}
	return 0;
}

static void
directories_of_any_length_have_children_and_sums(void **state)
{
	char *path = malloc(RELPATH_MAX + 1);

	(void)state;
	assert_int_equal(store_write(store, put_at_every_depth, path), 0);
	free(path);
}

static int
put_collision(struct store_txn *txn, void *arg)
{
	char *path = arg;
	struct treemap_sum sum;
	struct store_value v;
	struct node node;
	struct key k;

	/* Make what a colliding directory would have left: a node and a sum of another path under our key. */
	deep_path(300, "f", path);
	assert_int_equal(key_node(&k, path), 0);
	assert_int_equal(put_node(txn, &map, &k, "other/f", "x", 1, &(struct treemap_weight){0}), 0);
	key_prefix(&k, path, 300);
	assert_int_equal(change_sum(txn, &map, k.bytes, k.len, "other", 5, &(struct delta){.come = &(struct treemap_weight){0}}), 0);

	assert_int_equal(treemap_get(txn, &map, path, &v, NULL), 1);
	assert_int_equal(treemap_del(txn, &map, path), 1);
	assert_int_equal(put(txn, path, "mine", 4), -ERR_UNSUPPORTED);
	path[300] = '\0';
	struct names got = {""};
	assert_int_equal(treemap_children(txn, &map, path, NULL, note, &got), 0);
	assert_string_equal(got.text, "");
	assert_int_equal(treemap_sum(txn, &map, path, &sum), -ERR_UNSUPPORTED);
	path[300] = '/';
	assert_int_equal(key_node(&k, path), 0);
	assert_int_equal(get_node(txn, &map, &k, "other/f", &node), 0); /* untouched */
	return 0;
}

static void
two_directories_with_one_hash_are_never_mixed_up(void **state)
{
	char *path = malloc(RELPATH_MAX + 1);

	(void)state;
	assert_int_equal(store_write(store, put_collision, path), 0);
	free(path);
}

static int
put_strange(struct store_txn *txn, void *arg)
{
	static const char *const good[] = {"\x01", "\x01/a", "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11/x", " ", "a\nb/c", "\xff/\xfe"};
	static const char *const bad[] = {"", "/", "a/", "a//b", ".", "a/..", "/a"};
	struct treemap_sum sum;
	struct store_value v;

	(void)arg;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(put(txn, good[i], good[i], i), 0);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(treemap_get(txn, &map, good[i], &v, NULL), 0);
		assert_int_equal(v.len, strlen(good[i]));
		assert_memory_equal(v.data, good[i], v.len);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(put(txn, bad[i], "x", 1), -ERR_UNSAFE);
		assert_int_equal(treemap_get(txn, &map, bad[i], &v, NULL), -ERR_UNSAFE);
		assert_int_equal(treemap_del(txn, &map, bad[i]), -ERR_UNSAFE);
		if (*bad[i])
			assert_int_equal(treemap_sum(txn, &map, bad[i], &sum), -ERR_UNSAFE);
	}
	assert_int_equal(treemap_total(txn, &map, &sum), 0);
	assert_int_equal(sum.count, sizeof(good) / sizeof(*good));
	return 0;
}

static void
names_of_any_bytes_are_kept_and_climbing_ones_refused(void **state)
{
	(void)state;
	assert_int_equal(store_write(store, put_strange, NULL), 0);
}

/* ---- the model ---- */

#define DIRS 9
#define NAMES 25
#define STEPS 20000

static struct model_node {
	char *path;
	uint64_t weight; /* 0 = absent; also the value */
} model[DIRS * NAMES];

static void
make_model(void)
{
	static const char *const dirs[DIRS] = {"", "a", "a/b", "a\x01", "\x01", "ofuser/index", "offiles/fd1", NULL, NULL};
	char *deep = malloc(RELPATH_MAX + 1), dir_name[1200], name[32];

	for (int d = 0; d < DIRS; d++) {
		snprintf(dir_name, sizeof(dir_name), "%s", dirs[d] ? dirs[d] : deep_path(d == 7 ? 245 : 1000, "x", deep));
		for (int n = 0; n < NAMES; n++) {
			snprintf(name, sizeof(name), "%c%d", 'a' + n % 5, n * 37 % 101);
			model[d * NAMES + n] = (struct model_node){relpath_join(dir_name, name), 0};
		}
	}
	free(deep);
}

static struct treemap_sum
model_sum(const char *of, bool all)
{
	struct treemap_sum sum = {0};

	for (size_t i = 0; i < DIRS * NAMES; i++) {
		if (!model[i].weight || (!all && !is_child(model[i].path, of)))
			continue;
		sum.count++;
		sum.bytes += model[i].weight;
		sum.hash = hash128_add(sum.hash, weight_of(model[i].weight).hash);
	}
	return sum;
}

/* Of all that lies in directories at or below `top`. */
static uint64_t
model_count_under(const char *top)
{
	uint64_t n = 0;

	for (size_t i = 0; i < DIRS * NAMES; i++) {
		char *of = strndup(model[i].path, relpath_dir_len(model[i].path));

		n += model[i].weight && relpath_within(of, top);
		free(of);
	}
	return n;
}

static int
random_steps(struct store_txn *txn, void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		struct model_node *m = &model[(size_t)random() % (DIRS * NAMES)];

		if (random() % 5 < 2) {
			assert_int_equal(treemap_del(txn, &map, m->path), m->weight ? 0 : 1);
			m->weight = 0;
		} else {
			char value[32];

			m->weight = 1 + (uint64_t)random() % 100000;
			snprintf(value, sizeof(value), "%llu", (unsigned long long)m->weight);
			assert_int_equal(put(txn, m->path, value, m->weight), 0);
		}
	}
	return 0;
}

struct walk {
	const char *dir;
	char last[RELPATH_MAX + 1];
	uint64_t seen;
};

static int
check_child(const char *path, struct store_value value, void *arg)
{
	struct walk *w = arg;
	char want[32];

	assert_true(!w->last[0] || strcmp(relpath_name(path), w->last) > 0);
	snprintf(w->last, sizeof(w->last), "%s", relpath_name(path));
	for (size_t i = 0; i < DIRS * NAMES; i++) {
		if (strcmp(model[i].path, path) != 0)
			continue;
		snprintf(want, sizeof(want), "%llu", (unsigned long long)model[i].weight);
		assert_int_equal(value.len, strlen(want));
		assert_memory_equal(value.data, want, value.len);
		w->seen++;
		return 0;
	}
	fail_msg("%s is not in the model", path);
	return 0;
}

static int
check_dir(const char *of, const struct treemap_sum *sum, void *arg)
{
	struct treemap_sum want = model_sum(of, false);

	assert_true(sums_equal(sum, &want));
	*(uint64_t *)arg += sum->count;
	return 0;
}

static void
compare_with_model(void)
{
	struct treemap_sum got, want = model_sum("", true);
	uint64_t in_dirs = 0;
	struct store_txn *txn;

	assert_int_equal(store_read_begin(store, &txn), 0);
	assert_int_equal(treemap_total(txn, &map, &got), 0);
	assert_true(sums_equal(&got, &want));
	assert_int_equal(treemap_dirs(txn, &map, "", check_dir, &in_dirs), 0);
	assert_int_equal(in_dirs, want.count);
	for (size_t d = 0; d < DIRS; d++) {
		struct walk *w = calloc(1, sizeof(*w));
		char *of = strndup(model[d * NAMES].path, relpath_dir_len(model[d * NAMES].path));

		in_dirs = 0;
		assert_int_equal(treemap_dirs(txn, &map, of, check_dir, &in_dirs), 0);
		assert_int_equal(in_dirs, model_count_under(of));
		want = model_sum(of, false);
		assert_int_equal(treemap_sum(txn, &map, of, &got), 0);
		assert_true(sums_equal(&got, &want));
		assert_int_equal(treemap_children(txn, &map, of, NULL, check_child, w), 0);
		assert_int_equal(w->seen, want.count);
		free(of);
		free(w);
	}
	store_read_end(txn);
}

static void
random_changes_keep_nodes_and_sums_equal_to_the_model(void **state)
{
	const char *given = getenv("SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL);

	(void)state;
	print_message("# SEED=%u\n", seed);
	srandom(seed);
	make_model();
	for (int i = 0; i < STEPS / 200; i++) {
		assert_int_equal(store_write(store, random_steps, NULL), 0);
		compare_with_model();
	}
	for (size_t i = 0; i < DIRS * NAMES; i++)
		free(model[i].path);
}

#define with_store(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_store(children_come_in_byte_order_and_from_their_directory_only),
		with_store(names_at_the_top_are_its_children_whatever_they_begin_with),
		with_store(a_node_is_put_replaced_and_removed_and_its_sums_follow),
		with_store(sums_of_sizes_beyond_all_bounds_come_back),
		with_store(directories_of_any_length_have_children_and_sums),
		with_store(two_directories_with_one_hash_are_never_mixed_up),
		with_store(names_of_any_bytes_are_kept_and_climbing_ones_refused),
		with_store(random_changes_keep_nodes_and_sums_equal_to_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
