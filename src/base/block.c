/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows how our 32-byte key becomes the secret of XXH3, and nothing else does.
 *
 * The derivation is part of the wire contract, because both sides must agree on every hash: word i (0..23) of the secret
 * is XXH3-64 of the key with seed i, stored little-endian.  XXH3's own XXH3_generateSecret() is not used: its output is
 * not promised to stay the same over the versions of the library.
 */
#include "base/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

_Static_assert(sizeof(((struct block_key *)0)->secret) >= XXH3_SECRET_SIZE_MIN, "XXH3 wants a longer secret");

struct block_digest {
	const struct block_key *key;
	XXH3_state_t *state;
};

void
block_key_init(struct block_key *key, const uint8_t bytes[BLOCK_KEY_BYTES])
{
	for (size_t i = 0; i < sizeof(key->secret) / 8; i++) {
		uint64_t word = XXH3_64bits_withSeed(bytes, BLOCK_KEY_BYTES, i);

		for (size_t k = 0; k < 8; k++)
			key->secret[8 * i + k] = (uint8_t)(word >> (8 * k));
	}
}

static struct hash128
from_xxh(XXH128_hash_t h)
{
	return (struct hash128){.lo = h.low64, .hi = h.high64};
}

struct hash128
block_hash(const struct block_key *key, const void *data, size_t len)
{
	return from_xxh(XXH3_128bits_withSecret(data, len, key->secret, sizeof(key->secret)));
}

void
block_hash_many(const struct block_key *key, const void *data, size_t len, struct hash128 *out)
{
	const uint8_t *at = data;

	for (; len >= BLOCK_BYTES; at += BLOCK_BYTES, len -= BLOCK_BYTES)
		*out++ = block_hash(key, at, BLOCK_BYTES);
	if (len)
		*out = block_hash(key, at, len);
}

uint64_t
block_checksum(uint64_t seed, const void *data, size_t len)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

struct hash128
hash128_add(struct hash128 a, struct hash128 b)
{
	uint64_t lo = a.lo + b.lo;

	return (struct hash128){.lo = lo, .hi = a.hi + b.hi + (lo < a.lo)};
}

struct hash128
hash128_sub(struct hash128 a, struct hash128 b)
{
	return (struct hash128){.lo = a.lo - b.lo, .hi = a.hi - b.hi - (a.lo < b.lo)};
}

void
hash128_hex(struct hash128 h, char out[33])
{
	snprintf(out, 33, "%016llx%016llx", (unsigned long long)h.hi, (unsigned long long)h.lo);
}

struct block_digest *
block_digest_new(const struct block_key *key)
{
	struct block_digest *d = malloc(sizeof(*d));

	if (!d)
		return NULL;
	d->key = key;
	d->state = XXH3_createState(); /* aligned to 64 bytes, which malloc is not */
	if (!d->state) {
		free(d);
		return NULL;
	}
	block_digest_reset(d);
	return d;
}

void
block_digest_reset(struct block_digest *d)
{
	/* Keeps a pointer to the secret instead of a copy: that is why the key is borrowed until free. */
	XXH3_128bits_reset_withSecret(d->state, d->key->secret, sizeof(d->key->secret));
}

void
block_digest_update(struct block_digest *d, const void *data, size_t len)
{
	XXH3_128bits_update(d->state, data, len);
}

void
block_digest_zeros(struct block_digest *d, uint64_t len)
{
	static const uint8_t zeros[16 * BLOCK_BYTES];

	for (; len > sizeof(zeros); len -= sizeof(zeros))
		XXH3_128bits_update(d->state, zeros, sizeof(zeros));
	XXH3_128bits_update(d->state, zeros, (size_t)len);
}

struct hash128
block_digest_value(const struct block_digest *d)
{
	return from_xxh(XXH3_128bits_digest(d->state));
}

void
block_digest_free(struct block_digest *d)
{
	if (!d)
		return;
	XXH3_freeState(d->state);
	free(d);
}
