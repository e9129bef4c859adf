/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rng - seeded randomness: the same seed and stream give the same numbers on every machine. */
#ifndef GWSIM_RNG_H
#define GWSIM_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t s[4];
};

/* Start stream `stream` of `seed`; streams of one seed are independent of each other. */
void rng_init(struct rng *rng, uint64_t seed, uint64_t stream);

uint64_t rng_next(struct rng *rng);

/* A number in 0 .. bound-1; bound is not 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

/* A number in 0 .. 1, 1 excluded. */
double rng_unit(struct rng *rng);

/* A size from a log-normal distribution with this mean, clamped to least .. 40 times the mean. */
uint64_t rng_size(struct rng *rng, double mean, double sigma, uint64_t least);

/* Fill with bytes that do not compress, like the encrypted items of a post office. */
void rng_fill(struct rng *rng, void *buffer, size_t size);

/* A bijective scrambling of 64 bits, and a hash of two numbers and of a text made from it. */
uint64_t mix64(uint64_t x);
uint64_t mix2(uint64_t a, uint64_t b);
uint64_t hash_text(const char *text);

#endif
