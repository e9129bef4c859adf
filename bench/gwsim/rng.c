/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the generator: xoshiro256**, seeded through splitmix64. */
#include "bench/gwsim/rng.h"

#include <math.h>
#include <string.h>

uint64_t
mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t
mix2(uint64_t a, uint64_t b)
{
	return mix64(mix64(a) ^ (b * 0xd6e8feb86659fd93u));
}

uint64_t
hash_text(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return mix64(hash);
}

void
rng_init(struct rng *rng, uint64_t seed, uint64_t stream)
{
	uint64_t x = mix2(seed, stream);

	for (int i = 0; i < 4; i++)
		rng->s[i] = x = mix64(x);
}

static inline uint64_t
rotate(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static inline uint64_t
step(uint64_t s[4])
{
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t
rng_next(struct rng *rng)
{
	return step(rng->s);
}

uint64_t
rng_below(struct rng *rng, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)rng_next(rng) * bound) >> 64);
}

double
rng_unit(struct rng *rng)
{
	return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

uint64_t
rng_size(struct rng *rng, double mean, double sigma, uint64_t least)
{
	double u = rng_unit(rng), v = rng_unit(rng);
	double normal = sqrt(-2 * log(1 - u)) * cos(2 * M_PI * v);
	double size = exp(log(mean) - sigma * sigma / 2 + sigma * normal);

	if (size > 40 * mean)
		size = 40 * mean;
	return size < (double)least ? least : (uint64_t)size;
}

void
rng_fill(struct rng *rng, void *buffer, size_t size)
{
	uint64_t s[4], word;
	char *at = buffer;

	memcpy(s, rng->s, sizeof s);
	for (; size >= sizeof word; size -= sizeof word, at += sizeof word) {
		word = step(s);
		memcpy(at, &word, sizeof word);
	}
	if (size) {
		word = step(s);
		memcpy(at, &word, size);
	}
	memcpy(rng->s, s, sizeof s);
}
