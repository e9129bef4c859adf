/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blockmap - what is believed is what was acknowledged, and what is in doubt says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "journal/blockmap_internal.h"
#include "journal/pathkey.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct blockmap *map;
static const uint8_t key_bytes[BLOCK_KEY_BYTES] = {1, 2, 3};

static void
reopen(void)
{
	blockmap_close(map);
	map = NULL;
	assert_int_equal(blockmap_open(scratch.path, "po1", &map, NULL), 0);
	assert_int_equal(blockmap_set_key(map, key_bytes), 0);
}

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	map = NULL;
	reopen();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	blockmap_close(map);
	scratch_close(&scratch);
	return 0;
}

static struct entry
file(uint64_t size)
{
	return (struct entry){.kind = ENTRY_FILE, .mode = 0644, .uid = 7, .gid = 8, .size = size, .mtime_ns = 123456789,
	    .digest = {size * 3, size * 5}};
}

static void
apply(struct blockmap_op op)
{
	assert_int_equal(blockmap_apply(map, &op, 1), 0);
}

static void
put(const char *path, uint64_t size)
{
	struct entry e = file(size);

	apply((struct blockmap_op){.kind = BLOCKMAP_PUT, .path = path, .entry = &e, .stat = {.inode = size, .ctime_ns = 99}});
}

static void
put_blocks(const char *path, uint64_t first, size_t n, uint64_t salt)
{
	struct hash128 *hashes = calloc(n ? n : 1, sizeof *hashes);

	for (size_t i = 0; i < n; i++)
		hashes[i] = (struct hash128){first + i + 1, salt};
	apply((struct blockmap_op){.kind = BLOCKMAP_BLOCKS, .path = path, .first = first, .hashes = hashes, .n = n});
	free(hashes);
}

/* Salt of a block's hash; 0 = not known. */
static uint64_t
salt_of(const char *path, uint64_t block)
{
	struct hash128 h;

	assert_int_equal(blockmap_blocks_get(map, path, block, 1, &h), 0);
	assert_true(!h.lo || h.lo == block + 1);
	return h.hi;
}

static bool
in_flight(const char *path)
{
	bool marked;

	assert_int_equal(blockmap_in_flight(map, path, &marked), 0);
	return marked;
}

static bool
is_known(const char *path)
{
	struct entry e;
	int err = blockmap_get(map, path, &e, NULL);

	assert_true(err >= 0);
	if (err == 0)
		entry_fini(&e);
	return err == 0;
}

static void
an_entry_comes_back_as_it_was_also_after_a_restart(void **state)
{
	struct entry e = {.kind = ENTRY_SYMLINK, .mode = 0777, .size = 4, .target = (char[]){"a\nb\xff"}}, back;
	struct blockmap_stat stat;
	(void)state;

	assert_false(is_known("offiles/link"));
	apply((struct blockmap_op){.kind = BLOCKMAP_PUT, .path = "offiles/link", .entry = &e, .stat = {11, -22, true}});
	reopen();
	assert_int_equal(blockmap_get(map, "offiles/link", &back, &stat), 0);
	assert_int_equal(back.kind, ENTRY_SYMLINK);
	assert_string_equal(back.target, e.target);
	assert_int_equal(stat.inode, 11);
	assert_int_equal(stat.ctime_ns, -22);
	assert_true(stat.adopted);
	entry_fini(&back);
	put("offiles/link", 5);
	assert_int_equal(blockmap_get(map, "offiles/link", &back, &stat), 0);
	assert_int_equal(back.kind, ENTRY_FILE);
	assert_int_equal(back.digest.lo, 15);
	assert_false(stat.adopted);
	entry_fini(&back);
}

static void
a_flight_ends_when_the_entry_is_durable(void **state)
{
	(void)state;
	put("a", 1);
	apply((struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = "a"});
	assert_true(in_flight("a"));
	assert_false(in_flight("b"));
	reopen(); /* killed on the way: nobody knows what the server holds */
	assert_true(in_flight("a"));
	assert_true(is_known("a"));
	put("a", 2);
	assert_false(in_flight("a"));
	apply((struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = "a"});
	apply((struct blockmap_op){.kind = BLOCKMAP_REMOVE, .path = "a"});
	assert_false(in_flight("a"));
}

