/* SPDX-License-Identifier: GPL-2.0-or-later */
/* release - what a head says, and that nothing but the real one is believed (suite S1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "release/release.h"
#include "tests/lib/draw.h"
#include "tests/lib/signers.h"

#define NOW 1800000000
#define MUTANTS 1000

static struct scratch scratch;
static struct signers who;
static uint64_t seed = 20261129;
static const uint8_t programs[] = "the collector, the watcher, and the copier";

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	signers_make(&who, &scratch);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_close(&scratch);
	return 0;
}

static struct release
good(void)
{
	return signers_release(NOW, programs, sizeof programs);
}

/* What a collector does with a head that somebody shows it. */
static int
believe(const uint8_t *head, size_t len)
{
	struct release r;
	int err = release_read(head, len, &r);

	if (!err && r.head_len != len)
		err = -ERR_CORRUPT;
	if (!err)
		err = release_trust(head, &r, &who.trusted, release_platform_here());
	return err ? err : release_in_time(&r, NOW);
}

static int
believe_signed(const struct release *r, unsigned signers)
{
	struct pack_out head = signers_head(&who, r, signers);
	int err = believe(head.data, head.len);

	pack_out_fini(&head);
	return err;
}

/* ---- what is good ---- */

static void
a_release_that_two_signed_is_believed(void **state)
{
	struct release r = good();

	(void)state;
	assert_int_equal(believe_signed(&r, 1 << ANN | 1 << BEN), 0);
	assert_int_equal(believe_signed(&r, 1 << BEN | 1 << CEM), 0);
	assert_int_equal(believe_signed(&r, 1 << ANN | 1 << CEM | 1 << STRANGER), 0);
}

static void
a_head_comes_back_as_it_was_packed(void **state)
{
	struct release r = good(), again;
	struct pack_out head = signers_head(&who, &r, 1 << ANN | 1 << BEN);

	(void)state;
	assert_int_equal(release_read(head.data, head.len, &again), 0);
	assert_int_equal(release_version_compare(&r.version, &again.version), 0);
	assert_string_equal(again.platform, r.platform);
	assert_int_equal(again.made_s, r.made_s);
	assert_int_equal(again.expires_s, r.expires_s);
	assert_memory_equal(again.programs, r.programs, sizeof r.programs);
	assert_int_equal(again.n_signatures, 2);
	assert_int_equal(again.head_len, head.len);
	assert_int_equal(release_bytes(&again), sizeof programs);
	pack_out_fini(&head);
}

static void
versions_are_three_numbers_and_rise_as_numbers(void **state)
{
	static const char *const bad[] = {"", "1", "1.2", "1.2.3.4", "1.2.x", "01.2.3", "1.2.3 ", " 1.2.3", "-1.2.3", "1.2.1000000", "1.2.4294967297", "1.+2.3"};
	struct release_version a, b;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(release_version_parse(bad[i], &a), -ERR_USAGE);
	assert_int_equal(release_version_parse("0.9.10", &a), 0);
	assert_int_equal(release_version_parse("0.10.9", &b), 0);
	assert_true(release_version_compare(&a, &b) < 0);
	assert_int_equal(release_version_parse("999999.999999.999999", &a), 0);
	assert_true(release_version_compare(&a, &b) > 0);
}

static void
a_file_of_keys_names_its_mistakes(void **state)
{
	static const char key[] = "ed25519 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct release_keys keys;
	char text[512];

	(void)state;
	snprintf(text, sizeof text, "# who signs\n\n%s ann\n  %.71se # ben\n", key, key);
	assert_int_equal(release_keys_parse(text, &keys), 0);
	assert_int_equal(keys.n, 2);
	snprintf(text, sizeof text, "%s\n%s\n", key, key); /* twice one key is one signer */
	assert_int_equal(release_keys_parse(text, &keys), -ERR_CONFIG);
	snprintf(text, sizeof text, "%s\nrsa 00\n", key);
	assert_int_equal(release_keys_parse(text, &keys), -ERR_CONFIG);
	assert_non_null(strstr(err_text(), "line 2"));
	snprintf(text, sizeof text, "%s00\n", key);
	assert_int_equal(release_keys_parse(text, &keys), -ERR_CONFIG);
}

