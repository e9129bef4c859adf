/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signing - Ed25519 signatures (RFC 8032) with keys that lie in files of their own: PKCS #8, PEM, mode 0600.
 *
 * Threads: any.
 */
#ifndef WIRE_SIGNING_H
#define WIRE_SIGNING_H

#include <stddef.h>
#include <stdint.h>

#define SIGNING_KEY_BYTES 32
#define SIGNING_BYTES 64

/* Makes a key in a new file and tells its public half; -ERR_BUSY when the file exists. */
int signing_make(int dir, const char *file, uint8_t ret_key[SIGNING_KEY_BYTES]);
/* Signs with the key in the file, and tells its public half. */
int signing_sign(int dir, const char *file, const void *data, size_t len, uint8_t ret_key[SIGNING_KEY_BYTES], uint8_t ret_signature[SIGNING_BYTES]);
/* 0, or -ERR_DENIED: the signature is not this key's over these bytes; -ERR_NOMEM. */
int signing_verify(const uint8_t key[SIGNING_KEY_BYTES], const void *data, size_t len, const uint8_t signature[SIGNING_BYTES]);

#endif
