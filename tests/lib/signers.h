/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signers - who signs releases in tests: keys that are made anew each time, the file of those that are trusted, and heads of releases.
 */
#ifndef TESTS_SIGNERS_H
#define TESTS_SIGNERS_H

#include "release/release.h"
#include "tests/lib/scratch.h"

/* Three are trusted. */
enum signer { ANN, BEN, CEM, STRANGER, SIGNERS };

struct signers {
	const struct scratch *scratch; /* borrowed; their keys lie there, and "keys", the file of those that are trusted */
	struct release_keys trusted;
	char file[256];
};

void signers_make(struct signers *s, const struct scratch *scratch);

/* What every release of these tests is but for what a test changes: version 999.0.0, of this platform, in its time at `now_s`, its
 * programs the `n` bytes of `data` in three parts. */
struct release signers_release(int64_t now_s, const uint8_t *data, size_t n);
/* Its head, signed by those of whom the bit (1 << signer) is set, in their order: *gives*. */
struct pack_out signers_head(const struct signers *s, const struct release *r, unsigned who);

#endif
