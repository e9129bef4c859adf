/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * identity_own - what an identity consists of.  Inside src/wire/identity*.c only.
 */
#ifndef WIRE_IDENTITY_OWN_H
#define WIRE_IDENTITY_OWN_H

#include "wire/identity_keys.h"

#define PINS_DIR "pins"
#define TOKENS_DIR "tokens"
#define AUTHORITY_CERT "authority.crt"
#define TOKEN_PIN_BYTES 16 /* of the authority's pin: a second key with the same is 2^128 tries away */

struct identity {
	struct ssl_ctx_st *ctx;
	X509 *authority;         /* NULL while enrolling */
	EVP_PKEY *authority_key; /* server only */
	int dir;                 /* server only, else -1; below it pins and tokens */
	uint8_t pin[IDENTITY_PIN_BYTES]; /* enrolling only: what the authority's key must begin with */
	size_t pin_len;
};

/* Server: lets this key, and no other, speak for the profile. */
int identity_pin_put(struct identity *id, const char *profile, const uint8_t pin[IDENTITY_PIN_BYTES]);

/* *Gives* the string of a token. */
int identity_token_format(const struct identity_token *token, char **ret_text);

/* Opens the directory `path`, making it and what its files need; *gives* a descriptor. */
int identity_dir_open(const char *path);

#endif
