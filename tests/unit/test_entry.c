/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of an entry are canonical, bounded, and a wire contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "src/wire/entry.c"

static struct entry
sample(uint8_t kind)
{
	struct entry e = {.kind = kind, .mode = 04755, .uid = 1000, .gid = 100};

	if (kind != ENTRY_DIR)
		e.mtime_ns = -5;
	if (kind == ENTRY_FILE)
		e.size = 1 << 20;
	if (kind == ENTRY_SYMLINK) {
		e.target = strdup("../there");
		e.size = strlen(e.target);
	}
	if (kind == ENTRY_FILE || kind == ENTRY_SYMLINK)
		e.digest = (struct hash128){.lo = 7, .hi = 9};
	if (kind == ENTRY_CHAR || kind == ENTRY_BLOCK)
		e.rdev = makedev(8, 1);
	return e;
}

static void
assert_equal_entries(const struct entry *a, const struct entry *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->rdev, b->rdev);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_true(hash128_equal(a->digest, b->digest));
	assert_int_equal(!a->target, !b->target);
	if (a->target)
		assert_string_equal(a->target, b->target);
}

static void
every_kind_comes_back_as_it_was(void **state)
{
	(void)state;
	for (uint8_t kind = ENTRY_FILE; kind <= ENTRY_BLOCK; kind++) {
		struct entry e = sample(kind), back;
		struct pack_out o = {0};
		struct pack_in i;

		entry_pack(&o, &e);
		assert_false(o.failed);
		assert_in_range(o.len, ENTRY_BYTES_MIN, ENTRY_BYTES_MAX);
		i = pack_in(o.data, o.len);
		entry_unpack(&i, &back);
		assert_true(unpack_done(&i));
		assert_equal_entries(&e, &back);
		entry_fini(&e);
		entry_fini(&back);
		pack_out_fini(&o);
	}
}

static void
bytes_of_a_file_never_change(void **state)
{
	static const uint8_t want[] = {
		1, 0xed, 0x09, 0xe8, 3, 0, 0, 100, 0, 0, 0, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0,
	};
	struct entry e = sample(ENTRY_FILE);
	struct pack_out o = {0};

	(void)state;
	entry_pack(&o, &e);
	assert_int_equal(o.len, sizeof want);
	assert_memory_equal(o.data, want, sizeof want);
	pack_out_fini(&o);
}

static void
what_means_nothing_for_a_kind_is_not_in_the_bytes(void **state)
{
	struct entry dir = sample(ENTRY_DIR), touched = dir;
	struct pack_out a = {0}, b = {0};

	(void)state;
	touched.mtime_ns = 99;
	touched.size = 4096;
	touched.rdev = 3;
	touched.digest.lo = 1;
	entry_pack(&a, &dir);
	entry_pack(&b, &touched);
	assert_int_equal(a.len, ENTRY_BYTES_MIN);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	pack_out_fini(&a);
	pack_out_fini(&b);
}

static void
every_truncation_is_refused(void **state)
{
	(void)state;
	for (uint8_t kind = ENTRY_FILE; kind <= ENTRY_BLOCK; kind++) {
		struct entry e = sample(kind), back;
		struct pack_out o = {0};

		entry_pack(&o, &e);
		for (size_t len = 0; len < o.len; len++) {
			struct pack_in i = pack_in(o.data, len);

			entry_unpack(&i, &back);
			assert_true(i.failed);
			assert_null(back.target);
		}
		entry_fini(&e);
		pack_out_fini(&o);
	}
}

static bool
refused(const struct entry *e, size_t at, uint8_t with)
{
	struct pack_out o = {0};
	struct entry back;
	struct pack_in i;

	entry_pack(&o, e);
	o.data[at] = with;
	i = pack_in(o.data, o.len);
	entry_unpack(&i, &back);
	entry_fini(&back);
	pack_out_fini(&o);
	return i.failed;
}

static void
unknown_kinds_modes_and_sizes_are_refused(void **state)
{
	struct entry file = sample(ENTRY_FILE), link = sample(ENTRY_SYMLINK);

	(void)state;
	assert_true(refused(&file, 0, 0));
	assert_true(refused(&file, 0, ENTRY_BLOCK + 1));
	assert_true(refused(&file, 2, 0x80));
	assert_true(refused(&file, 42, 0x80)); /* a size of 2^63 */
	assert_true(refused(&link, 39, 0));    /* NUL in a target */
	entry_fini(&link);
	link.kind = ENTRY_SYMLINK;
	assert_true(refused(&link, 0, ENTRY_SYMLINK)); /* no target */
}

