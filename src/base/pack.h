/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pack - a bounds-checked byte cursor, little-endian, with sticky failure.
 *
 * Writers grow or write into a fixed buffer; readers never pass the end.  After a failure every further call does
 * nothing, so a codec checks once, at its end.  No function here allocates by a length it has not checked against
 * the bytes that are really there.
 */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct pack_out {
	uint8_t *data; /* owned when grown from NULL; free with pack_out_fini */
	size_t len, cap;
	bool fixed;    /* data belongs to somebody else and cannot grow */
	bool failed;   /* out of memory or out of room; sticky */
};

struct pack_in {
	const uint8_t *data;
	size_t len, pos;
	bool failed; /* read past the end or a bad value; sticky */
};

static inline struct pack_in
pack_in(const void *data, size_t len)
{
	return (struct pack_in){.data = data, .len = len};
}

static inline struct pack_out
pack_out_fixed(void *data, size_t cap)
{
	return (struct pack_out){.data = data, .cap = cap, .fixed = true};
}

static inline void
pack_out_fini(struct pack_out *o)
{
	if (!o->fixed)
		free(o->data);
	*o = (struct pack_out){0};
}

/* Room for `n` more bytes; NULL (and failed) when there is none. */
static inline uint8_t *
pack_reserve(struct pack_out *o, size_t n)
{
	if (o->failed)
		return NULL;
	if (n > o->cap - o->len) {
		size_t cap = o->cap ? o->cap : 256;
		uint8_t *grown;

		while (cap - o->len < n && cap <= SIZE_MAX / 2)
			cap *= 2;
		grown = o->fixed || cap - o->len < n ? NULL : realloc(o->data, cap);
		if (!grown) {
			o->failed = true;
			return NULL;
		}
		o->data = grown;
		o->cap = cap;
	}
	o->len += n;
	return o->data + o->len - n;
}

static inline void
pack_raw(struct pack_out *o, const void *bytes, size_t n)
{
	uint8_t *at = pack_reserve(o, n);

	if (at && n)
		memcpy(at, bytes, n);
}

static inline void
pack_uint(struct pack_out *o, uint64_t v, size_t width)
{
	uint8_t *at = pack_reserve(o, width);

	for (size_t i = 0; at && i < width; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static inline void pack_u8(struct pack_out *o, uint8_t v) { pack_uint(o, v, 1); }
static inline void pack_u16(struct pack_out *o, uint16_t v) { pack_uint(o, v, 2); }
static inline void pack_u32(struct pack_out *o, uint32_t v) { pack_uint(o, v, 4); }
static inline void pack_u64(struct pack_out *o, uint64_t v) { pack_uint(o, v, 8); }
static inline void pack_i64(struct pack_out *o, int64_t v) { pack_uint(o, (uint64_t)v, 8); }

/* u32 length, then the bytes. */
static inline void
pack_bytes(struct pack_out *o, const void *bytes, size_t n)
{
	if (n > UINT32_MAX)
		o->failed = true;
	pack_u32(o, (uint32_t)n);
	pack_raw(o, bytes, n);
}

static inline void pack_str(struct pack_out *o, const char *s) { pack_bytes(o, s, strlen(s)); }

/* Points into the input; NULL (and failed) when fewer than `n` bytes are left. */
static inline const uint8_t *
unpack_raw(struct pack_in *i, size_t n)
{
	if (i->failed || n > i->len - i->pos) {
		i->failed = true;
		return NULL;
	}
	i->pos += n;
	return i->data + i->pos - n;
}

static inline uint64_t
unpack_uint(struct pack_in *i, size_t width)
{
	const uint8_t *at = unpack_raw(i, width);
	uint64_t v = 0;

	for (size_t k = 0; at && k < width; k++)
		v |= (uint64_t)at[k] << (8 * k);
	return v;
}

static inline uint8_t unpack_u8(struct pack_in *i) { return (uint8_t)unpack_uint(i, 1); }
static inline uint16_t unpack_u16(struct pack_in *i) { return (uint16_t)unpack_uint(i, 2); }
static inline uint32_t unpack_u32(struct pack_in *i) { return (uint32_t)unpack_uint(i, 4); }
static inline uint64_t unpack_u64(struct pack_in *i) { return unpack_uint(i, 8); }
static inline int64_t unpack_i64(struct pack_in *i) { return (int64_t)unpack_uint(i, 8); }

/* u32 length (at most `max`), then the bytes; points into the input. */
static inline const uint8_t *
unpack_bytes(struct pack_in *i, size_t max, size_t *ret_len)
{
	uint32_t n = unpack_u32(i);

	*ret_len = 0;
	if (n > max)
		i->failed = true;
	if (i->failed)
		return NULL;
	const uint8_t *at = unpack_raw(i, n);
	if (at)
		*ret_len = n;
	return at;
}

/* A string of at most `max` bytes without NUL: *gives* a NUL-terminated copy, NULL (and failed) otherwise. */
static inline char *
unpack_str(struct pack_in *i, size_t max)
{
	size_t n;
	const uint8_t *at = unpack_bytes(i, max, &n);
	char *s = NULL;

	if (at && !memchr(at, 0, n))
		s = malloc(n + 1);
	if (!s) {
		i->failed = true;
		return NULL;
	}
	memcpy(s, at, n);
	s[n] = '\0';
	return s;
}

/* True when everything was read and nothing is left over. */
static inline bool
unpack_done(const struct pack_in *i)
{
	return !i->failed && i->pos == i->len;
}

#endif
