/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 against the vectors of FIPS 180-4, and its hex form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/err.h"

#define OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OF_MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void
published_vectors_hold(void **state)
{
	uint8_t out[DIGEST_BYTES];
	char hex[DIGEST_HEX];

	(void)state;
	digest_once("abc", 3, out);
	digest_hex(out, hex);
	assert_string_equal(hex, OF_ABC);
	digest_once("", 0, out);
	digest_hex(out, hex);
	assert_string_equal(hex, OF_NOTHING);
}

static void
a_digest_in_pieces_equals_the_whole_and_can_be_reused(void **state)
{
	struct digest *d = digest_new();
	uint8_t out[DIGEST_BYTES];
	char hex[DIGEST_HEX], many[1000];

	(void)state;
	memset(many, 'a', sizeof(many));
	for (int i = 0; i < 1000; i++)
		digest_update(d, many, sizeof(many));
	digest_final(d, out);
	digest_hex(out, hex);
	assert_string_equal(hex, OF_MILLION_A);

	digest_reset(d);
	digest_update(d, "a", 1);
	digest_update(d, "", 0);
	digest_update(d, "bc", 2);
	digest_final(d, out);
	digest_hex(out, hex);
	assert_string_equal(hex, OF_ABC);
	digest_free(d);
}

static void
hex_comes_back_as_the_same_bytes_in_either_case(void **state)
{
	uint8_t want[DIGEST_BYTES], got[DIGEST_BYTES];
	char hex[DIGEST_HEX];

	(void)state;
	digest_once("abc", 3, want);
	assert_int_equal(digest_from_hex(OF_ABC, got), 0);
	assert_memory_equal(got, want, DIGEST_BYTES);
	memcpy(hex, OF_ABC, DIGEST_HEX);
	for (char *c = hex; *c; c++)
		*c = (char)(*c >= 'a' ? *c - 32 : *c);
	assert_int_equal(digest_from_hex(hex, got), 0);
	assert_memory_equal(got, want, DIGEST_BYTES);
}

static void
what_is_not_64_hex_digits_is_refused_and_leaves_the_output(void **state)
{
	static const char *const bad[] = {
		"", "b", OF_ABC "0", "za7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a ",
	};
	uint8_t out[DIGEST_BYTES], before[DIGEST_BYTES];

	(void)state;
	memset(before, 0x5a, sizeof(before));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char *copy = strdup(bad[i]); /* of exact size: a read past the NUL shows under ASan */

		memset(out, 0x5a, sizeof(out));
		assert_int_equal(digest_from_hex(copy, out), -ERR_CORRUPT);
		assert_memory_equal(out, before, sizeof(out));
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors_hold),
		cmocka_unit_test(a_digest_in_pieces_equals_the_whole_and_can_be_reused),
		cmocka_unit_test(hex_comes_back_as_the_same_bytes_in_either_case),
		cmocka_unit_test(what_is_not_64_hex_digits_is_refused_and_leaves_the_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