static void
blocks_are_remembered_by_extent(void **state)
{
	struct hash128 many[3000];
	(void)state;

	put_blocks("big", 0, BLOCKMAP_EXTENT, 1);
	put_blocks("big", 2 * BLOCKMAP_EXTENT, 10, 3);
	assert_int_equal(salt_of("big", 0), 1);
	assert_int_equal(salt_of("big", BLOCKMAP_EXTENT - 1), 1);
	assert_int_equal(salt_of("big", BLOCKMAP_EXTENT), 0);
	assert_int_equal(salt_of("big", 2 * BLOCKMAP_EXTENT + 9), 3);
	assert_int_equal(salt_of("big", 2 * BLOCKMAP_EXTENT + 10), 0);
	assert_int_equal(salt_of("bi", 0), 0);
	assert_int_equal(blockmap_blocks_get(map, "big", 1000, 1500, many), 0); /* across the gap */
	for (size_t i = 0; i < 1500; i++)
		assert_int_equal(many[i].hi, 1000 + i < 1024 ? 1 : 1000 + i >= 2048 && 1000 + i < 2058 ? 3 : 0);
	put_blocks("big", 0, 5, 4); /* an extent is replaced whole */
	assert_int_equal(salt_of("big", 4), 4);
	assert_int_equal(salt_of("big", 5), 0);
}

static void
trimming_forgets_exactly_the_end(void **state)
{
	(void)state;
	for (uint64_t extent = 0; extent < 4; extent++)
		put_blocks("big", extent * BLOCKMAP_EXTENT, BLOCKMAP_EXTENT, 7);
	put_blocks("bigger", 0, 10, 8);
	apply((struct blockmap_op){.kind = BLOCKMAP_TRIM, .path = "big", .first = BLOCKMAP_EXTENT + 100});
	assert_int_equal(salt_of("big", BLOCKMAP_EXTENT + 99), 7);
	assert_int_equal(salt_of("big", BLOCKMAP_EXTENT + 100), 0);
	assert_int_equal(salt_of("big", 2 * BLOCKMAP_EXTENT), 0);
	assert_int_equal(salt_of("big", 3 * BLOCKMAP_EXTENT + 5), 0);
	apply((struct blockmap_op){.kind = BLOCKMAP_TRIM, .path = "big", .first = BLOCKMAP_EXTENT});
	assert_int_equal(salt_of("big", BLOCKMAP_EXTENT - 1), 7);
	assert_int_equal(salt_of("big", BLOCKMAP_EXTENT), 0);
	apply((struct blockmap_op){.kind = BLOCKMAP_TRIM, .path = "big", .first = 0});
	assert_int_equal(salt_of("big", 0), 0);
	assert_int_equal(salt_of("bigger", 9), 8);
}

static void
what_is_removed_leaves_nothing(void **state)
{
	int64_t mtime;
	(void)state;

	put("a", 1);
	put_blocks("a", 0, 10, 1);
	apply((struct blockmap_op){.kind = BLOCKMAP_DIR, .path = "a", .dir_mtime_ns = 5});
	apply((struct blockmap_op){.kind = BLOCKMAP_REMOVE, .path = "a"});
	apply((struct blockmap_op){.kind = BLOCKMAP_REMOVE, .path = "never there"});
	assert_false(is_known("a"));
	assert_int_equal(salt_of("a", 0), 0);
	assert_int_equal(blockmap_dir_get(map, "a", &mtime), 0);
	assert_int_equal(mtime, 0);
}

static void
a_directory_remembers_when_it_was_scanned(void **state)
{
	int64_t mtime = -1;
	(void)state;

	assert_int_equal(blockmap_dir_get(map, "offiles/fd1", &mtime), 0);
	assert_int_equal(mtime, 0);
	apply((struct blockmap_op){.kind = BLOCKMAP_DIR, .path = "offiles/fd1", .dir_mtime_ns = 1234567890123456789});
	apply((struct blockmap_op){.kind = BLOCKMAP_DIR, .path = "", .dir_mtime_ns = 5});
	reopen();
	assert_int_equal(blockmap_dir_get(map, "offiles/fd1", &mtime), 0);
	assert_int_equal(mtime, 1234567890123456789);
	assert_int_equal(blockmap_dir_get(map, "", &mtime), 0);
	assert_int_equal(mtime, 5);
}

