/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * identity_keys - keys and certificates: made, signed, kept in files, asked who they are.  For identity*.c and signing.c only.
 *
 * Keys are Ed25519.  Errors name the file or the step and OpenSSL's reason.
 */
#ifndef WIRE_IDENTITY_KEYS_H
#define WIRE_IDENTITY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/err.h"
#include "wire/identity.h"

enum cert_role { CERT_AUTHORITY, CERT_SERVER, CERT_COLLECTOR };

/* Who issues: both NULL for a certificate that signs itself. */
struct issuer {
	X509 *cert;
	EVP_PKEY *key;
};

/* Records `what` and OpenSSL's reason, empties its queue, returns -code. */
int identity_error(enum err code, const char *what);

int key_generate(EVP_PKEY **ret_key);
/* -ERR_GONE when absent; refuses a key that others may read. */
int key_load(int dir, const char *file, EVP_PKEY **ret_key);
int key_save(int dir, const char *file, const EVP_PKEY *key);

/* `key` is the subject's: its public half is enough. */
int cert_make(enum cert_role role, const char *name, EVP_PKEY *key, const struct issuer *issuer, X509 **ret_cert);
int cert_load(int dir, const char *file, X509 **ret_cert);
int cert_save(int dir, const char *file, X509 *cert);
/* *Gives* the bytes. */
int cert_to_der(const X509 *cert, uint8_t **ret_der, size_t *ret_len);
/* -ERR_PEER when it is not exactly one certificate. */
int cert_from_der(const uint8_t *der, size_t len, X509 **ret_cert);

/* True when the common name is exactly `name`. */
bool name_is(const X509_NAME *subject, const char *name);
/* The common name of a subject that has exactly one, and which is a valid profile; false otherwise. */
bool name_get(const X509_NAME *subject, char ret_name[IDENTITY_NAME_MAX + 1]);
X509_NAME *name_make(const char *common_name);

/* SHA-256 of the subject public key info. */
int cert_pin(const X509 *cert, uint8_t ret_pin[IDENTITY_PIN_BYTES]);
/* True when less than a year is left. */
bool cert_ends_soon(const X509 *cert);
/* True when it is not valid yet: whoever made it had a clock that was ahead, or ours is behind. */
bool cert_begins_later(const X509 *cert);

#endif
