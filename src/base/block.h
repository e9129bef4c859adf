/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * block - what a block is: 4 KiB, aligned, with a keyed XXH3-128 hash.  The only file that knows xxhash.h.
 *
 * XXH3 finds change and accidents, not enemies: the key is a secret of the profile that both sides share, handed out by
 * the server, so that a mail sender cannot choose colliding pages.  Equality across the years is SHA-256's job
 * (base/digest.h).  The digest of a file is XXH3-128 over its whole content, with the same key.
 *
 * Threads: everything here is pure; a struct block_digest belongs to one thread at a time.
 */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_BYTES 4096u
#define BLOCK_KEY_BYTES 32u

struct hash128 {
	uint64_t lo, hi;
};

/* The key, expanded once to the secret that XXH3 wants. */
struct block_key {
	uint8_t secret[192];
};

struct block_digest; /* a running whole-file digest */

void block_key_init(struct block_key *key, const uint8_t bytes[BLOCK_KEY_BYTES]);

struct hash128 block_hash(const struct block_key *key, const void *data, size_t len);

/* Hashes of the blocks of `len` bytes that begin on a block boundary; the last may be short.  `out` has room for
 * block_count(len). */
void block_hash_many(const struct block_key *key, const void *data, size_t len, struct hash128 *out);

/* XXH3-64 with a seed and without the key: guards our own records against accidents.  Parts are chained by giving the sum
 * of one as the seed of the next. */
uint64_t block_checksum(uint64_t seed, const void *data, size_t len);

static inline uint64_t
block_count(uint64_t bytes)
{
	return bytes / BLOCK_BYTES + (bytes % BLOCK_BYTES != 0);
}

static inline bool
hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

/* Sum modulo 2^128: order-free digests of sets of entries are sums of entry hashes. */
struct hash128 hash128_add(struct hash128 a, struct hash128 b);
struct hash128 hash128_sub(struct hash128 a, struct hash128 b);

/* 32 lower-case hex digits and NUL. */
void hash128_hex(struct hash128 h, char out[33]);

/* NULL when out of memory.  `key` is borrowed until free. */
struct block_digest *block_digest_new(const struct block_key *key);
void block_digest_reset(struct block_digest *d);
void block_digest_update(struct block_digest *d, const void *data, size_t len);
void block_digest_zeros(struct block_digest *d, uint64_t len); /* as if `len` zero bytes were given */
struct hash128 block_digest_value(const struct block_digest *d);
void block_digest_free(struct block_digest *d); /* NULL is fine */

#endif