static void
stat_gives_every_kind(void **state)
{
	static const struct { mode_t type; uint8_t kind; } kinds[] = {
		{S_IFREG, ENTRY_FILE}, {S_IFDIR, ENTRY_DIR}, {S_IFLNK, ENTRY_SYMLINK}, {S_IFIFO, ENTRY_FIFO},
		{S_IFSOCK, ENTRY_SOCKET}, {S_IFCHR, ENTRY_CHAR}, {S_IFBLK, ENTRY_BLOCK},
	};

	(void)state;
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		struct stat st = {.st_mode = kinds[k].type | 0640, .st_size = 12, .st_rdev = 5, .st_mtim = {.tv_sec = 2, .tv_nsec = 1}};
		struct entry e = {0};

		entry_from_stat(&e, &st);
		assert_int_equal(e.kind, kinds[k].kind);
		assert_int_equal(e.mode, 0640);
		assert_int_equal(e.size, k == 0 || k == 2 ? 12 : 0);
		assert_int_equal(e.rdev, k >= 5 ? 5 : 0);
		assert_int_equal(e.mtime_ns, k == 1 ? 0 : 2000000001);
	}
}

static void
times_beyond_the_range_are_clamped(void **state)
{
	struct stat st = {.st_mode = S_IFREG, .st_mtim = {.tv_sec = INT64_MAX / 2}};
	struct entry e = {0};

	(void)state;
	entry_from_stat(&e, &st);
	assert_int_equal(e.mtime_ns, INT64_MAX);
	st.st_mtim.tv_sec = INT64_MIN / 2;
	entry_from_stat(&e, &st);
	assert_true(e.mtime_ns == INT64_MIN);
}

static void
weight_depends_on_key_path_and_every_field(void **state)
{
	const uint8_t one[BLOCK_KEY_BYTES] = {1}, two[BLOCK_KEY_BYTES] = {2};
	struct entry e = sample(ENTRY_FILE), moved = e;
	struct treemap_weight w;
	struct block_key key, other;
	char hex[33];

	(void)state;
	block_key_init(&key, one);
	block_key_init(&other, two);
	moved.mtime_ns++;
	w = entry_weight(&key, "offiles/fd0/a", &e);
	assert_int_equal(w.bytes, e.size);
	assert_false(hash128_equal(w.hash, entry_weight(&other, "offiles/fd0/a", &e).hash));
	assert_false(hash128_equal(w.hash, entry_weight(&key, "offiles/fd0/b", &e).hash));
	assert_false(hash128_equal(w.hash, entry_weight(&key, "offiles/fd0/a", &moved).hash));
	hash128_hex(w.hash, hex);
	assert_string_equal(hex, "f84e97c625c7395012d070cae6f2099d");
}

static void
weight_of_the_longest_path_and_target_fits(void **state)
{
	const uint8_t bytes[BLOCK_KEY_BYTES] = {1};
	char *path = malloc(RELPATH_MAX + 1);
	struct entry e = {.kind = ENTRY_SYMLINK, .target = malloc(ENTRY_TARGET_MAX + 1)};
	struct block_key key;
	struct treemap_weight w;

	(void)state;
	memset(path, 'p', RELPATH_MAX);
	path[RELPATH_MAX] = '\0';
	memset(e.target, 't', ENTRY_TARGET_MAX);
	e.target[ENTRY_TARGET_MAX] = '\0';
	block_key_init(&key, bytes);
	w = entry_weight(&key, path, &e);
	e.target[ENTRY_TARGET_MAX - 1] = 'u';
	assert_false(hash128_equal(w.hash, entry_weight(&key, path, &e).hash));
	assert_int_equal(w.bytes, 0);
	entry_fini(&e);
	free(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_comes_back_as_it_was),
		cmocka_unit_test(bytes_of_a_file_never_change),
		cmocka_unit_test(what_means_nothing_for_a_kind_is_not_in_the_bytes),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(unknown_kinds_modes_and_sizes_are_refused),
		cmocka_unit_test(stat_gives_every_kind),
		cmocka_unit_test(times_beyond_the_range_are_clamped),
		cmocka_unit_test(weight_depends_on_key_path_and_every_field),
		cmocka_unit_test(weight_of_the_longest_path_and_target_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