/* Section 7.1, test 2, of RFC 8032. */
static void
a_signature_is_that_of_the_rfc(void **state)
{
	static const char key_hex[] = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
	static const uint8_t signature[SIGNING_BYTES] = {
	    0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f, 0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50,
	    0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13,
	    0xd0, 0xf1, 0x1d, 0x8c, 0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};
	uint8_t key[SIGNING_KEY_BYTES], message = 0x72;

	(void)state;
	assert_int_equal(digest_from_hex(key_hex, key), 0);
	assert_int_equal(signing_verify(key, &message, 1, signature), 0);
	message++;
	assert_int_equal(signing_verify(key, &message, 1, signature), -ERR_DENIED);
}

/* ---- S1: what is not ---- */

static void
too_few_signers_are_not_believed(void **state)
{
	struct release r = good();

	(void)state;
	assert_int_equal(believe_signed(&r, 0), -ERR_DENIED);
	assert_int_equal(believe_signed(&r, 1 << ANN), -ERR_DENIED);
	assert_int_equal(believe_signed(&r, 1 << STRANGER), -ERR_DENIED);
	assert_int_equal(believe_signed(&r, 1 << CEM | 1 << STRANGER), -ERR_DENIED);
}

static void
one_signer_who_signs_often_is_one(void **state)
{
	struct release r = good(), once;
	struct pack_out head = signers_head(&who, &r, 1 << ANN), twice = {0};
	struct release_signature signatures[RELEASE_SIGNATURES_MAX];

	(void)state;
	assert_int_equal(release_read(head.data, head.len, &once), 0);
	for (size_t i = 0; i < RELEASE_SIGNATURES_MAX; i++)
		signatures[i] = once.signatures[0];
	pack_raw(&twice, head.data, once.signed_len);
	release_pack_signatures(&twice, signatures, RELEASE_SIGNATURES_MAX);
	assert_int_equal(believe(twice.data, twice.len), -ERR_DENIED);
	pack_out_fini(&head);
	pack_out_fini(&twice);
}

static void
one_of_another_platform_or_time_is_not_believed(void **state)
{
	struct release r = good();

	(void)state;
	snprintf(r.platform, sizeof r.platform, "linux-vax");
	assert_int_equal(believe_signed(&r, 1 << ANN | 1 << BEN), -ERR_DENIED);
	r = good();
	r.expires_s = NOW;
	assert_int_equal(believe_signed(&r, 1 << ANN | 1 << BEN), -ERR_DENIED);
	r.expires_s = NOW + 1;
	assert_int_equal(believe_signed(&r, 1 << ANN | 1 << BEN), 0);
	r.made_s = NOW + 86401;
	assert_int_equal(believe_signed(&r, 1 << ANN | 1 << BEN), -ERR_DENIED);
}

/* Signatures of one release under the statement of another. */
static void
signatures_are_good_for_one_statement(void **state)
{
	struct release a = good(), b = good(), read_a;
	struct pack_out head_a, head_b, mixed = {0};

	(void)state;
	b.version.part[2] = 1;
	head_a = signers_head(&who, &a, 1 << ANN | 1 << BEN);
	head_b = signers_head(&who, &b, 0);
	assert_int_equal(release_read(head_a.data, head_a.len, &read_a), 0);
	pack_raw(&mixed, head_b.data, head_b.len - 1);
	release_pack_signatures(&mixed, read_a.signatures, read_a.n_signatures);
	assert_int_equal(believe(mixed.data, mixed.len), -ERR_DENIED);
	pack_out_fini(&head_a);
	pack_out_fini(&head_b);
	pack_out_fini(&mixed);
}

/* Eight kinds of forgery; each begins with a head that is believed, and ends with one that must not be. */
enum forgery { FLIP_SIGNATURE, FLIP_STATEMENT, OTHER_KEY, RANDOM_SIGNATURES, CUT, LONGER, SPLICED, LENGTH_LIES, FORGERIES };

