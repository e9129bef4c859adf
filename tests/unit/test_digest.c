/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 against the vectors of FIPS 180-4, its hex form, and where there is no memory for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/err.h"

#define OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OF_MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

/* ---- libcrypto's allocations ---- */

static unsigned allowed; /* so many are left before one fails; 0 = none fails */

static bool
this_one_fails(void)
{
	return allowed && --allowed == 0;
}

static void *
counted_malloc(size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return this_one_fails() ? NULL : malloc(n);
}

static void *
counted_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return this_one_fails() ? NULL : realloc(p, n);
}

static void
counted_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	free(p);
}

enum { MADE, NOT_MADE_AGAIN, NO_SUCH_CALL };

/* A process of its own, whose libcrypto was not used yet: it begins, its n-th allocation after that fails, it tries once more. */
static int
try_in_a_child(unsigned n)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		bool failed;

		(void)signal(SIGSEGV, SIG_DFL); /* libcrypto may not survive it; cmocka's handler would go on with the tests here */
		if (digest_begin() != 0)
			_exit(NOT_MADE_AGAIN);
		allowed = n;
		digest_free(digest_new());
		failed = allowed == 0;
		allowed = 0;
		struct digest *d = digest_new();
		_exit(!d ? NOT_MADE_AGAIN : failed ? MADE : NO_SUCH_CALL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : NOT_MADE_AGAIN;
}

static void
where_memory_lacks_once_the_next_digest_is_made(void **state)
{
	unsigned n = 0;
	int got;

	(void)state;
	do {
		got = try_in_a_child(++n);
		assert_int_not_equal(got, NOT_MADE_AGAIN);
	} while (got != NO_SUCH_CALL);
	assert_true(n > 1); /* some were tried */
}

/* 1 when the n-th allocation ended the process with a word, 0 when there was no n-th. */
static int
status_of_summing(unsigned n)
{
	uint8_t out[DIGEST_BYTES];
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct digest *d = digest_new();

		allowed = n;
		digest_reset(d);
		digest_once("abc", 3, out);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
where_a_sum_has_no_memory_the_process_ends_and_does_not_crash(void **state)
{
	unsigned n = 1;

	(void)state;
	while (status_of_summing(n) == 1)
		n++;
	assert_int_equal(status_of_summing(n), 0);
	assert_true(n > 1);
}

/* ---- SHA-256 ---- */

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
		cmocka_unit_test(where_memory_lacks_once_the_next_digest_is_made), /* before libcrypto is used here */
		cmocka_unit_test(where_a_sum_has_no_memory_the_process_ends_and_does_not_crash),
		cmocka_unit_test(published_vectors_hold),
		cmocka_unit_test(a_digest_in_pieces_equals_the_whole_and_can_be_reused),
		cmocka_unit_test(hex_comes_back_as_the_same_bytes_in_either_case),
		cmocka_unit_test(what_is_not_64_hex_digits_is_refused_and_leaves_the_output),
	};

	if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