static void
a_row_put_or_removed_takes_the_stamp_of_its_directory(void **state)
{
	static const enum blockmap_op_kind changes[] = {BLOCKMAP_PUT, BLOCKMAP_REMOVE};
	int64_t stamp;
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		apply((struct blockmap_op){.kind = BLOCKMAP_DIR, .path = "offiles/fd1", .dir_mtime_ns = 5});
		apply((struct blockmap_op){.kind = BLOCKMAP_DIR, .path = "offiles", .dir_mtime_ns = 6});
		if (changes[i] == BLOCKMAP_PUT)
			put("offiles/fd1/new", 1);
		else
			apply((struct blockmap_op){.kind = BLOCKMAP_REMOVE, .path = "offiles/fd1/new"});
		assert_int_equal(blockmap_dir_get(map, "offiles/fd1", &stamp), 0);
		assert_int_equal(stamp, 0);
		assert_int_equal(blockmap_dir_get(map, "offiles", &stamp), 0);
		assert_int_equal(stamp, 6);
	}
}

static bool
is_index(const char *dir, void *arg)
{
	(void)arg;
	return strcmp(dir, "ofuser/index") == 0;
}

static void
a_doubt_forgets_how_files_looked_and_nothing_else(void **state)
{
	struct treemap_sum before, after;
	struct blockmap_stat stat;
	struct entry e;
	(void)state;

	put("ofuser/index/a", 5);
	put("ofuser/index/deep/a", 6);
	put("offiles/fd1/a", 7);
	put_blocks("ofuser/index/a", 0, 3, 1);
	apply((struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = "ofuser/index/a"});
	assert_int_equal(blockmap_total(map, &before), 0);
	assert_int_equal(blockmap_doubt(map, is_index, NULL), 0);
	assert_int_equal(blockmap_total(map, &after), 0);
	assert_memory_equal(&before, &after, sizeof before);
	assert_int_equal(blockmap_get(map, "ofuser/index/a", &e, &stat), 0);
	assert_int_equal(e.size, 5);
	assert_int_equal(stat.inode, 0);
	assert_int_equal(stat.ctime_ns, 0);
	assert_int_equal(salt_of("ofuser/index/a", 2), 1);
	assert_true(in_flight("ofuser/index/a"));
	assert_int_equal(blockmap_get(map, "ofuser/index/deep/a", &e, &stat), 0);
	assert_int_equal(stat.ctime_ns, 99);
	assert_int_equal(blockmap_get(map, "offiles/fd1/a", &e, &stat), 0);
	assert_int_equal(stat.ctime_ns, 99);
}

static int
note_child(const char *path, const struct entry *entry, const struct blockmap_stat *stat, void *arg)
{
	char *text = arg;

	assert_int_equal(entry->size, stat->inode);
	sprintf(text + strlen(text), "%s=%llu ", path, (unsigned long long)entry->size);
	return strlen(text) > 30;
}

static void
children_come_in_order_and_from_a_name_on(void **state)
{
	char text[100] = "";
	(void)state;

	put("d/b", 2);
	put("d/a", 1);
	put("d/a/deep", 9);
	put("d/c", 3);
	put("e", 4);
	assert_int_equal(blockmap_children(map, "d", NULL, note_child, text), 0);
	assert_string_equal(text, "d/a=1 d/b=2 d/c=3 ");
	*text = '\0';
	assert_int_equal(blockmap_children(map, "d", "a", note_child, text), 0);
	assert_string_equal(text, "d/b=2 d/c=3 ");
}

static int
count_dir(const char *dir, const struct treemap_sum *sum, void *arg)
{
	(void)dir;
	*(uint64_t *)arg += sum->count;
	return 0;
}