static size_t
forge(enum forgery kind, uint8_t *head, size_t len, size_t signed_len, size_t room)
{
	size_t at;

	switch (kind) {
	case FLIP_SIGNATURE: /* of either signer, key or signature */
		at = signed_len + 1 + draw(&seed, len - signed_len - 1);
		head[at] ^= (uint8_t)(1u << draw(&seed, 8));
		return len;
	case FLIP_STATEMENT:
		head[draw(&seed, signed_len)] ^= (uint8_t)(1u << draw(&seed, 8));
		return len;
	case OTHER_KEY: /* the key of the one over the signature of the other */
		memcpy(head + signed_len + 1, head + signed_len + 1 + sizeof(struct release_signature), SIGNING_KEY_BYTES);
		head[draw(&seed, signed_len)] ^= (uint8_t)draw(&seed, 2);
		return len;
	case RANDOM_SIGNATURES:
		for (at = signed_len + 1; at < len; at++)
			if ((at - signed_len - 1) % sizeof(struct release_signature) >= SIGNING_KEY_BYTES)
				head[at] = (uint8_t)draw(&seed, 256);
		return len;
	case CUT:
		return draw(&seed, len);
	case LONGER:
		at = 1 + draw(&seed, 64);
		at = len + at > room ? room - len : at;
		memset(head + len, (int)draw(&seed, 256), at);
		return len + at;
	case SPLICED: /* a piece of the statement over another piece of it */
		at = draw(&seed, signed_len - 8);
		memmove(head + draw(&seed, signed_len - 8), head + at, 8);
		return len;
	default: /* the u32 behind the first line, or the number of signatures */
		at = draw(&seed, 2) ? strlen("tidemark release 1\n") + draw(&seed, 4) : signed_len;
		head[at] = (uint8_t)(head[at] + 1 + draw(&seed, 255));
		return len;
	}
}

static void
no_mutant_is_believed_unless_it_is_the_release(void **state)
{
	struct release r = good(), read;
	struct pack_out head = signers_head(&who, &r, 1 << ANN | 1 << BEN);
	uint8_t mutant[RELEASE_HEAD_MAX];
	unsigned same = 0;

	(void)state;
	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 10);
	print_message("# seed %llu\n", (unsigned long long)seed);
	assert_int_equal(release_read(head.data, head.len, &read), 0);
	for (int kind = 0; kind < FORGERIES; kind++)
		for (int i = 0; i < MUTANTS; i++) {
			size_t len;

			memcpy(mutant, head.data, head.len);
			len = forge((enum forgery)kind, mutant, head.len, read.signed_len, sizeof mutant);
			if (len == head.len && memcmp(mutant, head.data, len) == 0) {
				same++; /* a splice onto itself */
				continue;
			}
			if (believe(mutant, len) == 0) {
				fail_msg("kind %d, mutant %d is believed", kind, i);
			}
		}
	print_message("# %u mutants of %d kinds, %u of them the release itself\n", MUTANTS * FORGERIES, FORGERIES, same);
	pack_out_fini(&head);
}

static void
sizes_beyond_the_limit_are_no_release(void **state)
{
	static const uint64_t sizes[] = {0, RELEASE_PROGRAM_MAX + 1ull, 1ull << 32, 1ull << 63, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (size_t k = 0; k < RELEASE_PROGRAMS; k++) {
			struct release r = good();

			r.programs[k].size = sizes[i];
			assert_int_equal(believe_signed(&r, 1 << ANN | 1 << BEN), -ERR_CORRUPT);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_release_that_two_signed_is_believed),
	    cmocka_unit_test(a_head_comes_back_as_it_was_packed),
	    cmocka_unit_test(versions_are_three_numbers_and_rise_as_numbers),
	    cmocka_unit_test(a_file_of_keys_names_its_mistakes),
	    cmocka_unit_test(a_signature_is_that_of_the_rfc),
	    cmocka_unit_test(too_few_signers_are_not_believed),
	    cmocka_unit_test(one_signer_who_signs_often_is_one),
	    cmocka_unit_test(one_of_another_platform_or_time_is_not_believed),
	    cmocka_unit_test(signatures_are_good_for_one_statement),
	    cmocka_unit_test(no_mutant_is_believed_unless_it_is_the_release),
	    cmocka_unit_test(sizes_beyond_the_limit_are_no_release),
	};

	return cmocka_run_group_tests_name("release", tests, setup, teardown);
}
