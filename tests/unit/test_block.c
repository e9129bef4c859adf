/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hashes are a wire contract: fixed vectors, one derivation, streaming equal to one shot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/block.h"

static void
test_key(struct block_key *key, uint8_t first)
{
	uint8_t bytes[BLOCK_KEY_BYTES];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(first + i);
	block_key_init(key, bytes);
}

static uint8_t *
pattern(size_t len)
{
	uint8_t *data = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 131 + (i >> 8) * 7);
	return data;
}

static void
hash_of_known_bytes_never_changes(void **state)
{
	struct block_key key;
	uint8_t *data = pattern(BLOCK_BYTES);
	char hex[33];

	(void)state;
	test_key(&key, 0);
	hash128_hex(block_hash(&key, data, BLOCK_BYTES), hex);
	assert_string_equal(hex, "fd9ef2d2c79f2960cf7459e9e311d115");
	hash128_hex(block_hash(&key, data, 100), hex);
	assert_string_equal(hex, "b51f1108d0a08b75a987f45b7697dcb0");
	hash128_hex(block_hash(&key, NULL, 0), hex);
	assert_string_equal(hex, "75004e4e03366e785e01d24542949d7f");
	free(data);
}

static void
another_key_gives_another_hash(void **state)
{
	struct block_key a, b;
	uint8_t *data = pattern(BLOCK_BYTES);

	(void)state;
	test_key(&a, 0);
	test_key(&b, 1);
	for (size_t len = 0; len <= BLOCK_BYTES; len += 64)
		assert_false(hash128_equal(block_hash(&a, data, len), block_hash(&b, data, len)));
	free(data);
}

static void
many_blocks_hash_like_each_alone_and_a_short_last_one_counts(void **state)
{
	const size_t len = 3 * BLOCK_BYTES + 17;
	struct block_key key;
	uint8_t *data = pattern(len);
	struct hash128 out[5] = {[4] = {1, 2}};

	(void)state;
	test_key(&key, 9);
	assert_int_equal(block_count(len), 4);
	block_hash_many(&key, data, len, out);
	for (size_t i = 0; i < 3; i++)
		assert_true(hash128_equal(out[i], block_hash(&key, data + i * BLOCK_BYTES, BLOCK_BYTES)));
	assert_true(hash128_equal(out[3], block_hash(&key, data + 3 * BLOCK_BYTES, 17)));
	assert_true(hash128_equal(out[4], (struct hash128){1, 2}));
	free(data);
}

static void
one_flipped_bit_anywhere_in_a_block_changes_its_hash(void **state)
{
	struct block_key key;
	uint8_t *data = pattern(BLOCK_BYTES);
	struct hash128 before;

	(void)state;
	test_key(&key, 3);
	before = block_hash(&key, data, BLOCK_BYTES);
	for (size_t bit = 0; bit < 8 * BLOCK_BYTES; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(hash128_equal(before, block_hash(&key, data, BLOCK_BYTES)));
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(data);
}

static void
a_digest_in_pieces_equals_the_hash_of_the_whole(void **state)
{
	static const size_t lengths[] = {0, 1, 16, 17, 128, 129, 240, 241, 1023, 4096, 70001};
	struct block_key key;
	uint8_t *data = pattern(70001);
	struct block_digest *d;

	(void)state;
	test_key(&key, 5);
	d = block_digest_new(&key);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		block_digest_reset(d);
		for (size_t at = 0, step = 1; at < lengths[i]; step = step * 3 + 1) {
			size_t n = step < lengths[i] - at ? step : lengths[i] - at;

			block_digest_update(d, data + at, n);
			at += n;
		}
		assert_true(hash128_equal(block_digest_value(d), block_hash(&key, data, lengths[i])));
	}
	block_digest_free(d);
	free(data);
}

static void
zeros_of_a_hole_digest_like_zeros_that_were_read(void **state)
{
	const size_t len = 16 * BLOCK_BYTES * 2 + 5;
	struct block_key key;
	uint8_t *zeros = calloc(1, len);
	struct block_digest *d;

	(void)state;
	test_key(&key, 5);
	d = block_digest_new(&key);
	block_digest_update(d, "head", 4);
	block_digest_zeros(d, len);
	struct hash128 holes = block_digest_value(d);
	block_digest_reset(d);
	block_digest_update(d, "head", 4);
	block_digest_update(d, zeros, len);
	assert_true(hash128_equal(holes, block_digest_value(d)));
	block_digest_zeros(d, 1);
	assert_false(hash128_equal(holes, block_digest_value(d)));
	block_digest_free(d);
	free(zeros);
}

static void
sums_carry_borrow_and_forget_the_order(void **state)
{
	struct hash128 a = {UINT64_MAX, 1}, b = {1, 2}, c = {77, UINT64_MAX};
	struct hash128 sum = hash128_add(a, b);

	(void)state;
	assert_true(hash128_equal(sum, (struct hash128){0, 4}));
	assert_true(hash128_equal(hash128_sub(sum, b), a));
	assert_true(hash128_equal(hash128_add(hash128_add(a, b), c), hash128_add(hash128_add(c, a), b)));
	assert_true(hash128_equal(hash128_sub(hash128_add(sum, c), c), sum));
}

static void
a_checksum_chain_depends_on_every_part(void **state)
{
	uint64_t one = block_checksum(block_checksum(0, "key", 3), "value", 5);

	(void)state;
	assert_true(one == block_checksum(block_checksum(0, "key", 3), "value", 5));
	assert_true(one != block_checksum(block_checksum(0, "kez", 3), "value", 5));
	assert_true(one != block_checksum(block_checksum(0, "key", 3), "valuf", 5));
	assert_true(one != block_checksum(block_checksum(0, "keyv", 4), "alue", 4));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_of_known_bytes_never_changes),
		cmocka_unit_test(another_key_gives_another_hash),
		cmocka_unit_test(many_blocks_hash_like_each_alone_and_a_short_last_one_counts),
		cmocka_unit_test(one_flipped_bit_anywhere_in_a_block_changes_its_hash),
		cmocka_unit_test(a_digest_in_pieces_equals_the_hash_of_the_whole),
		cmocka_unit_test(zeros_of_a_hole_digest_like_zeros_that_were_read),
		cmocka_unit_test(sums_carry_borrow_and_forget_the_order),
		cmocka_unit_test(a_checksum_chain_depends_on_every_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
