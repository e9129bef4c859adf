/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz - what the harnesses share: the entry that libFuzzer and the replay of the corpora call, a cursor over the input,
 * and the one way in which a harness says that the product lied.
 *
 * A harness is fuzz_NAME.c with seeds in corpus/NAME; the Makefile finds it by its name.  It keeps no state from input to
 * input but a world that was made at the first.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(condition)                                                                                  \
	do {                                                                                             \
		if (!(condition)) {                                                                      \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
			abort();                                                                         \
		}                                                                                        \
	} while (0)

/* The rest of the input as a string of its own: *gives* it. */
static inline char *
fuzz_text(const struct pack_in *in)
{
	size_t n = in->len - in->pos;
	char *text = malloc(n + 1);

	MUST(text);
	memcpy(text, in->data + in->pos, n);
	text[n] = '\0';
	return text;
}

/* Two packings of one value are one and the same. */
static inline void
fuzz_same(struct pack_out *a, struct pack_out *b)
{
	MUST(!a->failed && !b->failed && a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
	pack_out_fini(a);
	pack_out_fini(b);
}

#endif
