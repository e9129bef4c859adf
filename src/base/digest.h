/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * digest - SHA-256, what a sealed set is held to for the rest of its life.  The only file that computes it.
 *
 * Threads: any; a running digest belongs to one at a time.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32
#define DIGEST_HEX 65

struct digest; /* a running SHA-256 */

/* libcrypto makes its tables at their first use, once a process: if there is no memory for them then, it never works again.  So a daemon
 * calls this at its start, and ends when it fails. */
int digest_begin(void);

struct digest *digest_new(void); /* NULL when out of memory */
void digest_reset(struct digest *d); /* without memory the process ends, with a word */
void digest_update(struct digest *d, const void *data, size_t len);
/* Ends the run; reset before the next. */
void digest_final(struct digest *d, uint8_t out[DIGEST_BYTES]);
void digest_free(struct digest *d); /* NULL is fine */

/* A short one.  Without memory the process ends, as in digest_reset. */
void digest_once(const void *data, size_t len, uint8_t out[DIGEST_BYTES]);
void digest_hex(const uint8_t in[DIGEST_BYTES], char out[DIGEST_HEX]);
/* 0, or -ERR_CORRUPT when `hex` is not 64 hex digits. */
int digest_from_hex(const char *hex, uint8_t out[DIGEST_BYTES]);

#endif
