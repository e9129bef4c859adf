/* SPDX-License-Identifier: GPL-2.0-or-later */
/* draw - seeded random numbers: splitmix64 (Steele, Lea, Flood 2014), so that a seed gives the same ones everywhere. */
#ifndef TESTS_DRAW_H
#define TESTS_DRAW_H

#include <stdint.h>

/* A number in 0 .. below-1; `below` is not 0.  `*state` begins as the seed. */
static inline uint64_t
draw(uint64_t *state, uint64_t below)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % below;
}

#endif