static void
sums_follow_and_do_not_depend_on_the_order(void **state)
{
	struct treemap_sum one, two, total;
	uint64_t counted = 0;
	(void)state;

	put("d/a", 1);
	put("d/b", 2);
	assert_int_equal(blockmap_sum(map, "d", &one), 0);
	apply((struct blockmap_op){.kind = BLOCKMAP_REMOVE, .path = "d/a"});
	put("d/b", 5);
	put("d/b", 2);
	put("d/a", 1);
	assert_int_equal(blockmap_sum(map, "d", &two), 0);
	assert_true(hash128_equal(one.hash, two.hash));
	assert_int_equal(two.count, 2);
	assert_int_equal(two.bytes, 3);
	put("e", 10);
	assert_int_equal(blockmap_total(map, &total), 0);
	assert_int_equal(total.count, 3);
	assert_int_equal(total.bytes, 13);
	assert_int_equal(blockmap_dirs(map, count_dir, &counted), 0);
	assert_int_equal(counted, 3);
}

/* d/0 to d/9999, more than are deleted in one transaction. */
static void
put_many(void)
{
	static struct blockmap_op ops[10000];
	static char paths[10000][16];
	struct entry e = file(1);

	for (int i = 0; i < 10000; i++) {
		snprintf(paths[i], sizeof paths[i], "d/%d", i);
		ops[i] = (struct blockmap_op){.kind = BLOCKMAP_PUT, .path = paths[i], .entry = &e};
	}
	assert_int_equal(blockmap_apply(map, ops, 10000), 0);
}

static void
another_key_empties_the_belief_and_nothing_else(void **state)
{
	static const uint8_t other[BLOCK_KEY_BYTES] = {9};
	struct treemap_sum total;
	char *value;
	(void)state;

	put_many();
	put_blocks("d/0", 0, 10, 1);
	apply((struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = "d/0"});
	assert_int_equal(blockmap_meta_put(map, "root", "fsid:inode"), 0);
	reopen(); /* the same key: all is still there */
	assert_true(is_known("d/0"));
	assert_int_equal(blockmap_set_key(map, other), 0);
	assert_false(is_known("d/0"));
	assert_false(in_flight("d/0"));
	assert_int_equal(salt_of("d/0", 0), 0);
	assert_int_equal(blockmap_total(map, &total), 0);
	assert_int_equal(total.count, 0);
	assert_int_equal(blockmap_meta_get(map, "root", &value), 0);
	assert_string_equal(value, "fsid:inode");
	free(value);
}

static void
small_values_are_kept_by_name(void **state)
{
	char *value;
	(void)state;

	assert_int_equal(blockmap_meta_get(map, "server", &value), 1);
	assert_int_equal(blockmap_meta_put(map, "server", "first"), 0);
	assert_int_equal(blockmap_meta_put(map, "server", ""), 0);
	reopen();
	assert_int_equal(blockmap_meta_get(map, "server", &value), 0);
	assert_string_equal(value, "");
	free(value);
}

/* ---- long paths share keys ---- */

static char *
long_path(char last)
{
	char *path = malloc(2001);

	for (int i = 0; i < 2000; i++)
		path[i] = i % 200 == 199 ? '/' : 'y';
	path[1999] = last;
	path[2000] = '\0';
	return path;
}

static void
long_paths_are_told_apart(void **state)
{
	char *a = long_path('a'), *b = long_path('b');
	(void)state;

	put(a, 1);
	put_blocks(a, 0, 10, 1);
	put_blocks(a, BLOCKMAP_EXTENT, 10, 1);
	put_blocks(b, 0, 10, 2);
	apply((struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = a});
	assert_int_equal(salt_of(a, 3), 1);
	assert_int_equal(salt_of(b, 3), 2);
	assert_true(in_flight(a));
	assert_false(in_flight(b));
	apply((struct blockmap_op){.kind = BLOCKMAP_TRIM, .path = a, .first = 0});
	assert_int_equal(salt_of(a, 3), 0);
	assert_int_equal(salt_of(a, BLOCKMAP_EXTENT + 1), 0);
	assert_int_equal(salt_of(b, 3), 2);
	free(a);
	free(b);
}

/* Copies a row of `from` under the key of `to`: what one checksum for both would do. */
static int
share_key(struct store_txn *txn, void *arg)
{
	const char *const *paths = arg;
	struct hash128 hashes[BLOCKMAP_EXTENT];
	struct pathkey to;
	struct pack_out o = {0};
	size_t n;

	assert_int_equal(blockmap_extent_get(txn, paths[0], 0, hashes, &n), 0);
	pathkey_init(&to, 'b', paths[1], 9);
	to.bytes[to.len] = 0;
	store_key_u64(0, to.bytes + to.len + 1);
	to.len += 9;
	pack_str(&o, paths[0]);
	pack_u32(&o, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		pack_u64(&o, hashes[i].lo);
		pack_u64(&o, hashes[i].hi);
	}
	int err = store_sealed_put(txn, BLOCKS, to.bytes, to.len, o.data, o.len);
	pack_out_fini(&o);
	return err;
}

static void
hashes_of_another_path_under_the_same_key_are_none(void **state)
{
	const char *paths[] = {"mine", "yours"};
	(void)state;

	put_blocks("mine", 0, 10, 1);
	assert_int_equal(store_write(map->store, share_key, paths), 0);
	assert_int_equal(salt_of("yours", 0), 0);
	put_blocks("yours", 0, 10, 2);
	assert_int_equal(salt_of("yours", 0), 2);
}

static int
spoil(struct store_txn *txn, void *arg)
{
	struct pathkey key;

	(void)arg;
	pathkey_init(&key, 'b', "big", 9);
	key.bytes[key.len] = 0;
	store_key_u64(0, key.bytes + key.len + 1);
	if (store_put(txn, BLOCKS, key.bytes, key.len + 9, "not what was sealed", 19) != 0)
		return -ERR_IO;
	pathkey_init(&key, 'n', "flying", 0);
	return store_put(txn, FLIGHT, key.bytes, key.len, "not what was sealed", 19);
}

static void
a_hash_that_fails_its_checksum_is_not_known_and_a_mark_still_counts(void **state)
{
	(void)state;
	put_blocks("big", 0, 10, 1);
	assert_int_equal(store_write(map->store, spoil, NULL), 0);
	assert_int_equal(salt_of("big", 0), 0);
	assert_true(in_flight("flying"));
}

static void
a_damaged_map_is_put_aside(void **state)
{
	char command[600];
	bool rebuilt = false;
	(void)state;

	put("a", 1);
	blockmap_close(map);
	map = NULL;
	snprintf(command, sizeof command, "find %s/blockmap -name data.mdb -exec dd if=/dev/urandom of={} bs=4096 count=8 conv=notrunc status=none ';'",
	    scratch.path);
	assert_int_equal(system(command), 0);
	assert_int_equal(blockmap_open(scratch.path, "po1", &map, &rebuilt), 0);
	assert_true(rebuilt);
	assert_int_equal(blockmap_set_key(map, key_bytes), 0);
	assert_false(is_known("a"));
}

static void
a_batch_is_applied_in_its_order(void **state)
{
	struct entry e = file(1);
	struct blockmap_op ops[] = {
		{.kind = BLOCKMAP_PUT, .path = "a", .entry = &e},
		{.kind = BLOCKMAP_PUT, .path = "b", .entry = &e},
		{.kind = BLOCKMAP_REMOVE, .path = "a"},
	};
	uint64_t used, size;
	(void)state;

	assert_int_equal(blockmap_apply(map, ops, 3), 0);
	assert_int_equal(blockmap_apply(map, NULL, 0), 0);
	assert_false(is_known("a"));
	assert_true(is_known("b"));
	blockmap_usage(map, &used, &size);
	assert_true(used > 0 && used <= size);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_entry_comes_back_as_it_was_also_after_a_restart),
		TEST(a_flight_ends_when_the_entry_is_durable),
		TEST(blocks_are_remembered_by_extent),
		TEST(trimming_forgets_exactly_the_end),
		TEST(what_is_removed_leaves_nothing),
		TEST(a_directory_remembers_when_it_was_scanned),
		TEST(a_row_put_or_removed_takes_the_stamp_of_its_directory),
		TEST(a_doubt_forgets_how_files_looked_and_nothing_else),
		TEST(children_come_in_order_and_from_a_name_on),
		TEST(sums_follow_and_do_not_depend_on_the_order),
		TEST(another_key_empties_the_belief_and_nothing_else),
		TEST(small_values_are_kept_by_name),
		TEST(long_paths_are_told_apart),
		TEST(hashes_of_another_path_under_the_same_key_are_none),
		TEST(a_hash_that_fails_its_checksum_is_not_known_and_a_mark_still_counts),
		TEST(a_damaged_map_is_put_aside),
		TEST(a_batch_is_applied_in_its_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
